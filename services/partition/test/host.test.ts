/** A host process on a real nats-server: killed, started again, stopped in order. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test } from "vitest";
import { connectBus, memoryServer } from "@meridian/bus";
import { evenRangeMap, indexRanges, resultBytes } from "@meridian/core";
import type { OutRecord } from "@meridian/core";
import { loadEngine } from "@meridian/engine";
import { testNatsServer } from "@meridian/nats-server/testing";
import { runPartition } from "../src/run.ts";
import { TestChain, lattices, recordingTelemetry, until } from "../src/testing/chain.ts";
import { CONTRACT, Signer, route } from "../src/testing/transactions.ts";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const engines = loadEngine("auto");
const owners = indexRanges(evenRangeMap(2));

const open: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of open.splice(0).reverse()) await end();
});

function startHost(natsUrl: string, healthPort: number): ChildProcess {
  const env = {
    PATH: process.env["PATH"],
    MERIDIAN_NATS_URL: natsUrl,
    MERIDIAN_DURABILITY: "process",
    MERIDIAN_PARTITIONS: "0,1",
    MERIDIAN_HEALTH_PORT: `${healthPort}`,
    LOG_LEVEL: "warn",
  };
  const host = spawn(process.execPath, [MAIN], { env, stdio: ["ignore", "inherit", "inherit"] });
  open.push(async () => {
    if (host.exitCode !== null || host.signalCode !== null) return;
    host.kill("SIGKILL");
    await once(host, "exit");
  });
  return host;
}

/** A load on two counters: flushes of 20 transactions, a block after each fifth, a snapshot at every second block. */
async function load(chain: TestChain, counters: Uint8Array[], signers: Signer[], flushes: number): Promise<void> {
  for (let flush = 1; flush <= flushes; flush++) {
    const raws = await Promise.all(signers.flatMap((signer) => counters.map((to) => signer.sign({ to }))));
    await chain.append(route(engines, raws, owners));
    if (flush % 5 === 0) await chain.closeBlock(flush % 10 === 0);
  }
}

const transactionCount = (records: OutRecord[]): number =>
  records.reduce((sum, { results }) => {
    let count = 0;
    for (let at = 0; at < results.length; at += resultBytes(results, at)) count++;
    return sum + count;
  }, 0);

/** What undisturbed partitions in this process make of the same flushes. */
async function undisturbed(flushes: TestChain["flushes"]): Promise<OutRecord[][]> {
  const bus = memoryServer().connect();
  const chain = await TestChain.begin(bus, 2);
  for (const entries of flushes) await chain.append(entries);
  const ports = { bus, engines, telemetry: recordingTelemetry([]) };
  const actors = await Promise.all(
    [0, 1].map((partition) => runPartition(ports, { partition, host: "replay", memoryBytesMax: 1 << 30 })),
  );
  const records = [await chain.settled(0), await chain.settled(1)];
  await Promise.all(actors.map((actor) => actor.stop()));
  await chain.end();
  await bus.close();
  return records;
}

test("a host killed with -9 under load goes on from its snapshots: every record once, same lattices", async () => {
  const nats = await testNatsServer();
  open.push(() => nats.stop());
  const bus = await connectBus({ url: nats.url, name: "test", durability: "process" });
  open.push(() => bus.close());
  const chain = await TestChain.begin(bus, 2);
  open.push(() => chain.end());
  const deployers = [0, 1].map((partition) => {
    for (let number = 1; ; number++) {
      const signer = new Signer(number);
      if (owners.ownerOf(signer.nextContract(), 0) === partition) return signer;
    }
  });
  const counters = deployers.map((signer) => signer.nextContract());
  const creations = await Promise.all(deployers.map((signer) => signer.sign({ data: CONTRACT.counter })));
  await chain.append(route(engines, creations, owners));
  const signers = Array.from({ length: 10 }, (_, number) => new Signer(9_000 + number));

  const healthPort = 20_000 + (process.pid % 10_000);
  const first = startHost(nats.url, healthPort);
  await load(chain, counters, signers, 30);
  await until("a snapshot", async () => (await bus.settings.getRecord("snapshot.1")) !== undefined);
  const loading = load(chain, counters, signers, 20);
  first.kill("SIGKILL");
  await once(first, "exit");
  await loading;
  const second = startHost(nats.url, healthPort);
  const readyUrl = `http://127.0.0.1:${healthPort}/readyz`;
  await until("the second host to be ready", async () => (await fetch(readyUrl).catch(() => null))?.status === 200, 20_000);
  await load(chain, counters, signers, 5);

  const want = await undisturbed(chain.flushes);
  for (const partition of [0, 1]) {
    const records = await chain.settled(partition);
    expect(records.map(({ n }) => n)).toEqual(records.map((_, index) => index + 1));
    expect(transactionCount(records)).toBe(1 + 55 * 10);
    expect(lattices(records)).toEqual(lattices(want[partition] ?? []));
    expect(records).toEqual(want[partition]);
  }
  const stopAt = performance.now();
  second.kill("SIGTERM");
  const [code] = (await once(second, "exit")) as [number | null];
  expect(code).toBe(0);
  expect(performance.now() - stopAt).toBeLessThan(5_000);
}, 90_000); // Three processes start: on a busy machine that alone takes a while.
