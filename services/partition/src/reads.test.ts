import { afterEach, expect, test } from "vitest";
import { memoryServer } from "@meridian/bus";
import type { MemoryServer } from "@meridian/bus";
import { NONCE_STATE_BYTES, PENDING, concatBytes } from "@meridian/core";
import type { CallRequest, CallResult, PartitionId, ReadReply } from "@meridian/core";
import { FakeEngine, addressOf, fakeSlotCell, fakeSlotKey, runEntry } from "@meridian/core/actor/testing";
import { runPartition } from "./run.ts";
import type { ActorLimits } from "./run.ts";
import { TestChain, recordingTelemetry, until } from "./testing/chain.ts";

const open: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of open.splice(0).reverse()) await end();
});

/** A chain of two partitions, "0…" to "7…" and "8…" to "f…", whose slots are counted up by transactions. */
async function begin(limits: Partial<ActorLimits> = {}, engine = () => new FakeEngine()) {
  const server = memoryServer();
  const bus = server.connect();
  const chain = await TestChain.begin(bus, 2);
  open.push(async () => {
    await chain.end();
    await bus.close();
  });
  const actors = await Promise.all([0, 1].map((partition) => start(server, partition, limits, engine)));
  return { server, chain, actors };
}

async function start(server: MemoryServer, partition: PartitionId, limits: Partial<ActorLimits>, engine: () => FakeEngine) {
  const bus = server.connect();
  const ports = { bus, engines: { open: engine }, telemetry: recordingTelemetry([]) };
  const actor = await runPartition(ports, { partition, host: "host", memoryBytesMax: 1 << 30, limits });
  open.push(async () => {
    await actor.stop();
    await bus.close();
  });
  return actor;
}

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

/** The sum that a fake call answers with; or the failure's code. */
function sumOf(reply: ReadReply): number | string {
  if (reply.op === "failed") return reply.failure.code;
  if (reply.op !== "call" || reply.result.status !== "success") return "no success";
  return reply.result.output[31] ?? 0;
}

test("cells and calls at a block see that block, at PENDING the present", async () => {
  const { chain } = await begin();
  await chain.append({ 0: [runEntry(["11"])] });
  const first = await chain.closeBlock();
  await chain.append({ 0: [runEntry(["11", "12"])] });
  const second = await chain.closeBlock();
  await chain.append({ 0: [runEntry(["11"])] });
  const { n } = chain.writer.position(0);
  const request = concatBytes([fakeSlotKey(addressOf("11")), fakeSlotKey(addressOf("12"))]);
  const want: [number, number, number][] = [
    [first, 1, 0],
    [second, 2, 1],
    [PENDING, 3, 1],
  ];
  for (const [block, one, two] of want) {
    const cells = concatBytes([fakeSlotCell(addressOf("11"), one), fakeSlotCell(addressOf("12"), two)]);
    expect(await chain.read(0, { op: "cells", block, atN: n, request })).toEqual({ op: "cells", cells });
    expect(sumOf(await chain.read(0, { op: "call", block, atN: n, call: call("11", "12") }))).toBe(one + two);
  }
});

test("nonces are of the present, with the hash that wrote them", async () => {
  const { chain } = await begin();
  await chain.append({ 0: [runEntry(["11", "11"], "01", 7)] });
  const addresses = concatBytes([addressOf("01"), addressOf("02")]);
  const reply = await chain.read(0, { op: "nonces", atN: chain.writer.position(0).n, addresses });
  const want = new Uint8Array(2 * NONCE_STATE_BYTES);
  want[0] = 9;
  want.fill(9, 9, NONCE_STATE_BYTES);
  expect(reply).toEqual({ op: "nonces", nonces: want });
});

test("a read waits for its position and its block, and says how far it is if they do not come", async () => {
  const { chain } = await begin({ readWaitMs: 100 });
  const request = fakeSlotKey(addressOf("11"));
  const { n } = chain.writer.position(0);
  const waiting = chain.read(0, { op: "cells", block: 1, atN: n + 2, request });
  await chain.append({ 0: [runEntry(["11"])] });
  await chain.closeBlock();
  expect(await waiting).toEqual({ op: "cells", cells: fakeSlotCell(addressOf("11"), 1) });
  const late = await chain.read(0, { op: "cells", block: 2, atN: 0, request });
  expect(late).toEqual({ op: "failed", failure: { code: "BEHIND", newest: 1 } });
  const far = await chain.read(0, { op: "nonces", atN: 99, addresses: addressOf("01") });
  expect(far).toEqual({ op: "failed", failure: { code: "BEHIND", newest: 1 } });
});

test("a block whose versions are gone is answered with the oldest there is", async () => {
  const { chain } = await begin();
  for (let blocks = 0; blocks < 70; blocks++) await chain.closeBlock();
  const request = fakeSlotKey(addressOf("11"));
  await chain.settled();
  const cells = await chain.read(0, { op: "cells", block: 2, atN: 0, request });
  const called = await chain.read(0, { op: "call", block: 2, atN: 0, call: call("11") });
  for (const reply of [cells, called]) expect(reply).toEqual({ op: "failed", failure: { code: "PRUNED", oldest: 5 } });
});

