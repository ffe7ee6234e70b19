import { encodeBuilt, memoryServer } from "@meridian/bus";
import type { MemoryBus, MemoryServer } from "@meridian/bus";
import { GAP_HEADER, SUBMIT, assert, hexOf, noTelemetry } from "@meridian/core";
import type { Headers, SpanOptions, Telemetry } from "@meridian/core";
import { accountOf, transferHash } from "@meridian/core/sequencer/testing";
import type { TestTransfer } from "@meridian/core/sequencer/testing";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { FakeClient, FakePartitions } from "./testing/cluster.ts";
import { builtHash, fakeArchive, fakeClient, fakePartitions } from "./testing/cluster.ts";
import type { TestScheduler } from "./testing/start.ts";
import { TEST_GENESIS, startScheduler } from "./testing/start.ts";

vi.setConfig({ testTimeout: 30_000 });

const WAIT = { timeout: 10_000, interval: 5 };

let server: MemoryServer;
let schedulers: { running: TestScheduler; bus: MemoryBus }[];
let partitions: FakePartitions | undefined;
let client: FakeClient;
let stopArchive: () => void;

beforeEach(() => {
  server = memoryServer();
  schedulers = [];
  client = fakeClient(server.connect());
  stopArchive = () => undefined;
  partitions = undefined;
});

afterEach(async () => {
  stopArchive();
  for (const { running, bus } of schedulers) {
    bus.reconnect();
    await running.stop().catch(() => undefined);
  }
  client.stop();
  partitions?.stop();
  if (partitions?.failure() !== undefined) throw partitions.failure();
});

function start(instance: string, options: Parameters<typeof startScheduler>[2] = {}): { running: TestScheduler; bus: MemoryBus } {
  const bus = server.connect({ appendMsMax: 1_000 });
  const scheduler = { running: startScheduler(bus, instance, options), bus };
  schedulers.push(scheduler);
  return scheduler;
}

/** Partitions and an archive beside the schedulers that were started. */
async function chain(): Promise<FakePartitions> {
  await vi.waitFor(
    () =>
      assert(
        schedulers.some(({ running }) => running.status().role === "leader"),
        "nobody leads",
      ),
    WAIT,
  );
  const bus = server.connect();
  partitions = await fakePartitions(bus);
  stopArchive = fakeArchive(bus, partitions.ledger);
  await vi.waitFor(() => expect(client.beat()?.latest.hash).toEqual(builtHash(client.beat()?.latest.number ?? -1)), WAIT);
  return partitions;
}

const leaders = () => schedulers.filter(({ running }) => running.status().role === "leader");
const roles = () => schedulers.map(({ running }) => running.status().role).sort();
const transfers = (senders: number, nonces: number, firstNonce = 0): TestTransfer[] =>
  Array.from({ length: senders * nonces }, (_, index) => ({
    sender: index % senders,
    nonce: firstNonce + Math.floor(index / senders),
  }));

/** Every acknowledged transaction ran; the ledger itself refuses one that runs twice or out of order. */
async function checkAcknowledged({ ledger }: FakePartitions, count: number): Promise<void> {
  expect(client.acknowledged.size).toBe(count);
  await vi.waitFor(() => expect([...client.acknowledged].filter((hash) => !ledger.executed.has(hash))).toEqual([]), WAIT);
}

