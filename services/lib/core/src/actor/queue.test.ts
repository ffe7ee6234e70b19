import { expect, test } from "vitest";
import { concatBytes, writeU32 } from "../bytes.ts";
import { CELL } from "../cells.ts";
import type { GroupEntry, LockEntry, Position } from "../entries.ts";
import { groupState, heldHomeGroups, missedPositions, proposalOf, settledN } from "./queue.ts";
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
  nonceRecordOf,
  runOf,
  sealEntry,
  toy,
  toyTransaction,
} from "./testing/index.ts";
import { TestPartition } from "./testing/test-partition.ts";
import type { TestEntry } from "./testing/test-partition.ts";

const at = (flush: number, index: number): Position => ({ flush, index });
/** A transaction of sender 0<index> that declares what `declared` says. */
const tx = (index: number, program: string, declared: string[] = [], fields: Partial<ToyTransaction> = {}): Uint8Array =>
  toyTransaction({ index, sender: `0${index}`, nonce: 1, to: "11", declared, program: toy(program), ...fields });
const lock = (index: number, ...accounts: string[]): LockEntry => lockEntry(index, 1, accounts);
const whole = (index: number): LockEntry => ({ ...lockEntry(index, 1, []), whole: true });
const apply = (group: Position, account?: string, value = 0): TestEntry =>
  applyEntry(0, group, account === undefined ? {} : { writes: fakeSlotCell(addressOf(account), value) });
const group = (index: number, accounts: string[], ...records: Uint8Array[]): GroupEntry =>
  groupEntry(index, [0, 1], records, accounts);

interface Row {
  what: string;
  log: TestEntry[][];
  texts: string[];
  open?: string[];
  slots?: Record<string, number>;
}

