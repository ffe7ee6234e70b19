import { afterEach, expect, test } from "vitest";
import { memoryServer } from "@meridian/bus";
import { TOUCH, emptyState, noTelemetry, touchAccounts, touchWhy, txNonce, WHY, writeU32 } from "@meridian/core";
import type { MissedTransaction } from "@meridian/core";
import { FakeEngine, TEST_CHAIN_ID, runOf, toy, toyTransaction } from "@meridian/core/actor/testing";
import { Caller } from "../calls.ts";
import { partitionMetrics } from "../metrics.ts";
import { ACTOR_LIMITS } from "../ports.ts";
import { until } from "../testing/chain.ts";
import { TestPartitions, accountsText, member, toyCall } from "../testing/partitions.ts";
import { MissTeller } from "./misses.ts";

let world: TestPartitions | null = null;
afterEach(async () => {
  await world?.end();
  world = null;
});

async function begin(): Promise<TestPartitions> {
  world = await TestPartitions.begin();
  return world;
}

/** Everything that was said of a block, by ordinal; said twice it has to be the same. */
function said({ misses }: TestPartitions, block = 1): MissedTransaction[] {
  const all: MissedTransaction[] = [];
  for (const { first, missed } of misses.filter((message) => message.block === block)) {
    missed.forEach((one, offset) => {
      expect(one).toEqual(all[first + offset] ?? one);
      all[first + offset] = one;
    });
  }
  return all;
}

const touched = ({ touch }: MissedTransaction): string => accountsText(touchAccounts(touch, 0));
const outside = (index: number, program = "add 11; add f1"): Uint8Array => member(index, program, ["w 11"]);

test("what a missed transaction touches is completed, with cells of other partitions, and said until it is taken", async () => {
  const partitions = await begin();
  await Promise.all([partitions.start(0), partitions.start(1)]);
  await partitions.chain.append({ 0: [runOf(outside(0, "add 11; add f1; look f2; add 12"), outside(1))] });
  await until("repetitions", () => partitions.misses.length >= 4);
  const [first, second] = said(partitions);
  expect(first === undefined ? "" : touched(first)).toBe("w 11, w 12, w f1, r f2");
  expect(second === undefined ? "" : touched(second)).toBe("w 11, w f1");
  expect(first).toMatchObject({ flush: partitions.chain.writer.flush });
  await until("the report", () => partitions.chain.reports.get(0)?.misses === 2);
  partitions.beat({ missesTaken: [[0, 1]] });
  await until("only the second", () => partitions.misses.at(-1)?.first === 1);
  partitions.beat({ missesTaken: [[0, 2]] });
  // What was sent before the beat arrives first; from there on it is silent: a beat of another block changes nothing.
  await partitions.slot("11");
  partitions.beat({ missesTaken: [], open: { number: 7, timestamp: 0 } });
  const { length } = partitions.misses;
  await new Promise((resolve) => partitions.server.clock.after(60, () => resolve(null)));
  expect(partitions.misses.length).toBe(length);
  // A new leader begins at none.
  partitions.beat({ missesTaken: [], term: 2 });
  await until("all of them", () => partitions.misses.length > length && partitions.misses.at(-1)?.first === 0);
});

test("misses stand in the order of the log, and the next block begins at none", async () => {
  const partitions = await begin();
  await Promise.all([partitions.start(0), partitions.start(1)]);
  const follower = toyTransaction({
    index: 1,
    sender: "01",
    nonce: 2,
    to: "11",
    after: { flush: partitions.chain.writer.flush + 1, index: 0 },
    program: toy("add 11"),
  });
  await partitions.chain.append({ 0: [runOf(outside(0), follower, member(2, "hash 0", ["w 11"]))] });
  const all = await until("three misses", () => (said(partitions).length === 3 ? said(partitions) : null));
  expect(all.map(({ touch }) => touchWhy(touch, 0))).toEqual([WHY.outside, WHY.follows, WHY.unsealed]);
  expect(all.map(({ record }) => txNonce(record, 0))).toEqual([1, 2, 3]);
  await partitions.chain.closeBlock();
  await partitions.chain.settled();
  await until("the report", () => partitions.chain.reports.get(0)?.misses === 0);
  await partitions.chain.append({ 0: [runOf(outside(3))] });
  const next = await until("the next block's miss", () => (said(partitions, 2).length > 0 ? said(partitions, 2) : null));
  expect(next.map(({ record }) => txNonce(record, 0))).toEqual([4]);
});

test.each<[what: string, harm: (partitions: TestPartitions) => Promise<void>]>([
  ["another partition does not answer", async (partitions) => partitions.stop(1)],
  [
    "it takes too long",
    async (partitions) => {
      partitions.server.faults.wire((subject) => ({ copies: 1, delayMs: subject === "read.1" ? 5_000 : 0 }));
      return Promise.resolve();
    },
  ],
])("%s: said as it is known", async (_what, harm) => {
  const partitions = await begin();
  await Promise.all([partitions.start(0, { missTraceMs: 40 }), partitions.start(1)]);
  await harm(partitions);
  await partitions.chain.append({ 0: [runOf(outside(0, "add 11; add f1; add f2"))] });
  const [only] = await until("the miss", () => (said(partitions).length > 0 ? said(partitions) : null));
  expect(only === undefined ? "" : touched(only)).toBe("w 11, w f1");
});

