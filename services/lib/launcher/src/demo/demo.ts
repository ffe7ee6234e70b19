/** The launcher shows that the cluster works: real contracts, signed transfers, every balance checked. */
import { IoError, type RangeMap, indexRanges } from "@meridian/core";
import { PREFUNDED_COUNT, type TestAccount, testAccounts } from "../accounts.ts";
import { compile } from "../workload/compile.ts";
import { type Follower, followBlocks, percentile } from "../workload/follow.ts";
import { RpcClient } from "../workload/rpc.ts";
import { sendLane } from "../workload/send.ts";
import { type Token, balanceOfData, deployTokens, nextNonces } from "../workload/token.ts";
import { type Transfer, dealLanes, planTransfers } from "../workload/transfers.ts";

export interface DemoOptions {
  rpcUrl: string;
  chainId: number;
  accounts: number;
  transfers: number;
  /** One sentence for each step. */
  say: (text: string) => void;
}

export interface DemoReport {
  transfers: number;
  seconds: number; // from the first batch sent to the last receipt's block seen
  transactionsPerSecond: number;
  acknowledgedMs: { p50: number; p99: number };
  sealedMs: { p50: number; p99: number };
  blocks: number;
  tokens: { address: string; partition: number; transactions: number; balancesChecked: number }[];
}

const EACH = 1_000_000; // what each holder gets of each token
const AMOUNT_MAX = 100;
const BATCH = 250;
const LANES = 4;
const STALL_MS_MAX = 20_000;
const SEALED_MS_MAX = 60_000;
const CHECK_BATCH = 500;

/** @throws IoError DEMO if anything is not as it must be */
export async function runDemo({
  rpcUrl,
  chainId,
  accounts: count,
  transfers: transferCount,
  say,
}: DemoOptions): Promise<DemoReport> {
  const rpc = new RpcClient(rpcUrl);
  try {
    say("compiling a token on OpenZeppelin's ERC20 with solc");
    const token = compile("DemoToken.sol")["DemoToken"];
    if (token === undefined) throw new IoError({ code: "DEMO", text: "DemoToken was not compiled" }, "never");
    const accounts = testAccounts(count);
    const ranges = indexRanges(await rpc.call<RangeMap>("meridian_rangeMap"));
    say(`deploying ${ranges.map.partitions.length} tokens, one on each partition, with ${count} holders each`);
    const deployers = [...accounts.slice(PREFUNDED_COUNT), ...accounts.slice(0, PREFUNDED_COUNT)];
    const tokens = await deployTokens({ rpc, chainId, ranges, token, deployers, holders: accounts, each: EACH });
    say(`signing ${transferCount} transfers of ${count} accounts`);
    const nonces = await nextNonces(rpc, accounts);
    const plan = { chainId, accounts, nonces, tokens, count: transferCount, seed: 1, amountMax: AMOUNT_MAX };
    const transfers = planTransfers(plan);
    say(`sending them as JSON-RPC batches of ${BATCH}`);
    const from = Number(await rpc.call<string>("eth_blockNumber"));
    const follower = followBlocks(rpc, from);
    try {
      const measured = await sendAll(rpc, transfers, follower);
      say("checking every receipt and every balance");
      await checkReceipts(rpc, transfers, from + 1, follower.block);
      const checked = await checkBalances(rpc, accounts, tokens, transfers);
      const perToken = tokens.map(({ address, partition }, index) => ({
        address,
        partition,
        transactions: transfers.filter((transfer) => transfer.token === index).length,
        balancesChecked: checked,
      }));
      return { transfers: transferCount, ...measured, blocks: follower.block - from, tokens: perToken };
    } finally {
      await follower.stop();
    }
  } finally {
    rpc.close();
  }
}

type Measured = Pick<DemoReport, "seconds" | "transactionsPerSecond" | "acknowledgedMs" | "sealedMs">;

