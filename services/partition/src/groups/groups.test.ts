import { afterEach, expect, test } from "vitest";
import { CELL, PENDING, concatBytes, resultBytes, txCount } from "@meridian/core";
import type { ReadReply } from "@meridian/core";
import { abortEntry, addressOf, fakeCodeCell, fakeSlotCell, fakeSlotKey, runOf, slotOf } from "@meridian/core/actor/testing";
import { until } from "../testing/chain.ts";
import { TestPartitions, member, missesOf, whysOf } from "../testing/partitions.ts";

let world: TestPartitions | null = null;
afterEach(async () => {
  await world?.end();
  world = null;
});

/** Slots 11 and f1 stand at 5 and 7. */
async function begin(genesis: Uint8Array[] = []): Promise<TestPartitions> {
  world = await TestPartitions.begin([fakeSlotCell(addressOf("11"), 5), fakeSlotCell(addressOf("f1"), 7), ...genesis]);
  return world;
}

const BOTH = ["w 11", "w f1"];
const adds = (index: number): Uint8Array => member(index, "add 11 1; add f1 10", BOTH);

function resultCount(results: Uint8Array): number {
  let count = 0;
  for (let at = 0; at < results.length; at += resultBytes(results, at)) count++;
  return count;
}

const codeOf = (reply: ReadReply): string => (reply.op === "failed" ? reply.failure.code : reply.op);

test("a group over two partitions: proposed with granted cells, committed by its apply, published at its flush", async () => {
  const partitions = await begin();
  const { chain } = partitions;
  await Promise.all([partitions.start(0), partitions.start(1)]);
  const group = await partitions.appendGroup([adds(1), adds(2)], BOTH);
  const proposal = await partitions.proposal(group);
  expect(whysOf(proposal.touches)).toEqual(["complete", "complete"]);
  expect(proposal.writes.map(([owner, cells]) => [owner, slotOf(cells)])).toEqual([
    [0, 7],
    [1, 27],
  ]);
  expect([await partitions.slot("11"), await partitions.slot("f1")]).toEqual([5, 7]);
  await until("reports of the locks", () =>
    [0, 1].every((partition) => chain.reports.get(partition)?.groups.some(({ held }) => held)),
  );
  // A local transaction behind the lock waits for its turn.
  await chain.append({ 1: [runOf(member(0, "add f1 100", ["w f1"], "f9"))] });
  const { n } = chain.writer.position(1);
  await until("the report of the waiter", () => chain.reports.get(1)?.n === n);
  expect(chain.reports.get(1)?.settledN).toBe(n - 1);
  await partitions.appendApply(proposal);
  expect([await partitions.slot("11"), await partitions.slot("f1")]).toEqual([7, 127]);
  const [home, other] = [await chain.settled(0), await chain.settled(1)];
  const settled = home.at(-1)?.settled ?? [];
  expect(settled.map((run) => [run.flush, txCount(run.transactions), resultCount(run.results)])).toEqual([[group.flush, 2, 2]]);
  expect(other.at(-1)?.settled.map((run) => [run.flush, txCount(run.transactions)])).toEqual([[group.flush + 1, 1]]);
  await until("reports without groups", () => [0, 1].every((partition) => chain.reports.get(partition)?.groups.length === 0));
  await until("the settled waiter", () => chain.reports.get(1)?.settledN === n + 1);
});

test("a proposal is said again until the group's end is read, with a new leader as well", async () => {
  const partitions = await begin();
  await Promise.all([partitions.start(0), partitions.start(1)]);
  const proposal = await partitions.proposal(await partitions.appendGroup([adds(1)], BOTH));
  await partitions.chain.takeOver("another leader");
  await until("repetitions", () => partitions.proposals.length >= 4);
  for (const again of partitions.proposals) expect(again).toEqual(proposal);
  await partitions.appendApply(proposal);
  expect(await partitions.slot("11")).toBe(6);
  const { length } = partitions.proposals;
  await partitions.chain.closeBlock();
  await partitions.chain.closeBlock();
  await partitions.chain.settled();
  expect(partitions.proposals.length).toBeLessThanOrEqual(length + 1);
});

