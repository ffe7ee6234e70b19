/** `npm run bench`: transfers a second of a local cluster, client included, with both builds of the engine. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { IoError } from "@meridian/core";
import { table } from "@meridian/launcher";
import { type BenchReport, runBench } from "./bench.ts";

const startedAt = Date.now();
const say = (text: string) => console.error(`${((Date.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${text}`);

function textOf(report: BenchReport): string {
  const { engine, transfers, seconds, transactionsPerSecond, acknowledgedMs, sealedMs, blocks, receipts, processes } = report;
  const ms = (value: number) => `${value.toFixed(0)} ms`;
  const total = processes.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0);
  const rows = processes.map(({ name, cpuSeconds, microsecondsPerTransaction, memoryMib }) => [
    name,
    cpuSeconds.toFixed(2),
    microsecondsPerTransaction.toFixed(1),
    `${((cpuSeconds / total) * 100).toFixed(0)} %`,
    memoryMib,
  ]);
  const memory = processes.reduce((sum, { memoryMib }) => sum + memoryMib, 0);
  const sum = ["all", total.toFixed(2), ((total / transfers) * 1e6).toFixed(1), "100 %", memory];
  return [
    `${engine}: ${Math.round(transactionsPerSecond).toLocaleString("en-US")} transactions a second confirmed`,
    `  ${transfers} transfers in ${seconds.toFixed(2)} s and ${blocks} blocks; ${receipts} receipts checked`,
    `  durable p50 ${ms(acknowledgedMs.p50)}, p99 ${ms(acknowledgedMs.p99)}`,
    `  sealed  p50 ${ms(sealedMs.p50)}, p99 ${ms(sealedMs.p99)}`,
    table([["process", "CPU seconds", "us a transaction", "share", "MiB"], ...rows, sum]),
  ].join("\n");
}

async function main(): Promise<void> {
  const flags = new Command("npm run bench --")
    .description("Sends pre-signed ERC-20 transfers as JSON-RPC batches and measures until the last is in a sealed block.")
    .option("--engines <list>", "builds of the engine, one run each", "native,wasm")
    .option("--transfers <count>", "measured", "60000")
    .option("--warm-up <count>", "sent before, not measured", "10000")
    .option("--accounts <count>", "senders, at most 500", "500")
    .option("--batch <count>", "transactions in one JSON-RPC batch", "500")
    .option("--lanes <count>", "connections beside each other", "4")
    .option("--partitions <count>", "", "4")
    .option("--hosts <count>", "", "2")
    .option("--block-ms <ms>", "", "500")
    .option("--json <file>", "writes the results as JSON")
    .option("--profile <folder>", "writes a CPU profile of each service (slower)")
    .parse()
    .opts<Record<string, string | undefined>>();
  const number = (name: string) => Number(flags[name]);
  const reports: BenchReport[] = [];
  for (const engine of (flags["engines"] ?? "").split(",") as ("native" | "wasm")[]) {
    const report = await runBench({
      engine,
      transfers: number("transfers"),
      warmUp: number("warmUp"),
      accounts: number("accounts"),
      batch: number("batch"),
      lanes: number("lanes"),
      partitions: number("partitions"),
      hosts: number("hosts"),
      blockMs: number("blockMs"),
      profileFolder: flags["profile"] === undefined ? undefined : join(flags["profile"], engine),
      say,
    });
    reports.push(report);
    console.log(`${textOf(report)}\n`);
  }
  if (flags["json"] !== undefined) await writeFile(flags["json"], `${JSON.stringify(reports, null, 2)}\n`);
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error instanceof IoError ? error.message : error);
    process.exit(1);
  },
);
