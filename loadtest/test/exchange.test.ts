/** Uniswap V2 on 8 partitions for a moment; `npm run exchange` does the same with 20,000 transactions of 200 accounts. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Cluster, startCluster } from "@meridian/launcher";
import { afterAll, beforeAll, expect, test } from "vitest";
import { failuresOf, runExchange } from "../exchange/exchange.ts";

const ACCOUNTS = 50;
const TRANSACTIONS = 300;

let cluster: Cluster;
let dataFolder: string;

beforeAll(async () => {
  dataFolder = await mkdtemp(join(tmpdir(), "meridian-exchange-"));
  cluster = await startCluster({ dataFolder, port: 0, blockMs: 250, partitions: 8, hosts: 2, funded: ACCOUNTS });
  await cluster.ready();
});
afterAll(async () => {
  await cluster.stop();
  await rm(dataFolder, { recursive: true, force: true });
});

test("liquidity, swaps and ETH from many accounts at once: sums hold, many cross partitions, no difference", async () => {
  const options = { cluster, chainId: 31_337, transactions: TRANSACTIONS, accounts: ACCOUNTS, seed: 7, say: () => undefined };
  const report = await runExchange(options);
  expect(failuresOf(report, 0.3)).toEqual([]);
  expect(failuresOf(report, 1)).toHaveLength(1); // Whoever asks for more than there is hears of it.
  expect(report.contractPartitions).toBeGreaterThan(4);
  expect(report.verified.transactions).toBeGreaterThan(TRANSACTIONS + ACCOUNTS * 4);
});
