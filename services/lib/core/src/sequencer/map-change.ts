/** Changes of the range map: a new version of plain data. What moves before, and when it counts, is decided elsewhere. */
import { assert } from "../assert.ts";
import type { PartitionId, RangeMap } from "../ranges.ts";
import { indexRanges } from "../ranges.ts";

export type MapChange =
  /** A partition whose log starts after message `n` of `parent`'s; it owns nothing yet. */
  | { kind: "addPartition"; id: PartitionId; parent: PartitionId; n: number }
  /** The addresses from `first` up to and including `last` (40 lower-case hex digits) belong to `to` from now on. */
  | { kind: "move"; first: string; last: string; to: PartitionId }
  | { kind: "pin"; address: string; partition: PartitionId }
  | { kind: "unpin"; address: string };

const ADDRESS = /^[0-9a-f]{40}$/;
const ADDRESS_MAX = "f".repeat(40);

/**
 * The map with one change more and the next version. Neighbouring ranges of one partition become one.
 * @throws BugError if the change does not fit the map
 */
export function changeMap(map: RangeMap, change: MapChange): RangeMap {
  const next = { ...changed(map, change), version: map.version + 1 };
  return indexRanges(next).map;
}

function changed(map: RangeMap, change: MapChange): RangeMap {
  switch (change.kind) {
    case "addPartition": {
      const { id, parent, n } = change;
      assert(!hasLog(map, id), `partition ${id} has a log already`);
      assert(hasLog(map, parent), `parent ${parent} has no log`);
      return { ...map, partitions: [...map.partitions, { id, origin: { parent, n } }] };
    }
    case "move":
      return { ...map, ranges: moveRange(map, change.first, change.last, change.to) };
    case "pin": {
      const { address, partition } = change;
      assert(ADDRESS.test(address), `address ${address} is not 40 lower-case hex digits`);
      assert(hasLog(map, partition), `partition ${partition} has no log`);
      return { ...map, pins: [...map.pins.filter((pin) => pin.address !== address), { address, partition }] };
    }
    case "unpin":
      assert(
        map.pins.some(({ address }) => address === change.address),
        `address ${change.address} is not pinned`,
      );
      return { ...map, pins: map.pins.filter(({ address }) => address !== change.address) };
  }
}

const hasLog = (map: RangeMap, partition: PartitionId): boolean => map.partitions.some(({ id }) => id === partition);

function moveRange(map: RangeMap, first: string, last: string, to: PartitionId): RangeMap["ranges"] {
  assert(ADDRESS.test(first) && ADDRESS.test(last) && first <= last, `range ${first} to ${last} is none`);
  assert(hasLog(map, to), `partition ${to} has no log`);
  const before = map.ranges.filter((range) => range.first < first);
  const behind = last === ADDRESS_MAX ? null : plusOne(last);
  const after = behind === null ? [] : map.ranges.filter((range) => range.first > behind);
  // Who owned the address behind the moved range goes on owning it.
  const rest = behind === null ? [] : [{ first: behind, partition: ownerAt(map, behind) }];
  const ranges = [...before, { first, partition: to }, ...rest, ...after];
  return ranges.filter(({ partition }, index) => index === 0 || ranges[index - 1]!.partition !== partition);
}

function ownerAt(map: RangeMap, address: string): PartitionId {
  const range = map.ranges.findLast(({ first }) => first <= address);
  assert(range !== undefined, "the map does not start at address 0");
  return range.partition;
}

const plusOne = (address: string): string => (BigInt(`0x${address}`) + 1n).toString(16).padStart(40, "0");
