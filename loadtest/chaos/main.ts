/** `npm run chaos`: kills and pauses the processes of a local cluster under load and checks that nothing was lost. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { IoError } from "@meridian/core";
import { startCluster, table } from "@meridian/launcher";
import { type ChaosReport, failuresOf, runChaos } from "./chaos.ts";
import { FAULTS } from "./faults.ts";

const CHAIN_ID = 31_337;
const BLOCK_MS = 250;
const CRASHES_MAX = 1_000; // Faults are wanted: no process is given up for them.

const startedAt = Date.now();
const say = (text: string) => console.log(`${((Date.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${text}`);

function tableOf({ faults }: ChaosReport): string {
  const seconds = (values: number[]) => (values.length === 0 ? "-" : `${(Math.max(...values) / 1000).toFixed(2)} s`);
  const median = (values: number[]) => `${((values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0) / 1000).toFixed(2)} s`;
  const rows = FAULTS.map((fault) => {
    const own = faults.filter((record) => record.fault === fault);
    const acknowledges = own.map(({ acknowledgesAfterMs }) => acknowledgesAfterMs);
    const seals = own.map(({ sealsAfterMs }) => sealsAfterMs);
    return [fault, own.length, median(acknowledges), seconds(acknowledges), median(seals), seconds(seals)];
  });
  return table([["fault", "times", "acknowledges: median", "worst", "seals 2 blocks: median", "worst"], ...rows]);
}

async function main(): Promise<number> {
  const options = new Command("npm run chaos --")
    .description(
      "Each round kills host, scheduler leader, gateway, archive and nats-server (kill -9), and pauses leader and host for 3 s.",
    )
    .option("--rounds <count>", "rounds of all faults", "10")
    .option("--seed <number>", "order of the faults, choice of hosts, transfers", `${Date.now() % 1_000_000}`)
    .option("--accounts <count>", "senders", "200")
    .option("--rate <transactions>", "transfers a second", "200")
    .option("--engine <build>", "auto, native or wasm", "auto")
    .option("--keep", "keep the data folder, with the logs", false)
    .parse()
    .opts<{ rounds: string; seed: string; accounts: string; rate: string; engine: "auto" | "native" | "wasm"; keep: boolean }>();
  const dataFolder = await mkdtemp(join(tmpdir(), "meridian-chaos-"));
  say(`seed ${options.seed}; data folder ${dataFolder}`);
  const { engine } = options;
  const cluster = await startCluster({ dataFolder, port: 0, blockMs: BLOCK_MS, engine, crashesPerMinuteMax: CRASHES_MAX });
  let isGood = false;
  const stop = () => void cluster.stop().then(() => process.exit(130));
  process.once("SIGINT", stop).once("SIGTERM", stop);
  try {
    await cluster.ready();
    const numbers = { rounds: Number(options.rounds), seed: Number(options.seed), accounts: Number(options.accounts) };
    const report = await runChaos({ cluster, chainId: CHAIN_ID, ...numbers, transactionsPerSecond: Number(options.rate), say });
    const failures = failuresOf(report);
    const { acknowledged, checked, verified } = report;
    console.log(`\n${tableOf(report)}\n`);
    console.log(`acknowledged ${acknowledged}, receipts ${checked.receipts}, lost ${checked.lost.length}, ran twice 0`);
    console.log(
      `verify: ${verified.transactions} transactions, ${verified.blocks} blocks, ${verified.differences.length} differences`,
    );
    console.log(`digest of block ${verified.head.number}: ${verified.head.digest}`);
    for (const failure of failures) console.error(failure);
    isGood = failures.length === 0;
    return isGood ? 0 : 1;
  } finally {
    await cluster.stop();
    if (isGood && !options.keep) await rm(dataFolder, { recursive: true, force: true });
    else say(`kept: ${dataFolder}`);
  }
}

main().then(
  (exitCode) => process.exit(exitCode),
  (error: unknown) => {
    console.error(error instanceof IoError ? error.message : error);
    process.exit(1);
  },
);