test("what another partition owns is refused with the account", async () => {
  const { chain } = await begin();
  await chain.settled(1);
  const failure = { code: "FOREIGN", account: addressOf("f1") };
  const request = concatBytes([fakeSlotKey(addressOf("11")), fakeSlotKey(addressOf("f1"))]);
  expect(await chain.read(0, { op: "cells", block: 0, atN: 0, request })).toEqual({ op: "failed", failure });
  expect(await chain.read(0, { op: "nonces", atN: 0, addresses: addressOf("f1") })).toEqual({ op: "failed", failure });
});

test("a call over partitions sees all of them at one block", async () => {
  const { chain } = await begin();
  await chain.append({ 0: [runEntry(["11"])], 1: [runEntry(["f1", "f2"], "f9")] });
  const block = await chain.closeBlock();
  await chain.append({ 0: [runEntry(["11"])], 1: [runEntry(["f1", "f2"], "f9", 2)] });
  await chain.settled(0);
  await chain.settled(1);
  expect(sumOf(await chain.read(0, { op: "call", block, atN: 0, call: call("11", "f1", "f2") }))).toBe(3);
  expect(sumOf(await chain.read(0, { op: "call", block: PENDING, atN: 0, call: call("11", "f1", "f2") }))).toBe(6);
});

test.each<[what: string, limits: Partial<ActorLimits>, accounts: string[]]>([
  ["more cells than allowed", { givenCellsMax: 1 }, ["f1", "f2"]],
  ["more rounds than allowed", { givenRoundsMax: 0 }, ["f1"]],
])("a call that needs %s names an account that it cannot have", async (_what, limits, accounts) => {
  const { chain } = await begin(limits);
  const reply = await chain.read(0, { op: "call", block: 0, atN: 0, call: call(...accounts) });
  expect(reply).toEqual({ op: "failed", failure: { code: "FOREIGN", account: addressOf("f1") } });
});

test("a call that needs a silent partition names the account", async () => {
  const { chain, actors } = await begin({ fetchMs: 50 });
  await actors[1]?.stop();
  const reply = await chain.read(0, { op: "call", block: 0, atN: 0, call: call("f1") });
  expect(reply).toEqual({ op: "failed", failure: { code: "FOREIGN", account: addressOf("f1") } });
});

test("an estimate finds what the call needs, over partitions too", async () => {
  const { chain } = await begin();
  const estimate = await chain.read(0, { op: "estimate", block: 0, atN: 0, call: call(...Array<string>(100).fill("f1")) });
  expect(estimate).toMatchObject({ op: "estimate" });
  const gas = estimate.op === "estimate" ? estimate.gas : 0;
  expect(gas).toBeGreaterThanOrEqual(31_000);
  expect(gas).toBeLessThan(31_000 * 1.05);
  const failing = { ...call("11", "12"), gasLimit: 21_100 };
  const reply = await chain.read(0, { op: "estimate", block: 0, atN: 0, call: failing });
  expect(reply).toMatchObject({ op: "failed", failure: { code: "CALL", result: { status: "halt", why: "out of gas" } } });
});

/** Its calls end only when the test says so. */
class HeldEngine extends FakeEngine {
  readonly held = Promise.withResolvers<void>();
  override async call(block: number, request: CallRequest): Promise<CallResult> {
    await this.held.promise;
    return super.call(block, request);
  }
}

test("calls above the bound are refused, and calls that run do not hold the log", async () => {
  const engines: HeldEngine[] = [];
  const { chain } = await begin({ callsMax: 2 }, () => engines[engines.push(new HeldEngine()) - 1] ?? new HeldEngine());
  const request = { op: "call", block: 0, atN: 0, call: call("11") } as const;
  await chain.settled();
  const running = [chain.read(0, request), chain.read(0, request)];
  const refused = await until("the third to be refused", async () => chain.read(0, request));
  expect(refused).toEqual({ op: "failed", failure: { code: "BUSY", limit: 2 } });
  await chain.append({ 0: [runEntry(["11"])] });
  await chain.closeBlock();
  expect((await chain.settled()).at(-1)?.block?.entry.number).toBe(1);
  for (const { held } of engines) held.resolve();
  expect((await Promise.all(running)).map(sumOf)).toEqual([0, 0]);
});

test("reads above the bound are refused", async () => {
  const { chain } = await begin({ readsMax: 1 });
  const waiting = chain.read(0, { op: "nonces", atN: 3, addresses: addressOf("01") });
  const refused = await chain.read(0, { op: "nonces", atN: 3, addresses: addressOf("01") });
  expect(refused).toEqual({ op: "failed", failure: { code: "BUSY", limit: 1 } });
  await chain.append({ 0: [runEntry(["11"])] });
  expect(await waiting).toMatchObject({ op: "nonces" });
});
