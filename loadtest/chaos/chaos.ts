/**
 * Chaos: a cluster under steady load, its processes killed and paused one after the other, then everything checked.
 *
 * K1. After all: every acknowledged transaction has a receipt, none ran twice, nonces and balances are what was sent.
 * K2. A replay of all blocks from genesis on another EVM has no difference: the same digest as if nothing had happened.
 * K3. The faults strike in the middle of groups, and a second after a recovery no lock is held that was held before it.
 */
import { setTimeout as delay } from "node:timers/promises";
import { IoError, type RangeIndex, type RangeMap, assert, indexRanges } from "@meridian/core";
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
import { FAULTS, type Fault, type Scene, isAimed, nameOf, recovery, strike } from "./faults.ts";
import { type LockRecord, lockRecord } from "./locks.ts";
import { Watch } from "./watch.ts";

export interface ChaosOptions {
  cluster: Cluster;
  chainId: number;
  rounds: number;
  seed: number;
  accounts: number;
  transactionsPerSecond: number;
  faults?: readonly Fault[];
  /** Between two faults. */
  settleMs: number;
  say: (text: string) => void;
}

export interface FaultRecord extends LockRecord {
  round: number;
  fault: Fault;
  process: string;
  /** From the fault to the first acknowledgement of something sent after it. */
  acknowledgesAfterMs: number;
  /** From the fault until the chain has sealed two more blocks. */
  sealsAfterMs: number;
  /** From the fault to the recovery: a paused process goes on, of a killed one the first sign of life is heard. */
  recoversAfterMs: number;
}

export interface ChaosReport {
  faults: FaultRecord[];
  /** Of all locks of the run: how many, and how long they were held at the median. */
  locks: { count: number; medianMs: number };
  acknowledged: number;
  checked: Checked;
  verified: VerifyReport;
}

const EACH = 1_000_000_000;
const FORWARDER_PARTITIONS = [1, 3];
const DEPLOY_GAS_LIMIT = 1_000_000;
const APPROVE_GAS_LIMIT = 80_000;
const RECOVER_MS_MAX = 60_000;
const STALL_MS_MAX = 90_000;
/** No lock is held for longer after a recovery. */
export const LOCK_MS_MAX = 1_000;
const POLL_MS = 25;
const DIFFERENCES_MAX = 10;

/** @throws IoError CHAOS, NOT_RECOVERED, NO_GROUP, SEND: what was not as it must be */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const rpc = new RpcClient(options.cluster.rpcUrl, RECOVER_MS_MAX);
  try {
    const world = await prepare(options, rpc);
    const watch = await Watch.open(
      options.cluster.natsUrl,
      world.ranges.map.partitions.map(({ id }) => id),
    );
    try {
      return await runFaults(options, world, rpc, watch);
    } finally {
      await watch.stop();
    }
  } finally {
    rpc.close();
  }
}

interface Tokens {
  ranges: RangeIndex;
  accounts: TestAccount[];
  tokens: Token[];
}
interface World extends Tokens {
  forwarders: Uint8Array[];
}

async function prepare(options: ChaosOptions, rpc: RpcClient): Promise<World> {
  const { seed, chainId, say } = options;
  const accounts = loadAccounts(options.accounts, `chaos ${seed}`);
  const ranges = indexRanges(await rpc.call<RangeMap>("meridian_rangeMap"));
  const token = compile("DemoToken.sol")["DemoToken"];
  assert(token !== undefined, "DemoToken.sol holds DemoToken");
  say(`deploying tokens for ${accounts.length} accounts`);
  const tokens = await deployTokens({ rpc, chainId, ranges, token, deployers: accounts, holders: accounts, each: EACH });
  const forwarders = await deployForwarders(options, rpc, { ranges, accounts, tokens });
  return { ranges, accounts, tokens, forwarders };
}

async function runFaults(
  options: ChaosOptions,
  { accounts, tokens, forwarders }: World,
  rpc: RpcClient,
  watch: Watch,
): Promise<ChaosReport> {
  const { cluster, chainId, seed, transactionsPerSecond, say } = options;
  const nonces = await nextNonces(rpc, accounts);
  const first = Number(await rpc.call<string>("eth_blockNumber")) + 1;
  const plan = { chainId, accounts, nonces, tokens, forwarders, transactionsPerSecond, seed };
  const load = startSteadyLoad({ rpc, ...plan, stallMsMax: STALL_MS_MAX });
  const faults = await inflictAll(options, load, rpc, watch);
  await load.stop();
  await waitForBlocks(rpc, 2);
  await watch.until(() => watch.locks.heldAt(performance.now()).length === 0, RECOVER_MS_MAX, "CHAOS", "locks are not free");
  say(`checking ${load.acknowledged.size} acknowledged transactions`);
  const checked = await checkAfter(rpc, load, { accounts, tokens, forwarders }, { first, nonces, each: EACH });
  say("replaying all blocks from genesis on EthereumJS");
  const replay = { from: 1, snapshot: false, differencesMax: DIFFERENCES_MAX };
  const verified = await verify(new RpcSource(cluster.rpcUrl), replay);
  return { faults, locks: lockTimes(watch), acknowledged: load.acknowledged.size, checked, verified };
}

