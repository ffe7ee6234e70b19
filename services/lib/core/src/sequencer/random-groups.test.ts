import { expect, test } from "vitest";
import type { Rules } from "../rules.ts";
import { GroupWorld } from "./testing/group-world.ts";

const SEEDS = 30;

test(`groups, misses, aborts, moves and leaders that change: ${SEEDS} worlds settle and equal serial execution`, () => {
  const seen: Record<string, number> = {};
  for (let seed = 1; seed <= SEEDS; seed++) {
    const world = new GroupWorld(seed);
    expect([seed, world.run()]).toEqual([seed, null]);
    for (const [what, count] of Object.entries(world.seen)) seen[what] = (seen[what] ?? 0) + count;
  }
  for (const [what, count] of Object.entries(seen)) expect([what, count > 10]).toEqual([what, true]);
});

test.each<[rule: keyof Rules, seeds: number]>([
  ["sendersStay", 10],
  ["firstDeclares", 40],
  ["blocksDrain", 10],
  ["oneOrder", 10],
  ["answersAfterAppend", 10],
  ["abortsCount", 20],
  ["followersMiss", 10],
])("a world without the rule %s is found wrong", (rule, seeds) => {
  for (let seed = 1; seed <= seeds; seed++) {
    const wrong = runWithout(rule, seed);
    if (wrong !== null) return;
  }
  expect.fail(`${seeds} worlds without ${rule} are right`);
});

/** What is wrong with a world; also an assertion that does not hold any more. */
function runWithout(rule: keyof Rules, seed: number): string | null {
  try {
    return new GroupWorld(seed, { [rule]: false }).run();
  } catch (error) {
    return String(error);
  }
}
