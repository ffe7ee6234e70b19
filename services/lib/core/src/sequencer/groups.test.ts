import { expect, test } from "vitest";
import { hexOf, writeU16, writeU32, writeU64 } from "../bytes.ts";
import type { Entry, Position } from "../entries.ts";
import type { GroupProposal } from "../messages.ts";
import { TOUCH, WHY } from "../touches.ts";
import {
  MODE,
  TX,
  txAfterFlush,
  txAfterIndex,
  txAttempt,
  txBytes,
  txCount,
  txDeclared,
  txIndex,
  txNonce,
} from "../transactions.ts";
import { takeNonces } from "./asks.ts";
import { beatOf, takeGroupProposal, takeReport, tickSequencer } from "./lead.ts";
import type { SequencerLimits } from "./limits.ts";
import { lockLimits } from "./lock-machine.ts";
import { takeMisses } from "./misses.ts";
import type { TestLeader, TestTransfer } from "./testing/index.ts";
import {
  accountOf,
  built,
  codesOf,
  declaredSet,
  endFlush,
  flush,
  lead,
  leadFresh,
  logOf,
  noncesInLedger,
  onlyAsk,
  reportOf,
  settleEffects,
  startFlush,
  submit,
} from "./testing/index.ts";

/** Accounts by their partition among 4: `at[1]` are numbers of accounts that partition 1 owns. */
const { ownerOf } = leadFresh().chain.ledger.ranges;
const at = [0, 1, 2, 3].map((partition) =>
  Array.from({ length: 200 }, (_, account) => account).filter((account) => ownerOf(accountOf(account), 0) === partition),
);
const on = (partition: number, number = 0): number => at[partition]?.[number] ?? -1;
const write = (account: number): [number, number] => [account, MODE.write];

/** A transaction of sender `on(0, 50 + sender)` to these accounts; the first one is `to`. */
const tx = (sender: number, nonce: number, ...[to, ...others]: number[]): TestTransfer => ({
  ...{ sender: on(0, 30 + sender), nonce, declared: others.map(write) },
  ...(to === undefined ? {} : { to }),
});

/** Nonces and senders of packed records, as "0.1" for sender 0's nonce 1. */
function membersOf(records: Uint8Array): string {
  const texts: string[] = [];
  for (let place = 0; place < records.length; place += txBytes(records, place)) {
    const sender = at[0]?.findIndex(
      (account) => hexOf(accountOf(account)) === hexOf(records, place + TX.sender, place + TX.sender + 20),
    );
    texts.push(`${(sender ?? 0) - 30}.${txNonce(records, place)}`);
  }
  return texts.join(",");
}

function textOf(entry: Entry): string {
  switch (entry.kind) {
    case "run":
      return entry.transactions.length === 0 ? "nonces" : `run ${membersOf(entry.transactions)}`;
    case "group":
      return `${entry.whole ? "whole" : "group"} ${entry.participants.join("")}: ${membersOf(entry.transactions)}`;
    case "lock":
      return `lock ${entry.accounts.length / 21}`;
    default:
      return entry.kind;
  }
}

/** What the outstanding flush says, by partition; nonce records alone are left out. */
const said = ({ plan }: TestLeader): string[] =>
  (plan?.messages ?? []).flatMap(({ partition, entries }) => {
    const texts = entries.map(textOf).filter((text) => text !== "nonces");
    return texts.length === 0 ? [] : [`${partition}: ${texts.join(" + ")}`];
  });

/** Submits, starts the flush that is due and ends it. Returns what it says. */
function send(leader: TestLeader, ...transfers: TestTransfer[]): string[] {
  submit(leader, transfers);
  return next(leader);
}

function next(leader: TestLeader): string[] {
  leader.now += 5;
  startFlush(leader);
  const text = said(leader);
  if (leader.plan !== undefined) endFlush(leader);
  return text;
}

const report = (leader: TestLeader) => {
  for (const id of leader.chain.logs.keys()) takeReport(leader.sequencer, reportOf(leader.chain.ledger, id), leader.now);
};

