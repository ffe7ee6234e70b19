import { afterEach, expect, test } from "vitest";
import { SUBJECT, encodeLogMessage, hashHeader, hashOf, memoryServer } from "@meridian/bus";
import type { MemoryBus, MemoryServer } from "@meridian/bus";
import type { Entry, OutRecord, PartitionId } from "@meridian/core";
import { FakeEngine, addressOf, blockEntry, fakeSlotCell, runEntry, sealEntry } from "@meridian/core/actor/testing";
import { runPartition } from "./run.ts";
import type { Actor, ActorLimits } from "./run.ts";
import { TestChain, lattices, recordingTelemetry, until } from "./testing/chain.ts";

/** What to end after a test, last first. */
const open: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of open.splice(0).reverse()) await end();
});

async function begin(count = 1, genesis?: Uint8Array): Promise<{ server: MemoryServer; chain: TestChain }> {
  const server = memoryServer();
  const bus = server.connect();
  open.push(() => bus.close());
  const chain = await TestChain.begin(bus, count, genesis);
  open.push(() => chain.end());
  return { server, chain };
}

interface Started {
  actor: Actor;
  bus: MemoryBus;
  engines: FakeEngine[];
  lines: string[];
}

async function start(server: MemoryServer, partition: PartitionId = 0, limits: Partial<ActorLimits> = {}): Promise<Started> {
  const bus = server.connect();
  const engines: FakeEngine[] = [];
  const lines: string[] = [];
  const opening = { open: () => engines[engines.push(new FakeEngine()) - 1] ?? new FakeEngine() };
  const ports = { bus, engines: opening, telemetry: recordingTelemetry(lines) };
  const actor = await runPartition(ports, { partition, host: "host", memoryBytesMax: 1 << 30, limits });
  open.push(async () => {
    await actor.stop();
    await bus.close();
  });
  return { actor, bus, engines, lines };
}

const run = (...accounts: string[]): Entry => runEntry(accounts);
const ns = (records: OutRecord[]): number[] => records.map(({ n }) => n);
const counted = (length: number): number[] => Array.from({ length }, (_, index) => index + 1);

/** Blocks of two flushes each; a snapshot at those named. */
async function fill(chain: TestChain, blocks: number, snapshots: number[] = []): Promise<void> {
  for (let count = 0; count < blocks; count++) {
    await chain.append({ 0: [run("a1", "a2")] });
    await chain.append({ 0: [run("a3")] });
    const number = chain.nextBlock;
    await chain.closeBlock(snapshots.includes(number));
  }
}

test("every message becomes one record, in order, and reports say so", async () => {
  const { server, chain } = await begin();
  await fill(chain, 3);
  const { actor } = await start(server);
  const records = await chain.settled();
  expect(ns(records)).toEqual(counted(11));
  expect([...lattices(records).keys()]).toEqual([0, 1, 2, 3]);
  await until("a report of the last message", () => chain.reports.get(0)?.n === 11);
  expect(chain.reports.get(0)).toMatchObject({ closedBlock: 3, transactions: 9, accounts: 4, slots: 3, stopped: null });
  expect(actor.status()).toMatchObject({ n: 11, isCaughtUp: true, fromBlock: null });
});

test("a partition that waits for its chain begins with it", async () => {
  const server = memoryServer();
  const starting = start(server);
  const bus = server.connect();
  const chain = await TestChain.begin(bus, 1, fakeSlotCell(addressOf("a1"), 5));
  open.push(() => chain.end());
  const { engines } = await starting;
  await chain.settled();
  expect(engines[0]?.memory().slots).toBe(1);
});

test("a restart from a snapshot goes on with the same lattices and publishes nothing twice", async () => {
  const { server, chain } = await begin();
  const first = await start(server);
  await fill(chain, 2, [2]);
  await until("the snapshot", () => first.actor.status().snapshots.includes(2));
  await first.actor.stop();
  await fill(chain, 2);
  const second = await start(server);
  const records = await chain.settled();
  expect(ns(records)).toEqual(counted(14));
  expect(second.actor.status().fromBlock).toBe(2);
  expect(second.engines[0]?.calls[0]).toBe("own 1");
  const undisturbed = await begin();
  await start(undisturbed.server);
  await fill(undisturbed.chain, 4);
  expect(lattices(records)).toEqual(lattices(await undisturbed.chain.settled()));
});

