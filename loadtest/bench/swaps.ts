/**
 * `npm run bench:swaps`: Uniswap swaps a second by the share that crosses partitions, and on one hot pool.
 *
 * B1. Without `--rate` each lane sends its next batch when the one before is answered: what the cluster takes at most. Then it is
 *     saturated, and what waits for a processor waits with its locks held.
 * B2. With `--rate` batches are sent at their times, whatever is answered: how long locks are held at that rate. Where more than
 *     `BATCHES_MAX` would be out at once the next one is late: the cluster fell behind, and the report says so.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Command } from "commander";
import { IoError, assert } from "@meridian/core";
import {
  type Cluster,
  RpcClient,
  type Signed,
  compile,
  followBlocks,
  loadAccounts,
  nextNonces,
  percentile,
  sendLane,
  startCluster,
  table,
} from "@meridian/launcher";
import { deployPools, pinnedPools, planSwaps } from "../workloads/pools.ts";
import { cpuSeconds } from "./cpu.ts";
import { type Histogram, type MetricsReceiver, between, quantile, receiveMetrics } from "./metrics.ts";

const CHAIN_ID = 31_337;
const STALL_MS_MAX = 30_000;
const SEALED_MS_MAX = 180_000;
/** Two exports of metrics, so that what is read belongs to what was measured. */
const SETTLE_MS = 1_200;
/** Unanswered batches at a rate: what comes beyond is late. */
const BATCHES_MAX = 64;

const SCENARIOS = [
  { name: "0 % crossing", crossing: 0, isHot: false },
  { name: "10 % crossing", crossing: 0.1, isHot: false },
  { name: "50 % crossing", crossing: 0.5, isHot: false },
  { name: "100 % crossing", crossing: 1, isHot: false },
  { name: "one hot pool, pinned", crossing: 0, isHot: true },
  { name: "one hot pool, crossing", crossing: 1, isHot: true },
];

interface SwapReport {
  scenario: string;
  swaps: number;
  swapsPerSecond: number;
  failed: number;
  sealedMs: { p50: number; p99: number };
  lockHeldMs: { p50: number; p99: number };
  /** The first part of it: until the home's proposal has reached the scheduler. */
  proposedMs: { p50: number; p99: number };
  /** The last part of it: one append. Of all flushes. */
  appendMs: { p50: number; p99: number };
  flushes: number;
  /** Batches that were sent late because too many were out; of a run without `--rate` none. */
  lateBatches: number;
  groups: number;
  membersPerGroup: number;
  roundsPerGroup: number;
  missesPercent: number;
  cpuMicroseconds: number; // for each swap, over all processes
}

const startedAt = Date.now();
const say = (text: string) => console.error(`${((Date.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${text}`);

interface Flags {
  swaps: string;
  warmUp: string;
  users: string;
  partitions: string;
  hosts: string;
  batch: string;
  lanes: string;
  rate?: string;
  engine: "native" | "wasm" | "auto";
  only?: string;
  json?: string;
  profile?: string;
}

function readFlags(): Flags {
  return new Command("npm run bench:swaps --")
    .description(
      "Sends pre-signed Uniswap V2 swaps and measures until the last is in a sealed block, by share that crosses partitions.",
    )
    .option("--swaps <count>", "measured in each scenario", "10000")
    .option("--warm-up <count>", "sent before each, not measured", "2000")
    .option("--users <count>", "senders", "400")
    .option("--partitions <count>", "", "4")
    .option("--hosts <count>", "", "2")
    .option("--batch <count>", "transactions in one JSON-RPC batch", "100")
    .option("--lanes <count>", "connections beside each other", "4")
    .option("--rate <count>", "swaps sent a second, in batches at their times; without it as fast as they are answered")
    .option("--engine <build>", "native, wasm or auto", "auto")
    .option("--only <text>", "scenarios whose name holds this")
    .option("--json <file>", "writes the results as JSON")
    .option("--profile <folder>", "writes a CPU profile of each service (slower)")
    .parse()
    .opts<Flags>();
}

