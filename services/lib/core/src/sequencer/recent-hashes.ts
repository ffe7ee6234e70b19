/**
 * The hashes of the transactions sequenced last: a ring, with an open-addressing index over it. The calls of a signed batch have
 * hashes that differ in their last two bytes only and count up there, so that neighbours among them are one entry. The oldest
 * entry goes when a new one needs its place. Entries are taken back in reverse order when the flush that held them fails.
 */
import { readU32, sameBytes } from "../bytes.ts";

/** What the hashes of one entry have in common; behind it stands a number, its higher byte first. */
const COMMON_BYTES = 30;
const ENTRY_HASHES_MAX = 65_535;

export interface RecentHashes {
  readonly capacity: number;
  readonly hashes: Uint8Array; // 32 bytes each: the first of an entry
  readonly counts: Uint16Array; // how many hashes an entry stands for
  readonly places: Int32Array; // place in the ring + 1, or 0
  readonly mask: number;
  head: number; //  where the next entry goes
  count: number; // of entries
}

/** @param capacity number of entries kept, at least 1 */
export function openRecentHashes(capacity: number): RecentHashes {
  let size = 16;
  while (size < capacity * 2) size *= 2;
  const [hashes, counts, places] = [new Uint8Array(capacity * 32), new Uint16Array(capacity), new Int32Array(size)];
  return { capacity, hashes, counts, places, mask: size - 1, head: 0, count: 0 };
}

const numberOf = (bytes: Uint8Array, offset: number): number =>
  (bytes[offset + COMMON_BYTES]! << 8) | bytes[offset + COMMON_BYTES + 1]!;

/** True if the 32 bytes at `offset` are a hash that is kept. */
export function hasHash(recent: RecentHashes, bytes: Uint8Array, offset: number): boolean {
  const { hashes, counts, places, mask } = recent;
  const number = numberOf(bytes, offset);
  for (let place = homeOf(recent, bytes, offset); ; place = (place + 1) & mask) {
    const slot = places[place]! - 1;
    if (slot < 0) return false;
    const behind = number - numberOf(hashes, slot * 32);
    if (behind >= 0 && behind < counts[slot]! && sameBytes(hashes, slot * 32, bytes, offset, COMMON_BYTES)) return true;
  }
}

/**
 * Adds the hash at `offset` and the `count` - 1 that follow it, see `isNextHash`.
 * @param mayExtend the newest entry may take them in, if they follow it
 * @returns how many entries there are more, 0 or 1; what was there before in the ring may have gone
 */
export function addHash(recent: RecentHashes, bytes: Uint8Array, offset: number, count = 1, mayExtend = false): number {
  if (mayExtend && extend(recent, bytes, offset, count)) return 0;
  const slot = recent.head;
  if (recent.count === recent.capacity) forget(recent, slot);
  else recent.count++;
  for (let index = 0; index < 32; index++) recent.hashes[slot * 32 + index] = bytes[offset + index]!;
  recent.counts[slot] = count;
  let place = homeOf(recent, bytes, offset);
  while (recent.places[place] !== 0) place = (place + 1) & recent.mask;
  recent.places[place] = slot + 1;
  recent.head = slot + 1 === recent.capacity ? 0 : slot + 1;
  return 1;
}

function extend({ hashes, counts, capacity, head, count: entries }: RecentHashes, bytes: Uint8Array, at: number, count: number) {
  if (entries === 0) return false;
  const slot = head === 0 ? capacity - 1 : head - 1;
  const known = counts[slot]!;
  if (known + count > ENTRY_HASHES_MAX || numberOf(bytes, at) !== numberOf(hashes, slot * 32) + known) return false;
  if (!sameBytes(hashes, slot * 32, bytes, at, COMMON_BYTES)) return false;
  counts[slot] = known + count;
  return true;
}

/** True if the hash at `next` is that of the call behind the one with the hash at `offset`. */
export function isNextHash(bytes: Uint8Array, offset: number, next: number): boolean {
  return numberOf(bytes, next) === numberOf(bytes, offset) + 1 && sameBytes(bytes, offset, bytes, next, COMMON_BYTES);
}

/** Takes the newest `count` entries back (fewer if fewer are kept). */
export function dropNewest(recent: RecentHashes, count: number): void {
  for (let left = Math.min(count, recent.count); left > 0; left--) {
    recent.head = recent.head === 0 ? recent.capacity - 1 : recent.head - 1;
    forget(recent, recent.head);
    recent.count--;
  }
}

function forget(recent: RecentHashes, slot: number): void {
  const { places, mask, hashes } = recent;
  let hole = homeOf(recent, hashes, slot * 32);
  while (places[hole] !== slot + 1) hole = (hole + 1) & mask;
  for (let from = (hole + 1) & mask; places[from] !== 0; from = (from + 1) & mask) {
    const home = homeOf(recent, hashes, (places[from]! - 1) * 32);
    if (((from - home) & mask) >= ((from - hole) & mask)) {
      places[hole] = places[from]!;
      hole = from;
    }
  }
  places[hole] = 0;
}

/** A hash is spread evenly already. */
const homeOf = (recent: RecentHashes, bytes: Uint8Array, offset: number): number => readU32(bytes, offset) & recent.mask;