test("the newest two snapshots are kept, and the log reaches back to the older one", async () => {
  const { server, chain } = await begin();
  const { actor } = await start(server);
  for (const block of [1, 2, 3]) {
    await fill(chain, 1, [block]);
    await until(`the snapshot of block ${block}`, () => actor.status().snapshots[0] === block);
  }
  await until("the log to be cut", async () => server.streams.LOG.next("log.0", 1)?.sequence === 9);
  expect([...server.objects.keys()].filter((name) => name.startsWith("snapshot/"))).toEqual(
    ["2", "3"].flatMap((block) => [
      "snapshot/0/" + block + "/000000",
      "snapshot/0/" + block + "/000001",
      "snapshot/0/" + block + "/000002",
      "snapshot/0/" + block + "/000003",
    ]),
  );
});

/** Snapshots of blocks 2 and 4, then one more block; the partition is stopped. */
async function withSnapshots(): Promise<{ server: MemoryServer; chain: TestChain; want: Map<number, string> }> {
  const { server, chain } = await begin();
  const first = await start(server);
  await fill(chain, 2, [2]);
  await until("the first snapshot", () => first.actor.status().snapshots[0] === 2);
  await fill(chain, 2, [4]);
  await until("the second snapshot", () => first.actor.status().snapshots[0] === 4);
  await until("the log to be cut", () => (server.streams.LOG.next("log.0", 1)?.sequence ?? 0) > 1);
  await fill(chain, 1);
  const want = lattices(await chain.settled());
  await first.actor.stop();
  return { server, chain, want };
}

function flipByte(server: MemoryServer, object: string): void {
  const bytes = server.objects.get(object)?.slice() ?? new Uint8Array(1);
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
  server.objects.set(object, bytes);
}

test("a damaged chunk: the older snapshot and the log from there", async () => {
  const { server, chain, want } = await withSnapshots();
  flipByte(server, "snapshot/0/4/000001");
  const { actor, lines } = await start(server);
  expect(actor.status().fromBlock).toBe(2);
  expect(lines).toContain("error A snapshot is damaged; going on from the snapshot of block 2");
  await until("the damaged one to be taken again", () => actor.status().snapshots.join() === "4,2");
  await fill(chain, 1, [6]);
  const records = await chain.settled();
  expect(ns(records)).toEqual(counted(20));
  for (const [block, lattice] of want) expect(lattices(records).get(block)).toBe(lattice);
  await until("the next one", () => actor.status().snapshots.join() === "6,4");
});

test("cells that do not have the block's lattice are no snapshot either", async () => {
  const { server } = await withSnapshots();
  const record = new TextDecoder().decode(server.settings.get("record.snapshot.0")?.value);
  const without = JSON.parse(record) as { snapshots: { manifest: string; sha256: string }[] };
  const manifest = JSON.parse(without.snapshots[0]?.manifest ?? "") as { chunks: unknown[] };
  manifest.chunks.pop();
  const text = JSON.stringify(manifest);
  const sha256 = Buffer.from(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))).toString("hex");
  without.snapshots[0] = { manifest: text, sha256 };
  server.settings.set("record.snapshot.0", { value: new TextEncoder().encode(JSON.stringify(without)), revision: 1_000 });
  const { actor } = await start(server);
  expect(actor.status().fromBlock).toBe(2);
});

test("no whole snapshot and a log that is cut: stopped, with what is wrong", async () => {
  const { server, chain } = await withSnapshots();
  flipByte(server, "snapshot/0/4/000001");
  server.objects.delete("snapshot/0/2/000000");
  const { actor } = await start(server);
  await until("the stop", () => actor.status().stopped);
  expect(actor.status().stopped).toContain("SNAPSHOT_DAMAGED");
  expect(actor.status().stopped).toContain("snapshot/0/4/000001");
  expect(actor.status().stopped).toContain("snapshot/0/2/000000: the object is not there");
  await until("the report", () => chain.reports.get(0)?.stopped?.includes("SNAPSHOT_DAMAGED"));
});

test("no whole snapshot but a log from genesis: replayed from there", async () => {
  const { server, chain } = await begin();
  const first = await start(server);
  await fill(chain, 2, [1]);
  await until("the snapshot", () => first.actor.status().snapshots[0] === 1);
  await chain.settled();
  await first.actor.stop();
  flipByte(server, "snapshot/0/1/000000");
  const second = await start(server);
  await until("the replay", () => second.actor.status().n === 8);
  expect(second.actor.status()).toMatchObject({ fromBlock: null, stopped: null });
  expect(ns(await chain.settled())).toEqual(counted(8));
});

