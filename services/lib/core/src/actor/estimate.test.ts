import { expect, test } from "vitest";
import { ESTIMATE_GAS_MAX, startEstimate, stepEstimate } from "./estimate.ts";

/** Runs the search against a call that succeeds from `needed` gas on and reports `used`. */
function run(bound: number, needed: number, used: number): { phase: string; gas: number; tries: number } {
  let estimate = startEstimate(bound, needed === 21_000);
  let tries = 0;
  while (estimate.phase !== "done" && estimate.phase !== "failed") {
    tries++;
    estimate = stepEstimate(estimate, estimate.gasLimit >= needed, Math.min(used, estimate.gasLimit));
  }
  return { phase: estimate.phase, gas: estimate.gasLimit, tries };
}

test.each<[what: string, bound: number, needed: number, used: number, gasAtMost: number, triesAtMost: number]>([
  ["a plain transfer", 0, 21_000, 21_000, 21_000, 1],
  ["a call that needs what it uses", 0, 60_000, 60_000, 63_289, 8],
  ["a call with a refund", 0, 100_000, 80_000, 103_000, 9],
  ["a call that keeps gas back at every depth", 0, 9_000_000, 500_000, 9_200_000, 20],
  ["a call that needs all there is", 0, ESTIMATE_GAS_MAX, 16_000_000, ESTIMATE_GAS_MAX, 12],
  ["a caller's bound", 50_000, 50_000, 40_000, 50_000, 12],
])("%s", (_what, bound, needed, used, gasAtMost, triesAtMost) => {
  const { phase, gas, tries } = run(bound, needed, used);
  expect(phase).toBe("done");
  expect(gas).toBeGreaterThanOrEqual(needed);
  expect(gas).toBeLessThanOrEqual(gasAtMost);
  expect(tries).toBeLessThanOrEqual(triesAtMost);
});

test.each<[what: string, bound: number, needed: number]>([
  ["a call that never succeeds", 0, Number.MAX_SAFE_INTEGER],
  ["a bound below the need", 30_000, 40_000],
])("%s fails in one run", (_what, bound, needed) => {
  expect(run(bound, needed, needed)).toMatchObject({ phase: "failed", tries: 1 });
});
