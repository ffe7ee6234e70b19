import { expect, test } from "vitest";
import { BugError } from "../assert.ts";
import type { Rules } from "../rules.ts";
import { ToyWorld } from "./testing/toy-world.ts";

/** What is wrong with the world of this seed, null if nothing. */
function wrongOf(seed: number, rules: Partial<Rules> = {}): string | null {
  try {
    return new ToyWorld(seed, rules).run();
  } catch (error) {
    if (error instanceof BugError) return error.message;
    throw error;
  }
}

const SEEDS = Array.from({ length: 40 }, (_, index) => index + 1);

test("any number of partitions makes what one engine makes of the published order, and a log alone the same records", () => {
  const wrong = SEEDS.flatMap((seed) => {
    const text = wrongOf(seed);
    return text === null ? [] : [`seed ${seed}: ${text}`];
  });
  expect(wrong).toEqual([]);
}, 60_000);

// The rarer ones have their rows in rules.test.ts.
test.each<keyof Rules>([
  "followersMiss",
  "locksHold",
  "sendersQueue",
  "noncesApart",
  "publishedAtEntry",
  "predictionsAreChecked",
  "movedIsForgotten",
])(
  "without the rule %s something is wrong",
  (rule) => expect(SEEDS.some((seed) => wrongOf(seed, { [rule]: false }) !== null)).toBe(true),
  60_000,
);
