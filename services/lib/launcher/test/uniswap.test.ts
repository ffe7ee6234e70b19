/** Uniswap V2 as published on 8 partitions, every contract and account wherever its address falls. */
import { indexRanges } from "@meridian/core";
import { RpcSource, describeDifference, verify } from "@meridian/verify";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type TestAccount, testAccounts } from "../src/accounts.ts";
import { compile } from "../src/workload/compile.ts";
import { sendLane } from "../src/workload/send.ts";
import type { Signed } from "../src/workload/sign.ts";
import { nextNonces, sendAndConfirm } from "../src/workload/token.ts";
import { planPools, planTraffic } from "../src/workload/traffic.ts";
import { type Exchange, type Place, deployExchange, poolOf } from "../src/workload/uniswap.ts";
import { CHAIN_ID, type TestCluster, startTestCluster } from "./cluster.ts";

/** `MERIDIAN_SWAPS=20000 MERIDIAN_USERS=200` for the long run: the replay on EthereumJS takes most of the time. */
const TRANSACTIONS = Number(process.env["MERIDIAN_SWAPS"] ?? 300);
const ACCOUNTS = Number(process.env["MERIDIAN_USERS"] ?? 50);
const TOKENS = 4;
const EACH = 10n ** 24n;
const POOL = 10n ** 21n;
const LANES = 8;

let on: TestCluster;
let exchange: Exchange;
const accounts = testAccounts(ACCOUNTS);
const provider = accounts[0] as TestAccount;

beforeAll(async () => {
  on = await startTestCluster({ partitions: 8, hosts: 2, funded: ACCOUNTS });
  const token = compile("DemoToken.sol")["DemoToken"];
  expect(token).toBeDefined();
  if (token === undefined) return;
  const { rpc } = on;
  const deployment = { rpc, chainId: CHAIN_ID, deployer: provider, token, tokens: TOKENS, holders: accounts, each: EACH };
  exchange = await deployExchange(deployment);
}, 180_000);
afterAll(() => on.stop());

const word = (address: string): string => address.slice(2).padStart(64, "0");
const read = async (to: Place, data: string, block = "latest"): Promise<bigint> =>
  BigInt((await on.rpc.call<string>("eth_call", { to: to.address, data }, block)).slice(0, 66));
/** Sum of a token's balances, asked in batches that one partition takes at once. */
async function sumOf(token: Place, holders: readonly string[], block: string): Promise<bigint> {
  let sum = 0n;
  for (let first = 0; first < holders.length; first += 24) {
    const calls = holders.slice(first, first + 24).map((holder) => {
      return { method: "eth_call", params: [{ to: token.address, data: `0x70a08231${word(holder)}` }, block] };
    });
    for (const answer of await on.rpc.batch(calls)) {
      expect(answer).toHaveProperty("result");
      sum += BigInt(("result" in answer ? answer.result : "0x0") as string);
    }
  }
  return sum;
}

async function sendAll(transactions: readonly Signed[]): Promise<void> {
  const lanes = Array.from({ length: LANES }, (_, lane) =>
    transactions.filter(({ sender }) => accounts.indexOf(sender) % LANES === lane),
  );
  await Promise.all(lanes.map((lane) => sendLane(on.rpc, lane, { batch: 25, stallMsMax: 30_000, isPatient: true })));
}

async function receiptsOf(transactions: readonly Signed[]): Promise<{ status: string }[]> {
  const receipts: { status: string }[] = [];
  for (let first = 0; first < transactions.length; first += 200) {
    const part = transactions.slice(first, first + 200);
    await expect
      .poll(
        async () => {
          const answers = await on.rpc.batch(part.map(({ hash }) => ({ method: "eth_getTransactionReceipt", params: [hash] })));
          const found = answers.map((answer) => ("result" in answer ? (answer.result as { status: string } | null) : null));
          if (found.includes(null)) return found.filter((receipt) => receipt === null).length;
          receipts.push(...(found as { status: string }[]));
          return 0;
        },
        { timeout: 60_000, interval: 250 },
      )
      .toBe(0);
  }
  return receipts;
}

test("swaps, liquidity and ETH from many accounts at once", { timeout: 3_600_000 }, async () => {
  const { rpc, ranges } = on;
  const places = [exchange.factory, exchange.router, exchange.weth, ...exchange.tokens];
  expect(new Set(places.map(({ addressBytes }) => ranges.ownerOf(addressBytes, 0))).size, "spread of contracts").toBeGreaterThan(
    2,
  );
  const nonces = await nextNonces(rpc, accounts);
  const pools = planPools(CHAIN_ID, exchange, provider, nonces[0] ?? 0, POOL);
  nonces[0] = (nonces[0] ?? 0) + pools.length;
  await sendAndConfirm(rpc, pools);
  const traffic = planTraffic({ chainId: CHAIN_ID, exchange, accounts, nonces, count: TRANSACTIONS, seed: 7 });
  await sendAll(traffic);
  const receipts = await receiptsOf(traffic);
  expect(receipts.filter(({ status }) => status !== "0x1").length, "failed").toBe(0);
});

test("no token and no ether came or went", { timeout: 120_000 }, async () => {
  const { tokens, weth } = exchange;
  const block = await on.rpc.call<string>("eth_blockNumber");
  const pairs = [...tokens, weth].flatMap((one, index, all) => all.slice(index + 1).map((other) => [one, other] as const));
  for (const token of tokens) {
    const holders = [
      ...accounts.map(({ address }) => address),
      ...pairs.map(([one, other]) => poolOf(exchange, one, other).address),
    ];
    expect(await sumOf(token, holders, block)).toBe(EACH * BigInt(ACCOUNTS));
  }
  const held = BigInt(await on.rpc.call<string>("eth_getBalance", weth.address, block));
  expect(held).toBe(await read(weth, "0x18160ddd", block));
});

test("the chain replays on a second EVM without a difference", { timeout: 3_600_000 }, async () => {
  const verified = await verify(new RpcSource(on.cluster.rpcUrl), { from: 1, snapshot: false, differencesMax: 3 });
  expect(verified.differences.map(describeDifference)).toEqual([]);
  expect(verified.transactions).toBeGreaterThan(TRANSACTIONS + ACCOUNTS * TOKENS);
  expect(indexRanges(await on.rpc.call("meridian_rangeMap")).map.ranges.length).toBe(8);
});
