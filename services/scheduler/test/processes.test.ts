/** Real processes on a real nats-server: first start, a leader killed, a leader stopped and continued. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { connectBus } from "@meridian/bus";
import { assert } from "@meridian/core";
import type { Bus } from "@meridian/core";
import type { TestTransfer } from "@meridian/core/sequencer/testing";
import { testNatsServer } from "@meridian/nats-server/testing";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { FakeClient, FakePartitions } from "../src/testing/cluster.ts";
import { fakeArchive, fakeClient, fakePartitions } from "../src/testing/cluster.ts";
import { TEST_GENESIS } from "../src/testing/start.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });
const WAIT = { timeout: 20_000, interval: 10 };
const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));

let nats: Awaited<ReturnType<typeof testNatsServer>>;
let folder: string;
let bus: Bus;
let client: FakeClient;
let partitions: FakePartitions;
let stopArchive: () => void = () => undefined;
const processes = new Map<string, { child: ChildProcess; errors: string[] }>();

beforeAll(async () => {
  nats = await testNatsServer();
  folder = await mkdtemp(join(tmpdir(), "meridian-scheduler-"));
  await writeFile(join(folder, "genesis.json"), TEST_GENESIS);
  bus = await connectBus({ url: nats.url, name: "test", durability: "process" });
  client = fakeClient(bus);
  start("a");
  start("b");
  await vi.waitFor(() => assert(client.beat() !== undefined, `nobody leads: ${errors()}`), WAIT);
  partitions = await fakePartitions(bus);
  stopArchive = fakeArchive(bus, partitions.ledger);
});

afterAll(async () => {
  stopArchive();
  partitions?.stop();
  client?.stop();
  for (const { child } of processes.values()) {
    child.kill("SIGCONT");
    child.kill("SIGKILL");
  }
  await bus?.close();
  await nats?.stop();
  await rm(folder, { recursive: true, force: true });
});

function start(instance: string): void {
  const env = {
    ...process.env,
    MERIDIAN_NATS_URL: nats.url,
    MERIDIAN_INSTANCE: instance,
    MERIDIAN_DURABILITY: "process",
    MERIDIAN_GENESIS: join(folder, "genesis.json"),
    MERIDIAN_BLOCK_MS: "100",
  };
  const child = spawn(process.execPath, [MAIN], { env, stdio: ["ignore", "ignore", "pipe"] });
  const lines: string[] = [];
  child.stderr?.on("data", (chunk: Buffer) => lines.push(chunk.toString()));
  processes.set(instance, { child, errors: lines });
}

const errors = (): string => [...processes.values()].flatMap((one) => one.errors).join("");

function leader(): { instance: string; child: ChildProcess } {
  const instance = client.beat()?.leader ?? "";
  const found = processes.get(instance);
  assert(found !== undefined, `leader ${instance} is none of ours`);
  return { instance, child: found.child };
}

let nonce = 0;
/** Rounds of transactions of 20 senders while `meanwhile` happens; all are acknowledged and none runs twice. */
async function load(rounds: number, meanwhile: () => Promise<void>): Promise<void> {
  const before = client.acknowledged.size;
  const happening = meanwhile();
  for (let round = 0; round < rounds; round++, nonce++) {
    const transfers: TestTransfer[] = Array.from({ length: 20 }, (_, sender) => ({ sender, nonce }));
    await client.send(transfers, 30_000);
  }
  await happening;
  expect(client.acknowledged.size - before, errors()).toBe(rounds * 20);
  await vi.waitFor(() => expect([...client.acknowledged].every((hash) => partitions.ledger.executed.has(hash))).toBe(true), WAIT);
  expect(partitions.ledger.executed.size).toBe(client.acknowledged.size);
  expect(partitions.failure()).toBeUndefined();
}

const executed = (count: number) => vi.waitFor(() => expect(partitions.ledger.executed.size).toBeGreaterThan(count), WAIT);
const termAfter = (term: number) => vi.waitFor(() => expect(client.beat()?.term).toBeGreaterThan(term), WAIT);

test("two processes begin one chain; blocks are sealed", async () => {
  await load(10, () => Promise.resolve());
  const block = client.beat()?.latest.number ?? 0;
  await vi.waitFor(() => expect(client.beat()?.latest.number).toBeGreaterThan(block + 3), WAIT);
});

test("SIGKILL of the leader under load", async () => {
  await load(30, async () => {
    const [count, term] = [partitions.ledger.executed.size, client.beat()?.term ?? 0];
    await executed(count + 100);
    const { instance, child } = leader();
    child.kill("SIGKILL");
    await termAfter(term);
    start(instance);
  });
});

test("SIGSTOP and SIGCONT of the leader under load: it stands by afterwards, and can lead again", async () => {
  await load(30, async () => {
    const [count, term] = [partitions.ledger.executed.size, client.beat()?.term ?? 0];
    await executed(count + 100);
    const stopped = leader();
    stopped.child.kill("SIGSTOP");
    await termAfter(term);
    stopped.child.kill("SIGCONT");
    const next = leader();
    expect(next.instance).not.toBe(stopped.instance);
    await executed(count + 300);
    // The one that was deposed is a standby now: it takes over from the other.
    const again = client.beat()?.term ?? 0;
    next.child.kill("SIGKILL");
    await termAfter(again);
    expect(client.beat()?.leader).toBe(stopped.instance);
  });
});

test("SIGTERM ends a process in time, with exit code 0", async () => {
  const { child } = leader();
  const startedAt = performance.now();
  const code = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  expect(await code).toBe(0);
  expect(performance.now() - startedAt).toBeLessThan(5_000);
});
