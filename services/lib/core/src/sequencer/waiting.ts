/**
 * Records that wait: for their sender's nonce, for the gap before them to close, or for room. Nodes in packed arrays, one for
 * each run of neighbours in a submit that have one sender and consecutive nonces; a node stands in its sender's list, ordered by
 * nonce, and in one of three lists by time, ordered by deadline. No two nodes of a sender have a nonce in common.
 */
import type { SenderTable } from "./sender-table.ts";

/** Why a record waits. Each reason has one length of wait, so that a list in order of arrival is in order of deadlines. */
export const WAIT = { ask: 0, gap: 1, ready: 2 } as const;
const REASONS = 3;
const FIRST_CAPACITY = 1_024;

export interface Waiting {
  capacity: number;
  used: number;
  firstFree: number; // through `next`
  count: number; //       records
  counts: Int32Array; //  records by reason
  heads: Int32Array; //  by reason: the earliest deadline
  tails: Int32Array;
  submit: Int32Array; // slot of its submit
  record: Int32Array; // which record of the submit is the first
  records: Int32Array; // how many
  at: Int32Array; //     where the first starts in the submit's payload
  sender: Int32Array;
  nonce: Float64Array; // of the first
  deadline: Float64Array; // ms
  reason: Uint8Array;
  previous: Int32Array; // of the same sender, lower nonce
  next: Int32Array; //     of the same sender, higher nonce
  earlier: Int32Array; //  of the same reason
  later: Int32Array;
}

export function openWaiting(): Waiting {
  const capacity = FIRST_CAPACITY;
  return {
    capacity,
    used: 0,
    firstFree: -1,
    count: 0,
    counts: new Int32Array(REASONS),
    heads: new Int32Array(REASONS).fill(-1),
    tails: new Int32Array(REASONS).fill(-1),
    submit: new Int32Array(capacity),
    record: new Int32Array(capacity),
    records: new Int32Array(capacity),
    at: new Int32Array(capacity),
    sender: new Int32Array(capacity),
    nonce: new Float64Array(capacity),
    deadline: new Float64Array(capacity),
    reason: new Uint8Array(capacity),
    previous: new Int32Array(capacity),
    next: new Int32Array(capacity),
    earlier: new Int32Array(capacity),
    later: new Int32Array(capacity),
  };
}

/** A sender's node with the highest first nonce not above `nonce`; -1 if all are above. From the end: most come in order. */
export function lastNotAbove(waiting: Waiting, senders: SenderTable, sender: number, nonce: number): number {
  let node = senders.last[sender]!;
  while (node >= 0 && waiting.nonce[node]! > nonce) node = waiting.previous[node]!;
  return node;
}

/** Puts a run into its sender's list behind `after` (-1: first) and into the list of its reason; returns the node. */
export function addWaiting(
  waiting: Waiting,
  senders: SenderTable,
  after: number,
  place: { submit: number; record: number; records: number; at: number; sender: number; nonce: number },
  reason: number,
  deadline: number,
): number {
  const node = takeNode(waiting);
  const { sender } = place;
  waiting.submit[node] = place.submit;
  waiting.record[node] = place.record;
  waiting.records[node] = place.records;
  waiting.at[node] = place.at;
  waiting.sender[node] = sender;
  waiting.nonce[node] = place.nonce;
  const before = after < 0 ? senders.first[sender]! : waiting.next[after]!;
  waiting.previous[node] = after;
  waiting.next[node] = before;
  if (after < 0) senders.first[sender] = node;
  else waiting.next[after] = node;
  if (before < 0) senders.last[sender] = node;
  else waiting.previous[before] = node;
  senders.waiting[sender]! += place.records;
  waiting.count += place.records;
  enlist(waiting, node, reason, deadline);
  return node;
}

