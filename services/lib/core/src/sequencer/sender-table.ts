/**
 * What the scheduler knows about senders: an open-addressing table of packed rows, keyed by address.
 *
 * S1. A sender has one id while it is in the table; ids are small numbers, used again after the sender is forgotten.
 * S2. Only a known sender with nothing waiting and nothing in the open block is forgotten to make room: all before is resolved.
 * S3. `next` counts what is sequenced, acknowledged or not; a flush that fails puts it back.
 */
import { readU32, sameBytes } from "../bytes.ts";

/** `asking`: its partition was asked for its nonce and has not answered yet. */
export const SENDER = { free: 0, asking: 1, known: 2 } as const;

/** At most this many rows are looked at to find one to forget. */
const EVICT_STEPS_MAX = 65_536;
const FIRST_CAPACITY = 1_024;

export interface SenderTable {
  readonly sendersMax: number;
  readonly seed: number; // so that nobody can choose addresses that fall into one place
  capacity: number;
  count: number;
  used: number; //       ids below this were handed out at least once
  firstFree: number; //  list of free ids through `link`; -1 ends it
  hand: number; //       of the clock that looks for a sender to forget
  mask: number;
  places: Int32Array; // id + 1, or 0
  address: Uint8Array; //     20 bytes each
  lastHash: Uint8Array; //    32 bytes each: the last transaction sequenced
  next: Float64Array; //      next nonce
  lastFlush: Float64Array; // flush that holds its last transaction; 0 if none since it is known here
  topFlush: Float64Array; //  position of its last transaction: flush...
  topIndex: Int32Array; //    ...and index
  flightHome: Int32Array; //  slot of the partition that runs what is unresolved; -1 if nothing ever was
  flightN: Float64Array; //   last message of that partition's log with a local transaction of this sender; 0 if none
  flightGroups: Int32Array; // memberships in groups without `apply` or `abort`
  memberFlush: Float64Array; // flush that holds its last membership in a group
  funded: Uint8Array; //      had a balance when its nonce was asked
  careful: Uint8Array; //     it has missed: nothing new before that stands in a flush again
  parked: Uint8Array; //      waits for its own transactions to be resolved
  arrival: Float64Array; //   rate cap: when the next record would be due at the steady rate, ms
  state: Uint8Array;
  touched: Uint8Array; //     second chance
  queued: Uint8Array; //      stands in a list of senders whose turn it is
  first: Int32Array; //       waiting records in nonce order; -1 if none
  last: Int32Array;
  waiting: Int32Array; //     number of waiting records
  ready: Int32Array; //       how many of them, from the first on, follow `next` without a gap
  link: Int32Array; //        next in the list of free ids, or in a list of senders whose turn it is
}

export function openSenderTable(sendersMax: number, seed: number): SenderTable {
  const capacity = Math.min(FIRST_CAPACITY, sendersMax);
  return {
    sendersMax,
    seed: seed | 1,
    capacity,
    count: 0,
    used: 0,
    firstFree: -1,
    hand: 0,
    mask: placesFor(capacity) - 1,
    places: new Int32Array(placesFor(capacity)),
    address: new Uint8Array(capacity * 20),
    lastHash: new Uint8Array(capacity * 32),
    next: new Float64Array(capacity),
    lastFlush: new Float64Array(capacity),
    topFlush: new Float64Array(capacity),
    topIndex: new Int32Array(capacity),
    flightHome: new Int32Array(capacity),
    flightN: new Float64Array(capacity),
    flightGroups: new Int32Array(capacity),
    memberFlush: new Float64Array(capacity),
    funded: new Uint8Array(capacity),
    careful: new Uint8Array(capacity),
    parked: new Uint8Array(capacity),
    arrival: new Float64Array(capacity),
    state: new Uint8Array(capacity),
    touched: new Uint8Array(capacity),
    queued: new Uint8Array(capacity),
    first: new Int32Array(capacity),
    last: new Int32Array(capacity),
    waiting: new Int32Array(capacity),
    ready: new Int32Array(capacity),
    link: new Int32Array(capacity),
  };
}

/** Id of the sender whose address stands at `offset`; -1 if it is not in the table. */
export function findSender(table: SenderTable, bytes: Uint8Array, offset: number): number {
  const { places, mask, address } = table;
  for (let place = homeOf(table, bytes, offset); ; place = (place + 1) & mask) {
    const id = places[place]! - 1;
    if (id < 0) return -1;
    if (sameBytes(address, id * 20, bytes, offset, 20)) {
      table.touched[id] = 1;
      return id;
    }
  }
}

/**
 * Adds a sender that is not in the table, in state `asking`.
 * @param flushResolved senders whose last transaction is in a later flush are not forgotten
 * @returns its id, or -1 if the table is full of senders that may not be forgotten
 */
