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
const SETTLE_MS = 1_000;
const CRASHES_MAX = 1_000; // Faults are wanted: no process is given up for them.

interface Flags {
  rounds: string;
  seed: string;
  accounts: string;
  rate: string;
  hosts: string;
  only?: string;
  engine: "auto" | "native" | "wasm";
  keep: boolean;
}

const startedAt = Date.now();
const say = (text: string) => console.log(`${((Date.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${text}`);

function tableOf({ faults }: ChaosReport): string {
  const shown = (values: number[]) => {
    const sorted = values.toSorted((left, right) => left - right);
    const seconds = (value: number) => (value / 1000).toFixed(2);
    return sorted.length === 0 ? "-" : `${seconds(sorted[sorted.length >> 1] ?? 0)} / ${seconds(sorted.at(-1) ?? 0)} s`;
  };
  const rows = FAULTS.map((fault) => {
    const own = faults.filter((record) => record.fault === fault);
    const groups = own.map(({ groupsOpen }) => groupsOpen);
    return [
      fault,
      own.length,
      own.length === 0 ? "-" : `${Math.min(...groups)} to ${Math.max(...groups)}`,
      shown(own.map(({ recoversAfterMs }) => recoversAfterMs)),
      shown(own.map(({ freeAfterMs }) => freeAfterMs)),
      shown(own.map(({ acknowledgesAfterMs }) => acknowledgesAfterMs)),
      shown(own.map(({ sealsAfterMs }) => sealsAfterMs)),
    ];
  });
  const head = [
    "fault",
    "times",
    "groups open",
    "back: median / worst",
    "locks free after that",
    "acknowledges",
    "seals 2 blocks",
  ];
  return table([head, ...rows]);
}

async function main(): Promise<number> {
  const options = new Command("npm run chaos --")
    .description(
      "Each round kills (kill -9) and pauses (SIGSTOP) the home of a group, another participant, the leading scheduler and\n" +
        "nats-server, each in the middle of a group; and kills gateway, archive, and everything at once.",
    )
    .option("--rounds <count>", "rounds of all faults", "10")
    .option("--seed <number>", "order of the faults, choice of hosts, transfers", `${Date.now() % 1_000_000}`)
    .option("--accounts <count>", "senders", "200")
    .option("--rate <transactions>", "transfers a second", "200")
    .option("--hosts <count>", "processes that the 4 partitions run in", "4")
    .option("--only <text>", "faults whose name holds this")
    .option("--engine <build>", "auto, native or wasm", "auto")
    .option("--keep", "keep the data folder, with the logs", false)
    .parse()
    .opts<Flags>();
  const dataFolder = await mkdtemp(join(tmpdir(), "meridian-chaos-"));
  say(`seed ${options.seed}; data folder ${dataFolder}`);
  const { engine, only } = options;
  const faults = FAULTS.filter((fault) => only === undefined || fault.includes(only));
  const shape = { port: 0, blockMs: BLOCK_MS, hosts: Number(options.hosts), engine, crashesPerMinuteMax: CRASHES_MAX };
  const cluster = await startCluster({ dataFolder, ...shape });
  let isGood = false;
  const stop = () => void cluster.stop().then(() => process.exit(130));
  process.once("SIGINT", stop).once("SIGTERM", stop);
  try {
    await cluster.ready();
    const numbers = { rounds: Number(options.rounds), seed: Number(options.seed), accounts: Number(options.accounts) };
    const transactionsPerSecond = Number(options.rate);
    const report = await runChaos({
      cluster,
      chainId: CHAIN_ID,
      ...numbers,
      faults,
      settleMs: SETTLE_MS,
      transactionsPerSecond,
      say,
    });
    const failures = failuresOf(report);
    const { acknowledged, checked, locks, verified } = report;
    console.log(`\n${tableOf(report)}\n`);
    console.log(`acknowledged ${acknowledged}, receipts ${checked.receipts}, lost ${checked.lost.length}, ran twice 0`);
    console.log(`${locks.count} locks, held for ${locks.medianMs.toFixed(0)} ms at the median`);
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
