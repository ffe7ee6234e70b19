import { expect, test } from "vitest";
import { Room } from "./room.ts";

test.each<[what: string, sizes: number[], limits: (number | null)[]]>([
  ["so many", [1, 1, 1], [null, null, 2]],
  ["so large together", [60, 60], [null, 100]],
  ["one alone, however large", [500, 1], [null, 100]],
])("%s", (_what, sizes, limits) => {
  const room = new Room(2, 100);
  const entered = sizes.map((bytes) => room.enter(bytes));
  expect(entered.map((leave) => (typeof leave === "function" ? null : leave.limit))).toEqual(limits);
  for (const leave of entered) if (typeof leave === "function") leave();
  expect([room.count, typeof room.enter(100)]).toEqual([0, "function"]);
});
