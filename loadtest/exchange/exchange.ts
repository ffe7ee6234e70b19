/**
 * Uniswap V2 as published, every contract and account on whatever partition its address falls, used by many accounts at once:
 * liquidity, swaps over several pools, swaps from and to ETH, liquidity taken back. Then everything is checked.
 *
 * X1. Every transaction has a receipt that says success.
 * X2. No token and no ether came or went: balances sum up to what was minted, and WETH9 holds what it owes.
 * X3. A replay of all blocks from genesis on another EVM has no difference. It also says how many crossed partitions.
 */
import { setTimeout as delay } from "node:timers/promises";
import { IoError, type RangeMap, assert, indexRanges } from "@meridian/core";
import {
  type Cluster,
  type Exchange,
  type Place,
  RpcClient,
  type Signed,
  type TestAccount,
  compile,
  deployExchange,
  nextNonces,
  planPools,
  planTraffic,
  poolOf,
  sendAndConfirm,
  sendLane,
  testAccounts,
} from "@meridian/launcher";
import { RpcSource, type VerifyReport, describeDifference, verify } from "@meridian/verify";

export interface ExchangeOptions {
  cluster: Cluster;
  chainId: number;
  /** Of the users; what deploys and fills the pools comes on top. */
  transactions: number;
  /** Users, the first test accounts; all have to own ETH. */
  accounts: number;
  seed: number;
  say: (text: string) => void;
  onVerified?: (transactions: number) => void;
}

export interface ExchangeReport {
  /** Partitions on which factory, router, WETH9, tokens and pools stand. */
  contractPartitions: number;
  transactions: number;
  /** Without success. */
  failed: number;
  /** From the first transaction sent until the last receipt was read. */
  trafficMs: number;
  verifyMs: number;
  /** What X2 found, in words; empty if all is there. */
  wrong: string[];
  verified: VerifyReport;
}

const TOKENS = 4;
const EACH = 10n ** 24n;
const POOL = 10n ** 21n;
const LANES = 8;
const BATCH = 25;
const STALL_MS_MAX = 60_000;
const RECEIPTS = 200;
const RECEIPT_MS_MAX = 60_000;
const POLL_MS = 100;
/** Calls that one partition takes at once. */
const READS = 24;
const DIFFERENCES_MAX = 10;

/** @throws IoError DEPLOY, SEND, NO_RECEIPT, or that the cluster does not answer. What is wrong stands in the report. */
export async function runExchange(options: ExchangeOptions): Promise<ExchangeReport> {
  const { cluster, say } = options;
  const rpc = new RpcClient(cluster.rpcUrl);
  try {
    const accounts = testAccounts(options.accounts);
    say(`deploying Uniswap V2 and ${TOKENS} tokens, ${accounts.length} accounts approve the router`);
    const exchange = await open(options, rpc, accounts);
    const traffic = await planned(options, rpc, exchange, accounts);
    say(`sending ${traffic.length} transactions`);
    const startedAt = performance.now();
    await sendAll(rpc, accounts, traffic);
    const failed = await countFailed(rpc, traffic);
    const trafficMs = performance.now() - startedAt;
    say("adding up balances");
    const wrong = await conserved(rpc, exchange, accounts);
    say("replaying all blocks from genesis on EthereumJS");
    const replayedAt = performance.now();
    const { onVerified } = options;
    const verified = await verify(new RpcSource(cluster.rpcUrl), {
      from: 1,
      snapshot: false,
      differencesMax: DIFFERENCES_MAX,
      onProgress: ({ transactions }) => onVerified?.(transactions),
    });
    const verifyMs = performance.now() - replayedAt;
    const contractPartitions = await partitionsOf(rpc, exchange);
    return { contractPartitions, transactions: traffic.length, failed, trafficMs, verifyMs, wrong, verified };
  } finally {
    rpc.close();
  }
}

/** Why a report is a failure; empty if it is none. `crossingMin`: share of all replayed transactions, 0 to 1. */
export function failuresOf({ failed, wrong, verified }: ExchangeReport, crossingMin: number): string[] {
  const share = verified.crossed / verified.transactions;
  return [
    ...(failed > 0 ? [`${failed} transactions have no success`] : []),
    ...wrong,
    ...verified.differences.map(describeDifference),
    ...(share >= crossingMin
      ? []
      : [`${percent(share)} of the transactions crossed partitions, wanted are ${percent(crossingMin)}`]),
  ];
}

export const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

async function open({ chainId }: ExchangeOptions, rpc: RpcClient, accounts: TestAccount[]): Promise<Exchange> {
  const token = compile("DemoToken.sol")["DemoToken"];
  const [deployer] = accounts;
  assert(token !== undefined && deployer !== undefined, "there is a token and somebody to deploy it");
  return deployExchange({ rpc, chainId, deployer, token, tokens: TOKENS, holders: accounts, each: EACH });
}

