/** Sequencing: which record gets the next index, and what happens to one that cannot have it yet. */
import { sameBytes } from "../bytes.ts";
import { SUBMIT } from "../messages.ts";
import { TX, txBytes, txGasLimit, NONCE_BYTES } from "../transactions.ts";
import { addTransaction, rememberSender } from "./flush-buffer.ts";
import { isFull, isSilent, lagBytes } from "./partition-table.ts";
import { addHash, hasHash } from "./recent-hashes.ts";
import type { Sequencer } from "./state.ts";
import { homeOfRecord, ownerOfSender, settle } from "./state.ts";
import { removeWaiting, WAIT, waitFor } from "./waiting.ts";

/** What became of a record whose turn it is. A number from 0 on: it waits for the partition of that slot to catch up. */
export const PLACED = { sequenced: -1, refused: -2, noRoom: -3 } as const;

/** A sender with many records ready gives way to the next one after so many. */
const TURN_RECORDS_MAX = 64;

/** True while nothing at all can be sequenced. */
export function isClosed(sequencer: Sequencer, now: number): boolean {
  const { filling, blocks, limits, flight } = sequencer;
  if (filling.closes || filling.full || blocks.closesFirst || now < sequencer.fullUntil) return true;
  const closing = flight !== null && flight.step.opens !== null ? 1 : 0;
  return blocks.unsealed.length + closing >= limits.unsealedMax;
}

/**
 * Gives the next index to a record that stands at its sender's next nonce, if it can have it; decides the record if it is
 * refused. The caller has asked `isClosed`.
 */
export function place(sequencer: Sequencer, sender: number, submit: number, record: number, at: number, now: number): number {
  const { partitions, limits, filling, senders, blocks } = sequencer;
  const payload = sequencer.submits.payloads[submit]!;
  const home = homeOfRecord(sequencer, payload, at);
  const owner = ownerOfSender(sequencer, sender);
  const isHomeSilent = isSilent(partitions, home, now, limits.silentMs);
  if (isHomeSilent || isSilent(partitions, owner, now, limits.silentMs)) {
    settle(sequencer, submit, record, SUBMIT.partitionSilent, partitions.ids[isHomeSilent ? home : owner]!);
    return PLACED.refused;
  }
  const isHomeFull = isFull(partitions, home);
  if (isHomeFull || isFull(partitions, owner)) {
    settle(sequencer, submit, record, SUBMIT.partitionFull, partitions.ids[isHomeFull ? home : owner]!);
    return PLACED.refused;
  }
  if (lagBytes(partitions, home) > limits.lagBytesMax) return home;
  if (owner !== home && lagBytes(partitions, owner) > limits.lagBytesMax) return owner;
  const bytes = txBytes(payload, at);
  if (filling.count >= limits.flushTransactionsMax || filling.bytes + bytes + NONCE_BYTES > limits.flushBytesMax) {
    filling.full = true;
    return PLACED.noRoom;
  }
  const gas = txGasLimit(payload, at);
  if (filling.count > 0 && filling.gas + gas > limits.flushGasMax) {
    filling.full = true;
    return PLACED.noRoom;
  }
  if (blocks.gas + filling.gas + gas > blocks.open.gasLimit) {
    filling.closes = true;
    return PLACED.noRoom;
  }
  if (filling.count === 0) filling.firstAt = now;
  const flush = sequencer.flushAcknowledged + (sequencer.flight === null ? 1 : 2);
  if (senders.lastFlush[sender] !== flush) rememberSender(filling, senders, sender);
  addTransaction(filling, submit, record, at, home, owner, bytes, gas);
  senders.lastFlush[sender] = flush;
  senders.next[sender]!++;
  for (let index = 0; index < 32; index++) senders.lastHash[sender * 32 + index] = payload[at + TX.hash + index]!;
  addHash(sequencer.recent, payload, at + TX.hash);
  return PLACED.sequenced;
}

/**
 * A nonce that was used: known if the same transaction used it, whose client then missed the acknowledgement. What may stand in a
 * flush that is not acknowledged yet is answered with that flush.
 */