/** Contracts on two partitions that move their callers' tokens on whatever partition, and everybody's leave for them to do so. */
async function deployForwarders(
  { chainId }: ChaosOptions,
  rpc: RpcClient,
  { accounts, tokens, ranges }: Tokens,
): Promise<Uint8Array[]> {
  const contract = compile("TestForwarder.sol")["TestForwarder"];
  assert(contract !== undefined, "TestForwarder.sol holds TestForwarder");
  const created = await nextNonces(rpc, accounts);
  const planned = FORWARDER_PARTITIONS.map((partition) => {
    const addressOf = (index: number) => createdAddress(accounts[index] as TestAccount, created[index] ?? 0);
    const index = accounts.findIndex((_, at) => ranges.ownerOf(addressOf(at), 0) === partition);
    assert(index >= 0, `one of ${accounts.length} accounts creates its next contract on partition ${partition}`);
    const data = { nonce: created[index] ?? 0, to: null, data: contract.initCode, valueWei: 0n, gasLimit: DEPLOY_GAS_LIMIT };
    return { signed: sign(chainId, accounts[index] as TestAccount, data), address: addressOf(index) };
  });
  await sendAndConfirm(
    rpc,
    planned.map(({ signed }) => signed),
  );
  const forwarders = planned.map(({ address }) => address);
  const nonces = await nextNonces(rpc, accounts);
  const calls = tokens.flatMap(({ addressBytes: to }) => forwarders.map((address) => ({ to, data: approveData(address) })));
  for (const [number, approval] of calls.entries()) {
    const approvals = accounts.map((account, index) => {
      const own = { nonce: (nonces[index] ?? 0) + number, ...approval, valueWei: 0n };
      return sign(chainId, account, { ...own, gasLimit: APPROVE_GAS_LIMIT });
    });
    await sendAndConfirm(rpc, approvals);
  }
  return forwarders;
}

function lockTimes({ locks }: Watch): ChaosReport["locks"] {
  const times = locks.all.map(({ enteredAt, releasedAt }) => (releasedAt ?? Infinity) - enteredAt).toSorted((a, b) => a - b);
  return { count: times.length, medianMs: times[times.length >> 1] ?? 0 };
}

/** Why a report is a failure; empty if it is none. */
export function failuresOf({ faults, checked, verified }: ChaosReport): string[] {
  const ofFault = ({ round, fault, process, groupsOpen, freeAfterMs }: FaultRecord): string[] => {
    const name = `round ${round}, ${fault} (${process})`;
    return [
      ...(isAimed(fault) && groupsOpen === 0 ? [`${name}: no group was open`] : []),
      ...(freeAfterMs > LOCK_MS_MAX ? [`${name}: a lock is held ${freeAfterMs.toFixed(0)} ms after the recovery`] : []),
    ];
  };
  return [
    ...faults.flatMap(ofFault),
    ...checked.lost.map((hash) => `acknowledged ${hash} has no receipt`),
    ...verified.differences.map((difference) => describeDifference(difference)),
  ];
}

async function inflictAll(
  { cluster, rounds, seed, faults: chosen, settleMs, say }: ChaosOptions,
  load: SteadyLoad,
  rpc: RpcClient,
  watch: Watch,
): Promise<FaultRecord[]> {
  const draw = random(seed);
  const records: FaultRecord[] = [];
  for (let round = 1; round <= rounds; round++) {
    for (const fault of shuffled(chosen ?? FAULTS, draw)) {
      await delay(settleMs);
      const record = await suffer(round, fault, { cluster, watch, draw }, load, rpc);
      records.push(record);
      say(`round ${round}: ${describeFault(record)}`);
    }
  }
  return records;
}
/** One fault, until all is as it should be again. */
async function suffer(round: number, fault: Fault, scene: Scene, load: SteadyLoad, rpc: RpcClient): Promise<FaultRecord> {
  const { locks } = scene.watch;
  const struck = await strike(fault, scene);
  const [recoveredAt, acknowledgedAt, sealedAt] = await Promise.all([
    recovery(struck, scene),
    within(load.acknowledgedAfter(struck.at), `${fault}: nothing is acknowledged`),
    waitForBlocks(rpc, 2).then(() => performance.now()),
  ]);
  const held = locks.heldAt(recoveredAt);
  await scene.watch.until(
    () => held.every(({ releasedAt }) => releasedAt !== null),
    RECOVER_MS_MAX,
    "CHAOS",
    "locks are not free",
  );
  return {
    round,
    fault,
    process: nameOf(struck),
    acknowledgesAfterMs: acknowledgedAt - struck.at,
    sealsAfterMs: sealedAt - struck.at,
    recoversAfterMs: recoveredAt - struck.at,
    ...lockRecord(struck.groupsOpen, struck.locksOpen, held, recoveredAt),
  };
}

function describeFault(record: FaultRecord): string {
  const { fault, process, groupsOpen, locksOpen } = record;
  const ms = (value: number) => `${value.toFixed(0)} ms`;
  return [
    `${fault} (${process}) with ${groupsOpen} groups open, ${locksOpen} locks: back after ${ms(record.recoversAfterMs)}`,
    `locks free ${ms(record.freeAfterMs)} later`,
    `acknowledges after ${ms(record.acknowledgesAfterMs)}`,
    `seals after ${ms(record.sealsAfterMs)}`,
  ].join(", ");
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