describe("one scheduler", () => {
  test("begins the chain, sequences, closes blocks and shows them once they are sealed", async () => {
    start("a");
    const { ledger } = await chain();
    await client.send(transfers(10, 5));
    await checkAcknowledged(partitions ?? (await chain()), 50);
    const number = client.beat()?.latest.number ?? 0;
    await vi.waitFor(() => expect(client.beat()?.latest.number).toBeGreaterThan(number + 2), WAIT);
    expect(client.beat()).toMatchObject({ term: 1, leader: "a", mapVersion: 1 });
    expect(ledger.executed.size).toBe(50);
    expect(await server.connect().settings.get()).toMatchObject({ chainId: 31_337, blockMs: 50, blockGasLimit: 1_000_000_000 });
    expect((await server.connect().settings.getMap())?.version).toBe(1);
  });

  test("answers each record with its code", async () => {
    start("a");
    await chain();
    await client.send(transfers(2, 2));
    const reply = await client.submit(
      [
        { sender: 0, nonce: 2 },
        { sender: 0, nonce: 1 },
        { sender: 1, nonce: 0, salt: 1 },
        { sender: 1, nonce: 7 },
      ],
      { [GAP_HEADER]: "refuse" },
    );
    expect([...reply.codes]).toEqual([SUBMIT.accepted, SUBMIT.known, SUBMIT.nonceTooLow, SUBMIT.nonceTooHigh]);
    expect([...reply.details]).toEqual([0, 0, 2, 2]);
    expect(reply.term).toBe(1);
    expect(reply.positions.length).toBe(4);
  });

  test.each([true, false])("an append whose answer is lost counts once, landed: %s", async (landed) => {
    start("a");
    const running = await chain();
    server.faults.loseAnswer("LOG", { landed });
    await client.send(transfers(20, 3));
    await checkAcknowledged(running, 60);
    expect(running.ledger.executed.size).toBe(60);
    expect(client.beat()?.term).toBe(1);
  });

  test("says that the server is full, and goes on when it has room again", async () => {
    const { running } = start("a", { limits: { fullRetryMs: 50 } });
    const cluster = await chain();
    server.faults.full("LOG", "no space left");
    const reply = await client.submit(transfers(3, 2));
    expect([...reply.codes]).toEqual(Array.from({ length: 6 }, () => SUBMIT.logFull));
    expect(running.lines).toContain("error The server has no room for LOG: transactions are refused");
    server.faults.full("LOG", null);
    await client.send(transfers(3, 2));
    await checkAcknowledged(cluster, 6);
  });

  test("cut off from the server it answers that it leads no more, and leads again when it can", async () => {
    const { running, bus } = start("a");
    const cluster = await chain();
    bus.disconnect();
    await vi.waitFor(() => expect(running.lines).toContain("error The outcome of an append is not known: stepping down"), WAIT);
    bus.reconnect();
    await vi.waitFor(() => expect(running.status()).toMatchObject({ role: "leader", term: 2 }), WAIT);
    await client.send(transfers(5, 2));
    await checkAcknowledged(cluster, 10);
  });

  test("stopping answers everything that is open", async () => {
    const { running } = start("a");
    await chain();
    const reply = client.submit([{ sender: 3, nonce: 9 }]);
    await vi.waitFor(() => expect(client.beat()).toBeDefined(), WAIT);
    await client.send(transfers(1, 1));
    await running.stop();
    expect([...(await reply).codes]).toEqual([SUBMIT.notLeader]);
    expect(running.status().role).toBe("stopped");
  });

  test("messages that cannot be read are passed over", async () => {
    const { running } = start("a");
    const cluster = await chain();
    const { wire } = server.connect();
    for (const subject of ["sched.report.0", "sched.built"]) wire.publish(subject, new Uint8Array([1, 2, 3]));
    wire.publish("sched.submit.1", new Uint8Array(200));
    await client.send(transfers(3, 1));
    await checkAcknowledged(cluster, 3);
    expect(running.lines).toContain("error A submit is malformed and gets no answer");
    expect(running.lines.filter((line) => line === "warn A message could not be read").length).toBe(2);
  });

  test("two archives that disagree are reported", async () => {
    const { running } = start("a");
    await chain();
    const { wire } = server.connect();
    await vi.waitFor(() => {
      const number = client.beat()?.latest.number ?? 0;
      wire.publish("sched.built", encodeBuilt({ archive: "b", number, hash: new Uint8Array(32).fill(255), timestamp: 1 }));
      expect(running.lines).toContain("error Two archives built different blocks; the first one counts");
    }, WAIT);
  });

  test("a flush's span is a child of its first submit and linked with the others", async () => {
    const spans: [string, SpanOptions][] = [];
    const telemetry: Telemetry = {
      ...noTelemetry(),
      on: true,
      span: (name, options = {}) => {
        spans.push([name, options]);
        return { headers: () => ({ traceparent: "of the flush" }), set: () => undefined, end: () => undefined };
      },
    };
    start("a", { telemetry, limits: { flushMs: 50 } });
    await chain();
    await client.send(transfers(2, 1));
    spans.length = 0;
    const trace = (text: string): Headers => ({ traceparent: text });
    await Promise.all([
      client.submit([{ sender: 0, nonce: 1 }], trace("first")),
      client.submit([{ sender: 1, nonce: 1 }], trace("second")),
    ]);
    const ours = spans.filter(([, { attributes }]) => attributes?.["meridian.transactions"] === 2);
    expect(ours).toMatchObject([["flush", { kind: "producer", parent: trace("first"), links: [trace("second")] }]]);
    const read = server
      .connect()
      .log.read(0, { n: 0, flush: 0, hash: new Uint8Array(32) }, { bytesMax: 1e9, signal: AbortSignal.timeout(1_000) });
    for await (const batch of read) {
      expect(batch.some(({ headers }) => headers["traceparent"] === "of the flush")).toBe(true);
      break;
    }
  });
});