const ROWS: Row[] = [
  {
    what: "with nothing open everything runs at once and may touch what it does not declare",
    log: [[runOf(tx(1, "add 11; add 12"), tx(2, "add 12"))]],
    texts: ["2 2.1 2.2"],
    slots: { "11": 1, "12": 2 },
  },
  {
    what: "a waiter runs at the `apply`, on top of its writes",
    log: [[lock(1, "w 11")], [runOf(tx(1, "add 11", ["w 11"]), tx(2, "add 12", ["w 12"]))], [apply(at(2, 1), "11", 40)]],
    texts: ["2", "3 3.2", "4 settled 3.1"],
    open: [],
    slots: { "11": 41, "12": 1 },
  },
  {
    what: "`abort` commits nothing and gives the turn to waiters",
    log: [[lock(1, "w 11")], [runOf(tx(1, "add 11", ["w 11"]))], [abortEntry(0, at(2, 1))]],
    texts: ["2", "3", "4 settled 3.1"],
    slots: { "11": 1 },
  },
  {
    what: "readers share, a writer waits for them",
    log: [[lock(1, "r 11")], [runOf(tx(1, "read 11", ["r 11"]), tx(2, "add 11", ["w 11"]), tx(3, "read 11", ["r 11"]))]],
    texts: ["2", "3 3.1"],
    open: ["group 2.1 held", "local 3.2", "local 3.3"],
  },
  {
    what: "code never waits and nobody waits for it",
    log: [[lock(1, "w 11")], [group(2, ["c 11", "w 12"], tx(3, "code 11"))], [runOf(tx(4, "code 11", ["c 11"]))]],
    texts: ["2", "3", "4 4.4"],
    open: ["group 2.1 held", "group 3.2 held"],
  },
  {
    what: "what only shares accounts on other partitions does not wait here",
    log: [[group(1, ["w 11", "w f1"], tx(2, "add 11"))], [group(1, ["w 12", "w f1"], tx(2, "add 12", [], { sender: "03" }))]],
    texts: ["2", "3"],
    open: ["group 2.1 held", "group 3.1 held"],
  },
  {
    what: "groups wait for each other in log order",
    log: [[lock(1, "w 11")], [lock(1, "w 11", "w 12")], [lock(1, "w 12")], [lock(1, "w 13")], [apply(at(2, 1))]],
    texts: ["2", "3", "4", "5", "6"],
    open: ["group 3.1 held", "group 4.1", "group 5.1 held"],
  },
  {
    what: "a group waits for a local transaction that waits",
    log: [[lock(1, "w 11")], [runOf(tx(1, "add 11; add 12", ["w 11", "w 12"])), lock(2, "w 12")], [apply(at(2, 1))]],
    texts: ["2", "3", "4 settled 3.1"],
    open: ["group 3.2 held"],
  },
  {
    what: "a waiter stays behind the group that came before it, not behind a later one",
    log: [
      [lock(1, "w 11")],
      [lock(1, "w 12")],
      [runOf(tx(1, "add 11; add 12", ["w 11", "w 12"]))],
      [lock(1, "w 12")],
      [apply(at(2, 1))],
      [apply(at(3, 1))],
    ],
    texts: ["2", "3", "4", "5", "6", "7 settled 4.1"],
    open: ["group 5.1 held"],
  },
  {
    what: "waiters run in log order and see each other",
    log: [
      [lock(1, "w 11")],
      [runOf(tx(1, "add 11", ["w 11"]), tx(2, "add 13", ["w 13"]))],
      [runOf(tx(1, "add 11 10", ["w 11"], { sender: "03" }), tx(2, "add 11 100", ["w 11"], { sender: "04" }))],
      [apply(at(2, 1), "11", 5)],
    ],
    texts: ["2", "3 3.2", "4", "5 settled 3.1 settled 4.1 4.2"],
    slots: { "11": 116 },
  },
  {
    what: "the end of several groups in one message is one run for each flush, ascending",
    log: [
      [lock(1, "w 11")],
      [lock(1, "w 12"), runOf(tx(2, "add 11", ["w 11"]), tx(3, "add 12", ["w 12"]))],
      [runOf(tx(1, "add 11", ["w 11"], { sender: "05" }))],
      [apply(at(3, 1)), apply(at(2, 1))],
    ],
    texts: ["2", "3", "4", "5 settled 3.2 3.3 settled 4.1"],
  },
  {
    what: "behind the whole system everything waits, and it waits for everything",
    log: [[lock(1, "w 11")], [whole(1)], [runOf(tx(1, "add 12", ["w 12"]))], [apply(at(2, 1))]],
    texts: ["2", "3", "4", "5"],
    open: ["group 3.1 held", "local 4.1"],
  },
  {
    what: "who misses is in no record, and its neighbours are",
    log: [[runOf(tx(1, "add 11"), tx(2, "add f1"), tx(3, "add 12"), tx(4, "add f1"), tx(5, "add 11"))]],
    texts: ["2 2.1 2.3 2.5 missed 2.2 outside missed 2.4 outside"],
    slots: { "11": 2, "12": 1 },
  },
  {
    what: "a waiter that misses takes its followers with it",
    log: [
      [lock(1, "w 11")],
      [runOf(tx(1, "add 12", ["w 11"]), tx(2, "add 13", ["w 13"], { sender: "01", nonce: 2, after: at(3, 1) }))],
      [runOf(tx(1, "add 13", ["w 13"], { sender: "01", nonce: 3, after: at(3, 2) }))],
      [apply(at(2, 1))],
      [runOf(tx(1, "add 13", ["w 13"], { sender: "01", nonce: 4, after: at(4, 1) }))],
    ],
    texts: ["2", "3", "4", "5 missed 3.1 outside missed 3.2 follows missed 4.1 follows", "6 missed 6.1 follows"],
    slots: { "13": 0 },
  },
  {
    what: "misses are forgotten with their block",
    log: [[runOf(tx(1, "add f1")), blockEntry(1)], [runOf(tx(1, "add 11", [], { after: at(2, 1) }))]],
    texts: ["2 missed 2.1 outside block 1", "3 3.1"],
  },
  {
    what: "a group is settled at its home only, members in order, with what waited in the same flush",
    log: [
      [runOf(tx(1, "add 11", ["w 11"])), group(2, ["w 11", "w 12"], tx(3, "add 11"), tx(4, "add 13"), tx(5, "add 12; revert"))],
      [runOf(tx(1, "add 12", ["w 12"], { sender: "06" }))],
      [(partition) => partition.apply(at(2, 2))],
    ],
    texts: ["2 2.1", "3", "4 settled 2.3 2.5!revert settled 3.1"],
    slots: { "11": 2, "12": 1, "13": 0 },
  },
  {
    what: "who follows a member that missed misses",
    log: [
      [group(1, ["w 11"], tx(2, "add 12"))],
      [runOf(tx(1, "add 13", ["w 13"], { sender: "02", nonce: 2, after: at(2, 2) }))],
      [(partition) => partition.apply(at(2, 1))],
    ],
    texts: ["2", "3", "4 missed 3.1 follows"],
  },
  {
    what: "`apply` and `abort` of a group that is not here change nothing",
    log: [[apply(at(1, 1), "11", 5), abortEntry(1, at(1, 2))], [lock(1, "w 11")], [apply(at(3, 2))]],
    texts: ["2", "3", "4"],
    open: ["group 3.1 held"],
    slots: { "11": 0 },
  },
];

test.each(ROWS)("$what", ({ log, texts, open, slots }) => {
  const partition = new TestPartition();
  for (const entries of log) partition.take(entries);
  const seen = Object.fromEntries(Object.keys(slots ?? {}).map((account) => [account, partition.slot(account)]));
  expect({ texts: partition.texts, open: open && partition.open(), slots: slots && seen }).toEqual({ texts, open, slots });
});