test("a home that starts again in the middle proposes the same", async () => {
  const partitions = await begin();
  await Promise.all([partitions.start(0), partitions.start(1)]);
  const proposal = await partitions.proposal(await partitions.appendGroup([adds(1)], BOTH));
  await partitions.stop(0);
  partitions.proposals.length = 0;
  await partitions.start(0);
  await until("the proposal", () => partitions.proposals.length > 0);
  expect(partitions.proposals[0]).toEqual(proposal);
});

test("a participant that starts again in the middle grants what it locked", async () => {
  const partitions = await begin();
  await partitions.start(1);
  await partitions.chain.append({ 1: [runOf(member(0, "add f1 100", ["w f1"], "f9"))] });
  const group = await partitions.appendGroup([adds(1)], BOTH);
  await partitions.chain.append({ 1: [runOf(member(0, "add f1 1000", ["w f1"], "f9"))] });
  await partitions.chain.settled(1);
  await partitions.stop(1);
  await partitions.start(0);
  await Promise.resolve();
  await partitions.start(1);
  const { writes } = await partitions.proposal(group);
  expect(writes.map(([owner, cells]) => [owner, slotOf(cells)])).toEqual([
    [0, 6],
    [1, 117],
  ]);
});

test.each<[what: string, fate: (subject: string, count: number) => boolean]>([
  ["requests are lost", (subject, count) => subject === "read.1" && count <= 2],
  ["answers are lost", (subject, count) => subject === "reply:read.1" && count <= 2],
])("%s: asked again", async (_what, isLost) => {
  const partitions = await begin();
  const counts = new Map<string, number>();
  partitions.server.faults.wire((subject) => {
    const count = (counts.get(subject) ?? 0) + 1;
    counts.set(subject, count);
    return { copies: isLost(subject, count) ? 0 : 1, delayMs: 0 };
  });
  await Promise.all([partitions.start(0, { grantMs: 30 }), partitions.start(1)]);
  const { writes } = await partitions.proposal(await partitions.appendGroup([adds(1)], BOTH));
  expect(writes.map(([, cells]) => slotOf(cells))).toEqual([6, 17]);
});

test("a participant that is not there yet is asked until it is", async () => {
  const partitions = await begin();
  await partitions.start(0);
  const group = await partitions.appendGroup([adds(1)], BOTH);
  await until("the home to hold", () => partitions.reports.some(({ groups }) => groups.some(({ held }) => held)));
  await partitions.start(1);
  expect((await partitions.proposal(group)).writes.map(([, cells]) => slotOf(cells))).toEqual([6, 17]);
});

test("grants: waiting until held, behind before the lock, resolved after its end, foreign, too many", async () => {
  const partitions = await begin();
  const { chain } = partitions;
  await Promise.all([partitions.start(0), partitions.start(1, { cellsMax: 2 })]);
  const request = fakeSlotKey(addressOf("f1"));
  const first = await partitions.appendGroup([adds(1)], BOTH);
  const second = await partitions.appendGroup([adds(1)], BOTH);
  const third = { flush: second.flush + 5, index: 0 };
  const ask = (group: typeof first, of = request) => chain.read(1, { op: "grant", group, request: of });
  expect(await ask(first)).toEqual({ op: "grant", cells: fakeSlotCell(addressOf("f1"), 7) });
  expect(codeOf(await ask(third))).toBe("BEHIND");
  expect(codeOf(await ask(second))).toBe("BEHIND");
  expect(codeOf(await ask(first, fakeSlotKey(addressOf("11"))))).toBe("FOREIGN");
  expect(codeOf(await ask(first, concatBytes([request, request, request])))).toBe("BUSY");
  const waiting = ask(second);
  await partitions.appendApply(await partitions.proposal(first));
  expect(await waiting).toEqual({ op: "grant", cells: fakeSlotCell(addressOf("f1"), 17) });
  expect(codeOf(await ask(first))).toBe("RESOLVED");
  await chain.append({ 0: [abortEntry(0, second)], 1: [abortEntry(0, second)] });
  await chain.settled(1);
  expect(codeOf(await ask(second))).toBe("RESOLVED");
});

