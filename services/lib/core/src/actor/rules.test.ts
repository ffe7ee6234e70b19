/** Each row is one rule: the same log with all rules, and without this one. */
import { expect, test } from "vitest";
import { concatBytes } from "../bytes.ts";
import type { GroupEntry, LockEntry, Position, RunEntry } from "../entries.ts";
import type { Rules } from "../rules.ts";
import { commitEarly, openGroup } from "./queue.ts";
import type { ToyTransaction } from "./testing/index.ts";
import {
  abortEntry,
  addressOf,
  applyEntry,
  blockEntry,
  fakeNonceCell,
  fakeSlotCell,
  groupEntry,
  lockEntry,
  runOf,
  toy,
  toyTransaction,
} from "./testing/index.ts";
import { TestPartition } from "./testing/test-partition.ts";
import type { TestEntry } from "./testing/test-partition.ts";

const at = (flush: number, index: number): Position => ({ flush, index });
/** A transaction of sender 0<index>; `index` below 10, then what differs. */
const tx = (index: number, program: string, fields: Partial<ToyTransaction> = {}): Uint8Array =>
  toyTransaction({ index, sender: `0${index}`, nonce: 1, to: "11", declared: [], program: toy(program), ...fields });
const run = (...records: Uint8Array[]): RunEntry => runOf(...records);
/** Group 2.1 with one member, 2.2, that adds 1 to account 11 and the foreign f1. */
const member = tx(2, "add 11; add f1");
const group = (...accounts: string[]): GroupEntry => groupEntry(1, [0, 1], [member], accounts);
const lock = (...accounts: string[]): LockEntry => lockEntry(1, 1, accounts);
const GIVEN = fakeSlotCell(addressOf("f1"), 7);
const apply = (partition: TestPartition) => partition.apply(at(2, 1), GIVEN);

interface Outcome {
  /** What each message came to, from message 2 on. */
  texts: string[];
  slots?: Record<string, number>;
  nonces?: Record<string, number>;
}

function outcomeOf(log: readonly TestEntry[][], rules: Partial<Rules>, want: Outcome): Outcome {
  const partition = new TestPartition({ rules });
  for (const entries of log) partition.take(entries);
  const seen = (names: Record<string, number>, see: (name: string) => number) =>
    Object.fromEntries(Object.keys(names).map((name) => [name, see(name)]));
  const outcome: Outcome = { texts: partition.texts };
  if (want.slots) outcome.slots = seen(want.slots, (name) => partition.slot(name));
  if (want.nonces) outcome.nonces = seen(want.nonces, (name) => partition.nonce(name));
  return outcome;
}

