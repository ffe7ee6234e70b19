/**
 * The hashes of the transactions sequenced last: a ring, with an open-addressing index over it. The oldest hash goes when a new
 * one needs its place. Hashes are taken back in reverse order when the flush that held them fails.
 */
import { readU32, sameBytes } from "../bytes.ts";

export interface RecentHashes {
  readonly capacity: number;
  readonly hashes: Uint8Array; // 32 bytes each
  readonly places: Int32Array; // place in the ring + 1, or 0
  readonly mask: number;
  head: number; //  where the next hash goes
  count: number;
}

/** @param capacity number of hashes kept, at least 1 */
export function openRecentHashes(capacity: number): RecentHashes {
  let places = 16;
  while (places < capacity * 2) places *= 2;
  return { capacity, hashes: new Uint8Array(capacity * 32), places: new Int32Array(places), mask: places - 1, head: 0, count: 0 };
}

/** True if the 32 bytes at `offset` are a hash that is kept. */
export function hasHash(recent: RecentHashes, bytes: Uint8Array, offset: number): boolean {
  for (let place = homeOf(recent, bytes, offset); ; place = (place + 1) & recent.mask) {
    const slot = recent.places[place]! - 1;
    if (slot < 0) return false;
    if (sameBytes(recent.hashes, slot * 32, bytes, offset, 32)) return true;
  }
}

export function addHash(recent: RecentHashes, bytes: Uint8Array, offset: number): void {
  const slot = recent.head;
  if (recent.count === recent.capacity) forget(recent, slot);
  else recent.count++;
  for (let index = 0; index < 32; index++) recent.hashes[slot * 32 + index] = bytes[offset + index]!;
  let place = homeOf(recent, bytes, offset);
  while (recent.places[place] !== 0) place = (place + 1) & recent.mask;
  recent.places[place] = slot + 1;
  recent.head = slot + 1 === recent.capacity ? 0 : slot + 1;
}

/** Takes the newest `count` hashes back (fewer if fewer are kept). */
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
