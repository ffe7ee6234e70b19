/** The shell's rules can be switched off one by one, and it shows. */
import { afterEach, expect, test } from "vitest";
import { ALL_RULES, touchAccounts } from "@meridian/core";
import { addressOf, fakeSlotCell, fakeSlotKey, runOf, slotOf } from "@meridian/core/actor/testing";
import { until } from "./testing/chain.ts";
import { TestPartitions, accountsText, member, whysOf } from "./testing/partitions.ts";

let world: TestPartitions | null = null;
afterEach(async () => {
  await world?.end();
  world = null;
});

const BOTH = ["w 11", "w f1"];

async function begin(): Promise<TestPartitions> {
  world = await TestPartitions.begin([fakeSlotCell(addressOf("11"), 5), fakeSlotCell(addressOf("f1"), 7)]);
  return world;
}

test.each([
  [true, 5],
  [false, 6],
])("homeWaitsForApply %s: before the apply the home's account stands at %i", async (homeWaitsForApply, want) => {
  const partitions = await begin();
  const rules = { ...ALL_RULES, homeWaitsForApply };
  await Promise.all([partitions.start(0, {}, { rules }), partitions.start(1)]);
  const record = member(1, "add 11 1; add f1 10", BOTH);
  const proposal = await partitions.proposal(await partitions.appendGroup([record], BOTH));
  expect([await partitions.slot("11"), await partitions.slot("f1")]).toEqual([want, 7]);
  await partitions.appendApply(proposal);
  expect([await partitions.slot("11"), await partitions.slot("f1")]).toEqual([6, 17]);
});

test.each([
  [true, "outside", "w 11, r 12"],
  [false, "complete", "w 11, r 12"],
])("membersAreStrict %s: a member that touches more at home is %s", async (membersAreStrict, want, touched) => {
  const partitions = await begin();
  const rules = { ...ALL_RULES, membersAreStrict };
  await Promise.all([partitions.start(0, {}, { rules }), partitions.start(1)]);
  const group = await partitions.appendGroup([member(1, "add 11 1; read 12", BOTH)], BOTH);
  const { touches } = await partitions.proposal(group);
  expect(whysOf(touches)).toEqual([want]);
  expect(accountsText(touchAccounts(touches, 0))).toBe(touched);
});

test.each([
  [true, "failed"],
  [false, "grant"],
])("grantsAreHeld %s: a grant before its lock is answered with %s", async (grantsAreHeld, want) => {
  const partitions = await begin();
  await partitions.start(1, {}, { rules: { ...ALL_RULES, grantsAreHeld } });
  await partitions.chain.settled(1);
  const request = fakeSlotKey(addressOf("f1"));
  const reply = await partitions.chain.read(1, { op: "grant", group: { flush: 99, index: 0 }, request });
  expect(reply.op).toBe(want);
  if (reply.op === "grant") expect(slotOf(reply.cells)).toBe(7);
});

test.each([
  [true, 1],
  [false, 2],
])("snapshotsAreExact %s: a snapshot of block 1 stands behind %i message more", async (snapshotsAreExact, late) => {
  const partitions = await begin();
  const actor = await partitions.start(0, {}, { rules: { ...ALL_RULES, snapshotsAreExact } });
  await partitions.chain.closeBlock(true);
  const { n } = partitions.chain.writer.position(0);
  await partitions.chain.append({ 0: [runOf(member(0, "add 11 1", ["w 11"]))] });
  await until("the snapshot", () => actor.status().snapshots.includes(1));
  const record = new TextDecoder().decode(partitions.server.settings.get("record.snapshot.0")?.value);
  const { snapshots } = JSON.parse(record) as { snapshots: { manifest: string }[] };
  const { position } = JSON.parse(snapshots[0]?.manifest ?? "{}") as { position: { n: number } };
  expect(position.n).toBe(n + late - 1);
});

test("redelivers false: a proposal and misses are said only once", async () => {
  const partitions = await begin();
  const rules = { ...ALL_RULES, redelivers: false };
  await Promise.all([partitions.start(0, {}, { rules }), partitions.start(1)]);
  await partitions.chain.append({ 0: [runOf(member(0, "add 12 1; add f2 1", ["w 12"]))] });
  await until("the miss", () => partitions.misses.length > 0);
  const group = await partitions.appendGroup([member(1, "add 11 1; add f1 10", BOTH)], BOTH);
  await partitions.proposal(group);
  await new Promise((resolve) => partitions.server.clock.after(60, () => resolve(null)));
  expect([partitions.misses.length, partitions.proposals.length]).toEqual([1, 1]);
});
