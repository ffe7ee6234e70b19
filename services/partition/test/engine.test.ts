/** Partitions with the real engine on a bus in memory; every build that is there runs the same tests. */
import { afterEach, describe, expect, test } from "vitest";
import { memoryServer } from "@meridian/bus";
import type { MemoryServer } from "@meridian/bus";
import { PENDING, concatBytes, evenRangeMap, indexRanges, resultBytes, resultGasUsed, resultStatus } from "@meridian/core";
import type { CallRequest, EngineModule, OutRecord, PartitionId, ReadReply } from "@meridian/core";
import { loadEngine } from "@meridian/engine";
import { runPartition } from "../src/run.ts";
import type { Actor, ActorLimits } from "../src/run.ts";
import { TestChain, lattices, recordingTelemetry, until } from "../src/testing/chain.ts";
import { CONTRACT, GAS_LIMIT_MAX, Signer, route } from "../src/testing/transactions.ts";

const open: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of open.splice(0).reverse()) await end();
});

const owners = indexRanges(evenRangeMap(2));

async function begin(): Promise<{ server: MemoryServer; chain: TestChain }> {
  const server = memoryServer();
  const bus = server.connect();
  const chain = await TestChain.begin(bus, 2);
  open.push(async () => {
    await chain.end();
    await bus.close();
  });
  return { server, chain };
}

async function start(
  server: MemoryServer,
  engines: EngineModule,
  partition: PartitionId,
  limits: Partial<ActorLimits> = {},
): Promise<Actor> {
  const bus = server.connect();
  const ports = { bus, engines, telemetry: recordingTelemetry([]) };
  const actor = await runPartition(ports, { partition, host: "host", memoryBytesMax: 1 << 30, limits });
  open.push(async () => {
    await actor.stop();
    await bus.close();
  });
  return actor;
}

const startBoth = (server: MemoryServer, engines: EngineModule) =>
  Promise.all([0, 1].map((partition) => start(server, engines, partition)));

/** A signer whose next contract stands on `partition`. */
function signerFor(partition: PartitionId, after = 1): Signer {
  for (let number = after; ; number++) {
    const signer = new Signer(number);
    if (owners.ownerOf(signer.nextContract(), 0) === partition) return signer;
  }
}

/** Deploys a contract on a partition; returns its address. */
async function deploy(
  chain: TestChain,
  engines: EngineModule,
  partition: PartitionId,
  code: (typeof CONTRACT)[keyof typeof CONTRACT],
) {
  const signer = signerFor(partition, 100 * (chain.writer.flush + 1));
  const address = signer.nextContract();
  await chain.append(route(engines, [await signer.sign({ data: code })], owners));
  return address;
}

const call = (to: Uint8Array, data: Uint8Array, gasLimit = 10_000_000): CallRequest => ({
  from: new Uint8Array(20).fill(1),
  to,
  data,
  value: new Uint8Array(32),
  gasLimit,
  accessList: new Uint8Array(0),
  given: new Uint8Array(0),
  traced: false,
});
const GET = Uint8Array.of(1);
const padded = (address: Uint8Array): Uint8Array => concatBytes([new Uint8Array(12), address]);

function numberOf(reply: ReadReply): number | string {
  if (reply.op === "failed") return reply.failure.code;
  if (reply.op !== "call" || reply.result.status !== "success") return "no success";
  return Buffer.from(reply.result.output).readUInt32BE(28);
}

function successes(records: OutRecord[]): number {
  let count = 0;
  for (const { results } of records) {
    for (let at = 0; at < results.length; at += resultBytes(results, at)) count += resultStatus(results, at);
  }
  return count;
}

/** WebAssembly is always there; the native build where it was made. */
const builds = [...new Set(["wasm" as const, loadEngine("auto").build])];