interface Miss {
  why: number;
  accounts?: [number, number][];
  value?: number;
}

function touchRecord(index: number, { why, accounts = [], value = 0 }: Miss): Uint8Array {
  const set = declaredSet(accounts);
  const record = new Uint8Array(TOUCH.accounts + set.length);
  writeU32(record, TOUCH.bytes, record.length);
  writeU32(record, TOUCH.index, index);
  record[TOUCH.why] = why;
  writeU16(record, TOUCH.count, accounts.length);
  writeU64(record, TOUCH.value, value);
  record.set(set, TOUCH.accounts);
  return record;
}

/** The home of the only open group proposes: these members missed, by number; the others came to an end. */
function propose(leader: TestLeader, misses: Record<number, Miss> = {}): GroupProposal {
  const [group] = leader.chain.ledger.groups.values();
  if (group === undefined) throw new TypeError("no group is open");
  const { position, home, transactions } = group;
  const parts = Array.from({ length: txCount(transactions) }, (_, member) =>
    touchRecord(position.index + 1 + member, misses[member] ?? { why: WHY.complete }),
  );
  const touches = new Uint8Array(Buffer.concat(parts));
  const proposal = { home, group: position, results: new Uint8Array(0), touches, writes: [] };
  takeGroupProposal(leader.sequencer, proposal, leader.now);
  settleEffects(leader);
  return proposal;
}

const records = (leader: TestLeader): Uint8Array[] =>
  [0, 1, 2, 3].flatMap((partition) =>
    logOf(leader.chain, partition).flatMap(({ entries }) =>
      entries.flatMap((entry) => {
        if (entry.kind !== "run" && entry.kind !== "group") return [];
        const list: Uint8Array[] = [];
        const { transactions } = entry;
        for (let place = 0; place < transactions.length; place += txBytes(transactions, place)) {
          list.push(transactions.slice(place, place + txBytes(transactions, place)));
        }
        return list;
      }),
    ),
  );

test.each<[what: string, transfers: TestTransfer[], want: string[]]>([
  ["one partition: local", [tx(0, 0, on(1), on(1, 1))], ["1: run 0.0"]],
  ["two: a group, at home where most is written", [tx(0, 0, on(1), on(2), on(2, 1))], ["1: lock 1", "2: group 12: 0.0"]],
  ["as much on both: at home on the lower one", [tx(0, 0, on(3), on(2))], ["2: group 23: 0.0", "3: lock 1"]],
  ["foreign code alone: a group of one partition", [{ ...tx(0, 0, on(1)), declared: [[on(2), MODE.code]] }], ["1: group 1: 0.0"]],
  ["own code: local", [{ ...tx(0, 0, on(1)), declared: [[on(1, 1), MODE.code]] }], ["1: run 0.0"]],
  ["called in mode code: at home where it writes", [{ ...tx(0, 0, on(1), on(2)), mode: MODE.code }], ["2: group 2: 0.0"]],
  [
    "groups that share an account are one",
    [tx(0, 0, on(1), on(2)), tx(1, 0, on(3), on(0)), tx(2, 0, on(2), on(3))],
    ["0: group 0123: 0.0,1.0,2.0", "1: lock 1", "2: lock 1", "3: lock 1"],
  ],
  [
    "groups that share nothing are two",
    [tx(0, 0, on(1), on(2)), tx(1, 0, on(1, 1), on(2, 1))],
    ["1: group 12: 0.0 + group 12: 1.0", "2: lock 1 + lock 1"],
  ],
  ["locals stand before groups", [tx(0, 0, on(1), on(2)), tx(1, 0, on(1))], ["1: run 1.0 + group 12: 0.0", "2: lock 1"]],
  [
    "one sender's are in one group",
    [tx(0, 0, on(1), on(2)), tx(0, 1, on(0), on(1, 1))],
    ["0: lock 1", "1: group 012: 0.0,0.1", "2: lock 1"],
  ],
  ["a local one behind a group's member waits", [tx(0, 0, on(1), on(2)), tx(0, 1, on(1, 1))], ["1: group 12: 0.0", "2: lock 1"]],
  [
    "a member behind a local one has its home",
    [tx(0, 0, on(2)), tx(0, 1, on(1), on(1, 1), on(2))],
    ["1: lock 2", "2: run 0.0 + group 12: 0.1"],
  ],
  ["a member behind a local one elsewhere waits", [tx(0, 0, on(3)), tx(0, 1, on(1), on(2))], ["3: run 0.0"]],
  ["a local one behind a local one elsewhere waits", [tx(0, 0, on(3)), tx(0, 1, on(1))], ["3: run 0.0"]],
])("%s", (_what, transfers, want) => expect(send(leadFresh(), ...transfers)).toEqual(want));

