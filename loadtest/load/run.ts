/**
 * One load against one node: deploy, sign, send, wait, check, count. The steps are apart, so that peers can have the same load.
 *
 * L1. Everything is signed before the first request is sent.
 * L2. What the checks look at comes from the chain, what the latencies are made of from the client.
 */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Fees, RpcClient } from "@meridian/launcher";
import { balanceReader } from "./balances.ts";
import type { BlockReader } from "./blocks.ts";
import { type Generated, generate } from "./generate.ts";
import { type HeadFollower, followHeads } from "./heads.ts";
import { type LoadPlan, type Shape, callsOf, senderOf, shapePlan, unitOf } from "./plan.ts";
import { type Sampler, startSampler } from "./processes.ts";
import { Receipts } from "./receipts.ts";
import type { Balances } from "./report/judge.ts";
import type { Measured } from "./report/report.ts";
import { type K6Options, type K6Outcome, startK6 } from "./run-k6.ts";
import { scenarioKind } from "./scenarios/index.ts";
import type { Scenario, ScenarioOptions } from "./scenarios/scenario.ts";

export interface LoadOptions {
  scenario: string;
  shape: Shape;
  /** Of `shape.seconds`, not measured. */
  warmUpSeconds: number;
  contracts: number | undefined;
  holders: number;
  seed: string;
  partitions: number;
  chainId: number;
  fees: Fees;
  isWaiting: boolean;
}

/** A load that is signed and may be sent to any chain with this id on which nobody used its seed before. */
export interface PreparedLoad {
  options: LoadOptions;
  plan: LoadPlan;
  scenario: Scenario;
  bodies: Generated;
}

/** The scenario and its plan, not signed yet. */
export function planLoad(options: LoadOptions): { scenario: Scenario; plan: LoadPlan; scenarioOptions: ScenarioOptions } {
  const kind = scenarioKind(options.scenario);
  const shape = shapePlan(options.shape);
  const contracts = options.contracts ?? kind.contracts;
  // Every contract has a sender.
  const senders = Math.max(shape.senders, contracts);
  const { seed, holders, partitions } = options;
  const scenarioOptions = { seed, senders, contracts, holders, partitions };
  const scenario = kind.open(scenarioOptions);
  const firstNonces = Array.from({ length: senders }, (_, sender) => scenario.firstNonce(sender));
  return { scenario, scenarioOptions, plan: { ...shape, senders, firstNonces } };
}

export async function prepareLoad(options: LoadOptions, folder: string, say: (text: string) => void): Promise<PreparedLoad> {
  const { scenario, plan, scenarioOptions } = planLoad(options);
  await mkdir(folder, { recursive: true });
  const { chainId, fees, isWaiting } = options;
  const signatures = callsOf(plan) / plan.signedCalls;
  say(`signing ${callsOf(plan)} calls of ${plan.senders} senders with ${signatures} signatures, ${plan.requests} requests`);
  const bodies = await generate({
    ...{ plan, chainId, fees, isWaiting, scenario: options.scenario, scenarioOptions },
    ...{ dataBytesMax: scenario.dataBytesMax, file: join(folder, "bodies"), say },
  });
  say(`signed in ${bodies.seconds.toFixed(1)} s`);
  return { options, plan, scenario, bodies };
}

export interface Target {
  rpc: RpcClient;
  /** Where requests go. */
  url: string;
  readBlock: BlockReader;
  /** Processes to sample, by name. */
  pids: () => ReadonlyMap<string, number>;
}

export interface SendOptions {
  k6: string;
  folder: string;
  arrival: K6Options["arrival"];
  wattsPerCore: number;
  /** Give up when no block has anything for so long. */
  stallMsMax: number;
  say: (text: string) => void;
}

const POLL_MS = 25;
/** Where answers tell of receipts, blocks only make the time line. */
const POLL_WAITING_MS = 100;
const SAY_MS = 5_000;

