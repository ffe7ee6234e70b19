/** `npm run sim`: the whole system on one seed after another. */
import { availableParallelism } from "node:os";
import { Command } from "commander";
import { addTally, describeTally, noTally } from "./checks/tally.ts";
import { engineOf } from "./engines.ts";
import type { SimEngine } from "./engines.ts";
import { integer } from "./integer.ts";
import { MUTANTS, mutantOf } from "./planted.ts";
import { runTasks, tasksOf } from "./pool.ts";
import type { Finished } from "./pool.ts";
import { runSeed } from "./system/run.ts";

interface Options {
  seeds: number;
  from: number;
  jobs: number;
  trace: boolean;
  mutant?: string;
  engine: SimEngine;
}

/** Failures that are told one by one. */
const TOLD_MAX = 10;
const TASK_SEEDS = 25;
const PROGRESS_MS = 10_000;
/** Failing seeds whose traces are printed without being asked for, and how much of each. */
const TRACES_MAX = 1;
const TRACE_LINES = 60;

const program = new Command("sim")
  .description("Runs the whole system on one seed after another: the services' own loops, virtual time, everything fails.")
  .option("--seeds <number>", "how many seeds", integer, 100)
  .option("--from <seed>", "the first one", integer, 1)
  .option("--jobs <number>", "processes", integer, availableParallelism())
  .option("--trace", "print one line for each event", false)
  .option("--mutant <name>", `with a planted bug: ${MUTANTS.map(({ name }) => name).join(", ")}`)
  .option("--engine <build>", "auto, native, wasm, or toy: without an EVM", "auto")
  .parse();

async function main(options: Options): Promise<number> {
  const { seeds, from, jobs, trace, mutant = null, engine } = options;
  if (mutant !== null && mutantOf(mutant) === undefined) {
    console.error(`there is no planted bug "${mutant}"`);
    return 2;
  }
  if (trace) return runTraced(options);
  const failed: Finished[] = [];
  let done = 0;
  const startedAt = performance.now();
  const progress = setInterval(() => console.log(`${done} of ${seeds} seeds, ${failed.length} failed`), PROGRESS_MS);
  let processorMs: number;
  const sum = noTally();
  const tell = (result: Finished): void => {
    done++;
    if (result.tally !== null) addTally(sum, result.tally);
    if (result.failure === null) return;
    failed.push(result);
    if (failed.length <= TOLD_MAX)
      console.log(
        `seed ${result.seed}: ${result.failure.kind}: ${firstLine(result.failure.text)}\n  ${commandOf(result.seed, options)}`,
      );
  };
  try {
    processorMs = await runTasks(tasksOf(from, seeds, TASK_SEEDS, mutant, engine), jobs, tell);
  } finally {
    clearInterval(progress);
  }
  for (const [kind, seeds] of kindsOf(failed))
    console.log(`${seeds.length} times: ${kind}: seeds ${seeds.slice(0, 8).join(", ")}`);
  for (const { seed } of failed.slice(0, TRACES_MAX)) await printTrace(seed, options, TRACE_LINES);
  const wallS = (performance.now() - startedAt) / 1_000;
  console.log(`${wallS.toFixed(1)} s, ${(processorMs / Math.max(1, seeds)).toFixed(0)} ms of processor time a seed`);
  console.log(describeTally(sum));
  console.log(`${seeds} seeds, ${failed.length} failed`);
  return failed.length === 0 ? 0 : 1;
}

async function runTraced(options: Options): Promise<number> {
  let failed = 0;
  for (let seed = options.from; seed < options.from + options.seeds; seed++) {
    if (!(await printTrace(seed, options, Infinity))) failed++;
  }
  console.log(`${options.seeds} seeds, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

/** @returns true if nothing failed */
async function printTrace(seed: number, { mutant = "", engine }: Options, linesMax: number): Promise<boolean> {
  const planted = mutantOf(mutant);
  const run = await runSeed({
    seed,
    ...engineOf(engine),
    traced: true,
    ...(planted === undefined ? {} : { mutant: planted }),
  });
  const left = Math.max(0, run.lines.length - linesMax);
  if (left > 0) console.log(`... ${left} lines before`);
  for (const line of run.lines.slice(left)) console.log(line);
  console.log(`seed ${seed}: trace ${run.hash}, ${run.failure === null ? "no failure" : run.failure.kind}`);
  return run.failure === null;
}

const commandOf = (seed: number, { mutant, engine }: Options): string =>
  [
    `npm run sim -- --from ${seed} --seeds 1 --trace`,
    ...(mutant === undefined ? [] : [`--mutant ${mutant}`]),
    ...(engine === "auto" ? [] : [`--engine ${engine}`]),
  ].join(" ");

function kindsOf(failed: readonly Finished[]): Map<string, number[]> {
  const kinds = new Map<string, number[]>();
  for (const { seed, failure } of failed) {
    const kind = failure?.kind ?? "";
    kinds.set(kind, [...(kinds.get(kind) ?? []), seed]);
  }
  return kinds;
}

const firstLine = (text: string): string => text.split("\n")[0] ?? "";

process.exitCode = await main(program.opts<Options>());
