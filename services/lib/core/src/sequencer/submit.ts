/**
 * What comes from gateways: each record is sequenced, waits, or is refused. Neighbours of one sender with consecutive nonces are
 * a run and dealt with together; what becomes of them is what would become of each by itself.
 */
import { sameBytes } from "../bytes.ts";
import { SUBMIT } from "../messages.ts";
import { TX, txBytes, txGasLimit, txNonce } from "../transactions.ts";
import { askSender, sendAsks } from "./asks.ts";
import { checkRecords } from "./check-records.ts";
import { isFull, isOutFull, isSilent } from "./partition-table.ts";
import { countReady, isClosed, PLACED, placeRun, pump, settleOld } from "./place.ts";
import { chargeSender, withinRate } from "./sender-rate.ts";
import { addSender, findSender, SENDER } from "./sender-table.ts";
import type { Sequencer } from "./state.ts";
import { settle, settleAll } from "./state.ts";
import { openSubmit } from "./submits.ts";
import type { Turn } from "./turn.ts";
import { turnOf } from "./turn.ts";
import { addWaiting, lastNotAbove, WAIT } from "./waiting.ts";

/** Part of the queue that senders with much in it may fill. */
const HEAVY_SHARE = 0.75;

/** What is left of a run that was submitted. */
interface Run {
  readonly submit: number;
  readonly sender: number;
  record: number;
  records: number;
  at: number;
  nonce: number;
}

/**
 * Takes a submit in. Its `reply` effect comes when all records are decided: at once where all are refused, after a flush's
 * acknowledgement where one is sequenced, at the latest `askMs + gapMs + readyMs` and one append later.
 * @param records packed transaction records; kept until the reply
 * @param refusesGaps a nonce ahead of its turn is refused at once
 * @returns the number by which the reply names this submit; -1 if the records are malformed and nothing was taken
 */
export function submitRecords(sequencer: Sequencer, records: Uint8Array, refusesGaps: boolean, now: number): number {
  const { submits, limits, runs } = sequencer;
  const count = checkRecords(records, limits.recordBytesMax, sequencer.blocks.open.gasLimit, runs);
  if (count < 0) return -1;
  const isBusy = submits.open >= limits.submitsMax || submits.bytes + records.length > limits.queueBytesMax;
  const submit = openSubmit(submits, records, count, refusesGaps);
  if (isBusy) settleAll(sequencer, submit, 0, count, SUBMIT.busy, 0);
  else if (now < sequencer.fullUntil || isOutFull(sequencer.partitions, now, limits.silentMs)) {
    settleAll(sequencer, submit, 0, count, SUBMIT.logFull, 0);
  } else {
    for (let run = 0, at = 0, record = 0; run < runs.count; run++) {
      const length = runs.records[run]!;
      takeRun(sequencer, submit, record, length, at, now);
      record += length;
      for (let skip = length; skip > 0; skip--) at += txBytes(records, at);
    }
  }
  pump(sequencer, now);
  sendAsks(sequencer, now);
  return submit;
}

function takeRun(sequencer: Sequencer, submit: number, record: number, records: number, at: number, now: number): void {
  const { senders } = sequencer;
  const payload = sequencer.submits.payloads[submit]!;
  const gasLimit = sequencer.blocks.open.gasLimit;
  // One that declares so much is a run of its own.
  if (txGasLimit(payload, at) > gasLimit) return settle(sequencer, submit, record, SUBMIT.gasLimit, gasLimit);
  let sender = findSender(senders, payload, at + TX.sender);
  if (sender < 0) {
    sender = addSender(senders, payload, at + TX.sender, sequencer.blockFlush);
    if (sender < 0) return settleAll(sequencer, submit, record, records, SUBMIT.busy, 0);
    askSender(sequencer, sender);
  }
  const run: Run = { submit, sender, record, records, at, nonce: txNonce(payload, at) };
  while (run.records > 0) takeSome(sequencer, run, now);
}

/** Deals with one record of a run at least. */
function takeSome(sequencer: Sequencer, run: Run, now: number): void {
  const { senders, waiting, placed } = sequencer;
  const { sender, submit, nonce } = run;
  if (senders.state[sender] === SENDER.asking) return hold(sequencer, run, now);
  const next = senders.next[sender]!;
  if (nonce < next) {
    settleOld(sequencer, sender, submit, run.record, run.at);
    return goOn(sequencer, run, 1);
  }
  if (nonce > next || senders.ready[sender]! > 0 || isClosed(sequencer, now)) return hold(sequencer, run, now);
  const first = senders.first[sender]!;
  const rate = withinRate(sequencer, sender, now);
  if (rate === 0) return refuseRate(sequencer, run);
  const untilWaiting = first < 0 ? run.records : waiting.nonce[first]! - nonce;
  const outcome = placeRun(sequencer, sender, submit, run.record, Math.min(run.records, untilWaiting, rate), run.at, now);
  chargeSender(sequencer, sender, placed.records, now);
  goOn(sequencer, run, placed.records);
  if (senders.waiting[sender]! > 0) countReady(sequencer, sender, now);
  if (outcome === PLACED.refused) goOn(sequencer, run, 1);
  else if (outcome !== PLACED.sequenced) hold(sequencer, run, now);
}

/** So many of a run's records are dealt with. */
function goOn({ submits }: Sequencer, run: Run, records: number): void {
  const payload = submits.payloads[run.submit]!;
  run.record += records;
  run.records -= records;
  run.nonce += records;
  for (let left = records; left > 0; left--) run.at += txBytes(payload, run.at);
}