/** Sends the load and waits until all of it is in blocks, or nothing moves any more; then reads the blocks. */
export async function sendLoad(
  load: PreparedLoad,
  target: Target,
  options: SendOptions,
): Promise<{ measured: Measured; balances: Balances }> {
  const { plan, options: given } = load;
  const { rpc } = target;
  const { say, stallMsMax } = options;
  const firstBlock = Number(await rpc.call<string>("eth_blockNumber")) + 1;
  const heads = followHeads(rpc, firstBlock - 1, given.isWaiting ? POLL_WAITING_MS : POLL_MS);
  const folder = join(options.folder, "k6");
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  let k6Pid = 0;
  const sampler = await startSampler(() => new Map([...target.pids(), ["k6", k6Pid], ["runner", process.pid]]));
  const timer = setInterval(() => say(progress(plan, heads, sampler)), SAY_MS);
  let k6: K6Outcome;
  try {
    say(`sending ${plan.requests} requests`);
    const isJson = plan.mode === "jsonrpc";
    const { binary, arrival } = { binary: options.k6, arrival: options.arrival };
    const run = await startK6({
      ...{ binary, folder, url: target.url, bodies: load.bodies, isJson, requests: plan.requests, arrival },
    });
    k6Pid = run.pid;
    process.once("exit", run.kill);
    k6 = await run.ended();
    process.off("exit", run.kill);
    await heads.until(callsOf(plan), stallMsMax);
  } finally {
    clearInterval(timer);
    await sampler.stop();
    await heads.stop();
  }
  say(`${heads.transactions} transactions are in ${heads.heads.length} blocks; reading their receipts`);
  const { receipts, ownByBlock } = await readReceipts(load, target, heads, firstBlock, say);
  const balances = await checkBalances(load, target, receipts, say);
  const warmRequests = Math.round((given.warmUpSeconds / given.shape.seconds) * plan.requests);
  const { isWaiting } = given;
  const { samples } = sampler;
  const measured: Measured = {
    ...{ plan, warmRequests, rate: given.shape.rate, isWaiting, k6, heads: heads.heads, firstBlock, ownByBlock, receipts },
    ...{ samples, wattsPerCore: options.wattsPerCore },
  };
  return { measured, balances };
}

function progress(plan: LoadPlan, heads: HeadFollower, { samples }: Sampler): string {
  const [before, now] = [samples.at(-11) ?? samples[0], samples.at(-1)];
  const seconds = ((now?.at ?? 0) - (before?.at ?? 0)) / 1000;
  const cores = seconds > 0 ? ((now?.machineSeconds ?? 0) - (before?.machineSeconds ?? 0)) / seconds : 0;
  const last = heads.heads.at(-1)?.number ?? 0;
  return `${heads.transactions} of ${callsOf(plan)} in blocks up to ${last}; ${cores.toFixed(1)} cores busy`;
}

async function readReceipts(
  { plan, bodies }: PreparedLoad,
  target: Target,
  { heads }: HeadFollower,
  firstBlock: number,
  say: (text: string) => void,
): Promise<{ receipts: Receipts; ownByBlock: number[] }> {
  const receipts = new Receipts(plan, bodies.ids);
  const ownByBlock: number[] = [];
  const filled = heads.filter(({ transactions }) => transactions > 0);
  let saidAt = Date.now();
  // One block ahead, while this one is counted.
  let next = filled[0] === undefined ? undefined : target.readBlock(filled[0].number);
  for (const [index, { number }] of filled.entries()) {
    const block = await next;
    const following = filled[index + 1];
    next = following === undefined ? undefined : target.readBlock(following.number);
    next?.catch(() => undefined); // It throws where it is awaited.
    if (block !== undefined) ownByBlock[number - firstBlock] = receipts.read(number - firstBlock, block);
    if (Date.now() - saidAt > SAY_MS) {
      say(`${receipts.confirmed} receipts read, ${filled.length - index - 1} blocks left`);
      saidAt = Date.now();
    }
  }
  return { receipts, ownByBlock };
}

async function checkBalances(
  { plan, scenario }: PreparedLoad,
  { rpc }: Target,
  receipts: Receipts,
  say: (text: string) => void,
): Promise<Balances> {
  say("comparing balances");
  const ledger = scenario.ledger();
  for (let index = 0; index < receipts.confirmed; index++) {
    const call = receipts.order[index]!;
    if (receipts.hasSucceeded(call)) ledger.apply(call, senderOf(plan, unitOf(plan, call)));
  }
  return ledger.check(balanceReader(rpc));
}
