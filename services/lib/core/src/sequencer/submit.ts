/** What comes from gateways: each record is sequenced, waits, or is refused. */
import { sameBytes } from "../bytes.ts";
import { SUBMIT } from "../messages.ts";
import { TX, txBytes, txGasLimit, txNonce } from "../transactions.ts";
import { askSender, sendAsks } from "./asks.ts";
import { checkRecords } from "./check-records.ts";
import { isFull, isOutFull, isSilent } from "./partition-table.ts";
import { countReady, isClosed, place, PLACED, pump, settleOld } from "./place.ts";
import { chargeSender, isWithinRate } from "./sender-rate.ts";
import { addSender, findSender, SENDER } from "./sender-table.ts";
import type { Sequencer } from "./state.ts";
import { settle } from "./state.ts";
import { openSubmit } from "./submits.ts";
import type { Turn } from "./turn.ts";
import { turnOf } from "./turn.ts";
import { addWaiting, lastNotAbove, WAIT } from "./waiting.ts";

/**
 * Takes a submit in. Its `reply` effect comes when all records are decided: at once where all are refused, after a flush's
 * acknowledgement where one is sequenced, at the latest `askMs + gapMs + readyMs` and one append later.
 * @param records packed transaction records; kept until the reply
 * @param refusesGaps a nonce ahead of its turn is refused at once
 * @returns the number by which the reply names this submit; -1 if the records are malformed and nothing was taken
 */
export function submitRecords(sequencer: Sequencer, records: Uint8Array, refusesGaps: boolean, now: number): number {
  const { submits, limits } = sequencer;
  const count = checkRecords(records, limits.recordBytesMax);
  if (count < 0) return -1;
  const isBusy = submits.open >= limits.submitsMax || submits.bytes + records.length > limits.queueBytesMax;
  const submit = openSubmit(submits, records, count, refusesGaps);
  const isServerFull = now < sequencer.fullUntil || isOutFull(sequencer.partitions, now, limits.silentMs);
  for (let at = 0, record = 0; at < records.length; at += txBytes(records, at), record++) {
    if (isBusy) settle(sequencer, submit, record, SUBMIT.busy, 0);
    else if (isServerFull) settle(sequencer, submit, record, SUBMIT.logFull, 0);
    else take(sequencer, submit, record, at, now);
  }
  pump(sequencer, now);
  sendAsks(sequencer, now);
  return submit;
}

function take(sequencer: Sequencer, submit: number, record: number, at: number, now: number): void {
  const { senders } = sequencer;
  const payload = sequencer.submits.payloads[submit]!;
  const gasLimit = sequencer.blocks.open.gasLimit;
  if (txGasLimit(payload, at) > gasLimit) return settle(sequencer, submit, record, SUBMIT.gasLimit, gasLimit);
  let sender = findSender(senders, payload, at + TX.sender);
  if (sender < 0) {
    sender = addSender(senders, payload, at + TX.sender, sequencer.blockFlush);
    if (sender < 0) return settle(sequencer, submit, record, SUBMIT.busy, 0);
    askSender(sequencer, sender);
  }
  const nonce = txNonce(payload, at);
  if (senders.state[sender] === SENDER.asking) return hold(sequencer, sender, nonce, submit, record, at, now);
  const next = senders.next[sender]!;
  if (nonce < next) return settleOld(sequencer, sender, submit, record, at);
  if (nonce > next || senders.ready[sender]! > 0 || isClosed(sequencer, now)) {
    return hold(sequencer, sender, nonce, submit, record, at, now);
  }
  if (!isWithinRate(sequencer, sender, now)) return refuseRate(sequencer, submit, record);
  const outcome = place(sequencer, sender, submit, record, at, now);
  if (outcome === PLACED.refused) return;
  if (outcome !== PLACED.sequenced) return hold(sequencer, sender, nonce, submit, record, at, now);
  chargeSender(sequencer, sender, now);
  if (senders.waiting[sender]! > 0) countReady(sequencer, sender, now);
}

const refuseRate = (sequencer: Sequencer, submit: number, record: number): void =>
  settle(sequencer, submit, record, SUBMIT.senderLimit, sequencer.limits.senderRatePerSecond);