test("one that stood still while another process cut the log starts again from the other's snapshot", async () => {
  const { server, chain } = await begin();
  const late = await start(server);
  await until("genesis", () => late.actor.status().n === 2);
  late.bus.disconnect();
  const other = await start(server);
  for (const blocks of [2, 4]) {
    await fill(chain, 2, [blocks]);
    await until("a snapshot", () => other.actor.status().snapshots[0] === blocks);
  }
  await until("the log to be cut", () => (server.streams.LOG.next("log.0", 1)?.sequence ?? 0) > 3);
  late.bus.reconnect();
  await expect(late.actor.done).rejects.toMatchObject({ detail: { code: "PASSED", block: 4 } });
  expect(late.actor.status().stopped).toBeNull();
});

test("a start whose snapshot another process removes begins from a newer one the next time", async () => {
  const { server } = await withSnapshots();
  const { get } = server.objects;
  const record = server.settings.get("record.snapshot.0");
  const newer = new TextDecoder().decode(record?.value);
  const { snapshots } = JSON.parse(newer) as { snapshots: unknown[] };
  const older = new TextEncoder().encode(JSON.stringify({ format: 1, snapshots: snapshots.slice(1) }));
  server.settings.set("record.snapshot.0", { value: older, revision: 1_000 });
  server.objects.get = (name) => {
    if (name.startsWith("snapshot/0/2/") && record !== undefined) server.settings.set("record.snapshot.0", record);
    return name.startsWith("snapshot/0/2/") ? undefined : get.call(server.objects, name);
  };
  await expect(start(server)).rejects.toMatchObject({ detail: { code: "PASSED", block: 4 } });
  expect((await start(server)).actor.status().fromBlock).toBe(4);
});

test.each<[what: string, harm: (server: MemoryServer) => void, why: string, goodN: number]>([
  ["a flipped byte in a message", (server) => flipLogByte(server, 4), "CHAIN_BROKEN", 3],
  ["a message of another chain", (server) => plant(server, 8, [run("a1")], 8), "CHAIN_BROKEN", 8],
  ["a lost message", (server) => server.faults.erase("LOG", 5), "GAP", 4],
])("%s stops the partition for good", async (_what, harm, why, goodN) => {
  const { server, chain } = await begin();
  await fill(chain, 2);
  harm(server);
  const { actor, lines } = await start(server);
  await until("the stop", () => actor.status().stopped);
  expect(actor.status().stopped).toContain(why);
  expect(lines).toContain("error The partition stops for good: its log cannot be gone on with");
  expect(actor.status().n).toBeLessThanOrEqual(goodN);
  await until("the report", () => chain.reports.get(0)?.stopped?.includes(why));
  const reply = await chain.read(0, { op: "nonces", atN: 0, addresses: addressOf("01") });
  expect(reply).toMatchObject({ op: "failed", failure: { code: "STOPPED" } });
});

/** Flips a bit of an account inside the message, so that it can still be decoded. */
function flipLogByte(server: MemoryServer, sequence: number): void {
  const payload = server.streams.LOG.at(sequence)?.payload ?? new Uint8Array(0);
  const at = Buffer.from(payload).indexOf(Buffer.from(addressOf("a3")));
  payload[at] = (payload[at] ?? 0) ^ 1;
}

function plant(server: MemoryServer, n: number, entries: Entry[], flush: number): void {
  const message = { partition: 0, n: n + 1, term: 1, flush: flush + 1, entries };
  const payload = encodeLogMessage({ message, previousHash: new Uint8Array(32).fill(3) });
  server.faults.plant("LOG", SUBJECT.log(0), payload, hashHeader(hashOf(payload)));
}

test.each<[what: string, entries: Entry[], why: string]>([
  ["rules that it does not know", [blockEntry(1, { rules: 9 })], "RULES_UNKNOWN"],
  ["a block that is not open", [blockEntry(5)], "LOG_INVALID"],
  ["a seal of a block that is open", [sealEntry(1)], "LOG_INVALID"],
])("stops before %s", async (_what, entries, why) => {
  const { server, chain } = await begin();
  await chain.append({ 0: entries });
  const { actor, engines } = await start(server);
  await until("the stop", () => actor.status().stopped?.includes(why));
  expect(actor.status().n).toBe(2);
  expect(engines[0]?.calls.at(-1)).toBe("open 1");
});

test("genesis cells that are not those of the log stop the partition", async () => {
  const { server } = await begin(1, fakeSlotCell(addressOf("a1"), 5));
  flipByte(server, "genesis");
  const { actor } = await start(server);
  await until("the stop", () => actor.status().stopped?.includes("GENESIS_DAMAGED"));
});

test("a crash between applying and publishing leaves no gap and doubles nothing", async () => {
  const { server, chain } = await begin();
  await fill(chain, 1);
  const first = await start(server);
  await chain.settled();
  await first.actor.stop();
  const release = server.faults.hold("OUT");
  await fill(chain, 2);
  const crashed = await start(server);
  await until("it to apply", () => crashed.actor.status().n === 11);
  crashed.bus.disconnect();
  release();
  const second = await start(server);
  const records = await chain.settled();
  expect(ns(records)).toEqual(counted(11));
  expect(second.actor.status().stopped).toBeNull();
});

