import { expect, test } from "vitest";
import { bytesOfHex } from "../bytes.ts";
import { PENDING } from "../engine.ts";
import { arrivalsKept, arrivedAfter, oldestOf } from "./arrivals.ts";
import { emptyState } from "./state.ts";
import type { Arrival } from "./state.ts";

const arrival = (first: string, last: string, block: number): Arrival => ({
  first: first.repeat(20),
  last: last.repeat(20),
  block,
});
const ARRIVALS = [arrival("20", "3f", 5), arrival("31", "31", 9), arrival("f1", "f1", 7)];

test.each<[what: string, account: string, block: number, want: number | null]>([
  ["an account that was always here", "11", 1, null],
  ["one of a range, before the range came", "20", 4, 5],
  ["the range's last one", "3f", 4, 5],
  ["one of a range, at the block that it came with", "20", 5, null],
  ["one that came twice, before the second time", "31", 5, 9],
  ["one that came twice, before the first time", "31", 1, 9],
  ["a single account, the block before", "f1", 6, 7],
  ["the present of anything", "31", PENDING, null],
])("%s", (_what, account, block, want) => {
  const state = { ...emptyState(0, 7), arrivals: ARRIVALS };
  expect(oldestOf(arrivedAfter(state, block), bytesOfHex(account.repeat(20)), 0)).toBe(want);
});

test("what came before all readable blocks is let go", () => {
  expect(arrivalsKept(ARRIVALS, 68)).toBe(ARRIVALS);
  expect(arrivalsKept(ARRIVALS, 71).map(({ block }) => block)).toEqual([9]);
});
