import { expect, test } from "vitest";
import { BugError } from "../assert.ts";
import type { GroupProposal } from "../messages.ts";
import { WHY } from "../touches.ts";
import { txBytes, txDeclared } from "../transactions.ts";
import { takeGroupProposal, takeReport } from "./lead.ts";
import { learnWork, restoreWork } from "./learn-work.ts";
import type { SequencerLimits } from "./limits.ts";
import { pumpRetries } from "./retries.ts";
import { next, on, propose, report, said, send, tx, write } from "./testing/group-steps.ts";
import type { TestLeader, TestTransfer } from "./testing/index.ts";
import { codesOf, endFlush, lead, leadFresh, proposalsOf, reportOf, startFlush, submit } from "./testing/index.ts";

/** Two groups on two partitions each, 12 and 03. */
const two = [tx(0, 0, on(1), on(2)), tx(1, 0, on(0), on(3))];
const alone = { flushMs: 0, groupBytesMax: 1 };
const sizes: Partial<SequencerLimits> = { ...alone, flushBytesMax: 3_000 };

/** What the homes of the open groups propose, in the order of partitions. */
const proposals = ({ chain }: TestLeader): GroupProposal[] => [0, 1, 2, 3].flatMap((home) => proposalsOf(chain.ledger, home));

function say(leader: TestLeader, proposal: GroupProposal | undefined, bytes: number): void {
  if (proposal === undefined) throw new BugError("no group is open");
  takeGroupProposal(leader.sequencer, { ...proposal, results: new Uint8Array(bytes) }, leader.now);
}

/** Starts the flush that is due; something is submitted while it is outstanding; then it ends. */
function busyFlush(leader: TestLeader, transfers: TestTransfer[], outcome?: "full"): string[] {
  leader.now += 1;
  startFlush(leader);
  const text = said(leader);
  submit(leader, transfers);
  endFlush(leader, outcome);
  return text;
}

test("a large apply is first in the next flush, however much comes meanwhile", () => {
  const leader = leadFresh(4, sizes);
  send(leader, tx(0, 0, on(1), on(2)));
  const [large] = proposals(leader);
  submit(leader, [tx(5, 0, on(0))]);
  say(leader, large, 2_950);
  const flushes = [1, 2, 3, 4].map((nonce) => busyFlush(leader, [tx(5, nonce, on(0))]));
  expect(flushes).toEqual([["0: run 5.0"], ["1: apply", "2: apply"], ["0: run 5.1,5.2"], ["0: run 5.3"]]);
});

test("ends of a refused append come again in their order, and until then nothing goes on their accounts", () => {
  const leader = leadFresh(4, sizes);
  expect(send(leader, ...two)).toEqual(["0: group 03: 1.0", "1: group 12: 0.0", "2: lock 1", "3: lock 1"]);
  const [first, second] = proposals(leader);
  say(leader, first, 2_400);
  leader.now += 1;
  startFlush(leader);
  say(leader, second, 2_400);
  endFlush(leader, "full");
  leader.now += 1_000;
  leader.sequencer.blocks.dueAt = Number.POSITIVE_INFINITY;
  report(leader);
  submit(leader, [tx(0, 1, on(1), on(2))]); // It waits for the second group, though that was in a flush for a while.
  expect(next(leader)).toEqual(["0: apply", "3: apply"]);
  expect(next(leader)).toEqual(["1: apply + group 12: 0.1", "2: apply + lock 1"]);
});

test("misses of an end whose append is refused are noted once, and sequenced again once it stands in LOG", () => {
  const leader = leadFresh(4, alone);
  send(leader, tx(0, 0, on(1), on(2)));
  propose(leader, { 0: { why: WHY.outside, accounts: [write(on(3))] } });
  busyFlush(leader, [], "full");
  leader.now += 1_000;
  leader.sequencer.blocks.dueAt = Number.POSITIVE_INFINITY;
  report(leader);
  expect(leader.sequencer.retries.count).toBe(1);
  expect(next(leader)).toEqual(["1: apply", "2: apply"]);
  expect(leader.sequencer.counts.ends[WHY.outside]).toBe(1);
  expect(next(leader)).toHaveLength(3);
});

