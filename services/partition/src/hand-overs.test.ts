import { afterEach, expect, test } from "vitest";
import { IoError, PENDING, concatBytes, evenRangeMap } from "@meridian/core";
import type { Bus, CallRequest, CallResult, HandOver, MapEntry, MovedRange, RangeMap, ReadReply } from "@meridian/core";
import { FakeEngine, addressOf, fakeSlotCell, fakeSlotKey, runOf, slotOf } from "@meridian/core/actor/testing";
import { lattices, until } from "./testing/chain.ts";
import { TestPartitions, member } from "./testing/partitions.ts";

let world: TestPartitions | null = null;
afterEach(async () => {
  await world?.end();
  world = null;
});

async function begin(): Promise<TestPartitions> {
  world = await TestPartitions.begin([
    fakeSlotCell(addressOf("11"), 5),
    fakeSlotCell(addressOf("f1"), 7),
    fakeSlotCell(addressOf("f2"), 9),
  ]);
  return world;
}

const F1 = "f1".repeat(20);
/** Account f1 goes from partition 1 to partition 0. */
const MOVE: MovedRange = { from: 1, to: 0, first: F1, last: F1 };
const PINNED: RangeMap = { ...evenRangeMap(2), version: 2, pins: [{ address: F1, partition: 0 }] };

const mapEntry = (handOvers: HandOver[]): MapEntry => ({ kind: "map", index: 0, map: PINNED, handOvers });
const add = (account: string): Uint8Array => member(0, `add ${account} 100`, [`w ${account}`], "f9");

/** What partition 1 has written out; the move's block has closed. */
const handOvers = (partitions: TestPartitions, block = 1): Promise<HandOver[]> =>
  until("the hand-over", () => {
    const found = partitions.chain.reports.get(1)?.handOvers;
    return found?.block === block ? found.ranges : null;
  });

async function appendMap(partitions: TestPartitions, ranges: HandOver[]): Promise<void> {
  const map = mapEntry(ranges);
  await partitions.chain.append({ 0: [map], 1: [map] });
}

const readF1 = (partitions: TestPartitions, partition: number): Promise<ReadReply> => {
  const { n } = partitions.chain.writer.position(partition);
  return partitions.chain.read(partition, { op: "cells", block: PENDING, atN: n, request: fakeSlotKey(addressOf("f1")) });
};

async function expectMoved(partitions: TestPartitions, want: number): Promise<void> {
  const there = await readF1(partitions, 0);
  expect(there.op === "cells" ? slotOf(there.cells) : there).toBe(want);
  expect(await readF1(partitions, 1)).toEqual({ op: "failed", failure: { code: "FOREIGN", account: addressOf("f1") } });
  expect(await partitions.slot("f2")).toBe(9);
}

test("an account moves at a block boundary, with what stood there then", async () => {
  const partitions = await begin();
  await Promise.all([partitions.start(0), partitions.start(1)]);
  await partitions.chain.append({ 1: [runOf(add("f1"))] });
  await partitions.chain.closeBlock(false, [MOVE]);
  const ranges = await handOvers(partitions);
  expect(ranges).toMatchObject([{ ...MOVE, chunks: [{ bytes: 85 }] }]);
  expect(partitions.chain.reports.get(0)?.handOvers).toBeNull();
  await appendMap(partitions, ranges);
  await expectMoved(partitions, 107);
  await until("the end of it in reports", () => partitions.chain.reports.get(1)?.handOvers === null);
  await partitions.chain.append({ 0: [runOf(add("f1"))] });
  await partitions.chain.closeBlock();
  expect(await partitions.slot("f1", 0)).toBe(207);
});

test("a move that is given up is forgotten, the next one is written out as of its own block", async () => {
  const partitions = await begin();
  await Promise.all([partitions.start(0), partitions.start(1)]);
  await partitions.chain.closeBlock(false, [MOVE]);
  await handOvers(partitions);
  await partitions.chain.append({ 1: [runOf(add("f1"))] });
  await until("the end of it in reports", () => partitions.chain.reports.get(1)?.handOvers === null);
  await partitions.chain.closeBlock(false, [MOVE]);
  await appendMap(partitions, await handOvers(partitions, 2));
  await expectMoved(partitions, 107);
});

test.each<[what: string, snapshot: boolean]>([
  ["from the log", false],
  ["from a snapshot of that block", true],
])("the old owner starts again %s before it has written out: written out then, the same", async (_what, snapshot) => {
  const partitions = await begin();
  const [, old] = await Promise.all([partitions.start(0), partitions.start(1)]);
  await partitions.chain.append({ 1: [runOf(add("f1"))] });
  await partitions.chain.closeBlock(snapshot, [MOVE]);
  const first = await handOvers(partitions);
  if (snapshot) await until("the snapshot", () => old.status().snapshots.includes(1));
  await partitions.stop(1);
  partitions.chain.reports.clear();
  const again = await partitions.start(1);
  expect(again.status().fromBlock).toBe(snapshot ? 1 : null);
  expect(await handOvers(partitions)).toEqual(first);
  await appendMap(partitions, first);
  await expectMoved(partitions, 107);
});