async function sendAll(rpc: RpcClient, transfers: readonly Transfer[], follower: Follower): Promise<Measured> {
  const sent = new Map<string, number>();
  const acknowledged: number[] = [];
  const startedAt = performance.now();
  const options = {
    batch: BATCH,
    stallMsMax: STALL_MS_MAX,
    isPatient: true,
    onAcknowledged: ({ hash }: { hash: string }, sentAt: number, at: number) => {
      sent.set(hash, sentAt);
      acknowledged.push(at - sentAt);
    },
  };
  const lanes = dealLanes(transfers, LANES).map((lane) => lane.map(({ signed }) => signed));
  await Promise.all(lanes.map((lane) => sendLane(rpc, lane, options)));
  await follower.until(transfers.length, SEALED_MS_MAX);
  const sealed = [...sent].map(([hash, at]) => (follower.seen.get(hash)?.at ?? Infinity) - at);
  const seconds = (Math.max(...[...follower.seen.values()].map(({ at }) => at)) - startedAt) / 1000;
  return {
    seconds,
    transactionsPerSecond: transfers.length / seconds,
    acknowledgedMs: spread(acknowledged),
    sealedMs: spread(sealed),
  };
}

function spread(milliseconds: number[]): { p50: number; p99: number } {
  const sorted = milliseconds.toSorted((left, right) => left - right);
  return { p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99) };
}

interface Receipt {
  transactionHash: string;
  status: string;
}

/** Every transfer has exactly one receipt, and it says success. @throws IoError DEMO */
export async function checkReceipts(rpc: RpcClient, transfers: readonly Transfer[], first: number, last: number): Promise<void> {
  const receipts = new Map<string, string>();
  for (let block = first; block <= last; block++) {
    for (const { transactionHash, status } of await rpc.call<Receipt[]>("eth_getBlockReceipts", `0x${block.toString(16)}`)) {
      if (receipts.has(transactionHash))
        throw new IoError({ code: "DEMO", text: `${transactionHash} has two receipts` }, "never");
      receipts.set(transactionHash, status);
    }
  }
  for (const { signed } of transfers) {
    const status = receipts.get(signed.hash);
    if (status !== "0x1")
      throw new IoError({ code: "DEMO", text: `receipt of ${signed.hash}: status ${status ?? "missing"}` }, "never");
  }
}

/** @returns number of balances checked on each token @throws IoError DEMO */
async function checkBalances(
  rpc: RpcClient,
  accounts: readonly TestAccount[],
  tokens: readonly Token[],
  transfers: readonly Transfer[],
) {
  for (const [index, token] of tokens.entries()) {
    const expected = accounts.map(() => EACH);
    for (const { token: moved, from, to, amount } of transfers) {
      if (moved !== index) continue;
      expected[from] = (expected[from] ?? 0) - amount;
      expected[to] = (expected[to] ?? 0) + amount;
    }
    const balances = await balancesOf(rpc, token.address, accounts);
    for (const [account, balance] of balances.entries()) {
      if (balance === BigInt(expected[account] ?? 0)) continue;
      const holder = accounts[account]?.address;
      const text = `token ${token.address} says ${balance} for ${holder}, the transfers make ${expected[account]}`;
      throw new IoError({ code: "DEMO", text }, "never");
    }
  }
  return accounts.length;
}

/** Token balances of accounts at the last sealed block, in order. @throws IoError RPC_ERROR */
export async function balancesOf(rpc: RpcClient, token: string, accounts: readonly TestAccount[]): Promise<bigint[]> {
  const balances: bigint[] = [];
  for (let first = 0; first < accounts.length; first += CHECK_BATCH) {
    const slice = accounts.slice(first, first + CHECK_BATCH);
    const calls = slice.map((account) => ({
      method: "eth_call",
      params: [{ to: token, data: balanceOfData(account) }, "latest"],
    }));
    for (const answer of await rpc.batch(calls)) {
      if ("error" in answer) throw new IoError({ code: "RPC_ERROR", method: "eth_call", message: answer.error.message }, "later");
      balances.push(BigInt(answer.result as string));
    }
  }
  return balances;
}
