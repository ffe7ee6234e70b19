import { DECLARED_BYTES, predictorLimits, sequencerLimits } from "@meridian/core";
import { expect, test } from "vitest";
import { tailBytesMaxOf } from "./tail-bound.ts";

const GIB = 2 ** 30;
const BLOCKS = sequencerLimits.unsealedMax + 1;
/** Accounts that a method's list and the list of the very call can add. */
const LEARNED = 2 * predictorLimits.sourcesMax;

test.each<[what: string, bytes: number, gas: number]>([
  ["transfers", 400, 21_000],
  ["log data", 400 + 1_000_000, 21_000 + 375 + 8 * 1_000_000],
  ["zeros as calldata", 400 + 100_000, 21_000 + 10 * 100_000],
  ["zeros as calldata, logs for what that leaves", 400 + 175_000, 21_000 + 10 * 100_000],
  ["revert data", 400 + 4_096, 21_000 + 3 * 128 + 32],
  ["revert data of a call with a long declared set", 400 + 4_096 + LEARNED * DECLARED_BYTES, 21_000 + 3 * 128 + 32],
  ["a long declared set alone", 400 + LEARNED * DECLARED_BYTES, 21_000],
])("what the scheduler admits stays below: %s", (_what, bytes, gas) => {
  for (const limit of [30_000_000, 1_000_000_000, 2 ** 40]) {
    expect(tailBytesMaxOf(limit, GIB)).toBeGreaterThan(1.25 * BLOCKS * (limit / gas) * bytes);
  }
});

test("a small chain has the least bound", () => expect(tailBytesMaxOf(30_000_000, GIB)).toBe(GIB));