test("an access to one account by a group's members is as strong as the strongest", () => {
  const leader = leadFresh();
  send(leader, { ...tx(0, 0, on(1)), declared: [[on(2), MODE.read]] }, tx(1, 0, on(1), on(2)));
  const group = logOf(leader.chain, 1).at(-1)?.entries.at(-1);
  expect(group?.kind === "group" ? hexOf(group.accounts) : "").toBe(hexOf(declaredSet([write(on(1)), write(on(2))])));
});

test("indexes: ends of groups, locals, groups with their members, seals; predecessors by position", () => {
  const leader = leadFresh();
  send(leader, tx(0, 0, on(1), on(2)), tx(0, 1, on(1), on(2)));
  propose(leader);
  built(leader, 0);
  submit(leader, [tx(1, 0, on(1)), tx(1, 1, on(1)), tx(0, 2, on(1), on(2)), tx(0, 3, on(1), on(2))]);
  leader.now += 5;
  const entries = startFlush(leader)?.messages.find(({ partition }) => partition === 1)?.entries ?? [];
  expect(entries.map((entry) => [entry.kind, "index" in entry ? entry.index : -1])).toEqual([
    ["apply", 0],
    ["run", -1],
    ["group", 3],
    ["seal", 6],
  ]);
  endFlush(leader);
  const places = records(leader).map((record) => [txIndex(record, 0), txAfterFlush(record, 0), txAfterIndex(record, 0)]);
  const first = leader.sequencer.flushAcknowledged - 1;
  expect(places).toEqual([
    [1, 0, 0],
    [2, first, 1],
    [1, 0, 0],
    [2, first + 1, 1],
    [4, first, 2],
    [5, first + 1, 4],
  ]);
});

test("who wants an account of an unresolved group goes out with its apply, behind it", () => {
  const leader = leadFresh();
  send(leader, tx(0, 0, on(1), on(2)));
  expect(send(leader, tx(1, 0, on(2), on(3)), tx(2, 0, on(3), on(0)))).toEqual(["0: group 03: 2.0", "3: lock 1"]);
  const number = submit(leader, [tx(3, 0, on(1), on(0, 1)), tx(4, 0, on(1), on(0, 2))]);
  expect(next(leader)).toEqual([]);
  propose(leader);
  // 1.0 has another group before it now.
  expect(next(leader)).toEqual(["0: group 01: 3.0,4.0", "1: apply + lock 1", "2: apply"]);
  expect(codesOf(leader, number)).toEqual(["accepted", "accepted"]);
  expect(leader.sequencer.groups.open).toBe(2);
});

test("local transactions do not wait here for a group on their account", () => {
  const leader = leadFresh();
  send(leader, tx(0, 0, on(1), on(2)));
  expect(send(leader, tx(1, 0, on(1)))).toEqual(["1: run 1.0"]);
});

test("a sender's next goes elsewhere when everything before is reported, or at once to the same home", () => {
  const leader = leadFresh();
  send(leader, tx(0, 0, on(1)), tx(0, 1, on(2)), tx(1, 0, on(1)), tx(1, 1, on(1)));
  expect(next(leader)).toEqual([]);
  report(leader);
  expect(next(leader)).toEqual(["2: run 0.1"]);
  send(leader, tx(1, 2, on(1), on(2)));
  expect(send(leader, tx(1, 3, on(1)), tx(1, 4, on(3)))).toEqual(["1: run 1.3"]);
  report(leader);
  expect(next(leader)).toEqual([]); // The group is not resolved.
  propose(leader);
  expect(next(leader)).toEqual(["1: apply", "2: apply", "3: run 1.4"]);
});

