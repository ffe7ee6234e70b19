/**
 * Signed ERC-20 transfers over JSON-RPC, client included: how many a second until the last one is in a sealed block.
 *
 * B1. Everything is signed before the clock starts; the clock stops when the client has seen the last transfer's block.
 * B2. Afterwards every transfer must have its receipt with status 1, and every balance must be exact.
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RangeMap, assert, indexRanges } from "@meridian/core";
import {
  type Cluster,
  RpcClient,
  type Transfer,
  checkReceipts,
  compile,
  dealLanes,
  deployTokens,
  followBlocks,
  loadAccounts,
  nextNonces,
  percentile,
  planTransfers,
  sendLane,
  startCluster,
} from "@meridian/launcher";
import { cpuSeconds, memoryMib } from "./cpu.ts";

export interface BenchOptions {
  engine: "native" | "wasm";
  transfers: number;
  warmUp: number;
  accounts: number;
  batch: number;
  lanes: number;
  partitions: number;
  hosts: number;
  blockMs: number;
  /** Folder for one CPU profile of each service; undefined for none. */
  profileFolder: string | undefined;
  say: (text: string) => void;
}

export interface ProcessCost {
  name: string;
  cpuSeconds: number;
  microsecondsPerTransaction: number;
  memoryMib: number;
}

export interface BenchReport {
  engine: string;
  transfers: number;
  seconds: number;
  transactionsPerSecond: number;
  acknowledgedMs: { p50: number; p99: number };
  sealedMs: { p50: number; p99: number };
  blocks: number;
  receipts: number;
  processes: ProcessCost[];
}

const CHAIN_ID = 31_337;
const EACH = 1_000_000_000;
const SEED = 7;
const STALL_MS_MAX = 20_000;
const SEALED_MS_MAX = 120_000;

export async function runBench(options: BenchOptions): Promise<BenchReport> {
  const { engine, partitions, hosts, blockMs, profileFolder, say } = options;
  const dataFolder = await mkdtemp(join(tmpdir(), "meridian-bench-"));
  if (profileFolder !== undefined) await mkdir(profileFolder, { recursive: true });
  const env: Record<string, string> =
    profileFolder === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${profileFolder}` };
  const cluster = await startCluster({ dataFolder, port: 0, engine, partitions, hosts, blockMs, env });
  try {
    await cluster.ready();
    say(`${engine}: cluster of ${partitions} partitions on ${hosts} hosts is up`);
    return await measure(options, cluster);
  } finally {
    await cluster.stop();
    await rm(dataFolder, { recursive: true, force: true });
  }
}

async function measure(options: BenchOptions, cluster: Cluster): Promise<BenchReport> {
  const { engine, transfers: count, warmUp, batch, lanes, say } = options;
  const rpc = new RpcClient(cluster.rpcUrl);
  try {
    const accounts = loadAccounts(options.accounts, "bench");
    const ranges = indexRanges(await rpc.call<RangeMap>("meridian_rangeMap"));
    const token = compile("DemoToken.sol")["DemoToken"];
    assert(token !== undefined, "DemoToken.sol holds DemoToken");
    const tokens = await deployTokens({
      rpc,
      chainId: CHAIN_ID,
      ranges,
      token,
      deployers: accounts,
      holders: accounts,
      each: EACH,
    });
    const nonces = await nextNonces(rpc, accounts);
    const plan = { chainId: CHAIN_ID, accounts, nonces, tokens, amountMax: 100 };
    say(`${engine}: signing ${warmUp} transfers to warm up and ${count} to measure`);
    const warm = planTransfers({ ...plan, count: warmUp, seed: SEED });
    const measured = planTransfers({ ...plan, count, seed: SEED + 1 });
    await send(rpc, warm, { batch, lanes });
    say(`${engine}: measuring`);
    const before = await costs(cluster);
    const result = await send(rpc, measured, { batch, lanes });
    const after = await costs(cluster);
    say(`${engine}: checking ${count} receipts`);
    await checkReceipts(rpc, measured, result.first, result.last);
    const processes = after.map(({ name, cpu, memory }, index) => {
      const used = cpu - (before[index]?.cpu ?? 0);
      return { name, cpuSeconds: used, microsecondsPerTransaction: (used / count) * 1e6, memoryMib: memory };
    });
    const { seconds, acknowledgedMs, sealedMs, first, last } = result;
    const transactionsPerSecond = count / seconds;
    const blocks = last - first + 1;
    return {
      engine,
      transfers: count,
      seconds,
      transactionsPerSecond,
      acknowledgedMs,
      sealedMs,
      blocks,
      receipts: count,
      processes,
    };
  } finally {
    rpc.close();
  }
}

async function send(rpc: RpcClient, transfers: readonly Transfer[], { batch, lanes }: { batch: number; lanes: number }) {
  const first = Number(await rpc.call<string>("eth_blockNumber")) + 1;
  const follower = followBlocks(rpc, first - 1);
  const sentAt = new Map<string, number>();
  const acknowledged: number[] = [];
  const onAcknowledged = ({ hash }: { hash: string }, sent: number, at: number) => {
    sentAt.set(hash, sent);
    acknowledged.push(at - sent);
  };
  const dealt = dealLanes(transfers, lanes).map((lane) => lane.map(({ signed }) => signed));
  const startedAt = performance.now();
  try {
    await Promise.all(
      dealt.map((lane) => sendLane(rpc, lane, { batch, stallMsMax: STALL_MS_MAX, isPatient: true, onAcknowledged })),
    );
    await follower.until(transfers.length, SEALED_MS_MAX);
  } finally {
    await follower.stop();
  }
  let endedAt = startedAt;
  for (const { at } of follower.seen.values()) endedAt = Math.max(endedAt, at);
  const sealed = [...sentAt].map(([hash, at]) => (follower.seen.get(hash)?.at ?? Infinity) - at);
  return {
    first,
    last: follower.block,
    seconds: (endedAt - startedAt) / 1000,
    acknowledgedMs: spread(acknowledged),
    sealedMs: spread(sealed),
  };
}

function spread(milliseconds: number[]): { p50: number; p99: number } {
  const sorted = milliseconds.toSorted((left, right) => left - right);
  return { p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99) };
}

async function costs(cluster: Cluster): Promise<{ name: string; cpu: number; memory: number }[]> {
  const pids = [...cluster.processes.values()].map(({ name, pid }) => ({ name, pid }));
  const all = [...pids, { name: "nats-server", pid: cluster.nats.pid }, { name: "client", pid: process.pid }];
  return Promise.all(all.map(async ({ name, pid }) => ({ name, cpu: await cpuSeconds(pid), memory: await memoryMib(pid) })));
}
