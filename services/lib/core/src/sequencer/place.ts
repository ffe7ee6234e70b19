/** Sequencing: what comes into the flush being filled, and what happens to a record that cannot come in yet. */
import { assert } from "../assert.ts";
import { hexOf, sameBytes } from "../bytes.ts";
import { SUBMIT } from "../messages.ts";
import { DECLARED_BYTES, MODE, NONCE_BYTES, TX, txBytes, txGasLimit } from "../transactions.ts";
import { addCandidate } from "./candidates.ts";
import { demandedHome, fillingFlush, isResolved, noteLocalFlight } from "./flights.ts";
import { addLocal, countTransaction, lengthenRow, rememberSender, rowsOf } from "./flush-buffer.ts";
import { isHeldUp } from "./moves.ts";
import type { SenderList } from "./partition-table.ts";
import { isFull, isSilent, lagBytes } from "./partition-table.ts";
import { queueLast, queueList } from "./ready.ts";
import { hasLearned } from "./predict.ts";
import { addHash, hasHash, isNextHash } from "./recent-hashes.ts";
import { isAlike } from "./shape.ts";
import type { Sequencer } from "./state.ts";
import { settle } from "./state.ts";
import type { Turn } from "./turn.ts";
import { declaredSetOf, turnOf } from "./turn.ts";
import { removeFirst, WAIT, waitFor } from "./waiting.ts";

/**
 * What became of a record whose turn it is. A number from 0 on: it waits for the partition of that slot to catch up.
 * `behindGroup`: for an account of the group in `Sequencer.inTheWay`. `unresolved`: for the sender's own transactions.
 */
export const PLACED = { sequenced: -1, refused: -2, noRoom: -3, behindGroup: -4, nextFlush: -5, unresolved: -6 } as const;

/** A sender with many records ready gives way to the next one after so many. */
const TURN_RECORDS_MAX = 64;
const WHOLE_KEYS = ["whole"];
const NOBODY: Readonly<SenderList> = { first: -1, last: -1 };

/** True while nothing new can be sequenced. */
export function isClosed(sequencer: Sequencer, now: number): boolean {
  const { filling, blocks, limits, flight, retries } = sequencer;
  if (filling.full || filling.candidates.whole || blocks.isFull || blocks.closesFirst || isHeldUp(sequencer)) return true;
  if (now >= blocks.dueAt || now < sequencer.fullUntil || retries.count >= limits.retriesMax) return true;
  const closing = flight !== null && flight.step.opens !== null ? 1 : 0;
  return blocks.unsealed.length + closing >= limits.unsealedMax;
}

/**
 * Sequences neighbours of a submit from `record` on, the first of which stands at its sender's next nonce, as far as they can be;
 * decides the one behind them if it is refused. The caller has asked `isClosed`. `Sequencer.placed` says how many came in.
 * @returns what became of the one behind them; `sequenced` if all came in
 */
export function placeRun(
  sequencer: Sequencer,
  sender: number,
  submit: number,
  record: number,
  records: number,
  at: number,
  now: number,
): number {
  const { placed } = sequencer;
  placed.records = 0;
  placed.bytes = 0;
  while (placed.records < records) {
    if (placed.records > 0 && isClosed(sequencer, now)) return PLACED.noRoom;
    const turn = turnOf(sequencer, sender, submit, record + placed.records, at + placed.bytes);
    const outcome = placeTurn(sequencer, turn, now);
    if (outcome !== PLACED.sequenced) return outcome;
    placed.records++;
    placed.bytes += txBytes(turn.payload, turn.at);
    if (turn.home >= 0 && turn.set === null && placed.records < records) placeAlike(sequencer, turn, records);
  }
  return PLACED.sequenced;
}

/**
 * Goes on behind a local transaction that was sequenced just now, as far as its neighbours are like it: they go where it went, so
 * that nothing is asked of them but whether there is room.
 */
