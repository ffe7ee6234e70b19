/** `npm start` as a process: what it says, what it refuses, and that nothing is left behind. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { type Server, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { freePort } from "../src/ports.ts";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));
let folder: string;
let running: ChildProcess[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "meridian-main-"));
  running = [];
});
afterEach(async () => {
  for (const child of running) if (child.exitCode === null) child.kill("SIGKILL");
  await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 200 });
});

interface Launched {
  child: ChildProcess;
  output: () => string;
  exited: Promise<number | null>;
}

function launch(...args: string[]): Launched {
  const command = ["--disable-warning=ExperimentalWarning", MAIN, "--data", join(folder, "data"), ...args];
  const child = spawn(process.execPath, command, { stdio: ["ignore", "pipe", "pipe"] });
  running.push(child);
  let text = "";
  child.stdout.on("data", (part: Buffer) => (text += part.toString()));
  child.stderr.on("data", (part: Buffer) => (text += part.toString()));
  return { child, output: () => text, exited: once(child, "exit").then(([code]) => code as number | null) };
}

const until = (check: () => unknown) => vi.waitFor(check, { timeout: 40_000, interval: 50 });

async function isAlive(pid: number): Promise<boolean> {
  const state = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "gone) X");
  return !/\) [XZ]/.test(state);
}

const pidsIn = (output: string): number[] => [...output.matchAll(/runs as process (\d+)/g)].map((match) => Number(match[1]));

async function allGone(pids: number[]): Promise<void> {
  await until(async () => {
    for (const pid of pids) expect(await isAlive(pid), `process ${pid}`).toBe(false);
  });
}

/** Waits until it says that it is ready, sends the signal, and looks that nothing is left. */
async function end({ child, output, exited }: Launched, signal: NodeJS.Signals): Promise<void> {
  await until(() => expect(output()).toContain("Ctrl-C ends all processes"));
  const pids = pidsIn(output());
  expect(pids).toHaveLength(7); // nats-server, 2 schedulers, 2 hosts, archive, gateway
  expect(output()).toContain("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");
  child.kill(signal);
  expect(await exited).toBe(signal === "SIGKILL" ? null : 0);
  await allGone(pids);
}

test("signals end every process; a second start answers within 15 s and goes on with the chain; others are refused", async () => {
  const port = String(await freePort());
  const blockNumber = async () => {
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_blockNumber", params: [] });
    const headers = { "content-type": "application/json" };
    const answer = (await (await fetch(`http://127.0.0.1:${port}`, { method: "POST", headers, body })).json()) as {
      result: string;
    };
    return Number(answer.result);
  };
  const first = launch("--no-demo", "--port", port, "--block-ms", "100", "--partitions", "2");
  await until(async () => expect(await blockNumber()).toBeGreaterThan(5));
  const before = await blockNumber();

  const twin = launch("--no-demo", "--port", "0");
  expect(await twin.exited).toBe(1);
  expect(twin.output()).toContain(`process ${first.child.pid} runs a cluster on`);
  expect(twin.output()).toContain(`http://127.0.0.1:${port}`);

  await end(first, "SIGINT");
  const other = launch("--no-demo", "--port", "0", "--partitions", "8");
  expect(await other.exited).toBe(1);
  expect(other.output()).toContain("made with --partitions 2, asked for is --partitions 8");

  const startedAt = Date.now();
  const second = launch("--no-demo", "--port", port);
  await until(async () => expect(await blockNumber()).toBeGreaterThanOrEqual(before));
  expect(Date.now() - startedAt).toBeLessThan(15_000);
  await end(second, "SIGTERM");
});

test("SIGKILL ends every process", async () => {
  await end(launch("--no-demo", "--port", "0"), "SIGKILL");
});

test("a port in use is said before anything is started", async () => {
  const server: Server = createServer();
  const port = await freePort();
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const { output, exited } = launch("--no-demo", "--port", String(port));
  expect(await exited).toBe(1);
  expect(output()).toContain(`something else listens on 127.0.0.1:${port}; choose another with --port`);
  expect(pidsIn(output())).toEqual([]);
  server.close();
});

test("--help names every option", async () => {
  const { output, exited } = launch("--help");
  expect(await exited).toBe(0);
  for (const option of "no-demo partitions hosts port data block-ms chain-id durability engine admin pins reset help".split(
    " ",
  )) {
    expect(output()).toContain(`--${option}`);
  }
});
