/** `npm run load`: one scenario at one rate, with everything checked; see --help. */
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { IoError } from "@meridian/core";
import { RpcClient } from "@meridian/launcher";
import { K6, findBinary } from "./binaries.ts";
import { meridianBlocks } from "./blocks.ts";
import { type LoadCluster, inspect, pinAll, startLoadCluster, temporaryFolder } from "./cluster.ts";
import { type Flags, readFlags } from "./flags.ts";
import type { Shape } from "./plan.ts";
import { judge } from "./report/judge.ts";
import { numbersOf } from "./report/report.ts";
import { type Report, textOf, writeReport } from "./report/write.ts";
import { type LoadOptions, planLoad, prepareLoad, sendLoad } from "./run.ts";
import { Setup } from "./setup.ts";

const CHAIN_ID = 31_337;
const SINGLES_A_REQUEST = 500;
const STALL_MS_MAX = 30_000;
const REPORT_FOLDER = fileURLToPath(new URL("../../.meridian/load/", import.meta.url));
const FREE = { tipWei: 0n, capWei: 0n };

const startedAt = Date.now();
const say = (text: string) => console.log(`${((Date.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${text}`);

function shapeOf(flags: Flags): Shape {
  const signedCalls = flags.mode === "batches" ? flags.batch : 1;
  const requestCalls = flags.request ?? (flags.mode === "batches" ? signedCalls : SINGLES_A_REQUEST);
  const seconds = flags.duration + flags.warmUp;
  // A refusal must not break what its sender sends later: every signature from another account.
  const each = Math.ceil((flags.rate * seconds) / signedCalls);
  const senders = flags.senders ?? (flags.overload ? Math.min(each, 50_000) : undefined);
  return { mode: flags.mode, rate: flags.rate, seconds, signedCalls, requestCalls, senders };
}

async function loadOptions(flags: Flags): Promise<LoadOptions> {
  const chain = flags.url === undefined ? { chainId: CHAIN_ID, partitions: flags.partitions } : await inspect(flags.url);
  // On a chain that stays, an account of an earlier run has used its nonces.
  const seed = flags.seed ?? (flags.url === undefined ? "load" : `load ${Date.now()}`);
  const { scenario, warmUp: warmUpSeconds, contracts, holders } = flags;
  const isWaiting = flags.wait && flags.mode !== "jsonrpc";
  return { scenario, shape: shapeOf(flags), warmUpSeconds, contracts, holders, seed, ...chain, fees: FREE, isWaiting };
}

function settingOf(flags: Flags, { seed, shape, partitions }: LoadOptions): Record<string, string> {
  const processor = cpus();
  const own = { hosts: flags.hosts, gateways: flags.gateways, schedulers: flags.schedulers, "block ms": flags.blockMs };
  const cluster = flags.url === undefined ? { ...own, engine: flags.engine, durability: flags.durability } : { url: flags.url };
  const setting = {
    ...{ scenario: flags.scenario, mode: flags.mode, rate: flags.rate, seconds: flags.duration, "warm-up": flags.warmUp },
    ...{ "calls a signature": shape.signedCalls, "calls a request": shape.requestCalls, seed, holders: flags.holders },
    ...{ partitions, ...cluster, overload: flags.overload },
    machine: `${processor.length} x ${processor[0]?.model ?? "unknown"}, Node ${process.versions.node}`,
    commit: commitOf(),
    date: new Date().toISOString(),
  };
  return Object.fromEntries(Object.entries(setting).map(([name, value]) => [name, String(value)]));
}

function commitOf(): string {
  const git = (...args: string[]) => execFileSync("git", args, { encoding: "utf8", cwd: import.meta.dirname }).trim();
  try {
    return `${git("rev-parse", "--short", "HEAD")}${git("status", "--porcelain", "-uno") === "" ? "" : " with changes"}`;
  } catch {
    return "unknown"; // A copy without git.
  }
}

async function run(flags: Flags, folder: string): Promise<Report> {
  const options = await loadOptions(flags);
  const { scenario: planned } = planLoad(options);
  const k6 = await findBinary(K6, say);
  const load = await prepareLoad(options, folder, say);
  const cluster = flags.url === undefined ? await start(flags, options, planned.pins, folder) : running(flags.url, folder);
  const rpc = new RpcClient(cluster.rpcUrl);
  try {
    if (flags.url !== undefined) await pinAll(rpc, planned.pins, say);
    await load.scenario.deploy(new Setup({ rpc, chainId: options.chainId, fees: FREE, say }));
    const url = flags.mode === "jsonrpc" ? cluster.rpcUrl : new URL("/v1/transactions", cluster.rpcUrl).href;
    const target = { rpc, url, readBlock: meridianBlocks(rpc), pids: cluster.pids };
    const arrival = { kind: "rate" as const, seconds: options.shape.seconds, clientsMax: flags.clientsMax };
    const sending = { k6, folder, arrival, wattsPerCore: flags.watts, stallMsMax: STALL_MS_MAX, say };
    const { measured, balances } = await sendLoad(load, target, sending);
    const numbers = numbersOf(measured);
    const verdicts = judge(measured, numbers, balances, { isOverload: flags.overload, blockMs: flags.blockMs });
    const command = `npm run load -- ${process.argv.slice(2).join(" ")}`;
    return { command, setting: settingOf(flags, options), wattsPerCore: flags.watts, numbers, verdicts };
  } finally {
    rpc.close();
    await cluster.stop();
  }
}

async function start(flags: Flags, { chainId }: LoadOptions, pins: Readonly<Record<string, number>>, folder: string) {
  const { partitions, hosts, gateways, schedulers, blockMs, engine, durability, profile } = flags;
  say(`starting a cluster of ${partitions} partitions on ${hosts} hosts, durability ${durability}`);
  const sizes = { partitions, hosts, gateways, schedulers, blockMs };
  return startLoadCluster({ ...sizes, engine, durability, chainId, pins: { ...pins }, profile }, folder);
}

const running = (url: string, folder: string): LoadCluster => ({
  ...{ rpcUrl: url, folder, pids: () => new Map() },
  stop: () => rm(folder, { recursive: true, force: true }),
});

async function main(): Promise<number> {
  const flags = readFlags(process.argv.slice(2));
  const folder = await temporaryFolder();
  // The launcher's watchdog ends what it started when this process is gone, and k6 ends with it.
  const end = () => {
    rmSync(folder, { recursive: true, force: true });
    process.exit(130);
  };
  process.once("SIGINT", end).once("SIGTERM", end);
  let report: Report;
  try {
    report = await run(flags, folder);
  } catch (error) {
    await rm(join(folder, "bodies"), { force: true });
    throw error;
  }
  const name = `${new Date().toISOString().replaceAll(/[:.]/g, "-")}-${flags.scenario}-${flags.mode}`;
  const files = await writeReport(flags.out ?? REPORT_FOLDER, name, report);
  console.log(textOf(report));
  for (const file of files) console.log(file);
  console.log(`${Math.round(report.numbers.confirmedTps)} confirmed TPS`);
  return report.verdicts.every(({ isGood }) => isGood) ? 0 : 1;
}

main().then(
  (exitCode) => process.exit(exitCode),
  (error: unknown) => {
    console.error(error instanceof IoError ? error.message : error);
    console.log("0 confirmed TPS");
    process.exit(1);
  },
);