test("a chunk that cannot be had for a while holds the log up, and nothing that was applied before it is lost", async () => {
  const partitions = await begin();
  await partitions.start(1);
  await partitions.chain.append({ 0: [runOf(add("11"))] });
  await partitions.chain.closeBlock(false, [MOVE]);
  await appendMap(partitions, await handOvers(partitions));
  let failures = 0;
  const failing = (bus: Bus): Bus => {
    const get = (name: string): Promise<Uint8Array | undefined> =>
      name.startsWith("move/") && failures++ < 2
        ? Promise.reject(new IoError({ code: "UNREACHABLE", what: name }, "later"))
        : bus.objects.get(name);
    return { ...bus, objects: { ...bus.objects, get } };
  };
  // All of it comes in one batch.
  await partitions.start(0, { retryMsMin: 1, applyMsMax: 10_000 }, { seen: failing });
  const records = await partitions.chain.settled(0);
  expect(records.map(({ n }) => n)).toEqual(records.map((_, place) => place + 1));
  expect(failures).toBe(3);
  await expectMoved(partitions, 7);
});

test.each<[what: string, snapshot: boolean]>([
  ["the log", false],
  ["a snapshot before the map", true],
])("both owners start again from %s after the move: the same lattices", async (_what, snapshot) => {
  const partitions = await begin();
  const actors = await Promise.all([partitions.start(0), partitions.start(1)]);
  await partitions.chain.closeBlock(snapshot, [MOVE]);
  if (snapshot) await until("the snapshots", () => actors.every((actor) => actor.status().snapshots.includes(1)));
  await appendMap(partitions, await handOvers(partitions));
  await partitions.chain.append({ 0: [runOf(add("f1"))] });
  await partitions.chain.closeBlock();
  const before = [lattices(await partitions.chain.settled(0)), lattices(await partitions.chain.settled(1))];
  for (const partition of [0, 1]) await partitions.stop(partition);
  await Promise.all([partitions.start(0), partitions.start(1)]);
  await partitions.chain.closeBlock();
  const after = [lattices(await partitions.chain.settled(0)), lattices(await partitions.chain.settled(1))];
  for (const partition of [0, 1]) {
    for (const [block, lattice] of before[partition] ?? []) expect(after[partition]?.get(block)).toBe(lattice);
    expect(after[partition]?.get(3)).toBe(before[partition]?.get(2));
  }
  await expectMoved(partitions, 107);
});

test("a chunk that is not what the log says stops the partition that gains it", async () => {
  const partitions = await begin();
  const [gains] = await Promise.all([partitions.start(0), partitions.start(1)]);
  await partitions.chain.closeBlock(false, [MOVE]);
  const ranges = await handOvers(partitions);
  const object = ranges[0]?.chunks[0]?.object ?? "";
  partitions.server.objects.set(object, fakeSlotCell(addressOf("f1"), 8));
  await appendMap(partitions, ranges);
  await until("the stop", () => gains.status().stopped?.includes("HAND_OVER_DAMAGED"));
});

test("a snapshot that a move overtakes is given up", async () => {
  const partitions = await begin();
  await partitions.start(0);
  const old = await partitions.start(1, { chunkBytes: 1 });
  const held = Promise.withResolvers<void>();
  const bus = partitions.busOf(1);
  const put = bus.objects.put.bind(bus.objects);
  bus.objects.put = async (name, bytes) => {
    if (name.startsWith("snapshot/")) await held.promise;
    return put(name, bytes);
  };
  await partitions.chain.append({ 1: [runOf(...["a1", "a2", "a3", "a4", "a5", "a6"].map((account) => add(account)))] });
  await partitions.chain.closeBlock(true, [MOVE]);
  await appendMap(partitions, await handOvers(partitions));
  await expectMoved(partitions, 7);
  held.resolve();
  await until("the end of it", () => partitions.lines.includes("warn Snapshot given up; the next one is due later"));
  expect(old.status().snapshots).toEqual([]);
});

test("what was handed over is kept until both snapshots of who gained it are past it", async () => {
  const partitions = await begin();
  const [gains] = await Promise.all([partitions.start(0), partitions.start(1)]);
  const moved = () => [...partitions.server.objects.keys()].filter((name) => name.startsWith("move/")).length;
  await partitions.chain.closeBlock(false, [MOVE]);
  await appendMap(partitions, await handOvers(partitions));
  for (const block of [2, 3]) {
    expect(moved()).toBe(1);
    await partitions.chain.closeBlock(true);
    await until(`the snapshot of block ${block}`, () => gains.status().snapshots[0] === block);
  }
  await until("the chunk to go", () => moved() === 0);
});

