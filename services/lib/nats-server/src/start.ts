/**
 * Runs one nats-server as a child process.
 *
 * N1. The port stays the same over restarts, so that clients find it again. It is taken from below the range that the system
 *     gives to outgoing connections: a client that keeps knocking on such a port can connect to itself and occupy it.
 * N2. The server has a process group of its own: Ctrl-C in a terminal ends the services first, then whoever started it ends it.
 * N3. A watchdog ends the server when its parent dies in whatever way: it waits for the end of a pipe that the parent holds.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdir, readFile, readdir, rm, stat, statfs, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { IoError } from "@meridian/core";
import type { Durability } from "@meridian/core";
import { configText } from "./config.ts";

const MIB = 1024 * 1024;
const READY_MS_MAX = 20_000;
const READY_POLL_MS = 20;
const STOP_MS_MAX = 5_000;
const PORT_FIRST = 14_000;
const PORT_LAST = 31_999;
const PORT_TRIES_MAX = 20;
const START_TRIES_MAX = 3;
const LOG_LINES_SHOWN = 20;
const STDERR_BYTES_MAX = 8_192;
const DISK_SHARE = 0.8;

export interface StartOptions {
  /** The binary, from `findNatsServer`. */
  path: string;
  /** Streams, configuration and log live here; made if absent. */
  storeFolder: string;
  durability: Durability;
  /** 0, the default, takes a free one. */
  port?: number;
  /** For the HTTP monitor, which says whether the server syncs; 0, the default, takes a free one. */
  monitorPort?: number;
  host?: string;
  serverName?: string;
  maxPayloadBytes?: number;
  /** Most bytes JetStream keeps on disk; default: four fifths of what the disk has for it. */
  jetstreamBytesMax?: number;
}

export interface RunningNatsServer {
  /** nats://host:port */
  readonly url: string;
  /** http://host:port */
  readonly monitorUrl: string;
  readonly pid: number;
  readonly logFile: string;
  /** Resolves when the present process has ended, wanted or not. */
  ended(): Promise<void>;
  /** Ends it in order; waits until it is gone (at most 5 s, then SIGKILL). */
  stop(): Promise<void>;
  /** Sends a signal; for SIGKILL and SIGTERM waits until the process is gone. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Starts it again on the same ports and store, ending the present process first if it still runs. */
  restart(changes?: { durability?: Durability; jetstreamBytesMax?: number }): Promise<void>;
}

/**
 * Starts a server and waits until JetStream is ready.
 * @throws IoError STORE_IN_USE if another server runs on this folder; NATS_SERVER_START with the server's own last words
 */
export async function startNatsServer(options: StartOptions): Promise<RunningNatsServer> {
  const host = options.host ?? "127.0.0.1";
  const storeFolder = options.storeFolder;
  await mkdir(storeFolder, { recursive: true });
  await refuseSecond(storeFolder);
  for (let tries = 1; ; tries++) {
    const port = options.port || (await freePort(host));
    const monitorPort = options.monitorPort || (await freePort(host));
    const server = new Server({ ...options, host, port, monitorPort });
    try {
      await server.start();
      return server;
    } catch (error) {
      // Somebody else took the port between the look and the start.
      const isPortTaken = error instanceof IoError && String(error.message).includes("address already in use");
      if (!isPortTaken || tries >= START_TRIES_MAX || (options.port && options.monitorPort)) throw error;
    }
  }
}

class Server implements RunningNatsServer {
  readonly url: string;
  readonly monitorUrl: string;
  readonly logFile: string;
  #options: StartOptions & { host: string; port: number; monitorPort: number };
  #child: ChildProcess | undefined;
  #watchdog: ChildProcess | undefined;
  #exit: Promise<void> = Promise.resolve();
  #stderr = "";