describe("two schedulers", () => {
  test("that start at once agree on one chain and one leader", async () => {
    start("a");
    start("b", { genesis: TEST_GENESIS });
    start("c", { genesis: null });
    const cluster = await chain();
    await vi.waitFor(() => expect(roles()).toEqual(["leader", "standby", "standby"]), WAIT);
    await client.send(transfers(5, 2));
    await checkAcknowledged(cluster, 10);
    expect(
      new Set(
        await Promise.all(
          [...cluster.ledger.logs.keys()].map(async (id) => (await server.connect().log.readToEnd(id, 1))[0]?.entries[0]?.kind),
        ),
      ),
    ).toEqual(new Set(["genesis"]));
  });

  test("when the leader is gone the other one takes over, and nothing is lost or done twice", async () => {
    start("a");
    const cluster = await chain();
    start("b");
    const sendAll = async () => {
      for (let nonce = 0; nonce < 40; nonce++) await client.send(transfers(20, 1, nonce));
    };
    const sending = sendAll();
    await vi.waitFor(() => expect(cluster.ledger.executed.size).toBeGreaterThan(100), WAIT);
    const [old] = leaders();
    old?.bus.disconnect();
    await sending;
    await checkAcknowledged(cluster, 800);
    expect(cluster.ledger.executed.size).toBe(800);
    expect(client.beat()?.term).toBeGreaterThan(1);
  });

  test("a leader stopped in the middle of an append is fenced, says so, and stands by", async () => {
    const first = start("a");
    const cluster = await chain();
    await client.send(transfers(4, 1));
    const [old] = leaders();
    assert(old?.running === first.running, "a does not lead");
    const release = server.faults.hold("LOG");
    const reply = client.submit(transfers(4, 1, 1));
    // Its beats go unheard, as those of a stopped process.
    server.faults.wire((subject) => ({ copies: subject === "sched.beat" && client.beat()?.term === 1 ? 0 : 1, delayMs: 0 }));
    start("b");
    await vi.waitFor(() => expect(leaders().length).toBe(2), WAIT);
    server.faults.wire(() => ({ copies: 1, delayMs: 0 }));
    release();
    expect([...(await reply).codes]).toEqual([SUBMIT.notLeader, SUBMIT.notLeader, SUBMIT.notLeader, SUBMIT.notLeader]);
    await vi.waitFor(() => expect(first.running.status().role).toBe("standby"), WAIT);
    await client.send(transfers(4, 2));
    await checkAcknowledged(cluster, 8);
    expect(client.beat()).toMatchObject({ term: 2, leader: "b" });
  });

  test("a client whose acknowledgement was lost with the leader gets its hash again from the next one", async () => {
    const first = start("a");
    const cluster = await chain();
    server.faults.wire((subject) => ({ copies: subject.startsWith("reply:sched.submit") ? 0 : 1, delayMs: 0 }));
    const lost = client.submit(transfers(3, 4)).catch(() => "lost");
    await vi.waitFor(() => expect(cluster.ledger.executed.size).toBe(12), WAIT);
    await first.running.stop();
    server.faults.wire(() => ({ copies: 1, delayMs: 0 }));
    start("b");
    await vi.waitFor(() => expect(client.beat()?.term).toBe(2), WAIT);
    await vi.waitFor(
      async () =>
        expect([...(await client.submit(transfers(3, 4))).codes]).toEqual(Array.from({ length: 12 }, () => SUBMIT.known)),
      WAIT,
    );
    expect(await lost).toBe("lost");
    expect(cluster.ledger.executed.size).toBe(12);
  });

  test("a standby lets a leader that is heard alone", async () => {
    start("a");
    await chain();
    start("b");
    const block = client.beat()?.latest.number ?? 0;
    await vi.waitFor(() => expect(client.beat()?.latest.number).toBeGreaterThan(block + 10), WAIT);
    expect([client.beat()?.term, roles()]).toEqual([1, ["leader", "standby"]]);
  });
});

describe("what stops a scheduler", () => {
  test("another genesis file than the chain was begun with", async () => {
    start("a");
    await chain();
    const other = start("b", { genesis: TEST_GENESIS.replace("0x64", "0x65") });
    await expect(other.running.done).rejects.toMatchObject({ detail: { code: "GENESIS_MISMATCH", chainId: 31_337 } });
  });

  test("no chain and no genesis file", async () => {
    const { running } = start("a", { genesis: null, timing: { chainMsMax: 100 } });
    await expect(running.done).rejects.toMatchObject({ detail: { code: "CHAIN_MISSING" } });
  });
});

test("test transfers name their accounts", () => {
  expect(hexOf(transferHash({ sender: 1, nonce: 2 })).length).toBe(64);
  expect(accountOf(1)).not.toEqual(accountOf(2));
});
