import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BugError } from "./assert.ts";
import { bytesOfHex, hexOf } from "./bytes.ts";
import { evenRangeMap, indexRanges, ownedBy } from "./ranges.ts";
import type { RangeMap } from "./ranges.ts";

const address = (prefix: string, fill = "0") => prefix.padEnd(40, fill);
const anyAddress = fc.uint8Array({ minLength: 20, maxLength: 20 });

/** A map with ranges that start anywhere, and pins anywhere. */
const anyMap: fc.Arbitrary<RangeMap> = fc
  .record({
    firsts: fc.uniqueArray(
      anyAddress.map((bytes) => hexOf(bytes)),
      { maxLength: 12 },
    ),
    pins: fc.uniqueArray(
      anyAddress.map((bytes) => hexOf(bytes)),
      { maxLength: 6 },
    ),
    owners: fc.array(fc.nat(4), { minLength: 20, maxLength: 20 }),
  })
  .map(({ firsts, pins, owners }) => ({
    version: 3,
    ranges: [...new Set([address(""), ...firsts])].sort().map((first, index) => ({ first, partition: owners[index] ?? 0 })),
    pins: pins.map((pin, index) => ({ address: pin, partition: owners[19 - index] ?? 0 })),
    partitions: [0, 1, 2, 3, 4].map((id) => ({ id, origin: null })),
  }));

/** The owner by the words of R1 and R2 alone. */
function ownerByRule(map: RangeMap, hex: string): number | undefined {
  const pin = map.pins.find((candidate) => candidate.address === hex);
  return pin?.partition ?? map.ranges.findLast(({ first }) => first <= hex)?.partition;
}

/** Addresses where a mistake would show: around every bound and pin. */
const edgesOf = (map: RangeMap): string[] =>
  [...map.ranges.map(({ first }) => first), ...map.pins.map((pin) => pin.address)].flatMap((hex) => {
    const value = BigInt(`0x${hex}`);
    const last = (1n << 160n) - 1n;
    return [value - 1n, value, value + 1n]
      .filter((edge) => edge >= 0n && edge <= last)
      .map((edge) => edge.toString(16).padStart(40, "0"));
  });

describe("ownerOf", () => {
  test("follows the rules for any map, at every bound and anywhere", () => {
    fc.assert(
      fc.property(anyMap, fc.array(anyAddress, { maxLength: 20 }), (map, addresses) => {
        const index = indexRanges(map);
        for (const hex of [...edgesOf(map), ...addresses.map((bytes) => hexOf(bytes))]) {
          const inside = bytesOfHex(`ffff${hex}ffff`);
          expect([hex, index.ownerOf(inside, 2)]).toEqual([hex, ownerByRule(map, hex)]);
        }
      }),
    );
  });

  test.each<[count: number, prefix: string, owner: number]>([
    [1, "ffff", 0],
    [4, "3fff", 0],
    [4, "4000", 1],
    [4, "ffff", 3],
    [3, "5555", 0],
    [3, "5556", 1],
    [65_536, "fffe", 65_534],
  ])("%i even ranges: %s... belongs to %i", (count, prefix, owner) => {
    const index = indexRanges(evenRangeMap(count));
    expect(index.ownerOf(bytesOfHex(address(prefix, "f")), 0)).toBe(owner);
    expect(index.ownerOf(bytesOfHex(address(prefix)), 0)).toBe(owner);
  });
});

describe("ownedBy", () => {
  test("says the same as ownerOf, for every partition", () => {
    fc.assert(
      fc.property(anyMap, (map) => {
        const index = indexRanges(map);
        for (const hex of edgesOf(map)) {
          const owners = map.partitions.filter(({ id }) => owns(ownedBy(map, id), hex)).map(({ id }) => id);
          expect([hex, owners]).toEqual([hex, [index.ownerOf(bytesOfHex(hex), 0)]]);
        }
      }),
    );
  });
});

/** As the engine reads it: bounds inclusive, pins beat ranges. */
function owns({ ranges, pinsIn, pinsOut }: ReturnType<typeof ownedBy>, hex: string): boolean {
  const has = (pins: Uint8Array[]) => pins.some((pin) => hexOf(pin) === hex);
  return has(pinsIn) || (!has(pinsOut) && ranges.some(({ first, last }) => hexOf(first) <= hex && hex <= hexOf(last)));
}

describe("a map that breaks the rules is a bug", () => {
  const good = evenRangeMap(2);
  test.each<[what: string, run: () => unknown]>([
    ["no partition", () => evenRangeMap(0)],
    ["half a partition", () => evenRangeMap(1.5)],
    ["more partitions than two-byte prefixes", () => evenRangeMap(65_537)],
    ["no range", () => indexRanges({ ...good, ranges: [] })],
    ["a gap at the start", () => indexRanges({ ...good, ranges: [{ first: address("01"), partition: 0 }] })],
    ["ranges out of order", () => indexRanges({ ...good, ranges: [...good.ranges, { first: address("70"), partition: 0 }] })],
    ["the same range twice", () => indexRanges({ ...good, ranges: [...good.ranges, { first: address("80"), partition: 0 }] })],
    ["a partition without a log", () => indexRanges({ ...good, partitions: [{ id: 0, origin: null }] })],
  ])("%s", (_what, run) => {
    expect(run).toThrow(BugError);
  });
});
