/** `npm run exchange`: Uniswap V2 on a cluster of many partitions, used by many accounts at once, and everything checked. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { IoError } from "@meridian/core";
import { startCluster } from "@meridian/launcher";
import { type ExchangeReport, failuresOf, percent, runExchange } from "./exchange.ts";

const CHAIN_ID = 31_337;
const BLOCK_MS = 250;
const PROGRESS_MS = 5_000;

const startedAt = Date.now();
const say = (text: string) => console.log(`${((Date.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${text}`);

interface Flags {
  transactions: number;
  accounts: number;
  partitions: number;
  hosts: number;
  crossingMin: number;
  seed: number;
  engine: "auto" | "native" | "wasm";
}

function number(min: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isFinite(value) || value < min) throw new InvalidArgumentError(`Want a number from ${min} on.`);
    return value;
  };
}

function readFlags(): Flags {
  return new Command("npm run exchange --")
    .description(
      "Uniswap V2 (factory, pools, Router02, WETH9 from their npm packages, unmodified) and four OpenZeppelin tokens:\n" +
        "liquidity, swaps over several pools, ETH swaps and liquidity taken back by many accounts at once; then receipts,\n" +
        "sums and a replay are checked.",
    )
    .option("--transactions <count>", "of the users", number(1), 20_000)
    .option("--accounts <count>", "users", number(1), 200)
    .option("--partitions <count>", "", number(1), 8)
    .option("--hosts <count>", "", number(1), 2)
    .option("--crossing-min <percent>", "fails if fewer of the transactions cross partitions", number(0), 30)
    .option("--seed <number>", "what the users do", number(0), 7)
    .option("--engine <build>", "auto, native or wasm", "auto")
    .parse()
    .opts<Flags>();
}

function show({ contractPartitions, transactions, failed, trafficMs, verifyMs, verified }: ExchangeReport): void {
  const rate = (count: number, ms: number) => `${(ms / 1000).toFixed(1)} s, ${Math.round((count / ms) * 1000)} a second`;
  const { differences, blocks, crossed, head } = verified;
  console.log(`\ncontracts on ${contractPartitions} partitions`);
  console.log(`traffic: ${transactions} transactions, ${failed} failed, ${rate(transactions, trafficMs)}`);
  console.log(`crossing: ${crossed} of ${verified.transactions} transactions, ${percent(crossed / verified.transactions)}`);
  console.log(`verify: ${rate(verified.transactions, verifyMs)}; digest of block ${head.number}: ${head.digest}`);
  console.log(`${verified.transactions} transactions, ${blocks} blocks, ${differences.length} differences`);
}

async function main(): Promise<number> {
  const { transactions, accounts, partitions, hosts, crossingMin, seed, engine } = readFlags();
  const dataFolder = await mkdtemp(join(tmpdir(), "meridian-exchange-"));
  const cluster = await startCluster({ dataFolder, port: 0, blockMs: BLOCK_MS, partitions, hosts, funded: accounts, engine });
  const stop = () => void cluster.stop().then(() => process.exit(130));
  process.once("SIGINT", stop).once("SIGTERM", stop);
  let shownAt = Date.now();
  const onVerified = (count: number) => {
    if (Date.now() - shownAt < PROGRESS_MS) return;
    shownAt = Date.now();
    say(`${count} transactions replayed`);
  };
  try {
    await cluster.ready();
    const report = await runExchange({ cluster, chainId: CHAIN_ID, transactions, accounts, seed, say, onVerified });
    show(report);
    const failures = failuresOf(report, crossingMin / 100);
    for (const failure of failures) console.error(failure);
    return failures.length === 0 ? 0 : 1;
  } finally {
    await cluster.stop();
    await rm(dataFolder, { recursive: true, force: true });
  }
}

main().then(
  (exitCode) => process.exit(exitCode),
  (error: unknown) => {
    console.error(error instanceof IoError ? error.message : error);
    process.exit(1);
  },
);