test("a miss in a group is sequenced again with what it touched, before anything newer of its sender", () => {
  const leader = leadFresh();
  send(leader, tx(0, 0, on(1), on(2)), tx(1, 0, on(1), on(2)));
  propose(leader, { 0: { why: WHY.outside, accounts: [write(on(3))] } });
  expect(send(leader, tx(0, 1, on(1)))).toEqual(["1: apply", "2: apply"]);
  expect(next(leader)).toEqual(["1: group 123: 0.0", "2: lock 1", "3: lock 1"]);
  const again = records(leader).findLast((record) => txNonce(record, 0) === 0);
  expect([txAttempt(again ?? new Uint8Array(0), 0), txDeclared(again ?? new Uint8Array(0), 0)]).toEqual([1, 3]);
  propose(leader);
  expect(next(leader)).toEqual(["1: apply + run 0.1", "2: apply", "3: apply"]);
  expect(leader.sequencer.counts).toMatchObject({ groups: 2, members: 3, retries: 1 });
});

/** Sender 0's first transaction misses locally on partition 1. */
function missed(leader: TestLeader, miss: Miss, ...others: TestTransfer[]): void {
  send(leader, tx(0, 0, on(1)), ...others);
  const record = records(leader).at(-1 - others.length) ?? new Uint8Array(0);
  const flushNumber = leader.sequencer.flushAcknowledged;
  const one = { flush: flushNumber, record, touch: touchRecord(txIndex(record, 0), miss) };
  const block = leader.sequencer.blocks.open.number;
  for (let said = 0; said < 2; said++) {
    takeMisses(leader.sequencer, { partition: 1, block, first: 0, missed: [one] }, leader.now);
  }
  settleEffects(leader);
}

test("a local miss counts once however often it is said, and the beat says that it is taken", () => {
  const leader = leadFresh();
  missed(leader, { why: WHY.outside, accounts: [write(on(2))] });
  expect(beatOf(leader.sequencer, "a").missesTaken).toEqual([[1, 1]]);
  expect(next(leader)).toEqual(["1: group 12: 0.0", "2: lock 1"]);
  expect(next(leader)).toEqual([]);
  takeMisses(leader.sequencer, { partition: 1, block: 2, first: 2, missed: [] }, leader.now); // A gap.
  expect(leader.sequencer.partitions.lanes[1]?.missesTaken).toBe(1);
});

test("one that asked for the hash of a block without a seal waits for the seal, and its attempt does not count", () => {
  const leader = leadFresh();
  missed(leader, { why: WHY.unsealed, value: 1 });
  expect(next(leader)).toEqual([]);
  built(leader, 0);
  built(leader, 1);
  next(leader);
  expect(next(leader)).toEqual(["1: run 0.0"]);
  expect(records(leader).map((record) => txAttempt(record, 0))).toEqual([0, 0]);
});

test("after three misses it runs in the whole-system group at the end of the block, and the block waits for it", () => {
  const leader = leadFresh();
  send(leader, tx(0, 0, on(1), on(2)));
  for (const more of [1, 2, 3]) {
    propose(leader, { 0: { why: WHY.outside, accounts: [write(on(3, more))] } });
    next(leader);
    next(leader);
  }
  expect(leader.sequencer.retries.count).toBe(1);
  report(leader);
  leader.now = 500;
  expect(next(leader)).toEqual(["0: lock 0", "1: lock 0", "2: lock 0", "3: whole 0123: 0.0"]);
  expect(beatOf(leader.sequencer, "a").draining).toBe(true);
  propose(leader);
  expect(next(leader)[0]).toBe("0: apply + block");
});

const patient: Partial<SequencerLimits> = { lock: { ...lockLimits, lockMsMax: 200 } };