test("nonce records never wait", () => {
  const partition = new TestPartition();
  partition.take([lock(1, "w 11")]);
  const waits = tx(1, "add 11", ["w 11"], { nonce: 4 });
  partition.take([runOf(waits)]);
  expect([partition.nonce("01"), partition.open()]).toEqual([5, ["group 2.1 held", "local 3.1"]]);
});

test("a sender is new until its transaction, which waits, has had its turn", () => {
  const partition = new TestPartition();
  const look = (index: number) => runOf(tx(index, "look 01", [], { sender: "09" }));
  const seen = () => partition.applied.at(-1)?.record.results.slice(64);
  partition.take([look(1)]);
  const before = seen();
  partition.take([lock(1, "w 11")]);
  partition.take([runOf(tx(1, "add 11", ["w 01", "w 11"], { nonce: 0 })), runOf(tx(2, "read 13", ["w 13"]))]);
  partition.take([abortEntry(0, at(3, 1))]);
  partition.take([look(1)]);
  expect(seen()).not.toEqual(before);
});

test("what a shell asks: how far a group is, what to propose, up to where everything has had its turn", () => {
  const partition = new TestPartition();
  const { state } = partition;
  const states = () => [at(2, 1), at(3, 1), at(5, 1), at(9, 1)].map((position) => groupState(state, position));
  partition.take([group(1, ["w 11", "w f1"], tx(2, "add 11"))]);
  partition.take([lock(1, "w 11")]);
  expect([states(), settledN(state)]).toEqual([["held", "waiting", "ahead", "ahead"], 3]);
  partition.take([runOf(tx(1, "add 11", ["w 11"]), tx(2, "add f1", ["w 12"]))]);
  partition.take([runOf(tx(1, "add 13", ["w 13"], { sender: "04" }))]);
  expect([settledN(state), state.misses, missedPositions(state).length]).toEqual([3, 0, 0]);
  const [home, ...others] = heldHomeGroups(state);
  expect([home?.position, home?.home, home?.participants, others]).toEqual([at(2, 1), 0, [0, 1], []]);
  if (home !== undefined) expect(proposalOf(state, home).rules).toMatchObject({ flush: 2, whole: false });
  partition.take([abortEntry(0, at(2, 1))]);
  expect([states(), settledN(state), missedPositions(state).length]).toEqual([["resolved", "held", "resolved", "ahead"], 3, 24]);
  partition.take([abortEntry(0, at(3, 1))]);
  expect([settledN(state), state.misses, partition.open()]).toEqual([7, 1, []]); // 2.2 counts as a group's; 4.2 touched f1.
});

const u32 = (...numbers: number[]): Uint8Array => {
  const bytes = new Uint8Array(numbers.length * 4);
  numbers.forEach((number, index) => writeU32(bytes, index * 4, number));
  return bytes;
};

const OPEN = [group(1, ["w 11"], tx(2, "add 11"), tx(3, "add 11"))];
test.each<[what: string, log: TestEntry[][], refusal: string]>([
  ["a block with a group open", [OPEN, [runOf(tx(1, "add 12")), blockEntry(1)]], "block 1 closes, group 2.1 is open"],
  ["a block with a group of its own message", [[...OPEN, blockEntry(1)]], "block 1 closes, group 2.1 is open"],
  ["a group before one of its message", [[lock(2, "w 11"), lock(1, "w 12")]], "group 2.1 behind 2.2"],
  [
    "a group before a local one that waits",
    [[lock(1, "w 11")], [runOf(tx(3, "add 11", ["w 11"]))], [lock(3, "w 12"), lock(3, "w 12")]],
    "group 4.3 behind 4.3",
  ],
  ["a group of others", [[groupEntry(1, [1, 2], [tx(2, "add 11")], ["w 11"])]], "group 2.1 is not partition 0's"],
  ["a lock for its own group", [[lockEntry(1, 0, ["w 11"])]], "group 2.1 locks its home"],
  ["accounts cut off", [[{ ...lock(1, "w 11"), accounts: new Uint8Array(20) }]], "group 2.1 has 20 bytes of accounts"],
  ["a whole-system group with accounts", [[{ ...lock(1, "w 11"), whole: true }]], "group 2.1 has 21 bytes of accounts"],
  ["a group without members", [[group(1, ["w 11"])]], "group 2.1: no members"],
  ["a gap in the members", [[group(1, ["w 11"], tx(2, "add 11"), tx(4, "add 11"))]], "group 2.1: member 1 has index 4"],
  ["a member cut off", [[group(1, ["w 11"], tx(2, "add 11").subarray(0, 119))]], "group 2.1: member 0 is cut off"],
  ["`apply` in the group's message", [[...OPEN, apply(at(2, 1))]], "apply of group 2.1 in its own message"],
  [
    "writes without the locks",
    [[lock(1, "w 11")], [lock(1, "w 11")], [apply(at(3, 1), "11", 5)]],
    "apply writes for group 3.1, which does not hold its locks",
  ],
  [
    "`apply` without results",
    [OPEN, [applyEntry(0, at(2, 1), { misses: u32(2) })]],
    "apply of group 2.1: transaction 0 has no result",
  ],
  [
    "`apply` with a miss too many",
    [OPEN, [applyEntry(0, at(2, 1), { misses: u32(2, 3, 4) })]],
    "apply of group 2.1: 3 misses for 2 members without a result",
  ],
  [
    "`apply` with a miss twice",
    [OPEN, [applyEntry(0, at(2, 1), { misses: u32(2, 3, 3) })]],
    "apply of group 2.1: 3 misses for 2 members without a result",
  ],
  [
    "a map behind a lock",
    [
      [blockEntry(1)],
      [lock(1, "w 11")],
      [sealEntry(1), { kind: "map", index: 2, map: { ...new TestPartition().map, version: 2 }, handOvers: [] }],
    ],
    "entry map not right behind block",
  ],
])("refuses %s", (_what, log, refusal) => {
  const partition = new TestPartition();
  const texts = log.map((entries) => partition.take(entries));
  const calls = partition.engine.calls.length;
  expect(texts.at(-1)).toBe(`${log.length + 1} refused LOG_INVALID ${refusal}`);
  expect([partition.state.position.n, partition.engine.calls.length]).toEqual([log.length, calls]);
});