test.each<[what: string, fromSnapshot: boolean]>([
  ["the whole log", false],
  ["a snapshot", true],
])("a restart from %s whose results differ from those in OUT stops the partition", async (_what, fromSnapshot) => {
  const { server, chain } = await begin();
  const first = await start(server);
  await fill(chain, 2, fromSnapshot ? [2] : []);
  if (fromSnapshot) await until("the snapshot", () => first.actor.status().snapshots.includes(2));
  await chain.append({ 0: [run("a1", "a3")] });
  await chain.settled();
  await first.actor.stop();
  const payload = server.streams.OUT.last("out.0")?.payload ?? new Uint8Array(0);
  const at = Buffer.from(payload).lastIndexOf(Buffer.from(addressOf("a3")));
  expect(at).toBeGreaterThan(0);
  payload[at] = (payload[at] ?? 0) ^ 1;
  const second = await start(server);
  expect(second.actor.status().fromBlock).toBe(fromSnapshot ? 2 : null);
  await until("the last message", () => second.actor.status().n === 9);
  await chain.append({ 0: [run("a1")] });
  await until("the stop", () => second.actor.status().stopped?.includes("OUT_UNEQUAL"));
  await until("the report", () => chain.reports.get(0)?.stopped?.includes("OUT_UNEQUAL"));
});

test("two hosts with the same partition make one OUT", async () => {
  const { server, chain } = await begin();
  await Promise.all([start(server), start(server)]);
  await fill(chain, 20);
  expect(ns(await chain.settled())).toEqual(counted(62));
});

test("while OUT takes nothing the log waits, and nothing is lost", async () => {
  const { server, chain } = await begin();
  server.faults.full("OUT", "no space left");
  const { actor, lines } = await start(server, 0, { outBytesMax: 2_000, retryMsMin: 5, applyMsMax: 0 });
  await fill(chain, 10);
  await until("the warning", () => lines.some((line) => line.startsWith("warn OUT does not take the records")));
  expect(actor.status().n).toBeLessThan(20);
  server.faults.full("OUT", null);
  expect(ns(await chain.settled())).toEqual(counted(32));
});

test("a lost connection is waited for", async () => {
  const { server, chain } = await begin();
  const { bus, actor } = await start(server);
  await fill(chain, 1);
  await chain.settled();
  bus.disconnect();
  await fill(chain, 1);
  bus.reconnect();
  expect(ns(await chain.settled())).toEqual(counted(8));
  expect(actor.status().stopped).toBeNull();
});

test("a snapshot whose versions run out is given up, the next one is taken", async () => {
  const { server, chain } = await begin();
  const slow: Promise<void>[] = [];
  const held = Promise.withResolvers<void>();
  const { actor, bus, lines } = await start(server, 0, { chunkBytes: 1 });
  const put = bus.objects.put.bind(bus.objects);
  bus.objects.put = async (name, bytes) => {
    slow.push(held.promise);
    await held.promise;
    return put(name, bytes);
  };
  await chain.append({ 0: [run("b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "b9")] });
  await fill(chain, 1, [1]);
  await until("the first chunk", () => slow.length > 0);
  await fill(chain, 65);
  await chain.settled();
  held.resolve();
  await until("the end of it", () => lines.includes("warn Snapshot given up; the next one is due later"));
  expect(actor.status().snapshots).toEqual([]);
  await fill(chain, 1, [67]);
  await until("the next one", () => actor.status().snapshots[0] === 67);
});

test("memory above its bound is said once at each level", async () => {
  const { server, chain } = await begin();
  const bus = server.connect();
  const lines: string[] = [];
  const ports = { bus, engines: { open: () => new FakeEngine() }, telemetry: recordingTelemetry(lines) };
  const actor = await runPartition(ports, { partition: 0, host: "host", memoryBytesMax: 390 });
  open.push(() => actor.stop());
  await fill(chain, 1);
  await fill(chain, 1);
  await chain.append({ 0: [run("b1")] });
  await chain.closeBlock();
  await chain.settled();
  expect(lines.filter((line) => line.includes("emory"))).toEqual([
    "warn Memory is above 80% of its bound",
    "error Memory is at its bound: the scheduler refuses new work for this partition",
  ]);
  await until("the report", () => chain.reports.get(0)?.n === 10);
  expect(chain.reports.get(0)).toMatchObject({ memoryBytes: 401, memoryBytesMax: 390, stopped: null });
});
