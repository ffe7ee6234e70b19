/**
 * A local cluster: nats-server and the same services as in production, as processes of this machine.
 *
 * C1. Services find each other through NATS alone; their order of start does not matter.
 * C2. Every process that ends unwanted is started again (supervised.ts), nats-server on its old port and folder.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { IoError } from "@meridian/core";
import { type RunningNatsServer, findNatsServer, startNatsServer } from "@meridian/nats-server";
import { testAccounts } from "./accounts.ts";
import { type DataFolder, takeFolder } from "./folder.ts";
import { writeGenesis } from "./genesis.ts";
import { type ClusterOptions, type ServiceKind, clusterDefaults } from "./options.ts";
import { freePort, isPortFree } from "./ports.ts";
import { type SupervisedProcess, supervise } from "./supervised.ts";
import { type Watchdog, startWatchdog } from "./watchdog.ts";

export interface Cluster {
  /** http://127.0.0.1:port of the first gateway; `rpcUrls` has all. */
  readonly rpcUrl: string;
  readonly rpcUrls: string[];
  readonly natsUrl: string;
  readonly folder: DataFolder;
  readonly nats: RunningNatsServer;
  /** By name: scheduler-0, scheduler-1, host-0, …, archive-0, …, gateway-0, … */
  readonly processes: ReadonlyMap<string, SupervisedProcess>;
  /** kill -9 of nats-server, which is then started again. */
  crashNats(): Promise<void>;
  /** Restarts nats-server in order, with another bound on its disk use. */
  restartNats(changes: { jetstreamBytesMax?: number }): Promise<void>;
  /** Resolves when JSON-RPC answers; blocks need not be there yet. @throws IoError NOT_READY with the tails of the logs' names */
  answering(msMax?: number): Promise<void>;
  /** Resolves when a block after genesis is sealed. @throws IoError NOT_READY */
  ready(msMax?: number): Promise<void>;
  stop(): Promise<void>;
}

const HOST = "127.0.0.1";
/** Fetched binaries are shared by all data folders of this checkout. */
const CACHE_FOLDER = fileURLToPath(new URL("../../../../.meridian/cache", import.meta.url));
const POLL_MS = 50;
const READY_MS_MAX = 60_000;
const PREFUNDED_ETH = 10_000n;
/**
 * Records travel in buffers beside the heap, and each 30 MB of them would start a collection of a heap of 15 MB: two thirds of a
 * scheduler's processor time under load. With room for the heap to grow they come a fifth as often.
 */
const NODE_ARGUMENTS = ["--disable-warning=ExperimentalWarning", "--initial-old-space-size=256"];
const NATS_RESTART_MS_MAX = 5_000;

/**
 * Starts the processes and returns at once; `answering` and `ready` wait.
 * @throws IoError PORT_IN_USE, ALREADY_RUNNING, OTHER_SETTINGS; NATS_SERVER_START and what else `startNatsServer` throws
 */
export async function startCluster(given: Partial<ClusterOptions> & { dataFolder: string }): Promise<Cluster> {
  const options: ClusterOptions = { ...clusterDefaults, ...given };
  const ports = await gatewayPorts(options);
  const rpcUrls = ports.map((port) => `http://${HOST}:${port}`);
  const { chainId, partitions, blockMs } = options;
  const folder = await takeFolder(options.dataFolder, { chainId, partitions, blockMs }, rpcUrls[0] ?? "");
  try {
    await refuseTakenPort(options.port);
    if (!existsSync(folder.genesisFile)) {
      const balanceWei = PREFUNDED_ETH * 10n ** 18n;
      await writeGenesis(
        folder.genesisFile,
        chainId,
        testAccounts(options.funded).map(({ address }) => ({ address, balanceWei })),
        options.pins,
      );
    }
    const nats = await startNats(options, folder);
    return new LocalCluster(options, folder, nats, rpcUrls, ports);
  } catch (error) {
    await folder.release();
    throw error;
  }
}

async function gatewayPorts({ port, gateways }: ClusterOptions): Promise<number[]> {
  const ports = [port === 0 ? await freePort() : port];
  while (ports.length < gateways) ports.push(await freePort());
  return ports;
}