test("grants have room of their own, whatever clients ask; what need not wait takes no room", async () => {
  const partitions = await begin();
  await Promise.all([partitions.start(0), partitions.start(1, { readsMax: 1, readWaitMs: 60_000 })]);
  const request = fakeSlotKey(addressOf("f1"));
  const ask = (atN: number) => partitions.chain.read(1, { op: "cells", block: PENDING, atN, request });
  expect(await partitions.slot("f1")).toBe(7);
  const waiting = ask(4);
  expect(codeOf(await ask(4))).toBe("BUSY");
  expect(codeOf(await ask(0))).toBe("cells");
  const proposal = await partitions.proposal(await partitions.appendGroup([adds(1)], BOTH));
  expect(whysOf(proposal.touches)).toEqual(["complete"]);
  await partitions.appendApply(proposal);
  expect(codeOf(await waiting)).toBe("cells");
});

test("members that touch more than the group has miss; the others are proposed", async () => {
  const partitions = await begin();
  await Promise.all([partitions.start(0), partitions.start(1)]);
  const records = [adds(1), member(2, "add f2", BOTH), adds(3)];
  const proposal = await partitions.proposal(await partitions.appendGroup(records, BOTH));
  expect(whysOf(proposal.touches)).toEqual(["complete", "outside", "complete"]);
  await partitions.appendApply(proposal);
  expect([await partitions.slot("11"), await partitions.slot("f1")]).toEqual([7, 27]);
  const settled = (await partitions.chain.settled(0)).at(-1)?.settled ?? [];
  expect(settled.map((run) => txCount(run.transactions))).toEqual([2]);
});

test("code that nothing can change is read without a lock", async () => {
  const partitions = await begin([fakeCodeCell(addressOf("f2"), Uint8Array.of(1, 2, 3))]);
  await Promise.all([partitions.start(0), partitions.start(1)]);
  const group = await partitions.appendGroup([member(1, "code f2; stir 11", ["w 11", "c f2"])], ["w 11", "c f2"]);
  const proposal = await partitions.proposal(group);
  expect(whysOf(proposal.touches)).toEqual(["complete"]);
  expect(proposal.writes.map(([owner]) => owner)).toEqual([0]);
  const request = concatBytes([Uint8Array.of(CELL.code), addressOf("f2")]);
  const known = await partitions.chain.read(1, { op: "cells", block: PENDING, atN: 0, request });
  expect(known).toEqual({ op: "cells", cells: fakeCodeCell(addressOf("f2"), Uint8Array.of(1, 2, 3)) });
});

test("later members for which a proposal has no room are deferred", async () => {
  const partitions = await begin();
  await Promise.all([partitions.start(0, { groupBytesMax: 1_700 }), partitions.start(1)]);
  const records = Array.from({ length: 8 }, (_, number) => adds(1 + number));
  const proposal = await partitions.proposal(await partitions.appendGroup(records, BOTH));
  expect(whysOf(proposal.touches)).toEqual([..."cc"].map(() => "complete").concat([..."dddddd"].map(() => "deferred")));
  expect(missesOf(proposal.touches)).toEqual([3, 4, 5, 6, 7, 8]);
  expect(proposal.writes.map(([, cells]) => slotOf(cells))).toEqual([7, 27]);
});

test("a member that needs a cell after the other gets one round each; too many defer the later members", async () => {
  const others = ["f2", "f3", "f4", "f5", "f6"];
  const partitions = await begin(others.map((account, number) => fakeSlotCell(addressOf(account), 100 + number)));
  await Promise.all([partitions.start(0, { groupRoundsMax: 2 }), partitions.start(1)]);
  const accounts = ["w 11", ...others.map((account) => `w ${account}`)];
  // Which account a step picks hangs on what the steps before it have read.
  const picks = others.map(() => `add ${others.join("|")}`).join("; ");
  const records = Array.from({ length: 4 }, (_, number) => member(1 + number, picks, accounts));
  const { touches } = await partitions.proposal(await partitions.appendGroup(records, accounts));
  const whys = whysOf(touches);
  expect(whys[0]).toBe("complete");
  expect(whys).toHaveLength(4);
});

test("what is resolved in the batch that brings it never starts", async () => {
  const partitions = await begin();
  const group = await partitions.appendGroup([adds(1)], BOTH);
  await partitions.chain.append({ 0: [abortEntry(0, group)], 1: [abortEntry(0, group)] });
  await Promise.all([partitions.start(0), partitions.start(1)]);
  await partitions.chain.closeBlock();
  await partitions.chain.settled(0);
  expect(partitions.proposals).toEqual([]);
});