async function main(): Promise<void> {
  const flags = readFlags();
  const partitions = Number(flags.partitions);
  const [deployer, ...users] = loadAccounts(Number(flags.users) + 1, "swaps");
  assert(deployer !== undefined, "there is a deployer");
  const pools = pinnedPools(deployer, partitions);
  const metrics = await receiveMetrics();
  const dataFolder = await mkdtemp(join(tmpdir(), "meridian-swaps-"));
  const { engine, profile } = flags;
  if (profile !== undefined) await mkdir(profile, { recursive: true });
  const env = { ...metrics.env, ...(profile === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${profile}` }) };
  const options = { dataFolder, port: 0, partitions, hosts: Number(flags.hosts), engine, pins: pools.pins, env };
  const cluster = await startCluster(options);
  const rpc = new RpcClient(cluster.rpcUrl);
  try {
    await cluster.ready();
    const token = compile("DemoToken.sol")["DemoToken"];
    assert(token !== undefined, "DemoToken.sol holds DemoToken");
    say(`cluster of ${partitions} partitions is up; deploying ${2 * partitions} pools`);
    await deployPools({ rpc, chainId: CHAIN_ID, deployer, token, pools, users });
    const reports: SwapReport[] = [];
    for (const [number, scenario] of SCENARIOS.filter(({ name }) => name.includes(flags.only ?? "")).entries()) {
      say(`${scenario.name}: signing`);
      const plan = { chainId: CHAIN_ID, pools, users, nonces: await nextNonces(rpc, users), ...scenario };
      const warm = planSwaps({ ...plan, count: Number(flags.warmUp), seed: 2 * number });
      const measured = planSwaps({ ...plan, count: Number(flags.swaps), seed: 2 * number + 1 });
      const lanes = Number(flags.lanes);
      const sent = { rpc, batch: Number(flags.batch), lanes, rate: flags.rate === undefined ? null : Number(flags.rate) };
      await send({ ...sent, rate: null }, warm);
      reports.push(await measure(cluster, metrics, sent, scenario.name, measured));
      console.log(textOf(reports));
    }
    if (flags.json !== undefined) await writeFile(flags.json, `${JSON.stringify(reports, null, 2)}\n`);
  } finally {
    rpc.close();
    await cluster.stop();
    metrics.close();
    await rm(dataFolder, { recursive: true, force: true });
  }
}

type SendOptions = Parameters<typeof sendLane>[2];

interface Sender {
  rpc: RpcClient;
  batch: number;
  lanes: number;
  rate: number | null;
}

interface Sent {
  seconds: number;
  sealed: number[];
  lateBatches: number;
}

async function send(sender: Sender, swaps: readonly Signed[]): Promise<Sent> {
  const { rpc, rate } = sender;
  const follower = followBlocks(rpc, Number(await rpc.call<string>("eth_blockNumber")));
  const sentAt = new Map<string, number>();
  const from = performance.now();
  const options = {
    ...{ batch: sender.batch, stallMsMax: STALL_MS_MAX, isPatient: true },
    onAcknowledged: ({ hash }: Signed, at: number) => void sentAt.set(hash, at),
  };
  let lateBatches = 0;
  try {
    if (rate === null) await Promise.all(lanesOf(sender, swaps).map((lane) => sendLane(rpc, lane, options)));
    else lateBatches = await sendAtRate(rpc, swaps, rate, options);
    await follower.until(swaps.length, SEALED_MS_MAX);
  } finally {
    await follower.stop();
  }
  let last = from;
  for (const { at } of follower.seen.values()) last = Math.max(last, at);
  const sealed = [...sentAt].map(([hash, at]) => (follower.seen.get(hash)?.at ?? Infinity) - at);
  return { seconds: (last - from) / 1000, sealed: sealed.toSorted((left, right) => left - right), lateBatches };
}

/** A sender's swaps stay in one lane, in their order. */
function lanesOf({ lanes }: Sender, swaps: readonly Signed[]): Signed[][] {
  const senders = new Map([...new Set(swaps.map(({ sender }) => sender))].map((sender, index) => [sender, index % lanes]));
  return Array.from({ length: lanes }, (_, lane) => swaps.filter(({ sender }) => senders.get(sender) === lane));
}

/** Returns how many batches were late. */
async function sendAtRate(rpc: RpcClient, swaps: readonly Signed[], rate: number, options: SendOptions): Promise<number> {
  const from = performance.now();
  const out = new Set<Promise<void>>();
  const all: Promise<void>[] = [];
  let late = 0;
  for (let first = 0; first < swaps.length; first += options.batch) {
    await delay(Math.max(0, from + (first / rate) * 1_000 - performance.now()));
    if (out.size >= BATCHES_MAX) {
      late++;
      await Promise.race(out);
    }
    const sending = sendLane(rpc, swaps.slice(first, first + options.batch), options).finally(() => out.delete(sending));
    out.add(sending);
    all.push(sending);
  }
  await Promise.all(all);
  return late;
}

const settle = () => delay(SETTLE_MS);

function look(metrics: MetricsReceiver) {
  return {
    held: metrics.histogram("meridian.scheduler.groups.held"),
    proposed: metrics.histogram("meridian.scheduler.groups.proposed"),
    append: metrics.histogram("meridian.scheduler.append"),
    rounds: metrics.histogram("meridian.partition.group.rounds"),
    groups: metrics.counter("meridian.scheduler.groups.groups"),
    members: metrics.counter("meridian.scheduler.groups.members"),
    misses: metrics.counter("meridian.scheduler.misses", { why: "outside" }),
  };
}

async function measure(
  cluster: Cluster,
  metrics: MetricsReceiver,
  sender: Sender,
  scenario: string,
  swaps: readonly Signed[],
): Promise<SwapReport> {
  await settle();
  const before = look(metrics);
  const cpuBefore = await cpu(cluster);
  say(`${scenario}: measuring`);
  const { seconds, sealed, lateBatches } = await send(sender, swaps);
  const cpuUsed = (await cpu(cluster)) - cpuBefore;
  await settle();
  const after = look(metrics);
  const append = between(before.append, after.append);
  const rounds = between(before.rounds, after.rounds);
  const groups = after.groups - before.groups;
  return {
    scenario,
    swaps: swaps.length,
    swapsPerSecond: swaps.length / seconds,
    failed: await failures(sender.rpc, swaps),
    sealedMs: { p50: percentile(sealed, 0.5), p99: percentile(sealed, 0.99) },
    lockHeldMs: spread(between(before.held, after.held)),
    proposedMs: spread(between(before.proposed, after.proposed)),
    appendMs: spread(append),
    flushes: append.count,
    lateBatches,
    groups,
    membersPerGroup: groups === 0 ? 0 : (after.members - before.members) / groups,
    roundsPerGroup: rounds.count === 0 ? 0 : rounds.sum / rounds.count,
    missesPercent: ((after.misses - before.misses) / swaps.length) * 100,
    cpuMicroseconds: (cpuUsed / swaps.length) * 1e6,
  };
}

const spread = (histogram: Histogram) => ({ p50: quantile(histogram, 0.5), p99: quantile(histogram, 0.99) });

async function failures(rpc: RpcClient, swaps: readonly Signed[]): Promise<number> {
  let failed = 0;
  for (let first = 0; first < swaps.length; first += 500) {
    const calls = swaps.slice(first, first + 500).map(({ hash }) => ({ method: "eth_getTransactionReceipt", params: [hash] }));
    for (const answer of await rpc.batch(calls)) {
      if (!("result" in answer) || (answer.result as { status?: string } | null)?.status !== "0x1") failed++;
    }
  }
  return failed;
}

async function cpu(cluster: Cluster): Promise<number> {
  const pids = [...[...cluster.processes.values()].map(({ pid }) => pid), cluster.nats.pid, process.pid];
  return (await Promise.all(pids.map(cpuSeconds))).reduce((sum, seconds) => sum + seconds, 0);
}

function textOf(reports: readonly SwapReport[]): string {
  const ms = ({ p50, p99 }: { p50: number; p99: number }) => `${p50.toFixed(0)} / ${p99.toFixed(0)}`;
  return table([
    [
      "scenario",
      "swaps/s",
      "failed",
      "sealed p50/p99 ms",
      "lock held p50/p99 ms",
      "until proposed",
      "append",
      "flushes",
      "groups",
      "swaps a group",
      "rounds",
      "missed",
      "CPU us a swap",
    ],
    ...reports.map((report) => [
      report.scenario,
      `${report.swapsPerSecond.toFixed(0)}${report.lateBatches > 0 ? ` (${report.lateBatches} batches late)` : ""}`,
      report.failed,
      ms(report.sealedMs),
      ms(report.lockHeldMs),
      ms(report.proposedMs),
      ms(report.appendMs),
      report.flushes,
      report.groups,
      report.membersPerGroup.toFixed(1),
      report.roundsPerGroup.toFixed(1),
      `${report.missesPercent.toFixed(2)} %`,
      report.cpuMicroseconds.toFixed(0),
    ]),
  ]);
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error instanceof IoError ? error.message : error);
    process.exit(1);
  },
);