function placeAlike(sequencer: Sequencer, { submit, payload, at: first, sender }: Turn, records: number): void {
  const { filling, limits, blocks, senders, recent, placed, predictor } = sequencer;
  const view = sequencer.submits.views[submit]!;
  if (hasLearned(predictor, payload, first)) return;
  const rowsMax = Math.min(records - placed.records, limits.flushTransactionsMax - rowsOf(filling));
  const bytesMax = limits.flushBytesMax - filling.bytes;
  const gasMax = Math.min(limits.flushGasMax - filling.gas, blocks.open.gasLimit - blocks.gas - filling.blockGas);
  let [count, bytes, gas, previous] = [0, 0, 0, first];
  let at = first + view.getUint32(first, true);
  let [hashesFrom, hashes] = [first + TX.hash, 0];
  while (count < rowsMax && isAlike(view, first, at)) {
    const length = view.getUint32(at, true);
    const more = txGasLimit(payload, at);
    if (bytes + length > bytesMax || gas + more > gasMax) break;
    count++;
    bytes += length;
    gas += more;
    if (hashes > 0 && !isNextHash(payload, previous + TX.hash, at + TX.hash)) {
      filling.hashes += addHash(recent, payload, hashesFrom, hashes, filling.hashes > 0);
      hashes = 0;
    }
    if (hashes++ === 0) hashesFrom = at + TX.hash;
    previous = at;
    at += length;
  }
  if (count === 0) return;
  filling.hashes += addHash(recent, payload, hashesFrom, hashes, filling.hashes > 0);
  lengthenRow(filling, count, bytes, gas);
  senders.next[sender]! += count;
  setLastHash(senders, sender, payload, previous);
  placed.records += count;
  placed.bytes += bytes;
}

function setLastHash(senders: Sequencer["senders"], sender: number, payload: Uint8Array, at: number): void {
  for (let index = 0; index < 32; index++) senders.lastHash[sender * 32 + index] = payload[at + TX.hash + index]!;
}

/** Sequences any transaction whose turn it is, if it can be. One that is sequenced again is never refused. */
export function placeTurn(sequencer: Sequencer, turn: Turn, now: number): number {
  const { senders, filling } = sequencer;
  const { sender, retry } = turn;
  if (retry === null && senders.careful[sender] === 1) {
    if (sequencer.retries.bySender.has(sender)) return PLACED.unresolved;
    senders.careful[sender] = 0;
  }
  const isMember = turn.home < 0 || filling.candidates.whole;
  const closed = isMember ? memberAway(sequencer, turn, now) : localAway(sequencer, turn, now);
  if (closed !== PLACED.sequenced) return closed;
  const flush = fillingFlush(sequencer);
  const home = demandedHome(sequencer, sender);
  if (!isMember) {
    if (home >= 0 && home !== turn.home) return PLACED.unresolved;
    if (senders.memberFlush[sender] === flush) return PLACED.nextFlush; // Locals stand before groups in a flush.
  } else if (home >= 0 && !filling.candidates.whole && !turn.participants.includes(home)) return PLACED.unresolved;
  if (!hasRoom(sequencer, turn)) return PLACED.noRoom;
  if (isMember) {
    const joined = join(sequencer, turn, home);
    if (joined !== PLACED.sequenced) return joined;
  }
  if (senders.lastFlush[sender] !== flush) rememberSender(filling, senders, sender);
  countTransaction(filling, turn, now);
  if (isMember) senders.memberFlush[sender] = flush;
  else {
    addLocal(filling, turn);
    noteLocalFlight(sequencer, sender, turn.home);
  }
  senders.lastFlush[sender] = flush;
  if (retry !== null) return PLACED.sequenced;
  const { payload, at } = turn;
  senders.next[sender]!++;
  setLastHash(senders, sender, payload, at);
  filling.hashes += addHash(sequencer.recent, payload, at + TX.hash, 1, filling.hashes > 0);
  return PLACED.sequenced;
}

/** Whether a local transaction's partitions can take it; `sequenced` if they can. */
function localAway(sequencer: Sequencer, turn: Turn, now: number): number {
  const { home, owner } = turn;
  const other = owner < 0 ? home : owner;
  const { partitions, limits } = sequencer;
  if (isSilent(partitions, home, now, limits.silentMs)) return refuse(sequencer, turn, SUBMIT.partitionSilent, home);
  if (isSilent(partitions, other, now, limits.silentMs)) return refuse(sequencer, turn, SUBMIT.partitionSilent, other);
  if (isFull(partitions, home)) return refuse(sequencer, turn, SUBMIT.partitionFull, home);
  if (isFull(partitions, other)) return refuse(sequencer, turn, SUBMIT.partitionFull, other);
  if (lagBytes(partitions, home) > limits.lagBytesMax) return home;
  if (other !== home && lagBytes(partitions, other) > limits.lagBytesMax) return other;
  return PLACED.sequenced;
}

