import { expect, test } from "vitest";
import { MODE } from "./transactions.ts";
import { TOUCH, WHY, touchAccounts, touchBytes, touchCount, touchIndex, touchValue, touchWhy } from "./touches.ts";

test("layouts are what they were", () => {
  expect(TOUCH).toEqual({ bytes: 0, index: 4, why: 8, count: 10, value: 12, accounts: 20 });
  expect(WHY).toEqual({ complete: 0, outside: 1, follows: 2, unsealed: 3, deferred: 4, exceeded: 5 });
});

test("a record is read where it stands", () => {
  const account = Uint8Array.of(MODE.read, ...new Uint8Array(20).fill(7));
  const record = Uint8Array.of(41, 0, 0, 0, 5, 0, 0, 0, WHY.unsealed, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0, ...account);
  const touches = Uint8Array.of(...record, ...record);
  expect(
    [0, touchBytes(touches, 0)].map((at) => [touchIndex, touchWhy, touchCount, touchValue].map((of) => of(touches, at))),
  ).toEqual([
    [5, WHY.unsealed, 1, 9],
    [5, WHY.unsealed, 1, 9],
  ]);
  expect(touchAccounts(touches, 41)).toEqual(account);
});
