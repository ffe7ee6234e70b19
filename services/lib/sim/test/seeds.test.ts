import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { engineOf } from "../src/engines.ts";
import { runTasks, tasksOf } from "../src/pool.ts";
import type { Finished } from "../src/pool.ts";
import { runSeed } from "../src/system/run.ts";

const SEEDS = 300;
const JOBS = 2;

/** What a reader needs to look at it. */
const failureOf = ({ seed, failure }: Pick<Finished, "seed" | "failure">): string[] =>
  failure === null ? [] : [`npm run sim -- --from ${seed} --seeds 1 --trace: ${failure.kind}: ${failure.text}`];

test(`${SEEDS} seeds`, { timeout: 180_000 }, async () => {
  const failures: string[] = [];
  await runTasks(tasksOf(1, SEEDS, 25, null, "auto"), JOBS, (result) => failures.push(...failureOf(result)));
  expect(failures).toEqual([]);
});

test("seeds that have found something", { timeout: 60_000 }, async () => {
  const text = readFileSync(fileURLToPath(new URL("../seeds.txt", import.meta.url)), "utf8");
  const seeds = text.split("\n").flatMap((line) => (/^\d/.test(line) ? [Number.parseInt(line, 10)] : []));
  expect(seeds.length).toBeGreaterThan(0);
  for (const seed of seeds) expect(failureOf(await runSeed({ seed, ...engineOf("auto") }))).toEqual([]);
});

test("a seed gives the same trace each time", { timeout: 60_000 }, async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const [first, again] = [await runSeed({ seed, ...engineOf("auto") }), await runSeed({ seed, ...engineOf("auto") })];
    expect([seed, again.hash, again.events]).toEqual([seed, first.hash, first.events]);
  }
});

test("lines of a trace change nothing", async () => {
  const quiet = await runSeed({ seed: 3, ...engineOf("toy") });
  const traced = await runSeed({ seed: 3, ...engineOf("toy"), traced: true });
  expect([traced.hash, quiet.lines.length]).toEqual([quiet.hash, 0]);
  expect(traced.lines.length).toBeGreaterThan(100);
});