/** After the folder is taken: a launcher that runs on the same folder is the better explanation. */
async function refuseTakenPort(port: number): Promise<void> {
  if (port === 0 || (await isPortFree(HOST, port))) return;
  throw new IoError(
    { code: "PORT_IN_USE", text: `something else listens on ${HOST}:${port}; choose another with --port` },
    "never",
  );
}

async function startNats(options: ClusterOptions, folder: DataFolder): Promise<RunningNatsServer> {
  options.onEvent({ kind: "starting", name: "nats-server" });
  const startedAt = Date.now();
  const { durability, jetstreamBytesMax, natsServer: variable, onEvent } = options;
  const { path } = await findNatsServer({
    cacheFolder: CACHE_FOLDER,
    ...(variable === undefined ? {} : { variable }),
    report: (text) => onEvent({ kind: "note", text }),
  });
  const limit = jetstreamBytesMax === undefined ? {} : { jetstreamBytesMax };
  const nats = await startNatsServer({ path, storeFolder: folder.nats, durability, ...limit });
  options.onEvent({ kind: "started", name: "nats-server", pid: nats.pid, ms: Date.now() - startedAt });
  return nats;
}

class LocalCluster implements Cluster {
  readonly rpcUrls: string[];
  readonly natsUrl: string;
  readonly folder: DataFolder;
  readonly nats: RunningNatsServer;
  readonly processes: Map<string, SupervisedProcess>;
  readonly #options: ClusterOptions;
  readonly #watchdog: Watchdog;
  readonly #keepingNats: Promise<void>;
  #natsChange: Promise<void> = Promise.resolve();
  #isStopping = false;

  constructor(options: ClusterOptions, folder: DataFolder, nats: RunningNatsServer, rpcUrls: string[], ports: number[]) {
    this.#options = options;
    this.folder = folder;
    this.nats = nats;
    this.natsUrl = nats.url;
    this.rpcUrls = rpcUrls;
    this.#watchdog = startWatchdog();
    this.processes = new Map<string, SupervisedProcess>();
    for (const process of servicesOf(options, folder, ports)) this.#add(process);
    for (const process of this.processes.values()) process.start();
    this.#keepingNats = this.#keepNats();
  }

  get rpcUrl(): string {
    return this.rpcUrls[0] ?? "";
  }

  async crashNats(): Promise<void> {
    await this.nats.kill("SIGKILL"); // `#keepNats` starts it again.
  }

  async restartNats(changes: { jetstreamBytesMax?: number }): Promise<void> {
    this.#natsChange = this.nats.restart(changes);
    await this.#natsChange;
  }

  async answering(msMax = READY_MS_MAX): Promise<void> {
    await this.#until("eth_chainId", msMax, () => true);
  }

  async ready(msMax = READY_MS_MAX): Promise<void> {
    await this.#until("eth_blockNumber", msMax, (result) => Number(result) > 0);
  }