test.each<[rule: keyof Rules, what: string, log: TestEntry[][], on: Outcome, off: Outcome]>([
  [
    "locksHold",
    "who conflicts with a lock waits for its end",
    [
      [lock("w 11")],
      [run(tx(1, "add 11", { declared: ["w 11"] }))],
      [applyEntry(0, at(2, 1), { writes: fakeSlotCell(addressOf("11"), 5) })],
    ],
    { texts: ["2", "3", "4 settled 3.1"], slots: { "11": 6 } },
    { texts: ["2", "3 3.1", "4"], slots: { "11": 5 } },
  ],
  [
    "waitersAreStrict",
    "who waited touches nothing undeclared",
    [[lock("w 11")], [run(tx(1, "add 11; add 12", { declared: ["w 11"] }))], [abortEntry(0, at(2, 1))]],
    { texts: ["2", "3", "4 missed 3.1 outside"], slots: { "11": 0, "12": 0 } },
    { texts: ["2", "3", "4 settled 3.1"], slots: { "11": 1, "12": 1 } },
  ],
  [
    "waitersBar",
    "who runs at once touches nothing undeclared that a waiter stands on",
    [
      [lock("w 11")],
      [run(tx(1, "read 11; add 12", { declared: ["w 11", "w 12"] }), tx(2, "add 13; add 12", { declared: ["w 13"] }))],
    ],
    { texts: ["2", "3 missed 3.2 outside"], slots: { "12": 0, "13": 0 } },
    { texts: ["2", "3 3.2"], slots: { "12": 1, "13": 1 } },
  ],
  [
    "predictionsAreChecked",
    "who runs at once touches nothing undeclared that is locked",
    [[lock("w 11")], [run(tx(1, "add 12; add 11", { declared: ["w 12"] }))]],
    { texts: ["2", "3 missed 3.1 outside"], slots: { "11": 0, "12": 0 } },
    { texts: ["2", "3 3.1"], slots: { "11": 1, "12": 1 } },
  ],
  [
    "sendersQueue",
    "behind a waiter of the same sender everyone waits",
    [
      [lock("w 11")],
      [
        run(
          tx(1, "add 11", { declared: ["w 11"] }),
          tx(2, "add 12", { sender: "01", nonce: 2, declared: ["w 12"], after: at(3, 1) }),
        ),
      ],
      [abortEntry(0, at(2, 1))],
    ],
    { texts: ["2", "3", "4 settled 3.1 3.2"] },
    { texts: ["2", "3 3.2", "4 settled 3.1"] },
  ],
  [
    "sendersQueue",
    "on the home a member's sender waits for its group",
    [[group("w 11", "w f1")], [run(tx(1, "add 12", { sender: "02", nonce: 2, declared: ["w 12"], after: at(2, 2) }))], [apply]],
    { texts: ["2", "3", "4 settled 2.2 settled 3.1"] },
    { texts: ["2", "3 3.1", "4 settled 2.2"] },
  ],
  [
    "followersMiss",
    "who names one that missed misses, in the same run and later",
    [
      [run(tx(1, "add f1"), tx(2, "add 12", { after: at(2, 1) }))],
      [run(tx(1, "add 13", { after: at(2, 2) }), tx(2, "add 13", { after: at(2, 7) }))],
    ],
    { texts: ["2 missed 2.1 outside missed 2.2 follows", "3 3.2 missed 3.1 follows"], slots: { "12": 0, "13": 1 } },
    { texts: ["2 2.2 missed 2.1 outside", "3 3.1 3.2"], slots: { "12": 1, "13": 2 } },
  ],
  [
    "followersMiss",
    "who names a member of an aborted group misses",
    [[group("w 11", "w f1")], [abortEntry(0, at(2, 1))], [run(tx(1, "add 13", { after: at(2, 2) }))]],
    { texts: ["2", "3", "4 missed 4.1 follows"] },
    { texts: ["2", "3", "4 4.1"] },
  ],
  [
    "membersAreStrict",
    "a member touches only what its group has declared, on the home too",
    [[group("w f1")], [apply]],
    { texts: ["2", "3"], slots: { "11": 0 } },
    { texts: ["2", "3 settled 2.2"], slots: { "11": 1 } },
  ],
  [
    "homeWaitsForApply",
    "the home commits from `apply` only",
    [[group("w 11", "w f1")], [early], [run(tx(1, "add 11; add 11", { declared: ["w 11"] }))], [abortEntry(0, at(2, 1))]],
    { texts: ["2", "3", "4", "5 settled 4.1"], slots: { "11": 2 } },
    { texts: ["2", "3", "4 4.1", "5"], slots: { "11": 3 } },
  ],
  [
    "appliesOnce",
    "a second `apply` changes nothing",
    [[lock("w 11")], [writes(5)], [run(tx(1, "add 11"))], [writes(5)]],
    { texts: ["2", "3", "4 4.1", "5"], slots: { "11": 6 } },
    { texts: ["2", "3", "4 4.1", "5"], slots: { "11": 5 } },
  ],
  [
    "abortsCount",
    "an `apply` behind `abort` changes nothing",
    [[lock("w 11")], [abortEntry(0, at(2, 1))], [writes(5)]],
    { texts: ["2", "3", "4"], slots: { "11": 0 } },
    { texts: ["2", "3", "4"], slots: { "11": 5 } },
  ],
  [
    "noncesApart",
    "`apply` does not write a nonce that nonce records write",
    [
      [run(tx(1, "add 12", { nonce: 0 }), tx(2, "add 12", { sender: "01", nonce: 1 })), lock("w 01")],
      [applyEntry(0, at(2, 1), { writes: fakeNonceCell(addressOf("01"), 1) })],
    ],
    { texts: ["2 2.1 2.2", "3"], nonces: { "01": 2 } },
    { texts: ["2 2.1 2.2", "3"], nonces: { "01": 1 } },
  ],
  [
    "publishedAtEntry",
    "who waited is published at its own position",
    [[lock("w 11")], [run(tx(1, "add 11", { declared: ["w 11"] }))], [abortEntry(0, at(2, 1))]],
    { texts: ["2", "3", "4 settled 3.1"] },
    { texts: ["2", "3", "4 settled 4.1"] },
  ],
])("%s: %s", (rule, _what, log, on, off) => {
  expect({ on: outcomeOf(log, {}, on), off: outcomeOf(log, { [rule]: false }, off) }).toEqual({ on, off });
});

function writes(value: number): TestEntry {
  return applyEntry(0, at(2, 1), { writes: fakeSlotCell(addressOf("11"), value) });
}

/** Nothing in the log: what a home does that does not wait for `apply`. */
function early(partition: TestPartition): RunEntry {
  const open = openGroup(partition.state, at(2, 1));
  const { writes: own } = partition.apply(at(2, 1), GIVEN);
  if (open !== undefined && !partition.state.rules.homeWaitsForApply) commitEarly(partition.state, open, own, partition.engine);
  return run();
}

test("movedIsForgotten: who gave a range away has nothing of it any more", () => {
  const moved = { from: 0, to: 1, first: "11".repeat(20), last: "11".repeat(20) };
  const back = { ...moved, from: 1, to: 0 };
  const log = (partition: TestPartition): number => {
    const { map } = partition.state.owners ?? { map: null };
    if (map === null) return -1;
    const pinned = { ...map, version: 2, pins: [{ address: moved.first, partition: 1 }] };
    const unpinned = { ...map, version: 3 };
    partition.take([run(tx(1, "add 11"))]);
    partition.take([blockEntry(1, { moves: [moved] })]);
    partition.take([{ kind: "map", index: 0, map: pinned, handOvers: [{ ...moved, chunks: [] }] }]);
    partition.take([blockEntry(2, { moves: [back] })]);
    // The other partition has set the slot to 0 meanwhile, so nothing of it is handed back.
    partition.take([{ kind: "map", index: 0, map: unpinned, handOvers: [{ ...back, chunks: [] }] }]);
    return partition.slot("11");
  };
  expect(log(new TestPartition())).toBe(0);
  expect(log(new TestPartition({ rules: { movedIsForgotten: false } }))).toBe(1);
});

test("what a group has locked is what it wrote", () => {
  const partition = new TestPartition({ genesis: concatBytes([fakeSlotCell(addressOf("11"), 40)]) });
  for (const entries of [[group("w 11", "w f1")], [apply]]) partition.take(entries);
  expect([partition.texts, partition.slot("11"), partition.open()]).toEqual([["2", "3 settled 2.2"], 41, []]);
});
