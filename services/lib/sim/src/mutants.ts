/** `npm run sim:mutants`: how soon each planted bug is found, and by what. */
import { availableParallelism } from "node:os";
import { Command } from "commander";
import { MUTANTS, mutantOf } from "./planted.ts";
import type { SimEngine } from "./engines.ts";
import { integer } from "./integer.ts";
import { runTasks, tasksOf } from "./pool.ts";
import type { Finished } from "./pool.ts";

interface Options {
  seeds: number;
  until: number;
  from: number;
  jobs: number;
  only?: string;
  engine: SimEngine;
}

interface Found {
  name: string;
  runs: number;
  failures: number;
  first: number | null;
  kinds: Map<string, number>;
}

const TASK_SEEDS = 25;

const options = new Command("sim:mutants")
  .description("Plants each known bug and looks for it. A table; fails if one is not found.")
  .option("--seeds <number>", "seeds for each", integer, 50)
  .option("--until <number>", "goes on so far with those that are not found by then", integer, 5_000)
  .option("--from <seed>", "the first one", integer, 1)
  .option("--jobs <number>", "processes", integer, availableParallelism())
  .option("--only <names>", "some of them, with commas between")
  .option("--engine <build>", "auto, native, wasm, or toy: without an EVM", "auto")
  .parse()
  .opts<Options>();

async function main({ seeds, until, from, jobs, only, engine }: Options): Promise<number> {
  const names = only === undefined ? MUTANTS.map(({ name }) => name) : only.split(",");
  const unknown = names.filter((name) => mutantOf(name) === undefined);
  if (unknown.length > 0) {
    console.error(`there is no planted bug ${unknown.join(", ")}`);
    return 2;
  }
  const founds = names.map((name): Found => ({ name, runs: 0, failures: 0, first: null, kinds: new Map() }));
  console.log(
    `${"rule".padEnd(22)} ${"planted bug".padEnd(48)}${"found at".padStart(9)}${"failures".padStart(14)}  what the checks said`,
  );
  for (const found of founds) {
    const rounds = [tasksOf(from, seeds, TASK_SEEDS, found.name, engine)];
    if (until > seeds) rounds.push(tasksOf(from + seeds, until - seeds, TASK_SEEDS, found.name, engine));
    for (const [round, tasks] of rounds.entries()) {
      await runTasks(
        tasks,
        jobs,
        (result) => take(found, result),
        () => round === 0 || found.first === null,
      );
    }
    console.log(rowOf(found));
  }
  const missing = founds.filter(({ first }) => first === null).map(({ name }) => name);
  if (missing.length > 0) console.log(`not found: ${missing.join(", ")}`);
  console.log(`${founds.length} planted bugs, ${missing.length} not found`);
  return missing.length === 0 ? 0 : 1;
}

function take(found: Found, { seed, failure }: Finished): void {
  found.runs++;
  if (failure === null) return;
  found.failures++;
  found.first = Math.min(found.first ?? Infinity, seed);
  found.kinds.set(failure.kind, (found.kinds.get(failure.kind) ?? 0) + 1);
}

function rowOf({ name, runs, failures, first, kinds }: Found): string {
  const said = [...kinds].sort(([, left], [, right]) => right - left).map(([kind, count]) => `${kind} ${count}`);
  const share = `${failures} of ${runs}`;
  const bug = (mutantOf(name)?.bug ?? "").padEnd(48);
  const found = (first ?? "never").toString().padStart(9) + share.padStart(14);
  return `${name.padEnd(22)} ${bug}${found}  ${said.slice(0, 3).join(", ")}`;
}

process.exitCode = await main(options);
