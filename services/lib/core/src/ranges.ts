/**
 * The versioned range map: which partition owns an account.
 *
 * R1. Ranges cover the whole address space without gap or overlap: each starts where the one before it ends.
 * R2. A pin beats the range that its address falls into.
 * R3. A partition is known by its number, never by its range; numbers are not used twice.
 * R4. The map changes only by a `map` entry in every log; the copy in the key-value store is for readers outside.
 */
import { assert } from "./assert.ts";
import { bytesOfHex, readU32, sameBytes } from "./bytes.ts";

export type PartitionId = number;

/** The map as it stands in a `map` entry, in settings and in answers: plain data. Addresses are 40 lower-case hex digits. */
export interface RangeMap {
  version: number;
  /** Sorted by `first`; the first one starts at 00…00. */
  ranges: { first: string; partition: PartitionId }[];
  pins: { address: string; partition: PartitionId }[];
  /** Every partition with a log, and where its log starts: null at genesis, else cut from `parent` after message `n`. */
  partitions: { id: PartitionId; origin: { parent: PartitionId; n: number } | null }[];
}

/** The map in the form the hot path asks: a table by the first two bytes, then a short list, then pins. */
export interface RangeIndex {
  readonly map: RangeMap;
  ownerOf(bytes: Uint8Array, offset: number): PartitionId;
}

/** Cuts the address space into `count` equal ranges, partitions numbered from 0. */
export function evenRangeMap(count: number): RangeMap {
  assert(Number.isInteger(count) && count >= 1 && count <= 65_536, `range count ${count} is not in 1 to 65536`);
  const partitions = Array.from({ length: count }, (_, id) => id);
  return {
    version: 1,
    ranges: partitions.map((partition) => ({
      first: Math.ceil((partition * 65_536) / count)
        .toString(16)
        .padStart(4, "0")
        .padEnd(40, "0"),
      partition,
    })),
    pins: [],
    partitions: partitions.map((id) => ({ id, origin: null })),
  };
}

/** @throws BugError if the map breaks R1 or names a partition without a log */
export function indexRanges(map: RangeMap): RangeIndex {
  assert(map.ranges[0]?.first === "0".repeat(40), "range map does not start at address 0");
  const firsts = map.ranges.map(({ first }) => bytesOfHex(first));
  const logs = new Set(map.partitions.map(({ id }) => id));
  map.ranges.forEach(({ first, partition }, index) => {
    assert(index === 0 || first > map.ranges[index - 1]!.first, `range ${first} is out of order`);
    assert(logs.has(partition), `range ${first} names partition ${partition}, which has no log`);
  });
  // For each two-byte prefix the last range that starts at or before its first address: filled range by range, because maps are
  // indexed often (every start, every move) and prefixes are many.
  const table = new Uint32Array(65_536);
  const starts = map.ranges.map(({ first }) => Number.parseInt(first.slice(0, 4), 16) + (/^0*$/.test(first.slice(4)) ? 0 : 1));
  starts.forEach((start, range) => table.fill(range, start, starts[range + 1] ?? table.length));
  const pinned = indexPins(map.pins);

  function ownerOf(bytes: Uint8Array, offset: number): PartitionId {
    const pin = pinned(bytes, offset);
    if (pin >= 0) return map.pins[pin]!.partition;
    let range = table[(bytes[offset]! << 8) | bytes[offset + 1]!]!;
    while (range + 1 < firsts.length && !isBelow(bytes, offset, firsts[range + 1]!)) range++;
    return map.ranges[range]!.partition;
  }
  return { map, ownerOf };
}

/**
 * Number of the last pin of an address, -1 if it has none. A table of its own, as this is asked for every account of every
 * transaction that crosses: a text for each would cost more than all the rest of the answer.
 */
function indexPins(pins: RangeMap["pins"]): (bytes: Uint8Array, offset: number) => number {
  const addresses = pins.map(({ address }) => bytesOfHex(address));
  let mask = 1;
  while (mask < pins.length * 4) mask = mask * 2 + 1;
  const table = new Int32Array(mask + 1).fill(-1);
  /** Where the address stands, or would stand. Addresses come from a hash: their last bytes are one already. */
  function placeOf(bytes: Uint8Array, offset: number): number {
    let place = readU32(bytes, offset + 16) & mask;
    while (table[place]! >= 0 && !sameBytes(addresses[table[place]!]!, 0, bytes, offset, 20)) place = (place + 1) & mask;
    return place;
  }
  addresses.forEach((address, pin) => (table[placeOf(address, 0)] = pin));
  return (bytes, offset) => table[placeOf(bytes, offset)]!;
}

function isBelow(bytes: Uint8Array, offset: number, bound: Uint8Array): boolean {
  for (let index = 0; index < 20; index++) {
    const difference = bytes[offset + index]! - bound[index]!;
    if (difference !== 0) return difference < 0;
  }
  return false;
}

/** What one partition owns under a map, in the engine's terms; bounds inclusive. */
export function ownedBy(map: RangeMap, partition: PartitionId) {
  const ranges = map.ranges.flatMap((range, index) => {
    if (range.partition !== partition) return [];
    const next = map.ranges[index + 1]?.first;
    return [
      { first: bytesOfHex(range.first), last: next === undefined ? new Uint8Array(20).fill(255) : minusOne(bytesOfHex(next)) },
    ];
  });
  const inside = (address: Uint8Array) =>
    ranges.some(
      ({ first, last }) => !isBelow(address, 0, first) && (isBelow(address, 0, last) || sameBytes(address, 0, last, 0, 20)),
    );
  const pins = map.pins.map(({ address, partition: owner }) => ({ address: bytesOfHex(address), owner }));
  return {
    ranges,
    pinsIn: pins.filter(({ owner }) => owner === partition).map(({ address }) => address),
    pinsOut: pins.filter(({ address, owner }) => owner !== partition && inside(address)).map(({ address }) => address),
  };
}

function minusOne(address: Uint8Array): Uint8Array {
  const result = address.slice();
  for (let index = 19; index >= 0; index--) {
    result[index] = result[index]! - 1;
    if (result[index] !== 255) break;
  }
  return result;
}
