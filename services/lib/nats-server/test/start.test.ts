import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeAll, expect, test } from "vitest";
import { findNatsServer, startNatsServer } from "../src/index.ts";
import type { RunningNatsServer, StartOptions } from "../src/index.ts";
import { TEST_CACHE_FOLDER, testNatsServer } from "../src/testing.ts";

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

let path = "";
beforeAll(async () => {
  path = (await findNatsServer({ cacheFolder: TEST_CACHE_FOLDER })).path;
});

async function start(options: Partial<StartOptions> = {}): Promise<RunningNatsServer> {
  const storeFolder = options.storeFolder ?? (await folderOf());
  const server = await startNatsServer({ path, durability: "process", ...options, storeFolder });
  ends.push(() => server.stop());
  return server;
}
async function folderOf(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "meridian-start-"));
  ends.push(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

interface Varz {
  server_id: string;
  max_payload: number;
  jetstream: { config: { sync_always?: boolean; max_storage: number } };
}
const varz = async (server: RunningNatsServer): Promise<Varz> =>
  (await (await fetch(`${server.monitorUrl}/varz`)).json()) as Varz;
const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false; // No such process.
  }
};
async function until(what: string, isTrue: () => boolean): Promise<void> {
  for (let polls = 0; polls < 1_000 && !isTrue(); polls++) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(isTrue(), what).toBe(true);
}

test("it runs with JetStream, large messages and the durability that was asked for", async () => {
  const lazy = await start();
  const durable = await start({ durability: "power", jetstreamBytesMax: 50_000_000 });
  const [first, second] = [await varz(lazy), await varz(durable)];
  expect(first.max_payload).toBe(8 * 1024 * 1024);
  expect([first.jetstream.config.sync_always, second.jetstream.config.sync_always]).toEqual([undefined, true]);
  expect(first.jetstream.config.max_storage).toBeGreaterThan(50_000_000);
  expect(second.jetstream.config.max_storage).toBe(50_000_000);
  expect(lazy.url).not.toBe(durable.url);
});

test("killed and started again it is the same to its clients", async () => {
  const server = await start();
  const { pid, url } = server;
  await server.kill("SIGKILL");
  await server.ended();
  expect(isAlive(pid)).toBe(false);
  await server.restart({ durability: "power" });
  expect(server.pid).not.toBe(pid);
  expect(server.url).toBe(url);
  expect((await varz(server)).jetstream.config.sync_always).toBe(true);
});

test("stopped processes are ended too", async () => {
  const server = await start();
  await server.kill("SIGSTOP");
  await server.stop();
  expect(isAlive(server.pid)).toBe(false);
});

test("a second server on the same store is refused, a left-over file is not", async () => {
  const storeFolder = await folderOf();
  await writeFile(join(storeFolder, "nats-server.pid"), `${process.pid}\n`);
  await start({ storeFolder });
  await expect(startNatsServer({ path, storeFolder, durability: "process" })).rejects.toMatchObject({
    detail: { code: "STORE_IN_USE" },
  });
});

test("one that cannot start says why, in the server's own words", async () => {
  const first = await start();
  const port = Number(new URL(first.url).port);
  await expect(start({ port, monitorPort: port + 1 })).rejects.toMatchObject({
    detail: { code: "NATS_SERVER_START", said: expect.stringContaining("address already in use") as string },
  });
});

test("it ends when the process that started it is killed", async () => {
  const storeFolder = await folderOf();
  const module = fileURLToPath(new URL("../src/index.ts", import.meta.url));
  const code = `
    import { startNatsServer } from ${JSON.stringify(module)};
    await startNatsServer({ path: ${JSON.stringify(path)}, storeFolder: ${JSON.stringify(storeFolder)}, durability: "process" });
    console.log("ready");
    setInterval(() => undefined, 1000);`;
  const parent = spawn(process.execPath, ["--input-type=module", "--eval", code], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise<void>((resolve) => parent.stdout.once("data", () => resolve()));
  const pid = Number(await readFile(join(storeFolder, "nats-server.pid"), "utf8"));
  expect(isAlive(pid)).toBe(true);
  parent.kill("SIGKILL");
  await until("the server ended", () => !isAlive(pid));
});

test("the helper for tests leaves nothing behind", async () => {
  const server = await testNatsServer();
  const { pid } = server;
  await server.restart();
  const folder = join(server.logFile, "..");
  await server.stop();
  expect(isAlive(pid) || isAlive(server.pid)).toBe(false);
  await expect(readFile(join(folder, "nats-server.conf"))).rejects.toMatchObject({ code: "ENOENT" });
});
