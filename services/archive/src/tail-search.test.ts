import { concatBytes, hexOf, openAssembly, takeRecords } from "@meridian/core";
import type { Clock } from "@meridian/core";
import { bytesFrom, testFlushes, testHash, testRecords } from "@meridian/core/blocks/testing";
import { expect, test } from "vitest";
import { TailSearch } from "./tail-search.ts";

/** A tail whose walks are counted, and a clock that the test moves. */
function open(walkHashesMax = 100) {
  const flushes = testFlushes({ seed: 4, blocks: 3, transactionsPerFlush: 9 });
  const options = { sha256: testHash, tailBytesMax: 1e9, marksMax: 10 };
  const assembly = openAssembly({ head: null, marks: [], hashes: [], sequence: 0, positions: [] }, options);
  takeRecords(assembly, { firstSequence: 1, sequence: 1, partition: 0, records: testRecords(flushes, 1)[0]! });
  let now = 1_000;
  let due: { at: number; run: () => void }[] = [];
  let walks = 0;
  const clock: Clock = {
    now: () => now,
    after(delayMs, run) {
      due.push({ at: now + delayMs, run });
      return () => undefined;
    },
  };
  const state = {
    get assembly() {
      walks++;
      return assembly;
    },
  };
  const pass = (ms: number): void => {
    now += ms;
    const ready = due.filter(({ at }) => at <= now);
    due = due.filter(({ at }) => at > now);
    for (const { run } of ready) run();
  };
  const search = new TailSearch(clock, { unknownPollMs: 50, walkHashesMax }, state);
  const hashes = flushes.flatMap(({ transactions }) => transactions.map(({ hash }) => hash));
  return { search, pass, hashes, walks: () => walks };
}

test("all who ask share a walk, and each gets its own", async () => {
  const { search, pass, hashes, walks } = open();
  const [one, two] = [hashes[0]!, hashes[5]!];
  const lists = [[one, bytesFrom(32, 1)], [two], [bytesFrom(32, 2), two, one]];
  const asked = lists.map(async (list) => search.find(concatBytes(list)));
  pass(0);
  const found = (await Promise.all(asked)).map((list) => list?.map((hit) => hit && hexOf(hit.hash)));
  expect(found).toEqual([[hexOf(one), null], [hexOf(two)], [null, hexOf(two), hexOf(one)]]);
  expect(walks()).toBe(1);
});

test("one walk every 50 ms, however often it is asked", async () => {
  const { search, pass, walks } = open();
  const asked: Promise<unknown>[] = [];
  const ask = async (seed: number) => search.find(bytesFrom(32, seed));
  for (let ms = 0; ms < 500; ms++) {
    if (ms % 10 === 0) asked.push(ask(ms));
    pass(1);
  }
  pass(50);
  expect((await Promise.all(asked)).flat()).toEqual(asked.map(() => null));
  expect(walks()).toBeLessThanOrEqual(11);
});

test("more hashes than a walk may have are refused", async () => {
  const { search, pass, hashes } = open(2);
  const asked = search.find(concatBytes(hashes.slice(0, 2)));
  expect(search.find(hashes[2]!)).toBeNull();
  pass(0);
  expect((await asked)?.map((hit) => hit !== null)).toEqual([true, true]);
  expect(search.find(hashes[2]!)).not.toBeNull();
});
