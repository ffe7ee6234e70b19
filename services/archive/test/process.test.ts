/** Archive processes on a real nats-server: killed with -9 while blocks come in, stopped, and started with an empty folder. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { connectBus, decodeArchiveReply, encodeArchiveQuery, SUBJECT } from "@meridian/bus";
import { assert, hexOf, isIoError, noTelemetry } from "@meridian/core";
import type { ArchiveReply, Bus } from "@meridian/core";
import { bytesFrom, shuffledMessages, testFlushes, testRecords } from "@meridian/core/blocks/testing";
import { testNatsServer } from "@meridian/nats-server/testing";
import { openArchive } from "@meridian/store";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { ArchiveStatus } from "../src/run.ts";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const BLOCKS = 60;
const flushes = testFlushes({
  ...{ seed: 44, blocks: BLOCKS, transactionsPerFlush: 30 },
  logs: (next) => [{ address: bytesFrom(20, next(9)), topics: [bytesFrom(32, next(99))], data: bytesFrom(32, next(99)) }],
});
const messages = shuffledMessages(testRecords(flushes, 2), 7);

let server: Awaited<ReturnType<typeof testNatsServer>>;
let bus: Bus;
let folder: string;
const children = new Set<ChildProcess>();

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "meridian.archive-"));
  server = await testNatsServer();
  bus = await connectBus({ url: server.url, name: "test", durability: "process", log: noTelemetry().log });
  await bus.settings.create({ chainId: 1, blockMs: 500, blockGasLimit: 30_000_000, genesisHash: "ab".repeat(32) });
});
afterEach(async () => {
  for (const child of children) child.kill("SIGKILL");
  await bus.close();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

interface Process {
  child: ChildProcess;
  status(): Promise<ArchiveStatus | null>;
}

async function start(name: string): Promise<Process> {
  const port = await freePort();
  const env = {
    ...process.env,
    ...{
      MERIDIAN_NATS_URL: server.url,
      MERIDIAN_DURABILITY: "process",
      MERIDIAN_DATA: join(folder, name),
      MERIDIAN_INSTANCE: name,
    },
    ...{ MERIDIAN_HEALTH_PORT: String(port), MERIDIAN_SNAPSHOT_BLOCKS: "10", LOG_LEVEL: "error" },
  };
  const child = spawn(process.execPath, [MAIN], { env, stdio: ["ignore", "inherit", "inherit"] });
  children.add(child);
  child.once("exit", () => children.delete(child));
  const status = async () => {
    const response = await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => null);
    return response === null ? null : ((await response.json()) as ArchiveStatus);
  };
  return { child, status };
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return port;
}

async function until({ status }: Process, isReached: (status: ArchiveStatus) => boolean): Promise<void> {
  const deadlineAt = performance.now() + 30_000;
  let last = await status();
  while ((last === null || !isReached(last)) && performance.now() < deadlineAt) {
    await sleep(20);
    last = await status();
  }
  assert(last !== null && isReached(last), `not reached in time: ${JSON.stringify(last)}`);
}
const untilHead = (archive: Process, head: number): Promise<void> => until(archive, (status) => status.head >= head);

async function stop({ child }: Process): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) {
    child.kill("SIGTERM");
    await once(child, "exit");
  }
  return child.exitCode;
}

function hashesIn(name: string): Promise<string[]> {
  const store = openArchive(join(folder, name));
  const hashes = Array.from({ length: (store.head()?.number ?? -1) + 1 }, (_, number) => hexOf(store.block(number)!.hash));
  return store.close().then(() => hashes);
}

/** A new subscription may take a moment to reach the server. */
async function askHead(): Promise<ArchiveReply | null> {
  for (let turn = 0; turn < 100; turn++, await sleep(20)) {
    const asked = bus.wire.request(SUBJECT.archiveQuery, encodeArchiveQuery({ op: "head" }), { timeoutMs: 5_000 });
    const reply = await asked.catch((error: unknown) =>
      isIoError(error, "NO_RESPONDERS") ? null : Promise.reject(error as Error),
    );
    if (reply !== null) return decodeArchiveReply(reply);
  }
  return null;
}

const publish = async (from: number, to: number): Promise<void> => {
  for (const { partition, records } of messages.slice(from, to)) await bus.out.publish(partition, records);
};

test(
  "killed again and again it ends with the same blocks as one that was not; both stop cleanly",
  { timeout: 90_000 },
  async () => {
    const steady = await start("steady");
    let shaken = await start("shaken");
    const step = Math.ceil(messages.length / 5);
    for (let round = 0; round < 5; round++) {
      const publishing = publish(round * step, (round + 1) * step);
      await untilHead(shaken, round * 8);
      shaken.child.kill("SIGKILL");
      await publishing;
      shaken = await start("shaken");
    }
    await untilHead(steady, BLOCKS);
    await untilHead(shaken, BLOCKS);
    await until(steady, ({ isAnswering }) => isAnswering);
    expect(await askHead()).toMatchObject({ op: "head", number: BLOCKS });
    expect([await stop(steady), await stop(shaken)]).toEqual([0, 0]);
    const want = await hashesIn("steady");
    expect(want).toHaveLength(BLOCKS + 1);
    expect(await hashesIn("shaken")).toEqual(want);
  },
);

test(
  "with an empty folder it restores from the object store and goes on from what OUT still has",
  { timeout: 60_000 },
  async () => {
    const first = await start("first");
    const half = Math.floor(messages.length / 2);
    await publish(0, half);
    await until(first, ({ snapshots }) => snapshots.length === 1);
    await publish(half, messages.length - 20);
    await until(first, ({ snapshots }) => snapshots.length === 2);
    const second = await start("second");
    await publish(messages.length - 20, messages.length);
    await untilHead(first, BLOCKS);
    await untilHead(second, BLOCKS);
    expect([await stop(first), await stop(second)]).toEqual([0, 0]);
    const want = await hashesIn("first");
    expect(want).toHaveLength(BLOCKS + 1);
    expect(await hashesIn("second")).toEqual(want);
  },
);

test("without a folder, or with one that cannot be used, it says what is wrong and ends", async () => {
  const run = async (env: Record<string, string>) => {
    const child = spawn(process.execPath, [MAIN], { env: { ...process.env, ...env }, stdio: ["ignore", "ignore", "pipe"] });
    let text = "";
    child.stderr.on("data", (part: Buffer) => (text += part.toString()));
    await once(child, "exit");
    return [child.exitCode, text];
  };
  expect(await run({})).toEqual([1, expect.stringContaining("MERIDIAN_DATA")]);
  expect(await run({ MERIDIAN_DATA: MAIN })).toEqual([1, expect.stringContaining("STORE_OPEN")]);
});
