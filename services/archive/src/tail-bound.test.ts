import { sequencerLimits } from "@meridian/core";
import { expect, test } from "vitest";
import { tailBytesMaxOf } from "./tail-bound.ts";

const GIB = 2 ** 30;
const BLOCKS = sequencerLimits.unsealedMax + 1;
const WORDS = Math.round(Math.sqrt(21_000 * 512));

test.each<[what: string, bytes: number, gas: number]>([
  ["transfers", 300, 21_000],
  ["log data", 300 + 1_000_000, 21_000 + 375 + 8 * 1_000_000],
  ["zeros as calldata", 300 + 100_000, 21_000 + 4 * 100_000],
  ["revert data", 300 + 32 * WORDS, 21_000 + 3 * WORDS + Math.floor((WORDS * WORDS) / 512)],
])("what the scheduler admits stays below: %s", (_what, bytes, gas) => {
  for (const limit of [30_000_000, 1_000_000_000, 2 ** 40]) {
    expect(tailBytesMaxOf(limit, GIB)).toBeGreaterThan(1.25 * BLOCKS * (limit / gas) * bytes);
  }
});

test("a small chain has the least bound", () => expect(tailBytesMaxOf(30_000_000, GIB)).toBe(GIB));
