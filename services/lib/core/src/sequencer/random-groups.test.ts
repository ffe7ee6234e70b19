import { expect, test } from "vitest";
import type { Rules } from "../rules.ts";
import { GroupWorld } from "./testing/group-world.ts";

const seeds = Array.from({ length: 30 }, (_, number) => number + 1);
/** What happened in all worlds together. */
const seen: Record<string, number> = {};

test.each(seeds)(
  "groups, misses, aborts, moves and leaders that change: world %i settles and equals serial execution",
  (seed) => {
    const world = new GroupWorld(seed);
    expect(world.run()).toBeNull();
    for (const [what, count] of Object.entries(world.seen)) seen[what] = (seen[what] ?? 0) + count;
  },
);

test("everything that can happen has happened in these worlds", () => {
  for (const [what, count] of Object.entries(seen)) expect([what, count > 10]).toEqual([what, true]);
});

test.each<[rule: keyof Rules, seeds: number]>([
  ["sendersStay", 10],
  ["firstDeclares", 40],
  ["blocksDrain", 10],
  ["oneOrder", 60],
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
