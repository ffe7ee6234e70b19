/** How long locks are held, by hand-made logs and reports. */
import type { Entry, LogMessage } from "@meridian/core";
import { expect, test } from "vitest";
import { Locks, lockRecord } from "../chaos/locks.ts";

const NOTHING = new Uint8Array(0);
const message = (partition: number, n: number, flush: number, entries: Entry[]): LogMessage => {
  return { partition, n, term: 1, flush, entries };
};
const group = (index: number): Entry => {
  return { kind: "group", index, participants: [0, 1], accounts: NOTHING, whole: false, transactions: NOTHING };
};
const lock = (index: number): Entry => ({ kind: "lock", index, home: 0, accounts: NOTHING, whole: false });
const apply = (flush: number, index: number): Entry => {
  return { kind: "apply", index: 0, group: { flush, index }, writes: NOTHING, results: NOTHING, misses: NOTHING };
};

/** A group of home 0 and participant 1 in flush 5, read at 100 and 101. */
function entered(): Locks {
  const locks = new Locks();
  expect(locks.read(message(0, 7, 5, [group(3)]), 100).map(({ key, home }) => [key, home])).toEqual([["5:3", 0]]);
  expect(locks.read(message(1, 9, 5, [lock(3)]), 101)).toEqual([]);
  return locks;
}

test("a group is open until its end stands in all its logs, a lock until its partition has applied it", () => {
  const locks = entered();
  locks.read(message(0, 8, 6, [apply(5, 3)]), 120);
  expect(locks.isOpen("5:3")).toBe(true);
  locks.read(message(1, 10, 6, [apply(5, 3)]), 121);
  expect(locks.open).toEqual([]);
  locks.reported(0, 8, 125);
  locks.reported(1, 9, 125); // Not yet.
  expect(locks.heldAt(130).map(({ partition }) => partition)).toEqual([1]);
  locks.reported(1, 12, 140);
  expect(locks.all.map(({ releasedAt }) => releasedAt)).toEqual([125, 140]);
  expect(locks.heldAt(139)).toHaveLength(1);
  expect(locks.heldAt(140)).toEqual([]);
});

test("an end that is read later than the report of it counts from the report on; the first end counts", () => {
  const locks = entered();
  locks.reported(0, 8, 125);
  locks.reported(0, 20, 126);
  locks.read(message(0, 8, 6, [apply(5, 3)]), 150);
  locks.read(message(0, 9, 7, [{ kind: "abort", index: 0, group: { flush: 5, index: 3 } }]), 160);
  expect(locks.all[0]).toMatchObject({ end: { n: 8, at: 150 }, releasedAt: 125 });
});

test("a fault's record tells how long locks stayed after the recovery, and after their group had ended", () => {
  const held = (endAt: number, releasedAt: number | null) => ({
    partition: 0,
    enteredAt: 0,
    end: { n: 1, at: endAt },
    releasedAt,
  });
  expect(lockRecord(2, 5, [held(1_000, 1_300), held(1_400, 1_500)], 1_200)).toEqual({
    groupsOpen: 2,
    locksOpen: 5,
    freeAfterMs: 300,
    outlivedMs: 100,
  });
  expect(lockRecord(1, 1, [], 50)).toMatchObject({ freeAfterMs: 0, outlivedMs: 0 });
  expect(lockRecord(1, 1, [held(60, null)], 50)).toMatchObject({ freeAfterMs: Infinity });
});