export function addSender(table: SenderTable, bytes: Uint8Array, offset: number, flushResolved: number): number {
  if (table.count === table.sendersMax && !evict(table, flushResolved)) return -1;
  if (table.firstFree < 0 && table.used === table.capacity) grow(table);
  let id = table.firstFree;
  if (id >= 0) table.firstFree = table.link[id]!;
  else id = table.used++;
  table.count++;
  for (let index = 0; index < 20; index++) table.address[id * 20 + index] = bytes[offset + index]!;
  table.lastHash.fill(0, id * 32, id * 32 + 32);
  table.next[id] = 0;
  table.lastFlush[id] = 0;
  table.topFlush[id] = 0;
  table.topIndex[id] = 0;
  table.flightHome[id] = -1;
  table.flightN[id] = 0;
  table.flightGroups[id] = 0;
  table.memberFlush[id] = 0;
  table.funded[id] = 0;
  table.careful[id] = 0;
  table.parked[id] = 0;
  table.arrival[id] = 0;
  table.state[id] = SENDER.asking;
  table.touched[id] = 0;
  table.queued[id] = 0;
  table.first[id] = -1;
  table.last[id] = -1;
  table.waiting[id] = 0;
  table.ready[id] = 0;
  place(table, id);
  return id;
}

/** Forgets a sender with nothing waiting. */
export function removeSender(table: SenderTable, id: number): void {
  const { places, mask } = table;
  let hole = homeOf(table, table.address, id * 20);
  while (places[hole] !== id + 1) hole = (hole + 1) & mask;
  // Move later ones of the same run back, so that no search ends too early at the hole.
  for (let from = (hole + 1) & mask; places[from] !== 0; from = (from + 1) & mask) {
    const home = homeOf(table, table.address, (places[from]! - 1) * 20);
    if (((from - home) & mask) >= ((from - hole) & mask)) {
      places[hole] = places[from]!;
      hole = from;
    }
  }
  places[hole] = 0;
  table.state[id] = SENDER.free;
  table.link[id] = table.firstFree;
  table.firstFree = id;
  table.count--;
}

/** True if a sender may be forgotten (S2). */
function isIdle(table: SenderTable, id: number, flushResolved: number): boolean {
  return (
    table.state[id] === SENDER.known && table.waiting[id] === 0 && table.queued[id] === 0 && table.lastFlush[id]! <= flushResolved
  );
}

function evict(table: SenderTable, flushResolved: number): boolean {
  const steps = Math.min(2 * table.used, EVICT_STEPS_MAX);
  for (let step = 0; step < steps; step++) {
    const id = table.hand;
    table.hand = id + 1 >= table.used ? 0 : id + 1;
    if (!isIdle(table, id, flushResolved)) continue;
    if (table.touched[id] === 1) {
      table.touched[id] = 0;
      continue;
    }
    removeSender(table, id);
    return true;
  }
  return false;
}

/** Columns by the number of values that each sender has in them. */
const COLUMNS = {
  address: 20,
  lastHash: 32,
  next: 1,
  lastFlush: 1,
  topFlush: 1,
  topIndex: 1,
  flightHome: 1,
  flightN: 1,
  flightGroups: 1,
  memberFlush: 1,
  funded: 1,
  careful: 1,
  parked: 1,
  arrival: 1,
  state: 1,
  touched: 1,
  queued: 1,
  first: 1,
  last: 1,
  waiting: 1,
  ready: 1,
  link: 1,
} as const;

function grow(table: SenderTable): void {
  const capacity = Math.min(table.capacity * 2, table.sendersMax);
  table.capacity = capacity;
  for (const [name, width] of Object.entries(COLUMNS)) {
    const column = name as keyof typeof COLUMNS;
    const from = table[column];
    const to = new (from.constructor as new (length: number) => typeof from)(capacity * width);
    to.set(from);
    (table as unknown as Record<string, typeof from>)[column] = to;
  }
  table.mask = placesFor(capacity) - 1;
  table.places = new Int32Array(table.mask + 1);
  for (let id = 0; id < table.used; id++) {
    if (table.state[id] !== SENDER.free) place(table, id);
  }
}

/** At most half of the places are taken, so runs stay short. */
function placesFor(capacity: number): number {
  let places = 16;
  while (places < capacity * 2) places *= 2;
  return places;
}

function place(table: SenderTable, id: number): void {
  let at = homeOf(table, table.address, id * 20);
  while (table.places[at] !== 0) at = (at + 1) & table.mask;
  table.places[at] = id + 1;
}

function homeOf(table: SenderTable, bytes: Uint8Array, offset: number): number {
  let hash = Math.imul(readU32(bytes, offset) ^ table.seed, 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 15) ^ readU32(bytes, offset + 8), 0x85ebca77);
  hash = Math.imul(hash ^ (hash >>> 13) ^ readU32(bytes, offset + 16), 0xc2b2ae3d);
  return (hash ^ (hash >>> 16)) & table.mask;
}