test("a group that takes too long is aborted; its members come again without an attempt", () => {
  const leader = leadFresh(4, patient);
  send(leader, tx(0, 0, on(1), on(2)));
  leader.now += 200;
  report(leader);
  tickSequencer(leader.sequencer, leader.now);
  expect(next(leader)).toEqual(["1: abort", "2: abort"]);
  expect(next(leader)).toEqual(["1: group 12: 0.0", "2: lock 1"]);
  expect(records(leader).map((record) => txAttempt(record, 0))).toEqual([0, 0]);
});

test("a proposal that comes after the abort changes nothing", () => {
  const leader = leadFresh(4, patient);
  send(leader, tx(0, 0, on(1), on(2)));
  const late = propose(leadCopy(leader));
  leader.now += 200;
  report(leader);
  tickSequencer(leader.sequencer, leader.now);
  takeGroupProposal(leader.sequencer, late, leader.now);
  expect(next(leader)).toEqual(["1: abort", "2: abort"]);
  takeGroupProposal(leader.sequencer, late, leader.now);
  expect(next(leader)).toEqual(["1: group 12: 0.0", "2: lock 1"]);
});

/** Another leader with the same group, to make a proposal of. */
function leadCopy(leader: TestLeader): TestLeader {
  const copy = leadFresh(4, patient);
  copy.now = leader.now - 5;
  send(copy, tx(0, 0, on(1), on(2)));
  return copy;
}

test("a group with a silent participant is aborted, and its members wait until all are there", () => {
  const leader = leadFresh();
  send(leader, tx(0, 0, on(1), on(2)));
  const others = () => {
    for (const id of [0, 1, 3]) takeReport(leader.sequencer, reportOf(leader.chain.ledger, id), leader.now);
  };
  leader.now += 3_001;
  leader.sequencer.blocks.dueAt = Number.POSITIVE_INFINITY;
  others();
  tickSequencer(leader.sequencer, leader.now);
  expect(next(leader)).toEqual(["1: abort", "2: abort"]);
  others();
  expect(next(leader)).toEqual([]);
  report(leader);
  tickSequencer(leader.sequencer, leader.now);
  expect(next(leader)).toEqual(["1: group 12: 0.0", "2: lock 1"]);
});

test.each<[what: string, change: (proposal: GroupProposal) => GroupProposal]>([
  ["of another home", (proposal) => ({ ...proposal, home: 3 })],
  ["that does not speak of all members", (proposal) => ({ ...proposal, touches: new Uint8Array(0) })],
  ["that writes where the group has no locks", (proposal) => ({ ...proposal, writes: [[3, new Uint8Array(85)]] })],
  ["of a group that is not open", (proposal) => ({ ...proposal, group: { flush: 1, index: 0 } satisfies Position })],
])("a proposal %s changes nothing", (_what, change) => {
  const leader = leadFresh();
  send(leader, tx(0, 0, on(1), on(2)));
  const copy = leadFresh();
  send(copy, tx(0, 0, on(1), on(2)));
  takeGroupProposal(leader.sequencer, change(propose(copy)), leader.now);
  expect(next(leader)).toEqual([]);
});

test.each<[what: string, limits: Partial<SequencerLimits>, groups: string]>([
  ["members", { groupMembersMax: 2 }, "1: group 12: 0.0,1.0"],
  ["gas", { groupGasMax: 299_999 }, "1: group 12: 0.0,1.0"],
  ["bytes", { groupBytesMax: 600 }, "1: group 12: 0.0,1.0"],
])("a group has at most so many %s; the rest goes with its apply", (_what, limits, want) => {
  const leader = leadFresh(4, limits);
  expect(send(leader, ...[0, 1, 2].map((sender) => tx(sender, 0, on(1), on(2))))[0]).toBe(want);
  propose(leader);
  expect(next(leader)[0]).toBe("1: apply + group 12: 2.0");
});

test("there are at most so many groups without an end", () => {
  const leader = leadFresh(4, { groupsMax: 2 });
  const each = [0, 1, 2].map((sender) => tx(sender, 0, on(1, sender), on(2, sender)));
  expect(send(leader, ...each)).toEqual(["1: group 12: 0.0 + group 12: 1.0", "2: lock 1 + lock 1"]);
  expect(next(leader)).toEqual([]);
  propose(leader);
  next(leader);
  expect([...leader.chain.ledger.groups.values()].map(({ transactions }) => membersOf(transactions))).toContain("2.0");
});