  constructor(options: StartOptions & { host: string; port: number; monitorPort: number }) {
    this.#options = options;
    this.url = `nats://${options.host}:${options.port}`;
    this.monitorUrl = `http://${options.host}:${options.monitorPort}`;
    this.logFile = join(options.storeFolder, "nats-server.log");
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  ended(): Promise<void> {
    return this.#exit;
  }

  async start(): Promise<void> {
    const { path, storeFolder, serverName, durability, maxPayloadBytes, jetstreamBytesMax, host, port, monitorPort } =
      this.#options;
    const name = serverName ?? `meridian-${port}`;
    const limits = {
      maxPayloadBytes: maxPayloadBytes ?? 8 * MIB,
      jetstreamBytesMax: jetstreamBytesMax ?? (await diskShare(storeFolder)),
    };
    const text = configText({
      serverName: name,
      host,
      port,
      monitorPort,
      storeFolder,
      logFile: this.logFile,
      durability,
      ...limits,
    });
    const configFile = join(storeFolder, "nats-server.conf");
    await writeFile(configFile, text);
    await rm(this.logFile, { force: true });
    this.#stderr = "";
    // Detached for N2; the pipe keeps what the server says before it has opened its log file.
    const child = spawn(path, ["-c", configFile], { detached: true, stdio: ["ignore", "ignore", "pipe"] });
    child.stderr?.on("data", (chunk: Buffer) => (this.#stderr = (this.#stderr + chunk.toString()).slice(-STDERR_BYTES_MAX)));
    this.#child = child;
    let isGone = false;
    this.#exit = new Promise((resolve) => {
      const end = () => {
        isGone = true;
        this.#watchdog?.kill("SIGKILL");
        resolve();
      };
      child.once("exit", end);
      child.once("error", (error) => {
        this.#stderr += error.message;
        end();
      });
    });
    if (child.pid !== undefined) {
      this.#watchdog = startWatchdog(child.pid);
      await writeFile(pidFileOf(storeFolder), `${child.pid}\n`);
    }
    await this.#ready(name, () => isGone);
  }

  async #ready(name: string, isGone: () => boolean): Promise<void> {
    const endsAt = Date.now() + READY_MS_MAX;
    while (Date.now() < endsAt && !isGone()) {
      if (await isReady(this.monitorUrl, name)) return;
      await delay(READY_POLL_MS);
    }
    const why = isGone() ? "the process ended" : `not ready after ${READY_MS_MAX} ms`;
    await this.kill("SIGKILL");
    const log = await readFile(this.logFile, "utf8").catch(() => "");
    const said = `${this.#stderr}\n${log}`.trim().split("\n").slice(-LOG_LINES_SHOWN).join("\n");
    throw new IoError({ code: "NATS_SERVER_START", why, path: this.#options.path, said }, "later");
  }

  async stop(): Promise<void> {
    await this.#end();
    await rm(pidFileOf(this.#options.storeFolder), { force: true });
  }

  async #end(): Promise<void> {
    const timer = setTimeout(() => this.#child?.kill("SIGKILL"), STOP_MS_MAX);
    await this.kill("SIGTERM");
    clearTimeout(timer);
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    // A stopped process takes no SIGTERM before it goes on.
    if (signal === "SIGTERM") child.kill("SIGCONT");
    if (signal === "SIGKILL" || signal === "SIGTERM") await this.#exit;
  }

  async restart(changes: { durability?: Durability; jetstreamBytesMax?: number } = {}): Promise<void> {
    await this.#end();
    this.#options = { ...this.#options, ...changes };
    await this.start();
  }
}

/**
 * What JetStream may fill: a share of the free disk and of what it has already. The server's own default counts only what is
 * free at its start, so that a store that fills half of a disk would be full after a restart. The rest stays free because a
 * server that meets a full disk stops storing until it is restarted, while one at its limit refuses and goes on.
 */
async function diskShare(storeFolder: string): Promise<number> {
  const { bavail, bsize } = await statfs(storeFolder);
  const names = await readdir(storeFolder, { recursive: true, withFileTypes: true });
  const sizes = await Promise.all(names.filter((name) => name.isFile()).map((name) => sizeOf(join(name.parentPath, name.name))));
  const used = sizes.reduce((sum, size) => sum + size, 0);
  return Math.floor(DISK_SHARE * (bavail * bsize + used));
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch {
    return 0; // Gone since the folder was listed.
  }
}

const pidFileOf = (storeFolder: string): string => join(storeFolder, "nats-server.pid");

/** Two servers on one store destroy it. A server left behind by a killed parent counts too; its watchdog is about to end it. */
async function refuseSecond(storeFolder: string): Promise<void> {
  const endsAt = Date.now() + STOP_MS_MAX;
  for (;;) {
    const text = await readFile(pidFileOf(storeFolder), "utf8").catch(() => "");
    const pid = Number.parseInt(text, 10);
    if (!(pid > 0) || !(await isNatsServer(pid))) return;
    if (Date.now() >= endsAt) throw new IoError({ code: "STORE_IN_USE", storeFolder, pid }, "later");
    await delay(100);
  }
}

/** True if a process with this number lives and is a nats-server (numbers are used again). */
function isNatsServer(pid: number): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn("ps", ["-o", "command=", "-p", String(pid)], { stdio: ["ignore", "pipe", "ignore"] });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    child.once("error", () => resolve(false));
    child.once("close", () => resolve(output.includes("nats-server")));
  });
}

function startWatchdog(pid: number): ChildProcess {
  const script = 'trap "" INT TERM HUP; cat > /dev/null; kill -TERM "$1"';
  const child = spawn("sh", ["-c", script, "sh", String(pid)], { detached: true, stdio: ["pipe", "ignore", "ignore"] });
  child.unref();
  // The pipe alone shall not keep the parent alive. Without a watchdog (no shell, or it was killed) the server runs as well.
  (child.stdin as unknown as { unref?: () => void }).unref?.();
  child.on("error", () => undefined);
  child.stdin.on("error", () => undefined);
  return child;
}

async function isReady(monitorUrl: string, name: string): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(1_000);
    const health = await fetch(`${monitorUrl}/healthz`, { signal });
    await health.body?.cancel();
    if (!health.ok) return false;
    const varz = (await (await fetch(`${monitorUrl}/varz`, { signal })).json()) as { server_name?: string };
    return varz.server_name === name;
  } catch {
    return false; // Not listening yet.
  }
}

/** A port that nobody listens on now, below the range of outgoing connections (N1). */
async function freePort(host: string): Promise<number> {
  for (let tries = 0; tries < PORT_TRIES_MAX; tries++) {
    const port = PORT_FIRST + Math.floor(Math.random() * (PORT_LAST - PORT_FIRST + 1));
    if (await isFree(host, port)) return port;
  }
  throw new IoError({ code: "NO_FREE_PORT", host, first: PORT_FIRST, last: PORT_LAST }, "later");
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen(port, host, () => probe.close(() => resolve(true)));
  });
}
