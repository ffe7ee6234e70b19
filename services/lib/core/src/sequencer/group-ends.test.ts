import { expect, test } from "vitest";
import type { Position } from "../entries.ts";
import type { GroupProposal } from "../messages.ts";
import { WHY } from "../touches.ts";
import { txAttempt } from "../transactions.ts";
import { takeNonces } from "./asks.ts";
import { beatOf, takeGroupProposal, takeReport, tickSequencer } from "./lead.ts";
import type { SequencerLimits } from "./limits.ts";
import { on, write, tx, said, send, next, report, propose, records, patient, leadCopy, abort } from "./testing/group-steps.ts";
import type { TestLeader } from "./testing/index.ts";
import {
  codesOf,
  endFlush,
  flush,
  lead,
  leadFresh,
  noncesInLedger,
  onlyAsk,
  reportOf,
  startFlush,
  submit,
} from "./testing/index.ts";

test.each<[why: string, home: number, fate: (more: number) => Parameters<typeof propose>[1]]>([
  ["outside", 3, (more) => ({ 0: { why: WHY.outside, accounts: [write(on(3, more))] } })],
  ["exceeded", 1, () => ({ 0: { why: WHY.exceeded } })],
])(
  "after three misses (%s) it runs in the whole-system group at the end of the block, and the block waits for it",
  (_why, home, fate) => {
    const leader = leadFresh();
    send(leader, tx(0, 0, on(1), on(2)));
    for (const more of [1, 2, 3]) {
      propose(leader, fate(more));
      next(leader);
      next(leader);
    }
    expect(leader.sequencer.retries.count).toBe(1);
    report(leader);
    leader.now = 500;
    expect(next(leader)).toEqual([0, 1, 2, 3].map((id) => (id === home ? `${id}: whole 0123: 0.0` : `${id}: lock 0`)));
    expect(beatOf(leader.sequencer, "a").draining).toBe(true);
    propose(leader);
    expect(next(leader)[0]).toBe("0: apply + block");
  },
);

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
  const each = [0, 1, 2].map((sender) => tx(sender, 0, on(1, sender), on((sender + 2) % 4, sender)));
  expect(send(leader, ...each)).toEqual(["1: group 12: 0.0 + group 13: 1.0", "2: lock 1", "3: lock 1"]);
  expect(next(leader)).toEqual([]);
  propose(leader);
  expect(next(leader)).toEqual(["0: group 01: 2.0", "1: apply + lock 1", "2: apply"]);
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
