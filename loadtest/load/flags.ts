/** The command line of `npm run load`. */
import { Command, InvalidArgumentError, Option } from "commander";
import { MODES, type Mode } from "./plan.ts";
import { SCENARIOS } from "./scenarios/index.ts";

export interface Flags {
  scenario: string;
  mode: Mode;
  rate: number;
  duration: number; // seconds
  warmUp: number; // seconds
  batch: number;
  request?: number;
  contracts?: number;
  holders: number;
  senders?: number;
  seed?: string;
  wait: boolean;
  overload: boolean;
  url?: string;
  partitions: number;
  hosts: number;
  gateways: number;
  schedulers: number;
  blockMs: number;
  engine: "auto" | "native" | "wasm";
  durability: "power" | "process";
  clientsMax: number;
  watts: number;
  out?: string;
  profile?: string;
}

/** A whole number, or another one if `isWhole` is false. */
export function number(min: number, isWhole = true): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isFinite(value) || value < min || (isWhole && !Number.isInteger(value)))
      throw new InvalidArgumentError(`Want a ${isWhole ? "whole " : ""}number from ${min} on.`);
    return value;
  };
}

/** "60s", "2m", "500ms" or "60": seconds. */
export function seconds(text: string): number {
  const [, value = "", unit = "s"] = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text) ?? [];
  if (value === "") throw new InvalidArgumentError("Want a time like 60s or 2m.");
  return Number(value) * ({ ms: 0.001, s: 1, m: 60 }[unit] ?? 1);
}

const scenarios = Object.entries(SCENARIOS)
  .map(([name, { what }]) => `  ${name.padEnd(15)} ${what}`)
  .join("\n");

export function readFlags(argv: readonly string[]): Flags {
  return new Command("npm run load --")
    .description(
      "Loads a cluster at an open arrival rate with calls that were signed before, then checks that each has its receipt in a\n" +
        "block and that every balance is exact. Exit code 0 only if rate, receipts and balances hold; the last line is the\n" +
        "confirmed TPS.\n\nScenarios:\n" +
        scenarios,
    )
    .option("--scenario <name>", "one of the above", "erc20-uniform")
    .addOption(new Option("--mode <mode>", "what is signed and how it is sent").choices(MODES).default("batches"))
    .option("--rate <calls>", "calls a second", number(1), 1_000)
    .option("--duration <time>", "measured, after the warm-up", seconds, 60)
    .option("--warm-up <time>", "at the same rate, checked but not measured", seconds, 5)
    .option("--batch <calls>", "calls under one signature (mode batches)", number(1), 1_024)
    .option("--request <calls>", "calls in one request (default: one batch; 500 singles)", number(1))
    .option("--contracts <count>", "tokens, collections or pools (default: as the scenario says)", number(1))
    .option("--holders <count>", "accounts that receive, over all tokens", number(1), 10_000)
    .option("--senders <count>", "accounts that sign (default: each signs again after some seconds)", number(1))
    .option("--seed <text>", "everything drawn follows from it (default: load; with --url a new one)")
    .option("--no-wait", "do not ask for streamed receipts (modes singles and batches)")
    .option("--overload", "more than fits: refusals are fine, what was accepted must be there, and it must end soon", false)
    .option("--url <url>", "a gateway of a running cluster; without it one is started in a temporary folder")
    .option("--partitions <count>", "of the cluster that is started", number(1), 4)
    .option("--hosts <count>", "", number(1), 2)
    .option("--gateways <count>", "requests go to the first one", number(1), 1)
    .option("--schedulers <count>", "one leads, the others stand by", number(1), 2)
    .option("--block-ms <ms>", "", number(10), 500)
    .addOption(new Option("--engine <build>", "").choices(["auto", "native", "wasm"]).default("native"))
    .addOption(
      new Option("--durability <kind>", "power: every write is synced before it counts")
        .choices(["power", "process"])
        .default("power"),
    )
    .option(
      "--clients-max <count>",
      "requests under way at once; beyond that they are dropped, which is a failure",
      number(1),
      1_000,
    )
    .option("--watts <watts>", "of a busy core, where the machine has no RAPL", number(0, false), 8)
    .option("--out <folder>", "for the report (default: .meridian/load)")
    .option("--profile <folder>", "writes a CPU profile of each service there (slower)")
    .parse(argv, { from: "user" })
    .opts<Flags>();
}
