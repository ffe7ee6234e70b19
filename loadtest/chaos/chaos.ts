/**
 * Chaos: a cluster under steady load, its processes killed and paused one after the other, then everything checked.
 *
 * K1. After all: every acknowledged transaction has a receipt, none ran twice, nonces and balances are what was sent.
 * K2. A replay of all blocks from genesis on another EVM has no difference: the same digest as if nothing had happened.
 */
import { setTimeout as delay } from "node:timers/promises";
import { IoError, type RangeMap, assert, indexRanges } from "@meridian/core";
import {
  type Cluster,
  RpcClient,
  type TestAccount,
  type Token,
  approveData,
  compile,
  createdAddress,
  deployTokens,
  loadAccounts,
  nextNonces,
  random,
  sendAndConfirm,
  sign,
} from "@meridian/launcher";
import { RpcSource, type VerifyReport, describeDifference, verify } from "@meridian/verify";
import { type SteadyLoad, startSteadyLoad } from "../workloads/steady.ts";
import { type Checked, checkAfter } from "./check.ts";
import { FAULTS, type Fault, inflict } from "./faults.ts";
import { watchLeader } from "./leader.ts";

export interface ChaosOptions {
  cluster: Cluster;
  chainId: number;
  rounds: number;
  seed: number;
  accounts: number;
  transactionsPerSecond: number;
  faults?: readonly Fault[];
  say: (text: string) => void;
}

export interface FaultRecord {
  round: number;
  fault: Fault;
  process: string;
  /** From the fault to the first acknowledgement of something sent after it. */
  acknowledgesAfterMs: number;
  /** From the fault until the chain has sealed two more blocks. */
  sealsAfterMs: number;
}

export interface ChaosReport {
  faults: FaultRecord[];
  acknowledged: number;
  checked: Checked;
  verified: VerifyReport;
}

const EACH = 1_000_000_000;
const DEPLOY_GAS_LIMIT = 1_000_000;
const APPROVE_GAS_LIMIT = 80_000;
const SETTLE_MS = 1_000;
const RECOVER_MS_MAX = 60_000;
const STALL_MS_MAX = 90_000;
const LEADER_MS_MAX = 30_000;
const POLL_MS = 25;
const DIFFERENCES_MAX = 10;

/** @throws IoError CHAOS, NOT_RECOVERED, SEND: what was not as it must be */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { cluster, chainId, seed, say } = options;
  const rpc = new RpcClient(cluster.rpcUrl, RECOVER_MS_MAX);
  const leaders = await watchLeader(cluster.natsUrl);
  try {
    const accounts = loadAccounts(options.accounts, `chaos ${seed}`);
    const ranges = indexRanges(await rpc.call<RangeMap>("meridian_rangeMap"));
    const token = compile("DemoToken.sol")["DemoToken"];
    assert(token !== undefined, "DemoToken.sol holds DemoToken");
    say(`deploying tokens for ${accounts.length} accounts`);
    const tokens = await deployTokens({ rpc, chainId, ranges, token, deployers: accounts, holders: accounts, each: EACH });
    const forwarder = await deployForwarder(rpc, chainId, accounts, tokens);
    const nonces = await nextNonces(rpc, accounts);
    const first = Number(await rpc.call<string>("eth_blockNumber")) + 1;
    const { transactionsPerSecond } = options;
    const load = startSteadyLoad({
      rpc,
      chainId,
      accounts,
      nonces,
      tokens,
      forwarder,
      transactionsPerSecond,
      seed,
      stallMsMax: STALL_MS_MAX,
    });
    const faults = await inflictAll(options, load, rpc, (msMax) => leaders.leader(msMax));
    await load.stop();
    await waitForBlocks(rpc, 2);
    say(`checking ${load.acknowledged.size} acknowledged transactions`);
    const checked = await checkAfter(rpc, load, accounts, tokens, { first, nonces, each: EACH });
    say("replaying all blocks from genesis on EthereumJS");
    const source = new RpcSource(cluster.rpcUrl);
    const verified = await verify(source, { from: 1, snapshot: false, differencesMax: DIFFERENCES_MAX });
    return { faults, acknowledged: load.acknowledged.size, checked, verified };
  } finally {
    await leaders.stop();
    rpc.close();
  }
}