test.each<[what: string, bytes: number, ends: boolean]>([
  ["as large as a message takes", 1_000, true],
  ["larger", 1_001, false],
])("what a home makes of its group may be %s", (_what, bytes, ends) => {
  const leader = leadFresh(4, { ...sizes, endBytesMax: 1_000 });
  send(leader, tx(0, 0, on(1), on(2)));
  say(leader, proposals(leader)[0], bytes);
  expect(leader.sequencer.counts.unfitProposals).toBe(ends ? 0 : 1);
  expect(next(leader)).toEqual(ends ? ["1: apply", "2: apply"] : []);
});

test("a flush counts the accounts of groups too: they stand there beside their members' own", () => {
  const leader = leadFresh(4, { flushMs: 0, groupBytesMax: 1_000_000, flushBytesMax: 8_000 });
  const wide = (sender: number) => tx(sender, 0, ...[1, 2].flatMap((id) => Array.from({ length: 30 }, (_, far) => on(id, far))));
  submit(leader, [0, 1, 2, 3].map(wide));
  leader.now += 1;
  startFlush(leader);
  const groups = (leader.plan?.messages ?? []).flatMap(({ entries }) => entries.filter((entry) => entry.kind === "group"));
  for (const { transactions, accounts } of groups) {
    expect(txDeclared(transactions, 0)).toBe(60);
    expect(transactions.length + accounts.length).toBeLessThanOrEqual(8_000);
    expect(transactions.length / txBytes(transactions, 0)).toBe(2);
  }
  expect(groups).toHaveLength(1);
  endFlush(leader);
});

test("who waits for the last message of its own does not hold up who waits for an earlier one", () => {
  const leader = leadFresh(4, { flushMs: 0 });
  const n = (): number => leader.chain.ledger.logs.get(1)?.n ?? 0;
  send(leader, tx(1, 0, on(1)));
  const early = n();
  send(leader, tx(0, 0, on(1)));
  const late = submit(leader, [tx(0, 1, on(2))]);
  const soon = submit(leader, [tx(1, 1, on(2))]);
  takeReport(leader.sequencer, reportOf(leader.chain.ledger, 1, { n: n(), settledN: early }), leader.now);
  expect(next(leader)).toEqual(["2: run 1.1"]);
  expect([codesOf(leader, soon), codesOf(leader, late)]).toEqual([["accepted"], undefined]);
  report(leader);
  expect(next(leader)).toEqual(["2: run 0.1"]);
});

test("few of those that are sequenced again are looked at in one go, each in its turn", () => {
  const leader = leadFresh(4, { flushMs: 0, retrySendersMax: 2 });
  const { retries } = leader.sequencer;
  let looks = 0;
  for (let sender = 0; sender < 100; sender++) {
    const waits = Object.defineProperty({ items: [], isCollecting: false }, "items", { get: () => (looks++, []) });
    retries.bySender.set(sender, waits);
  }
  retries.count = 100;
  pumpRetries(leader.sequencer, leader.now);
  expect(looks).toBe(2);
  for (let go = 1; go < 50; go++) pumpRetries(leader.sequencer, leader.now);
  expect([looks, [...retries.bySender.keys()][0]]).toEqual([100, 0]);
});

test("a new leader looks at each transaction of the open block a few times, however many groups there were", () => {
  const old = leadFresh(4, { flushMs: 0, groupBytesMax: 1 });
  const count = 60;
  for (let sender = 0; sender < count; sender++)
    send(old, tx(sender % 20, Math.floor(sender / 20), on(1, sender), on(2, sender)));
  const ends = [...old.chain.logs].map(([partition, messages]) => ({ partition, messages }));
  const work = learnWork(ends);
  let looks = 0;
  work.transactions = work.transactions.map((one) =>
    Object.defineProperty({ ...one }, "group", { get: () => (looks++, one.group) }),
  );
  restoreWork(lead(old.chain, {}, 2).sequencer, work, 0);
  expect(work.groups.length).toBeGreaterThan(40);
  expect(looks).toBeLessThanOrEqual(work.transactions.length * 3);
});