test("a group ended in a block's own message does not hold it up", () => {
  const partition = new TestPartition();
  partition.take([lock(1, "w 11")]);
  partition.take([runOf(tx(1, "add 11", ["w 11"]))]);
  expect(partition.take([abortEntry(0, at(2, 1)), runOf(tx(1, "add 11")), blockEntry(1)])).toBe("4 4.1 settled 3.1 block 1");
});

test("a range changes hands: exported, imported, forgotten", () => {
  const first = "11".repeat(20);
  const moves = [{ from: 0, to: 1, first, last: first }];
  const map = { ...new TestPartition().map, version: 2, pins: [{ address: first, partition: 1 }] };
  const genesis = concatBytes([fakeSlotCell(addressOf("11"), 7), fakeNonceCell(addressOf("11"), 3)]);
  const [giver, taker] = [new TestPartition({ genesis }), new TestPartition({ genesis, partition: 1 })];
  expect([giver, taker].map((partition) => partition.take([blockEntry(1, { moves })]))).toEqual([
    "2 block 1 moves 11-11",
    "2 block 1",
  ]);
  const { cells } = giver.engine.exportCells(1, addressOf("11"), addressOf("11"), 1_000);
  const chunks = [{ object: "chunk", sha256: "", bytes: cells.length }];
  // A chunk may hold more than what moves: only what the taker owns now is taken in.
  taker.chunks = new Map([["chunk", concatBytes([cells, fakeSlotCell(addressOf("12"), 9)])]]);
  const entry: TestEntry = { kind: "map", index: 0, map, handOvers: moves.map((range) => ({ ...range, chunks })) };
  for (const partition of [giver, taker]) partition.take([sealEntry(1)]);
  expect([giver, taker].map((partition) => partition.take([entry]))).toEqual(["4 map 2", "4 map 2"]);
  expect([giver, taker].map((partition) => partition.slot("11"))).toEqual([0, 7]);
  expect([taker.nonce("11"), taker.slot("12"), giver.state.moves, taker.state.moves]).toEqual([3, 0, [], []]);
  expect(giver.take([runOf(tx(1, "add 11"))])).toBe("5 missed 5.1 outside");
  expect(taker.take([runOf(tx(1, "add 11"))])).toBe("5 5.1");
  expect(giver.cell(new Uint8Array([CELL.nonce, ...addressOf("11")])).slice(21, 29)).toEqual(new Uint8Array(8));
});

test("a move that has not come when the block begins to execute does not come", () => {
  const partition = new TestPartition();
  const moves = [{ from: 0, to: 1, first: "11".repeat(20), last: "11".repeat(20) }];
  partition.take([blockEntry(1, { moves })]);
  expect([partition.state.moves, partition.state.isBetweenBlocks]).toEqual([moves, true]);
  partition.take([{ kind: "run", transactions: new Uint8Array(0), nonces: nonceRecordOf(tx(1, "add 11")) }]);
  expect([partition.state.moves, partition.state.isBetweenBlocks]).toEqual([[], false]);
});