/** Lets a record wait that cannot be sequenced now, or refuses it. */
function hold(
  sequencer: Sequencer,
  sender: number,
  nonce: number,
  submit: number,
  record: number,
  at: number,
  now: number,
): void {
  const { senders, waiting, submits, partitions } = sequencer;
  const payload = submits.payloads[submit]!;
  const after = lastNotAbove(waiting, senders, sender, nonce);
  if (after >= 0 && waiting.nonce[after] === nonce) {
    const other = submits.payloads[waiting.submit[after]!]!;
    const isSame = sameBytes(other, waiting.at[after]! + TX.hash, payload, at + TX.hash, 32);
    return settle(sequencer, submit, record, isSame ? SUBMIT.alreadyKnown : SUBMIT.replacement, 0);
  }
  if (!isWithinRate(sequencer, sender, now)) return refuseRate(sequencer, submit, record);
  const { turn } = sequencer;
  const isItsTurn = turn.payload === payload && turn.at === at && turn.submit === submit; // `take` has looked at it just now.
  const slot = partitionInTheWay(sequencer, isItsTurn ? turn : turnOf(sequencer, sender, submit, record, at), now);
  if (slot >= 0) {
    const code = isSilent(partitions, slot, now, sequencer.limits.silentMs) ? SUBMIT.partitionSilent : SUBMIT.partitionFull;
    return settle(sequencer, submit, record, code, partitions.ids[slot]!);
  }
  const reason = reasonToWait(sequencer, sender, nonce, submit);
  if (reason.code !== SUBMIT.accepted) return settle(sequencer, submit, record, reason.code, reason.detail);
  addWaiting(waiting, senders, after, { submit, record, at, sender, nonce }, reason.wait, now + reason.ms);
  chargeSender(sequencer, sender, now);
  if (reason.wait === WAIT.ready) countReady(sequencer, sender, now);
}

/** Slot of a partition because of which waiting makes no sense; -1 if there is none. */
function partitionInTheWay(sequencer: Sequencer, turn: Turn, now: number): number {
  const { partitions, limits } = sequencer;
  const { home, owner, participants, codeOwners } = turn;
  const isAway = (slot: number) => isSilent(partitions, slot, now, limits.silentMs) || isFull(partitions, slot);
  if (home >= 0) return isAway(home) ? home : isAway(owner) ? owner : -1;
  return [...participants, ...codeOwners, owner].find(isAway) ?? -1;
}

interface Reason {
  code: number;
  detail: number;
  wait: number;
  ms: number;
}
const mayWait = (wait: number, ms: number): Reason => ({ code: SUBMIT.accepted, detail: 0, wait, ms });
const mustGo = (code: number, detail: number): Reason => ({ code, detail, wait: 0, ms: 0 });

/** What a record would wait for, or why it may not wait. */
function reasonToWait(sequencer: Sequencer, sender: number, nonce: number, submit: number): Reason {
  const { senders, waiting, limits } = sequencer;
  if (waiting.count >= limits.queueRecordsMax) return mustGo(SUBMIT.busy, 0);
  const ready = senders.ready[sender]!;
  if (senders.state[sender] === SENDER.asking) {
    if (senders.waiting[sender]! >= limits.readyPerSenderMax) return mustGo(SUBMIT.senderLimit, limits.readyPerSenderMax);
    return mayWait(WAIT.ask, limits.askMs);
  }
  const turn = senders.next[sender]! + ready;
  if (nonce === turn) {
    if (ready >= limits.readyPerSenderMax) return mustGo(SUBMIT.senderLimit, limits.readyPerSenderMax);
    return mayWait(WAIT.ready, limits.readyMs);
  }
  if (nonce - turn > limits.gapMax || sequencer.submits.refusesGaps[submit]) {
    return mustGo(SUBMIT.nonceTooHigh, senders.next[sender]!);
  }
  if (waiting.counts[WAIT.gap]! >= limits.queueRecordsMax / 2) return mustGo(SUBMIT.busy, 0);
  return mayWait(WAIT.gap, limits.gapMs);
}
