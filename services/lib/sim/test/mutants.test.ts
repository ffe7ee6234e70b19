import { expect, test } from "vitest";
import { engineOf } from "../src/engines.ts";
import { MUTANTS, mutantOf } from "../src/planted.ts";
import { runSeed } from "../src/system/run.ts";

/** Those that are found soonest; `npm run sim:mutants` looks for all. */
const FREQUENT = ["publishedAtEntry", "blocksDrain", "sendersStay", "followersMiss", "homeWaitsForApply", "noncesApart", "fence"];
const SEEDS_MAX = 40;

test.each(FREQUENT)("planted bug %s is found", { timeout: 60_000 }, async (name) => {
  const mutant = mutantOf(name);
  expect(mutant).toBeDefined();
  let found: string | null = null;
  for (let seed = 1; seed <= SEEDS_MAX && found === null && mutant !== undefined; seed++) {
    const { failure } = await runSeed({ seed, ...engineOf("wasm"), mutant });
    found = failure?.kind ?? null;
  }
  expect(found).not.toBeNull();
});

test("each planted bug has a name of its own", () => {
  expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length);
  expect(mutantOf("nothing")).toBeUndefined();
});
