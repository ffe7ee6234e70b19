import { expect, test } from "vitest";
import { concatBytes, hexOf } from "../bytes.ts";
import { resultLogs } from "../results.ts";
import { bloomMayMatch, logCandidates, logColumns, logMatches, logOffset, prepareFilter } from "./logs.ts";
import { blockRlpBytes } from "./size.ts";
import { bytesFrom, numbersFrom, packResult, packTransaction, testHash } from "./testing.ts";
import type { TestLog, TestTransaction } from "./testing.ts";

const addresses = Array.from({ length: 6 }, (_, number) => bytesFrom(20, 1, number));
const topics = Array.from({ length: 8 }, (_, number) => bytesFrom(32, 2, number));

function someLogs(next: (below: number) => number): TestLog[] {
  return Array.from({ length: next(5) }, () => ({
    address: addresses[next(addresses.length)]!,
    topics: Array.from({ length: next(5) }, () => topics[next(topics.length)]!),
    data: bytesFrom(next(70), next(1_000)),
  }));
}

const pay = (index: number, logs: TestLog[]): TestTransaction => ({
  ...{ account: 0, index, hash: bytesFrom(32, index), raw: bytesFrom(100, index), type: 2, gasUsed: 21_000, logs },
});

function packed(transactions: TestTransaction[]) {
  const records = transactions.map(packResult);
  const offsets = new Uint32Array(records.length + 1);
  records.forEach((record, number) => (offsets[number + 1] = offsets[number]! + record.length));
  return { results: concatBytes(records), offsets };
}

/** geth's rule, as plainly as it can be said. */
const naive = (log: TestLog, wanted: Uint8Array[], wantedTopics: Uint8Array[][]): boolean =>
  (wanted.length === 0 || wanted.some((value) => hexOf(value) === hexOf(log.address))) &&
  log.topics.length >= wantedTopics.length &&
  wantedTopics.every((list, place) => list.length === 0 || list.some((value) => hexOf(value) === hexOf(log.topics[place]!)));

test.each(Array.from({ length: 40 }, (_, seed) => [seed] as const))("columns find what a naive filter finds, seed %d", (seed) => {
  const next = numbersFrom(seed);
  const transactions = Array.from({ length: 60 }, (_, index) => pay(index, someLogs(next)));
  const { results, offsets } = packed(transactions);
  const { firstLogs, keys } = logColumns(results, offsets);
  const all = transactions.flatMap(({ logs }) => logs);
  expect(firstLogs.at(-1)).toBe(all.length);
  for (let round = 0; round < 20; round++) {
    const wanted = addresses.filter(() => next(6) === 0);
    const wantedTopics = Array.from({ length: next(5) }, () => topics.filter(() => next(4) === 0));
    const filter = prepareFilter({ addresses: concatBytes(wanted), topics: wantedTopics.map(concatBytes) }, testHash);
    const columnOf = (column: number) => {
      const part = keys.subarray(column * all.length, (column + 1) * all.length);
      return part.some((key) => key !== 0) ? part : null;
    };
    const hits = [...logCandidates(filter, columnOf)].filter((log) => {
      const owner = firstLogs.findLastIndex((first) => first <= log);
      return logMatches(filter, results, logOffset(results, offsets[owner]!, log - firstLogs[owner]!));
    });
    expect(hits).toEqual(all.flatMap((log, number) => (naive(log, wanted, wantedTopics) ? [number] : [])));
  }
});

test("packed logs read back, with and without topics and data", () => {
  const logs: TestLog[] = [
    { address: addresses[0]!, topics: [], data: new Uint8Array(0) },
    { address: addresses[1]!, topics: topics.slice(0, 4), data: bytesFrom(33, 1) },
  ];
  const { results, offsets } = packed([pay(0, logs)]);
  expect(resultLogs(results, offsets[0]!).map(({ address, data }) => [hexOf(address), hexOf(data)])).toEqual(
    logs.map(({ address, data }) => [hexOf(address), hexOf(data)]),
  );
});

test("a bloom hides a block only if some place has none of its values in it", () => {
  const bloom = new Uint8Array(512).fill(0);
  const hash = testHash(addresses[0]!);
  for (let number = 0; number < 6; number += 2) {
    const bit = (hash[number]! * 256 + hash[number + 1]!) % 2_048;
    bloom[256 + 255 - Math.floor(bit / 8)]! |= 1 << (bit % 8);
  }
  const filter = (list: Uint8Array[], more: Uint8Array[][] = []) =>
    prepareFilter({ addresses: concatBytes(list), topics: more.map(concatBytes) }, testHash);
  expect(bloomMayMatch(filter([addresses[0]!]), bloom, 256)).toBe(true);
  expect(bloomMayMatch(filter([addresses[0]!]), bloom, 0)).toBe(false);
  expect(bloomMayMatch(filter([addresses[1]!, addresses[0]!]), bloom, 256)).toBe(true);
  expect(bloomMayMatch(filter([addresses[0]!], [[topics[0]!]]), bloom, 256)).toBe(false);
  expect(bloomMayMatch(filter([], [[]]), bloom, 0)).toBe(true);
});

test.each<[what: string, header: number, raws: [type: number, bytes: number][], want: number]>([
  // 0xf9 0201 | header | 0xc0 | 0xc0 | 0xc0
  ["no transactions", 510, [], 3 + 510 + 3],
  ["one legacy, one envelope", 510, [[0, 100], [2, 100]], 3 + 510 + (2 + 100 + 102) + 2], // prettier-ignore
  ["short envelope", 40, [[2, 30]], 2 + 40 + (1 + 31) + 2], // prettier-ignore
  ["long", 510, [[2, 70_000]], 4 + 510 + (4 + 70_004) + 2], // prettier-ignore
])("size of a block in RLP: %s", (_what, header, raws, want) => {
  const records = raws.map(([type, bytes], index) => packTransaction({ ...pay(index, []), type, raw: new Uint8Array(bytes) }));
  const offsets = new Uint32Array(records.length + 1);
  records.forEach((record, number) => (offsets[number + 1] = offsets[number]! + record.length));
  expect(blockRlpBytes(header, concatBytes(records), offsets)).toBe(want);
});
