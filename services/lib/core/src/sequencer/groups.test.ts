import { expect, test } from "vitest";
import { hexOf } from "../bytes.ts";
import { WHY } from "../touches.ts";
import { MODE, txAfterFlush, txAfterIndex, txAttempt, txDeclared, txIndex, txNonce } from "../transactions.ts";
import { beatOf } from "./lead.ts";
import { takeMisses } from "./misses.ts";
import { on, write, tx, send, next, report, propose, records, missed } from "./testing/group-steps.ts";
import type { TestTransfer } from "./testing/index.ts";
import { built, codesOf, declaredSet, endFlush, leadFresh, logOf, startFlush, submit } from "./testing/index.ts";

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
    [tx(0, 0, on(1), on(2)), tx(1, 0, on(1, 1), on(3))],
    ["1: group 12: 0.0 + group 13: 1.0", "2: lock 1", "3: lock 1"],
  ],
  [
    "unless they have the same participants",
    [tx(0, 0, on(1), on(2)), tx(1, 0, on(2, 1), on(1, 1)), tx(2, 0, on(1, 2), on(3)), tx(3, 0, on(1, 3), on(2, 3))],
    ["1: group 12: 0.0,1.0,3.0 + group 13: 2.0", "2: lock 3", "3: lock 1"],
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