test("a restart says the same again, from the first", async () => {
  const partitions = await begin();
  await Promise.all([partitions.start(0), partitions.start(1)]);
  await partitions.chain.append({ 0: [runOf(outside(0), outside(1))] });
  await partitions.chain.append({ 0: [runOf(outside(2))] });
  const before = await until("three misses", () => (said(partitions).length === 3 ? said(partitions) : null));
  await partitions.stop(0);
  partitions.misses.length = 0;
  await partitions.start(0);
  await until("all again", () => said(partitions).length === 3);
  expect(said(partitions)).toEqual(before);
});

test("many misses go in messages of bounded size", async () => {
  const partitions = await begin();
  await Promise.all([partitions.start(0, { missBytesMax: 1_000, missTracesMax: 4 }), partitions.start(1)]);
  const records = Array.from({ length: 40 }, (_, index) => outside(index));
  await partitions.chain.append({ 0: [runOf(...records)] });
  const all = await until("all of them", () => (said(partitions).length === 40 ? said(partitions) : null));
  expect(all.map(({ record }) => txNonce(record, 0))).toEqual(records.map((_, index) => 1 + index));
  for (const { missed } of partitions.misses) expect(missed.length).toBeLessThan(7);
});

test("while the open block drains every batch is reported at once, and its begin too", async () => {
  const partitions = await begin();
  await partitions.start(0, { reportMs: 60_000, reportAfterMs: 60_000 });
  await until("the first report", () => partitions.reports.length === 1);
  partitions.beat({ draining: true });
  await until("the report at its begin", () => partitions.reports.length >= 2);
  partitions.beat({ draining: true });
  const before = partitions.reports.length;
  await partitions.chain.append({ 0: [runOf(member(0, "add 11", ["w 11"]))] });
  const { n } = partitions.chain.writer.position(0);
  await until("the report of the batch", () => partitions.reports.at(-1)?.n === n);
  expect(partitions.reports.length).toBe(before + 1);
  expect(partitions.reports.at(-1)).toMatchObject({ settledN: n, misses: 0, groups: [], handOvers: null });
});

test("of many misses the first are said again until they are taken, then the next", async () => {
  const partitions = await begin();
  await Promise.all([partitions.start(0, { missBytesMax: 1, missRepeatBytesMax: 1 }), partitions.start(1)]);
  await partitions.chain.append({ 0: [runOf(outside(0), outside(1), outside(2))] });
  await until("all of them", () => said(partitions).length === 3);
  const againFrom = async (first: number): Promise<void> => {
    partitions.beat({ missesTaken: [[0, first]] });
    await until("the beat to be heard", () => partitions.misses.at(-1)?.first === first);
    partitions.misses.length = 0;
    await until("repetitions", () => partitions.misses.length >= 3);
    expect(partitions.misses.map((message) => message.first)).toEqual(partitions.misses.map(() => first));
  };
  await againFrom(0);
  await againFrom(1);
});

/** Microseconds of a look, with so many misses of the block that are said already. */
function measureLook(misses: number): number {
  const { wire } = memoryServer().connect();
  const state = emptyState(0, TEST_CHAIN_ID);
  const metrics = partitionMetrics(noTelemetry(), 0, () => expect.fail("nobody asks"));
  const caller = new Caller(wire, state, new FakeEngine(), ACTOR_LIMITS);
  const clock = { now: () => 0, after: () => () => undefined };
  const ended = new AbortController();
  const teller = new MissTeller({ wire, clock, caller, metrics, callOf: toyCall }, state, ACTOR_LIMITS, ended.signal, () =>
    expect.fail(),
  );
  const touch = new Uint8Array(TOUCH.accounts);
  writeU32(touch, TOUCH.bytes, touch.length);
  touch[TOUCH.why] = WHY.follows;
  teller.applied(Array.from({ length: misses }, () => ({ flush: 2, record: outside(0), touch })));
  teller.look();
  const startedAt = performance.now();
  for (let look = 0; look < 5_000; look++) teller.look();
  const us = ((performance.now() - startedAt) * 1_000) / 5_000;
  ended.abort();
  return us;
}

test("a look costs what is new, not what the block has had", () => {
  measureLook(10); // Warm.
  const runs = [1, 2, 3].map(() => [measureLook(10), measureLook(1_000)] as const);
  const [few, many] = [Math.min(...runs.map(([of]) => of)), Math.min(...runs.map(([, of]) => of))];
  expect(many / few).toBeLessThan(5);
});