test.each<[what: string, silent: number, codes: string[]]>([
  ["participant", 2, ["partitionSilent 2"]],
  ["owner of the sender", 0, ["partitionSilent"]],
  ["partition that has nothing to do with it", 3, ["accepted"]],
])("a silent %s", (_what, silent, codes) => {
  const leader = leadFresh();
  send(leader, tx(0, 0, on(1), on(2)));
  propose(leader);
  next(leader);
  leader.sequencer.blocks.dueAt = Number.POSITIVE_INFINITY;
  leader.now += 3_001;
  for (const id of [0, 1, 2, 3]) {
    if (id !== silent) takeReport(leader.sequencer, reportOf(leader.chain.ledger, id), leader.now);
  }
  const number = submit(leader, [tx(0, 1, on(1), on(2))]);
  next(leader);
  expect(codesOf(leader, number)).toEqual(codes);
});

test("a refused append takes groups back whole; a decision comes again with the next one", () => {
  const leader = leadFresh();
  send(leader, tx(0, 0, on(1), on(2)));
  propose(leader);
  const number = submit(leader, [tx(1, 0, on(1), on(2))]);
  leader.now += 5;
  startFlush(leader);
  expect(said(leader)).toEqual(["1: apply + group 12: 1.0", "2: apply + lock 1"]);
  endFlush(leader, "full");
  expect(codesOf(leader, number)).toEqual(["logFull"]);
  leader.now += 1_000;
  report(leader);
  leader.sequencer.blocks.dueAt = Number.POSITIVE_INFINITY;
  expect(next(leader)).toEqual(["1: apply", "2: apply"]);
  expect(send(leader, tx(1, 0, on(1), on(2)))).toEqual(["1: group 12: 1.0", "2: lock 1"]);
});

test("a sender's first transaction declares its account if it had no balance when its nonce was asked", () => {
  const leader = leadFresh();
  leader.answers = false;
  submit(leader, [tx(0, 0, on(1)), tx(0, 1, on(0))]);
  const { partition, addresses } = onlyAsk(leader);
  const nonces = noncesInLedger(leader.chain.ledger, addresses);
  nonces[8] = 0;
  takeNonces(leader.sequencer, partition, nonces, leader.now);
  expect(next(leader)).toEqual(["0: group 01: 0.0", "1: lock 1"]);
  expect(next(leader)).toEqual(["0: run 0.1"]);
});

test.each<[what: string, until: (leader: TestLeader) => void, want: string[]]>([
  ["open", () => undefined, []],
  [
    "missed a member and ended",
    (leader) => (propose(leader, { 1: { why: WHY.deferred } }), void next(leader)),
    ["1: group 12: 1.0", "2: lock 1"],
  ],
  ["was aborted", (leader) => abort(leader), ["1: group 12: 0.0,1.0", "2: lock 1"]],
  ["was aborted and stands there again", (leader) => (abort(leader), void next(leader)), []],
])("a new leader goes on with a group that %s", (_what, until, want) => {
  const old = leadFresh(4, patient);
  send(old, tx(0, 0, on(1), on(2)), tx(1, 0, on(1), on(2)));
  until(old);
  const leader = lead(old.chain, {}, 2, old.now);
  expect(beatOf(leader.sequencer, "b").missesTaken).toEqual([]);
  report(leader);
  expect(next(leader)).toEqual(want);
  propose(leader);
  next(leader);
  report(leader);
  flush(leader);
  expect([leader.chain.ledger.executed.size, leader.sequencer.blocks.open.number]).toEqual([2, 3]);
  expect(codesOf(leader, submit(leader, [tx(0, 0, on(1), on(2))]))).toEqual(["known"]);
});

function abort(leader: TestLeader): void {
  leader.now += 200;
  report(leader);
  tickSequencer(leader.sequencer, leader.now);
  next(leader);
}