/** The same for a group's member. */
function memberAway(sequencer: Sequencer, turn: Turn, now: number): number {
  const { partitions, limits } = sequencer;
  const all = sequencer.filling.candidates.whole ? partitions.ids.map((_, slot) => slot) : turn.participants;
  const writers = turn.owner < 0 ? all : [...all, turn.owner];
  for (const slot of turn.codeOwners.length === 0 ? writers : [...writers, ...turn.codeOwners]) {
    if (isSilent(partitions, slot, now, limits.silentMs)) return refuse(sequencer, turn, SUBMIT.partitionSilent, slot);
  }
  for (const slot of writers) {
    if (isFull(partitions, slot)) {
      const refused = refuse(sequencer, turn, SUBMIT.partitionFull, slot);
      if (refused === PLACED.refused) return refused;
    }
    if (lagBytes(partitions, slot) > limits.lagBytesMax) return slot;
  }
  return PLACED.sequenced;
}

/** What is accepted is not refused: it waits for a silent partition, and a full one takes it. */
function refuse(sequencer: Sequencer, { retry, submit, record }: Turn, code: number, slot: number): number {
  if (retry !== null) return code === SUBMIT.partitionFull ? PLACED.sequenced : PLACED.nextFlush;
  settle(sequencer, submit, record, code, sequencer.partitions.ids[slot]!);
  return PLACED.refused;
}

function hasRoom(sequencer: Sequencer, { bytes, accountsBytes, gas, retry }: Turn): boolean {
  const { filling, limits, blocks } = sequencer;
  const rows = rowsOf(filling);
  const more = bytes + accountsBytes + NONCE_BYTES;
  const isOver = rows >= limits.flushTransactionsMax || filling.bytes + more > limits.flushBytesMax;
  if (isOver || (rows > 0 && filling.gas + gas > limits.flushGasMax)) {
    filling.full = true;
    return false;
  }
  // The block has counted one that is sequenced again.
  if (retry === null && blocks.gas + filling.blockGas + gas > blocks.open.gasLimit) {
    blocks.isFull = true;
    return false;
  }
  return true;
}

/** Makes it a member of the group that its accounts lead to, if that can be. */
function join(sequencer: Sequencer, turn: Turn, home: number): number {
  const { filling, groups, limits } = sequencer;
  const set = turn.set ?? declaredSetOf(turn.payload, turn.at).slice();
  if (filling.candidates.whole) {
    return addCandidate(filling.candidates, turn, set, WHOLE_KEYS, -1, limits) ? PLACED.sequenced : PLACED.nextFlush;
  }
  if (groups.whole !== null || groups.open + filling.candidates.groups >= limits.groupsMax) return PLACED.nextFlush;
  const keys = [`s${turn.sender}`];
  for (let at = 0; at < set.length; at += DECLARED_BYTES) {
    if (set[at] === MODE.code) continue;
    const key = hexOf(set, at + 1, at + DECLARED_BYTES);
    const group = groups.standing.get(key);
    if (group !== undefined) {
      sequencer.inTheWay = group;
      return PLACED.behindGroup;
    }
    keys.push(key);
  }
  return addCandidate(filling.candidates, turn, set, keys, home, limits) ? PLACED.sequenced : PLACED.nextFlush;
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
  let node = behindReady(sequencer, sender);
  while (node >= 0 && waiting.nonce[node] === senders.next[sender]! + ready) {
    waitFor(waiting, node, WAIT.ready, now + limits.readyMs);
    ready += waiting.records[node]!;
    node = waiting.next[node]!;
  }
  senders.ready[sender] = ready;
  if (ready > 0 && senders.queued[sender] === 0) queueLast(sequencer, sender);
}

/** A sender's first node that is not ready; -1 if there is none. */
export function behindReady({ senders, waiting }: Sequencer, sender: number): number {
  let node = senders.first[sender]!;
  for (let skip = senders.ready[sender]!; skip > 0; node = waiting.next[node]!) skip -= waiting.records[node]!;
  return node;
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
    if (outcome !== PLACED.sequenced && outcome !== PLACED.refused) park(sequencer, sender, outcome);
    else if (senders.ready[sender]! > 0) queueLast(sequencer, sender);
  }
}