export function settleOld(sequencer: Sequencer, sender: number, submit: number, record: number, at: number): void {
  const { senders, submits, filling } = sequencer;
  const payload = submits.payloads[submit]!;
  const isLast = sameBytes(senders.lastHash, sender * 32, payload, at + TX.hash, 32);
  if (!isLast && !hasHash(sequencer.recent, payload, at + TX.hash)) {
    return settle(sequencer, submit, record, SUBMIT.nonceTooLow, senders.next[sender]!);
  }
  if (senders.lastFlush[sender]! <= sequencer.flushAcknowledged) return settle(sequencer, submit, record, SUBMIT.known, 0);
  filling.repeats.push(submit, record);
}

/** Counts how many of a sender's waiting records follow its next nonce without a gap; they wait for room only. */
export function countReady(sequencer: Sequencer, sender: number, now: number): void {
  const { senders, waiting, limits } = sequencer;
  let ready = senders.ready[sender]!;
  let node = senders.first[sender]!;
  for (let skip = ready; skip > 0; skip--) node = waiting.next[node]!;
  while (node >= 0 && waiting.nonce[node] === senders.next[sender]! + ready) {
    waitFor(waiting, node, WAIT.ready, now + limits.readyMs);
    ready++;
    node = waiting.next[node]!;
  }
  senders.ready[sender] = ready;
  if (ready > 0 && senders.queued[sender] === 0) queueLast(sequencer, sender);
}

/** Sequences what waits for room, sender by sender, until there is no room. */
export function pump(sequencer: Sequencer, now: number): void {
  while (sequencer.readyFirst >= 0 && !isClosed(sequencer, now)) {
    const { senders } = sequencer;
    const sender = sequencer.readyFirst;
    const outcome = pumpSender(sequencer, sender, now);
    if (outcome === PLACED.noRoom) return; // It keeps its place.
    sequencer.readyFirst = senders.link[sender]!;
    if (sequencer.readyFirst < 0) sequencer.readyLast = -1;
    senders.queued[sender] = 0;
    if (outcome >= 0) park(sequencer, sender, outcome);
    else if (senders.ready[sender]! > 0) queueLast(sequencer, sender);
  }
}

/** One sender's turn. */
function pumpSender(sequencer: Sequencer, sender: number, now: number): number {
  const { senders, waiting } = sequencer;
  for (let turn = 0; turn < TURN_RECORDS_MAX && senders.ready[sender]! > 0; turn++) {
    if (isClosed(sequencer, now)) return PLACED.noRoom;
    const node = senders.first[sender]!;
    const outcome = place(sequencer, sender, waiting.submit[node]!, waiting.record[node]!, waiting.at[node]!, now);
    if (outcome >= 0 || outcome === PLACED.noRoom) return outcome;
    removeWaiting(waiting, senders, node);
    // Behind a refused one the others stand before a gap.
    senders.ready[sender] = outcome === PLACED.refused ? 0 : senders.ready[sender]! - 1;
  }
  return PLACED.sequenced;
}

function queueLast(sequencer: Sequencer, sender: number): void {
  const { senders } = sequencer;
  senders.queued[sender] = 1;
  senders.link[sender] = -1;
  if (sequencer.readyLast < 0) sequencer.readyFirst = sender;
  else senders.link[sequencer.readyLast] = sender;
  sequencer.readyLast = sender;
}

/** The sender waits for one partition; others go on. */
function park(sequencer: Sequencer, sender: number, slot: number): void {
  const { senders } = sequencer;
  const lane = sequencer.partitions.lanes[slot]!;
  senders.queued[sender] = 1;
  senders.link[sender] = -1;
  if (lane.parkedLast < 0) lane.parkedFirst = sender;
  else senders.link[lane.parkedLast] = sender;
  lane.parkedLast = sender;
}

/** Senders who waited for a partition that caught up, or that is silent now, have their turn again. */
export function unpark(sequencer: Sequencer, now: number): void {
  const { partitions, limits, senders } = sequencer;
  for (let slot = 0; slot < partitions.lanes.length; slot++) {
    const lane = partitions.lanes[slot]!;
    if (lane.parkedFirst < 0) continue;
    if (lagBytes(partitions, slot) > limits.lagBytesMax && !isSilent(partitions, slot, now, limits.silentMs)) continue;
    if (sequencer.readyLast < 0) sequencer.readyFirst = lane.parkedFirst;
    else senders.link[sequencer.readyLast] = lane.parkedFirst;
    sequencer.readyLast = lane.parkedLast;
    lane.parkedFirst = -1;
    lane.parkedLast = -1;
  }
}