/** Takes a whole run out; the node is used again. */
export function removeWaiting(waiting: Waiting, senders: SenderTable, node: number): void {
  const sender = waiting.sender[node]!;
  const previous = waiting.previous[node]!;
  const next = waiting.next[node]!;
  if (previous < 0) senders.first[sender] = next;
  else waiting.next[previous] = next;
  if (next < 0) senders.last[sender] = previous;
  else waiting.previous[next] = previous;
  senders.waiting[sender]! -= waiting.records[node]!;
  waiting.count -= waiting.records[node]!;
  delist(waiting, node);
  waiting.next[node] = waiting.firstFree;
  waiting.firstFree = node;
}

/** Takes the first `records` out, `bytes` of the payload; with the last one the node goes. */
export function removeFirst(waiting: Waiting, senders: SenderTable, node: number, records: number, bytes: number): void {
  if (records === waiting.records[node]) return removeWaiting(waiting, senders, node);
  shrink(waiting, senders, node, records);
  waiting.record[node]! += records;
  waiting.at[node]! += bytes;
  waiting.nonce[node]! += records;
}

/** Takes the last `records` out, fewer than there are. */
export const removeLast = (waiting: Waiting, senders: SenderTable, node: number, records: number): void =>
  shrink(waiting, senders, node, records);

function shrink(waiting: Waiting, senders: SenderTable, node: number, records: number): void {
  waiting.records[node]! -= records;
  waiting.counts[waiting.reason[node]!]! -= records;
  waiting.count -= records;
  senders.waiting[waiting.sender[node]!]! -= records;
}

/** The run waits for another reason from here on. */
export function waitFor(waiting: Waiting, node: number, reason: number, deadline: number): void {
  delist(waiting, node);
  enlist(waiting, node, reason, deadline);
}

/** The earliest deadline of all; Infinity if nothing waits. */
export function earliestDeadline(waiting: Waiting): number {
  let earliest = Number.POSITIVE_INFINITY;
  for (let reason = 0; reason < REASONS; reason++) {
    const head = waiting.heads[reason]!;
    if (head >= 0) earliest = Math.min(earliest, waiting.deadline[head]!);
  }
  return earliest;
}

/** A node whose deadline is over; -1 if there is none. */
export function overdue(waiting: Waiting, now: number): number {
  for (let reason = 0; reason < REASONS; reason++) {
    const head = waiting.heads[reason]!;
    if (head >= 0 && waiting.deadline[head]! <= now) return head;
  }
  return -1;
}

function enlist(waiting: Waiting, node: number, reason: number, deadline: number): void {
  const tail = waiting.tails[reason]!;
  waiting.reason[node] = reason;
  waiting.deadline[node] = deadline;
  waiting.earlier[node] = tail;
  waiting.later[node] = -1;
  if (tail < 0) waiting.heads[reason] = node;
  else waiting.later[tail] = node;
  waiting.tails[reason] = node;
  waiting.counts[reason]! += waiting.records[node]!;
}

function delist(waiting: Waiting, node: number): void {
  const reason = waiting.reason[node]!;
  const earlier = waiting.earlier[node]!;
  const later = waiting.later[node]!;
  if (earlier < 0) waiting.heads[reason] = later;
  else waiting.later[earlier] = later;
  if (later < 0) waiting.tails[reason] = earlier;
  else waiting.earlier[later] = earlier;
  waiting.counts[reason]! -= waiting.records[node]!;
}

function takeNode(waiting: Waiting): number {
  const free = waiting.firstFree;
  if (free >= 0) {
    waiting.firstFree = waiting.next[free]!;
    return free;
  }
  if (waiting.used === waiting.capacity) grow(waiting);
  return waiting.used++;
}

function grow(waiting: Waiting): void {
  const capacity = waiting.capacity * 2;
  waiting.capacity = capacity;
  for (const field of ["submit", "record", "records", "at", "sender", "previous", "next", "earlier", "later"] as const) {
    const larger = new Int32Array(capacity);
    larger.set(waiting[field]);
    waiting[field] = larger;
  }
  for (const field of ["nonce", "deadline"] as const) {
    const larger = new Float64Array(capacity);
    larger.set(waiting[field]);
    waiting[field] = larger;
  }
  const reasons = new Uint8Array(capacity);
  reasons.set(waiting.reason);
  waiting.reason = reasons;
}