describe.each(builds)("%s", (build) => {
  const engines = loadEngine(build);

  /** Two counters, one on each partition, counted up `flushes` times by 20 signers. */
  async function count(
    chain: TestChain,
    counters: Uint8Array[],
    signers: Signer[],
    flushes: number,
    snapshot = false,
  ): Promise<void> {
    for (let flush = 0; flush < flushes; flush++) {
      const raws = signers.flatMap((signer) => counters.map((to) => signer.sign({ to })));
      await chain.append(route(engines, await Promise.all(raws), owners));
    }
    await chain.closeBlock(snapshot);
  }

  test("deploys and runs contracts; a restart from snapshots gives the same lattices and one OUT", async () => {
    const { server, chain } = await begin();
    const first = await startBoth(server, engines);
    const counters = [await deploy(chain, engines, 0, CONTRACT.counter), await deploy(chain, engines, 1, CONTRACT.counter)];
    const signers = Array.from({ length: 20 }, (_, number) => new Signer(9_000 + number));
    await count(chain, counters, signers, 2, true);
    await until("the snapshots", () => first.every((actor) => actor.status().snapshots.includes(1)));
    await count(chain, counters, signers, 2);
    const before = [await chain.settled(0), await chain.settled(1)].map((records) => lattices(records));
    await Promise.all(first.map((actor) => actor.stop()));
    await count(chain, counters, signers, 1);
    const second = await startBoth(server, engines);
    const records = [await chain.settled(0), await chain.settled(1)];
    expect(second.map((actor) => actor.status().fromBlock)).toEqual([1, 1]);
    expect(successes(records.flat())).toBe(2 + 5 * 40);
    for (const [partition, list] of records.entries()) {
      expect(list.map(({ n }) => n)).toEqual(list.map((_, index) => index + 1));
      for (const [block, lattice] of before[partition] ?? []) expect(lattices(list).get(block)).toBe(lattice);
    }
    const replies = counters.map((to, partition) => chain.read(partition, { op: "call", block: 3, atN: 0, call: call(to, GET) }));
    expect((await Promise.all(replies)).map(numberOf)).toEqual([100, 100]);
    // Without any snapshot, the whole log comes to the same.
    await Promise.all(second.map((actor) => actor.stop()));
    server.settings.delete("record.snapshot.0");
    server.settings.delete("record.snapshot.1");
    const replay = memoryServer();
    for (const [key, value] of server.settings) replay.settings.set(key, value);
    for (const [key, value] of server.objects) replay.objects.set(key, value);
    for (const subject of ["log.0", "log.1"]) {
      for (
        let next = server.streams.LOG.next(subject, 1);
        next !== undefined;
        next = server.streams.LOG.next(subject, next.sequence + 1)
      ) {
        replay.streams.LOG.plant(next.subject, next.payload, next.headers);
      }
    }
    const reader = TestChain.follow(replay.connect(), 2);
    open.push(() => reader.end());
    await startBoth(replay, engines);
    for (const partition of [0, 1]) {
      await until("the replay", () => (reader.out.get(partition)?.length ?? 0) >= (records[partition]?.length ?? 0));
      expect(reader.out.get(partition)).toEqual(records[partition]);
    }
  });

  test("a call over partitions reads both at the same block", async () => {
    const { server, chain } = await begin();
    await startBoth(server, engines);
    const reader = await deploy(chain, engines, 0, CONTRACT.reader);
    const counter = await deploy(chain, engines, 1, CONTRACT.counter);
    const signers = [new Signer(9_001)];
    for (let blocks = 0; blocks < 3; blocks++) await count(chain, [counter], signers, 1);
    await chain.settled(0);
    await chain.settled(1);
    for (const [block, want] of [
      [1, 1],
      [2, 2],
      [3, 3],
      [PENDING, 3],
    ] as const) {
      const reply = await chain.read(0, { op: "call", block, atN: 0, call: call(reader, padded(counter)) });
      expect([block, numberOf(reply)]).toEqual([block, want]);
    }
    const estimate = await chain.read(0, {
      op: "estimate",
      block: 3,
      atN: 0,
      call: call(reader, padded(counter), GAS_LIMIT_MAX),
    });
    expect(estimate.op === "estimate" ? estimate.gas : estimate).toBeGreaterThan(26_000);
  });

  test("an estimate is enough gas for the transaction", async () => {
    const { server, chain } = await begin();
    await startBoth(server, engines);
    const counter = await deploy(chain, engines, 0, CONTRACT.counter);
    await chain.closeBlock();
    const reply = await chain.read(0, { op: "estimate", block: 1, atN: 0, call: call(counter, new Uint8Array(0), 0) });
    const signer = new Signer(9_001);
    await chain.append(route(engines, [await signer.sign({ to: counter })], owners));
    const results = (await chain.settled(0)).at(-1)?.results ?? new Uint8Array(0);
    const gas = reply.op === "estimate" ? reply.gas : 0;
    expect(gas).toBeGreaterThanOrEqual(resultGasUsed(results, 0));
    expect(gas).toBeLessThan(resultGasUsed(results, 0) * 1.1);
    const endless = await deploy(chain, engines, 0, CONTRACT.endless);
    await chain.closeBlock();
    const failing = await chain.read(0, { op: "estimate", block: 2, atN: 0, call: call(endless, new Uint8Array(0), 0) });
    expect(failing).toMatchObject({ op: "failed", failure: { code: "CALL", result: { status: "halt", why: "out of gas" } } });
  });

  test("endless calls do not delay the log", async () => {
    const { server, chain } = await begin();
    await startBoth(server, engines);
    const endless = await deploy(chain, engines, 0, CONTRACT.endless);
    const counter = await deploy(chain, engines, 0, CONTRACT.counter);
    await chain.closeBlock();
    await chain.settled();
    const signers = Array.from({ length: 10 }, (_, number) => new Signer(9_000 + number));
    let ended = 0;
    const calls = Array.from({ length: 20 }, () =>
      chain
        .read(0, { op: "call", block: 1, atN: 0, call: call(endless, new Uint8Array(0), GAS_LIMIT_MAX) })
        .finally(() => ended++),
    );
    const startedAt = performance.now();
    for (let flush = 0; flush < 5; flush++) {
      await chain.append(route(engines, await Promise.all(signers.map((signer) => signer.sign({ to: counter }))), owners));
    }
    await chain.settled();
    const logMs = performance.now() - startedAt;
    const endedBefore = ended;
    const replies = await Promise.all(calls);
    const callMs = performance.now() - startedAt;
    expect(replies.map((reply) => (reply.op === "call" ? reply.result.status : reply))).toEqual(Array(20).fill("halt"));
    console.log(
      `${build}: 5 flushes in ${Math.round(logMs)} ms beside 20 endless calls (${Math.round(callMs)} ms, ${endedBefore} done)`,
    );
    expect(endedBefore).toBeLessThan(20);
  });
});