const refuseRate = (sequencer: Sequencer, run: Run): void =>
  refuseAll(sequencer, run, SUBMIT.senderLimit, sequencer.limits.senderRatePerSecond);

/** Refuses what is left of a run: what stands behind the first has no turn without it. */
function refuseAll(sequencer: Sequencer, run: Run, code: number, detail: number): void {
  settleAll(sequencer, run.submit, run.record, run.records, code, detail);
  run.records = 0;
}

/** Lets records wait that cannot be sequenced now, or refuses them; one at least. */
function hold(sequencer: Sequencer, run: Run, now: number): void {
  const { senders, waiting, submits, partitions, limits } = sequencer;
  const { sender, submit, record, at, nonce } = run;
  const after = lastNotAbove(waiting, senders, sender, nonce);
  if (after >= 0 && nonce < waiting.nonce[after]! + waiting.records[after]!) return settleTwice(sequencer, run, after);
  const rate = withinRate(sequencer, sender, now);
  if (rate === 0) return refuseRate(sequencer, run);
  const { turn } = sequencer;
  const isItsTurn = turn.payload === submits.payloads[submit] && turn.at === at && turn.submit === submit; // Looked at just now.
  const slot = partitionInTheWay(sequencer, isItsTurn ? turn : turnOf(sequencer, sender, submit, record, at), now);
  if (slot >= 0) {
    const code = isSilent(partitions, slot, now, limits.silentMs) ? SUBMIT.partitionSilent : SUBMIT.partitionFull;
    return refuseAll(sequencer, run, code, partitions.ids[slot]!);
  }
  const reason = reasonToWait(sequencer, sender, nonce, submit);
  if (reason.code !== SUBMIT.accepted) return refuseAll(sequencer, run, reason.code, reason.detail);
  const behind = after < 0 ? senders.first[sender]! : waiting.next[after]!;
  const untilNext = behind < 0 ? run.records : waiting.nonce[behind]! - nonce;
  const records = Math.min(run.records, rate, reason.records, untilNext);
  addWaiting(waiting, senders, after, { submit, record, records, at, sender, nonce }, reason.wait, now + reason.ms);
  chargeSender(sequencer, sender, records, now);
  goOn(sequencer, run, records);
  if (reason.wait === WAIT.ready) countReady(sequencer, sender, now);
}

/** Decides records whose nonces are those of records that wait in this node. */
function settleTwice(sequencer: Sequencer, run: Run, node: number): void {
  const { waiting, submits } = sequencer;
  const payload = submits.payloads[run.submit]!;
  const other = submits.payloads[waiting.submit[node]!]!;
  let at = waiting.at[node]!;
  for (let skip = run.nonce - waiting.nonce[node]!; skip > 0; skip--) at += txBytes(other, at);
  const end = waiting.nonce[node]! + waiting.records[node]!;
  for (; run.records > 0 && run.nonce < end; at += txBytes(other, at)) {
    const isSame = sameBytes(other, at + TX.hash, payload, run.at + TX.hash, 32);
    settle(sequencer, run.submit, run.record, isSame ? SUBMIT.alreadyKnown : SUBMIT.replacement, 0);
    goOn(sequencer, run, 1);
  }
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
  /** How many may wait for it. */
  records: number;
}
const mayWait = (wait: number, ms: number, records: number): Reason => ({ code: SUBMIT.accepted, detail: 0, wait, ms, records });
const mustGo = (code: number, detail: number): Reason => ({ code, detail, wait: 0, ms: 0, records: 0 });

/** What a record would wait for, and how many with the nonces behind it; or why it may not wait. */
function reasonToWait(sequencer: Sequencer, sender: number, nonce: number, submit: number): Reason {
  const { senders, waiting, limits } = sequencer;
  // Who has little waiting finds room also while those who send much would take all of it.
  const isFew = senders.waiting[sender]! < limits.queueFairMax;
  const room = (isFew ? limits.queueRecordsMax : limits.queueRecordsMax * HEAVY_SHARE) - waiting.count;
  if (room < 1) return mustGo(SUBMIT.busy, 0);
  const fair = isFew ? Math.min(room, limits.queueFairMax) : Math.floor(room);
  const ready = senders.ready[sender]!;
  const isAsking = senders.state[sender] === SENDER.asking;
  const turn = senders.next[sender]! + ready;
  if (isAsking || nonce === turn) {
    const own = limits.readyPerSenderMax - (isAsking ? senders.waiting[sender]! : ready);
    if (own <= 0) return mustGo(SUBMIT.senderLimit, limits.readyPerSenderMax);
    const records = Math.min(fair, own);
    return isAsking ? mayWait(WAIT.ask, limits.askMs, records) : mayWait(WAIT.ready, limits.readyMs, records);
  }
  const near = limits.gapMax - (nonce - turn) + 1;
  if (near <= 0 || sequencer.submits.refusesGaps[submit]) return mustGo(SUBMIT.nonceTooHigh, senders.next[sender]!);
  const gapRoom = limits.queueRecordsMax / 2 - waiting.counts[WAIT.gap]!;
  if (gapRoom <= 0) return mustGo(SUBMIT.busy, 0);
  return mayWait(WAIT.gap, limits.gapMs, Math.min(fair, near, Math.ceil(gapRoom)));
}