  async stop(): Promise<void> {
    if (this.#isStopping) return;
    this.#isStopping = true;
    await Promise.all([...this.processes.values()].map((process) => process.stop()));
    await this.nats.stop();
    await this.#keepingNats;
    this.#watchdog.dismiss();
    await this.folder.release();
  }

  #add({ name, kind, env }: ServiceProcess): void {
    const { natsUrl } = this;
    const { durability, engine, crashesPerMinuteMax, onEvent } = this.#options;
    const common = {
      MERIDIAN_NATS_URL: natsUrl,
      MERIDIAN_NATS_MONITOR_URL: this.nats.monitorUrl,
      MERIDIAN_INSTANCE: name,
      MERIDIAN_DURABILITY: durability,
      MERIDIAN_ENGINE: engine,
      NODE_COMPILE_CACHE: join(this.folder.path, "compile-cache"),
    };
    const process_ = supervise({
      name,
      command: process.execPath,
      args: [...NODE_ARGUMENTS, mainOf(kind)],
      env: { ...process.env, ...common, ...env, ...this.#options.env, ...this.#options.envByService[kind] },
      logFile: join(this.folder.logs, `${name}.log`),
      crashesPerMinuteMax,
      onEvent,
      onPid: () => this.#watchdog.watch([...this.processes.values()].map(({ pid }) => pid)),
    });
    this.processes.set(name, process_);
  }

  /** Starts nats-server again whenever it ends. */
  async #keepNats(): Promise<void> {
    for (let restartMs = 100; ; restartMs = Math.min(restartMs * 2, NATS_RESTART_MS_MAX)) {
      const ended = this.nats.ended();
      await ended;
      if (this.#isStopping) return;
      await this.#natsChange;
      if (this.nats.ended() !== ended) continue; // Restarted in order: there is a new process to watch.
      this.#options.onEvent({ kind: "ended", name: "nats-server", how: "ended", restartMs });
      await delay(restartMs);
      if (this.#isStopping) return;
      const startedAt = Date.now();
      try {
        await this.nats.restart();
        this.#options.onEvent({ kind: "started", name: "nats-server", pid: this.nats.pid, ms: Date.now() - startedAt });
        restartMs = 100;
      } catch (error) {
        this.#options.onEvent({ kind: "ended", name: "nats-server", how: String(error), restartMs });
      }
    }
  }

  async #until(method: string, msMax: number, isEnough: (result: unknown) => boolean): Promise<void> {
    const endsAt = Date.now() + msMax;
    let last = "no answer";
    while (Date.now() < endsAt && !this.#isStopping) {
      try {
        const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params: [] });
        const headers = { "content-type": "application/json" };
        const signal = AbortSignal.timeout(POLL_MS * 40);
        const answer = (await (await fetch(this.rpcUrl, { method: "POST", headers, body, signal })).json()) as {
          result?: unknown;
        };
        if (answer.result !== undefined && isEnough(answer.result)) return;
        last = JSON.stringify(answer);
      } catch (error) {
        last = error instanceof Error ? error.message : String(error); // Not listening yet.
      }
      await delay(POLL_MS);
    }
    const text = `${method} at ${this.rpcUrl} after ${msMax} ms: ${last}; logs are in ${this.folder.logs}`;
    throw new IoError({ code: "NOT_READY", text }, "later");
  }
}

interface ServiceProcess {
  name: string;
  kind: ServiceKind;
  env: Record<string, string>;
}

function servicesOf(options: ClusterOptions, folder: DataFolder, ports: number[]): ServiceProcess[] {
  const { schedulers, hosts, archives, partitions, blockMs } = options;
  const admin: Record<string, string> = options.admin ? { MERIDIAN_ADMIN: "true" } : {};
  const list = (count: number, make: (index: number) => ServiceProcess) =>
    Array.from({ length: count }, (_, index) => make(index));
  const partitionsOf = (host: number) =>
    Array.from({ length: partitions }, (_, partition) => partition).filter((partition) => partition % hosts === host);
  const chain = {
    MERIDIAN_GENESIS: folder.genesisFile,
    MERIDIAN_PARTITION_COUNT: `${partitions}`,
    MERIDIAN_BLOCK_MS: `${blockMs}`,
  };
  return [
    ...list(schedulers, (index) => ({ name: `scheduler-${index}`, kind: "scheduler", env: { ...chain, ...admin } })),
    ...list(Math.min(hosts, partitions), (index) => ({
      name: `host-${index}`,
      kind: "partition",
      env: { MERIDIAN_PARTITIONS: partitionsOf(index).join(",") },
    })),
    ...list(archives, (index) => ({ name: `archive-${index}`, kind: "archive", env: { MERIDIAN_DATA: folder.archive(index) } })),
    ...ports.map((port, index): ServiceProcess => ({
      name: `gateway-${index}`,
      kind: "gateway",
      // Pages in development come from any port of this machine; the keys here are public and the socket is on loopback.
      env: { MERIDIAN_HTTP_HOST: HOST, MERIDIAN_HTTP_PORT: `${port}`, MERIDIAN_CORS_ORIGINS: "*", ...admin },
    })),
  ];
}

/** The very file that production starts. */
function mainOf(kind: ServiceKind): string {
  return fileURLToPath(new URL(`../../../${kind}/src/main.ts`, import.meta.url));
}
