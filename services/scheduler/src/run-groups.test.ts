/** The shell with transactions over several partitions: proposals, misses, administrators. */
import { SUBJECT, decodeAdminReply, encodeAdminRequest, encodeMisses, memoryServer } from "@meridian/bus";
import type { MemoryServer } from "@meridian/bus";
import { DECLARED_BYTES, MODE, TOUCH, WHY, assert, hexOf, isIoError, writeU16, writeU32 } from "@meridian/core";
import type { AdminReply, AdminRequest } from "@meridian/core";
import { accountOf, transferRecord } from "@meridian/core/sequencer/testing";
import type { TestTransfer } from "@meridian/core/sequencer/testing";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { FakeClient, FakePartitions } from "./testing/cluster.ts";
import { builtHash, fakeArchive, fakeClient, fakePartitions } from "./testing/cluster.ts";
import type { TestScheduler } from "./testing/start.ts";
import { TEST_GENESIS, startScheduler } from "./testing/start.ts";

vi.setConfig({ testTimeout: 30_000 });
const WAIT = { timeout: 10_000, interval: 5 };

let server: MemoryServer;
let schedulers: TestScheduler[];
let partitions: FakePartitions;
let client: FakeClient;
let stopArchive: () => void = () => undefined;

beforeEach(() => {
  server = memoryServer();
  schedulers = [];
  client = fakeClient(server.connect());
});

afterEach(async () => {
  stopArchive();
  for (const scheduler of schedulers) await scheduler.stop().catch(() => undefined);
  client.stop();
  partitions.stop();
  expect(partitions.failure()).toBeUndefined();
});

async function start(options: Parameters<typeof startScheduler>[2] = {}): Promise<void> {
  schedulers.push(startScheduler(server.connect(), "a", options));
  await vi.waitFor(() => expect(schedulers[0]?.status().role).toBe("leader"), WAIT);
  const bus = server.connect();
  partitions = await fakePartitions(bus);
  stopArchive = fakeArchive(bus, partitions.ledger);
  await vi.waitFor(() => expect(client.beat()?.latest.hash).toEqual(builtHash(client.beat()?.latest.number ?? -1)), WAIT);
}

/** Every sender pays into two accounts. */
const crossing = (senders: number, nonces: number): TestTransfer[] =>
  Array.from({ length: senders * nonces }, (_, number) => ({
    ...{ sender: number % senders, nonce: Math.floor(number / senders), to: number % 7 },
    declared: [[10 + (number % 5), MODE.write]],
  }));

async function ask(request: AdminRequest): Promise<AdminReply> {
  const payload = encodeAdminRequest(request);
  return decodeAdminReply(await server.connect().wire.request(SUBJECT.admin, payload, { timeoutMs: 500 }));
}

test("groups are proposed, applied and do not cross blocks", async () => {
  await start();
  await client.send(crossing(20, 5));
  await vi.waitFor(() => expect(partitions.ledger.executed.size).toBe(100), WAIT);
  expect(client.acknowledged.size).toBe(100);
  const number = client.beat()?.latest.number ?? 0;
  await vi.waitFor(() => expect(client.beat()?.latest.number).toBeGreaterThan(number + 2), WAIT);
  expect(partitions.ledger.groups.size).toBe(0);
});

test("a new leader goes on with the groups of the old one", async () => {
  await start();
  const sending = client.send(crossing(20, 20));
  await vi.waitFor(() => expect(partitions.ledger.executed.size).toBeGreaterThan(50), WAIT);
  schedulers.push(startScheduler(server.connect(), "b"));
  await schedulers[0]?.stop();
  await sending;
  await vi.waitFor(() => expect(partitions.ledger.executed.size).toBe(400), WAIT);
  expect(client.beat()?.term).toBeGreaterThan(1);
});

test("misses are taken, and those of a block that is not open are passed over", async () => {
  await start({ blockMs: 60_000 });
  const record = transferRecord({ sender: 0, nonce: 0 });
  const touch = new Uint8Array(TOUCH.accounts + DECLARED_BYTES);
  writeU32(touch, 0, touch.length);
  touch[TOUCH.why] = WHY.outside;
  writeU16(touch, TOUCH.count, 1);
  touch.set(accountOf(9), TOUCH.accounts + 1);
  const { wire } = server.connect();
  const open = client.beat()?.open.number ?? 0;
  const say = (block: number) => {
    wire.publish(SUBJECT.misses, encodeMisses({ partition: 2, block, first: 0, missed: [{ flush: 1, record, touch }] }));
  };
  say(open + 1);
  expect(client.beat()?.missesTaken).toEqual([]);
  say(open);
  await vi.waitFor(() => expect(client.beat()?.missesTaken).toEqual([[2, 1]]), WAIT);
});

test("an administrator moves an account, and the published map shows it", async () => {
  await start({ admin: true, partitions: 2 });
  const address = accountOf(3);
  const before = await ask({ op: "map" });
  assert(before.op === "map" && !before.moving && before.map.version === 1, "a map");
  const owner = partitions.ledger.ranges.ownerOf(address, 0);
  expect(await ask({ op: "pin", address, partition: 1 - owner })).toEqual({ op: "moving", version: 2 });
  await vi.waitFor(() => expect(client.beat()?.mapVersion).toBe(2), WAIT);
  await client.send([{ sender: 0, nonce: 0, to: 3 }]);
  expect(partitions.ledger.ranges.map.pins).toEqual([{ address: hexOf(address), partition: 1 - owner }]);
  const published = server.connect().settings;
  await vi.waitFor(async () => expect((await published.getMap())?.version).toBe(2), WAIT);
});

test("without the setting nobody answers administrators", async () => {
  await start();
  const refusal: unknown = await ask({ op: "map" }).catch((error: unknown) => error);
  expect(isIoError(refusal)).toBe(true);
});

test("accounts are placed by the genesis file", async () => {
  const genesis = JSON.parse(TEST_GENESIS) as { config: object };
  const pins = { [hexOf(accountOf(3))]: 1, [hexOf(accountOf(4))]: 0 };
  await start({ genesis: JSON.stringify({ ...genesis, config: { ...genesis.config, meridian: { pins } } }), partitions: 2 });
  expect(partitions.ledger.ranges.ownerOf(accountOf(3), 0)).toBe(1);
  expect(partitions.ledger.ranges.ownerOf(accountOf(4), 0)).toBe(0);
  const other = startScheduler(memoryServer().connect(), "c", {
    genesis: JSON.stringify({ ...genesis, config: { ...genesis.config, meridian: { pins: { [hexOf(accountOf(3))]: 2 } } } }),
    partitions: 2,
  });
  await expect(other.done).rejects.toMatchObject({ detail: { code: "GENESIS", got: 2 } });
});