const call = (...accounts: string[]): CallRequest => ({
  from: addressOf("01"),
  to: addressOf("02"),
  data: concatBytes(accounts.map(addressOf)),
  value: new Uint8Array(32),
  gasLimit: 10_000_000,
  accessList: new Uint8Array(0),
  given: new Uint8Array(0),
  traced: false,
});

/** What is said of slots at a block: their sum, or why not. */
async function said(partitions: TestPartitions, op: "cells" | "call" | "estimate", block: number, ...accounts: string[]) {
  const { n: atN } = partitions.chain.writer.position(0);
  const request = concatBytes(accounts.map((account) => fakeSlotKey(addressOf(account))));
  const reply = await (op === "cells"
    ? partitions.chain.read(0, { op, block, atN, request })
    : partitions.chain.read(0, { op, block, atN, call: call(...accounts) }));
  if (reply.op === "failed") return reply.failure;
  if (reply.op === "estimate") return "estimated";
  if (reply.op === "cells") return reply.cells[84];
  return reply.op === "call" && reply.result.status === "success" ? [reply.result.output[31], reply.result.access] : reply;
}

test.each<[what: string, restart: boolean]>([
  ["who gained it", false],
  ["who gained it and starts again", true],
])("an account that moved has no past with %s; all others have", async (_what, restart) => {
  const partitions = await begin();
  await Promise.all([partitions.start(0), partitions.start(1)]);
  await partitions.chain.append({ 0: [runOf(add("11"))], 1: [runOf(add("f1"))] });
  await partitions.chain.closeBlock();
  await partitions.chain.append({ 0: [runOf(add("11"))], 1: [runOf(add("f1"))] });
  await partitions.chain.closeBlock(false, [MOVE]);
  await appendMap(partitions, await handOvers(partitions, 2));
  await partitions.chain.append({ 0: [runOf(add("f1"))] });
  await partitions.chain.closeBlock();
  if (restart) {
    await partitions.stop(0);
    await partitions.start(0);
  }
  const pruned = { code: "PRUNED", oldest: 2 };
  for (const op of ["cells", "call", "estimate"] as const) expect(await said(partitions, op, 1, "f1")).toEqual(pruned);
  expect(await said(partitions, "call", 1, "11", "f1")).toEqual(pruned);
  expect(await said(partitions, "cells", 2, "f1")).toBe(207);
  expect(await said(partitions, "call", 3, "f1")).toEqual([307 - 256, null]);
  expect(await said(partitions, "cells", 1, "11")).toBe(105);
  expect(await said(partitions, "call", 1, "11", "f2")).toEqual([114, null]);
  expect(await said(partitions, "estimate", 1, "11")).toBe("estimated");
});

test("a partition that calls an account that moved elsewhere is told from when on it can", async () => {
  const partitions = await begin();
  await Promise.all([partitions.start(0), partitions.start(1)]);
  await partitions.chain.closeBlock();
  await partitions.chain.closeBlock(false, [MOVE]);
  await appendMap(partitions, await handOvers(partitions, 2));
  const { n: atN } = partitions.chain.writer.position(1);
  const read = (block: number) => partitions.chain.read(1, { op: "call", block, atN, call: call("f1", "f2") });
  expect(await read(1)).toEqual({ op: "failed", failure: { code: "PRUNED", oldest: 2 } });
  expect(await read(2)).toMatchObject({ op: "call", result: { status: "success" } });
});

test("a call that the map overtakes is run again by the new map", async () => {
  const held = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  class SlowEngine extends FakeEngine {
    #calls = 0;
    override async call(block: number, request: CallRequest): Promise<CallResult> {
      if (this.#calls++ > 0) return super.call(block, request);
      begun.resolve();
      await held.promise;
      return super.call(block, request);
    }
  }
  const partitions = await begin();
  await partitions.start(0, {}, { engine: () => new SlowEngine() });
  await partitions.start(1);
  await partitions.chain.closeBlock();
  await partitions.chain.closeBlock(false, [MOVE]);
  const ranges = await handOvers(partitions, 2);
  await partitions.chain.settled(0);
  const { n: atN } = partitions.chain.writer.position(0);
  const answer = partitions.chain.read(0, { op: "call", block: 1, atN, call: call("f1") });
  await begun.promise;
  await appendMap(partitions, ranges);
  await expectMoved(partitions, 7);
  held.resolve();
  expect(await answer).toEqual({ op: "failed", failure: { code: "PRUNED", oldest: 2 } });
});