/** A contract that moves its callers' tokens on whatever partition they stand, and everybody's leave for it to do so. */
async function deployForwarder(
  rpc: RpcClient,
  chainId: number,
  accounts: readonly TestAccount[],
  tokens: readonly Token[],
): Promise<Uint8Array> {
  const [deployer] = accounts;
  const contract = compile("TestForwarder.sol")["TestForwarder"];
  assert(deployer !== undefined && contract !== undefined, "there is somebody to deploy TestForwarder");
  const [nonce = 0] = await nextNonces(rpc, [deployer]);
  const gas = { valueWei: 0n, gasLimit: DEPLOY_GAS_LIMIT };
  await sendAndConfirm(rpc, [sign(chainId, deployer, { nonce, to: null, data: contract.initCode, ...gas })]);
  const address = createdAddress(deployer, nonce);
  const nonces = await nextNonces(rpc, accounts);
  const data = approveData(address);
  for (const [number, token] of tokens.entries()) {
    const approvals = accounts.map((account, index) => {
      const own = { nonce: (nonces[index] ?? 0) + number, to: token.addressBytes, data, valueWei: 0n };
      return sign(chainId, account, { ...own, gasLimit: APPROVE_GAS_LIMIT });
    });
    await sendAndConfirm(rpc, approvals);
  }
  return address;
}

/** Why a report is a failure; empty if it is none. */
export function failuresOf({ checked, verified }: ChaosReport): string[] {
  return [
    ...checked.lost.map((hash) => `acknowledged ${hash} has no receipt`),
    ...verified.differences.map((difference) => describeDifference(difference)),
  ];
}

async function inflictAll(
  { cluster, rounds, seed, faults: chosen, say }: ChaosOptions,
  load: SteadyLoad,
  rpc: RpcClient,
  leader: (msMax: number) => Promise<string>,
): Promise<FaultRecord[]> {
  const draw = random(seed);
  const records: FaultRecord[] = [];
  for (let round = 1; round <= rounds; round++) {
    for (const fault of shuffled(chosen ?? FAULTS, draw)) {
      await delay(SETTLE_MS);
      const leading = await leader(LEADER_MS_MAX);
      const at = performance.now();
      const [process, acknowledgedAt, sealedAt] = await Promise.all([
        inflict(fault, cluster, leading, draw()),
        within(load.acknowledgedAfter(at), `${fault}: nothing is acknowledged`),
        waitForBlocks(rpc, 2).then(() => performance.now()),
      ]);
      const record = { round, fault, process, acknowledgesAfterMs: acknowledgedAt - at, sealsAfterMs: sealedAt - at };
      records.push(record);
      say(
        `round ${round}: ${fault} (${process}): acknowledges after ${record.acknowledgesAfterMs.toFixed(0)} ms, ` +
          `seals after ${record.sealsAfterMs.toFixed(0)} ms`,
      );
    }
  }
  return records;
}

/** Waits until the chain has sealed `count` blocks more than now. @throws IoError NOT_RECOVERED */
async function waitForBlocks(rpc: RpcClient, count: number): Promise<void> {
  const endsAt = Date.now() + RECOVER_MS_MAX;
  let target: number | undefined;
  for (;;) {
    let last: string;
    try {
      const number = Number(await rpc.call<string>("eth_blockNumber"));
      target ??= number + count;
      if (number >= target) return;
      last = `block ${number}, wanted is ${target}`;
    } catch (error) {
      if (!(error instanceof IoError)) throw error;
      last = error.message; // The gateway is away: asked again.
    }
    if (Date.now() > endsAt)
      throw new IoError({ code: "NOT_RECOVERED", text: `no blocks for ${RECOVER_MS_MAX} ms: ${last}` }, "never");
    await delay(POLL_MS);
  }
}

async function within<Result>(promise: Promise<Result>, what: string): Promise<Result> {
  const over = new AbortController();
  const late = delay(RECOVER_MS_MAX, undefined, { signal: over.signal }).then(
    () => Promise.reject(new IoError({ code: "NOT_RECOVERED", text: `${what} for ${RECOVER_MS_MAX} ms` }, "never")),
    () => promise, // In time: the other one has won.
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    over.abort();
  }
}

function shuffled<Item>(items: readonly Item[], draw: () => number): Item[] {
  return items
    .map((item) => ({ item, order: draw() }))
    .toSorted((left, right) => left.order - right.order)
    .map(({ item }) => item);
}