/** One sender's turn. */
function pumpSender(sequencer: Sequencer, sender: number, now: number): number {
  const { senders, waiting, placed } = sequencer;
  for (let left = TURN_RECORDS_MAX; left > 0 && senders.ready[sender]! > 0; left -= placed.records) {
    if (isClosed(sequencer, now)) return PLACED.noRoom;
    const node = senders.first[sender]!;
    const [submit, at, records] = [waiting.submit[node]!, waiting.at[node]!, Math.min(waiting.records[node]!, left)];
    const outcome = placeRun(sequencer, sender, submit, waiting.record[node]!, records, at, now);
    if (placed.records > 0) removeFirst(waiting, senders, node, placed.records, placed.bytes);
    senders.ready[sender]! -= placed.records;
    if (outcome === PLACED.refused) {
      refuseFirst(sequencer, sender);
      return PLACED.refused;
    }
    if (outcome !== PLACED.sequenced) return outcome;
  }
  return PLACED.sequenced;
}

/** The first that waits was refused at its turn: the others stand before a gap. */
function refuseFirst({ senders, waiting, submits }: Sequencer, sender: number): void {
  const node = senders.first[sender]!;
  removeFirst(waiting, senders, node, 1, txBytes(submits.payloads[waiting.submit[node]!]!, waiting.at[node]!));
  senders.ready[sender] = 0;
}

/** The sender waits for what stands in its way; others go on. */
function park(sequencer: Sequencer, sender: number, outcome: number): void {
  const { senders, partitions, later } = sequencer;
  senders.queued[sender] = 1;
  if (outcome >= 0) {
    const lane = partitions.lanes[outcome]!;
    [lane.parkedFirst, lane.parkedLast] = append(sequencer, lane.parkedFirst, lane.parkedLast, sender);
  } else if (outcome === PLACED.nextFlush) {
    [later.first, later.last] = append(sequencer, later.first, later.last, sender);
  } else if (outcome === PLACED.behindGroup) {
    const group = sequencer.inTheWay;
    assert(group !== null, "a sender waits for no group");
    [group.parkedFirst, group.parkedLast] = append(sequencer, group.parkedFirst, group.parkedLast, sender);
  } else if (senders.flightGroups[sender]! > 0 || sequencer.retries.bySender.has(sender) || isResolved(sequencer, sender)) {
    senders.parked[sender] = 1; // Until its groups have ended and its misses are sequenced again.
  } else {
    const { settling } = partitions.lanes[senders.flightHome[sender]!]!;
    const n = senders.flightN[sender]!;
    const { first, last } = settling.get(n) ?? NOBODY;
    const [head, tail] = append(sequencer, first, last, sender);
    settling.set(n, { first: head, last: tail });
  }
}

function append({ senders }: Sequencer, first: number, last: number, sender: number): [first: number, last: number] {
  senders.link[sender] = -1;
  if (last < 0) return [sender, sender];
  senders.link[last] = sender;
  return [first, sender];
}

/** Senders who waited for a partition that caught up, or that is silent now, have their turn again. */
export function unpark(sequencer: Sequencer, now: number): void {
  const { partitions, limits } = sequencer;
  for (let slot = 0; slot < partitions.lanes.length; slot++) {
    const lane = partitions.lanes[slot]!;
    if (lane.parkedFirst < 0) continue;
    if (lagBytes(partitions, slot) > limits.lagBytesMax && !isSilent(partitions, slot, now, limits.silentMs)) continue;
    queueList(sequencer, lane.parkedFirst, lane.parkedLast);
    lane.parkedFirst = -1;
    lane.parkedLast = -1;
  }
}

/** Senders whose local transactions on this partition are resolved now have their turn; `all`: whatever they wait for. */
export function unparkSettled(sequencer: Sequencer, slot: number, all: boolean): void {
  const { settled, settling } = sequencer.partitions.lanes[slot]!;
  for (const [n, { first, last }] of settling) {
    if (!all && n > settled) continue;
    settling.delete(n);
    queueList(sequencer, first, last);
  }
}

/** Senders who wait for the next flush. */
export function unparkLater(sequencer: Sequencer): void {
  const { later } = sequencer;
  queueList(sequencer, later.first, later.last);
  later.first = -1;
  later.last = -1;
}