/** Pools are filled; what the users will send is signed. */
async function planned(
  { chainId, transactions: count, seed }: ExchangeOptions,
  rpc: RpcClient,
  exchange: Exchange,
  accounts: TestAccount[],
): Promise<Signed[]> {
  const [provider] = accounts;
  assert(provider !== undefined, "there is somebody to fill the pools");
  const nonces = await nextNonces(rpc, accounts);
  const pools = planPools(chainId, exchange, provider, nonces[0] ?? 0, POOL);
  nonces[0] = (nonces[0] ?? 0) + pools.length;
  await sendAndConfirm(rpc, pools);
  return planTraffic({ chainId, exchange, accounts, nonces, count, seed });
}

async function sendAll(rpc: RpcClient, accounts: readonly TestAccount[], transactions: readonly Signed[]): Promise<void> {
  const laneOf = new Map(accounts.map((account, index) => [account, index % LANES]));
  const lanes = Array.from({ length: LANES }, (_, lane) => transactions.filter(({ sender }) => laneOf.get(sender) === lane));
  await Promise.all(lanes.map((lane) => sendLane(rpc, lane, { batch: BATCH, stallMsMax: STALL_MS_MAX, isPatient: true })));
}

/** Waits for all receipts. @throws IoError NO_RECEIPT */
async function countFailed(rpc: RpcClient, transactions: readonly Signed[]): Promise<number> {
  let failed = 0;
  for (let first = 0; first < transactions.length; first += RECEIPTS) {
    const calls = transactions
      .slice(first, first + RECEIPTS)
      .map(({ hash }) => ({ method: "eth_getTransactionReceipt", params: [hash] }));
    const endsAt = Date.now() + RECEIPT_MS_MAX;
    for (;;) {
      const answers = await rpc.batch(calls);
      const receipts = answers.map((answer) => ("result" in answer ? (answer.result as { status: string } | null) : null));
      if (!receipts.includes(null)) {
        failed += receipts.filter((receipt) => receipt?.status !== "0x1").length;
        break;
      }
      if (Date.now() > endsAt) {
        const missing = receipts.filter((receipt) => receipt === null).length;
        throw new IoError({ code: "NO_RECEIPT", text: `${missing} receipts are missing after ${RECEIPT_MS_MAX} ms` }, "later");
      }
      await delay(POLL_MS);
    }
  }
  return failed;
}

const word = (address: string): string => address.slice(2).padStart(64, "0");
const BALANCE_OF = "0x70a08231";
const TOTAL_SUPPLY = "0x18160ddd";

/** X2, at the last sealed block. */
async function conserved(rpc: RpcClient, exchange: Exchange, accounts: readonly TestAccount[]): Promise<string[]> {
  const { tokens, weth } = exchange;
  const block = await rpc.call<string>("eth_blockNumber");
  const holders = [...accounts.map(({ address }) => address), ...poolsOf(exchange).map(({ address }) => address)];
  const wrong: string[] = [];
  for (const { address } of tokens) {
    const sum = await sumOf(rpc, address, holders, block);
    const minted = EACH * BigInt(accounts.length);
    if (sum !== minted) wrong.push(`balances of token ${address} sum up to ${sum} at block ${block}, minted were ${minted}`);
  }
  const held = BigInt(await rpc.call<string>("eth_getBalance", weth.address, block));
  const owed = BigInt(await rpc.call<string>("eth_call", { to: weth.address, data: TOTAL_SUPPLY }, block));
  if (held !== owed) wrong.push(`WETH9 holds ${held} wei and owes ${owed} at block ${block}`);
  return wrong;
}

async function sumOf(rpc: RpcClient, token: string, holders: readonly string[], block: string): Promise<bigint> {
  let sum = 0n;
  for (let first = 0; first < holders.length; first += READS) {
    const calls = holders.slice(first, first + READS).map((holder) => {
      return { method: "eth_call", params: [{ to: token, data: `${BALANCE_OF}${word(holder)}` }, block] };
    });
    for (const answer of await rpc.batch(calls)) {
      if ("error" in answer) throw new IoError({ code: "RPC_ERROR", method: "eth_call", message: answer.error.message }, "later");
      sum += BigInt(answer.result as string);
    }
  }
  return sum;
}

function poolsOf(exchange: Exchange): Place[] {
  const all = [...exchange.tokens, exchange.weth];
  return all.flatMap((one, index) => all.slice(index + 1).map((other) => poolOf(exchange, one, other)));
}

async function partitionsOf(rpc: RpcClient, exchange: Exchange): Promise<number> {
  const ranges = indexRanges(await rpc.call<RangeMap>("meridian_rangeMap"));
  const { factory, router, weth, tokens } = exchange;
  const places = [factory, router, weth, ...tokens, ...poolsOf(exchange)];
  return new Set(places.map(({ addressBytes }) => ranges.ownerOf(addressBytes, 0))).size;
}
