/** A group's rounds, time and gas have bounds; what meets them is decided by the log like everything else. */
import { afterEach, expect, test } from "vitest";
import {
  EXCEEDED_GAS,
  EXCEEDED_GAS_LIMIT_MIN,
  REASON,
  resultGasUsed,
  resultOutput,
  resultReason,
  resultStatus,
  txCount,
  txGasLimit,
} from "@meridian/core";
import type { Clock, GroupProposal } from "@meridian/core";
import { FakeEngine, addressOf, fakeAccountCell, fakeSlotCell, runOf, toy, toyTransaction } from "@meridian/core/actor/testing";
import { systemClock } from "@meridian/process";
import { TestPartitions, member, missesOf, whysOf } from "../testing/partitions.ts";
import { ACTOR_LIMITS } from "../ports.ts";

let world: TestPartitions | null = null;
afterEach(async () => {
  await world?.end();
  world = null;
});

/** On partition 1, each with another number in its slot. */
const FOREIGN = Array.from({ length: 64 }, (_, number) => (0x80 + number).toString(16));
/** Which account a step reads hangs on what all steps before it have read: so many rounds, if no guess comes true. */
const chase = (hops: number): string => Array.from({ length: hops }, () => `read ${FOREIGN.join("|")}`).join("; ");
const ALL = ["w 11", ...FOREIGN.map((account) => `w ${account}`)];

async function begin(limits = {}, slow?: SlowEngine): Promise<TestPartitions> {
  const cells = FOREIGN.map((account, number) => fakeSlotCell(addressOf(account), 1_000 + number));
  world = await TestPartitions.begin([fakeSlotCell(addressOf("11"), 5), fakeAccountCell(addressOf("02"), 1), ...cells]);
  await Promise.all([
    world.start(0, limits, slow === undefined ? {} : { engine: () => slow, clock: slow.clock }),
    world.start(1),
  ]);
  return world;
}

const chaser = (index: number, hops = 12): Uint8Array => member(index, `${chase(hops)}; add 11 1`, ALL);
const adder = (index: number): Uint8Array => member(index, "add 11 1; add 80 1", ALL, "02");

test.each<[what: string, members: (typeof adder)[], whys: string[]]>([
  ["the first member alone", [chaser], ["exceeded"]],
  ["the first member: those behind it wait", [chaser, adder, adder], ["exceeded", "deferred", "deferred"]],
  ["a later member: what stands before it is done", [adder, chaser, adder], ["complete", "deferred", "deferred"]],
])("too many rounds for %s", async (_what, members, whys) => {
  const partitions = await begin({ groupRoundsMax: 3 });
  const group = await partitions.appendGroup(
    members.map((made, place) => made(1 + place)),
    ALL,
  );
  const proposal = await partitions.proposal(group);
  expect(whysOf(proposal.touches)).toEqual(whys);
  expect(missesOf(proposal.touches)).toHaveLength(whys.filter((why) => why !== "complete").length);
  await partitions.appendApply(proposal);
  expect(await partitions.slot("11")).toBe(whys.includes("complete") ? 6 : 5);
});

/** Its proposals take a while by the clock that goes with it: so much for each member, much more than the machine's noise. */
class SlowEngine extends FakeEngine {
  msEach = 10_000;
  #spentMs = 0;
  readonly clock: Clock = { now: () => systemClock.now() + this.#spentMs, after: (ms, run) => systemClock.after(ms, run) };

  override propose(...args: Parameters<FakeEngine["propose"]>): ReturnType<FakeEngine["propose"]> {
    this.#spentMs += this.msEach * txCount(args[0]);
    return super.propose(...args);
  }
}

test("too much time of the engine is the same as too many rounds; some rounds there are in any case", async () => {
  const partitions = await begin({ groupMsMax: 5_000, groupRoundsMin: 2 }, new SlowEngine());
  const chased = await partitions.proposal(await partitions.appendGroup([chaser(1)], ALL));
  expect(whysOf(chased.touches)).toEqual(["exceeded"]);
  await partitions.appendApply(chased);
  const short = await partitions.proposal(await partitions.appendGroup([chaser(1, 1)], ALL));
  expect(whysOf(short.touches)).toEqual(["complete"]);
});

test("the time that others took is not counted against the first member", async () => {
  const partitions = await begin({ groupMsMax: 150_000, groupRoundsMin: 1, groupRunMsMax: 1e9 }, new SlowEngine());
  const records = [chaser(1, 3), ...Array.from({ length: 7 }, (_, place) => adder(2 + place))];
  const { touches } = await partitions.proposal(await partitions.appendGroup(records, ALL));
  expect(whysOf(touches)[0]).toBe("complete");
});

test("where runs take too long, groups run with fewer members; and with more again when they do not", async () => {
  const engine = new SlowEngine();
  const partitions = await begin({ groupRunMsMax: 30_000, groupMsMax: 1e9 }, engine);
  const completed = async (): Promise<number> => {
    const records = Array.from({ length: 8 }, (_, place) => adder(1 + place));
    const proposal = await partitions.proposal(await partitions.appendGroup(records, ALL));
    await partitions.appendApply(proposal);
    return whysOf(proposal.touches).filter((why) => why === "complete").length;
  };
  expect(await completed()).toBe(8);
  expect(await completed()).toBeLessThanOrEqual(3);
  engine.msEach = 0;
  for (let groups = 0; groups < 4; groups++) await completed();
  expect(await completed()).toBe(8);
});

const GAS = txGasLimit(chaser(1), 0);
const resultsOf = ({ results }: GroupProposal) => [resultStatus(results, 0), resultReason(results, 0), resultGasUsed(results, 0)];

test("in the whole-system group a member goes on beyond the rounds of a group", async () => {
  const partitions = await begin({ groupRoundsMax: 2 });
  const proposal = await partitions.proposal(await partitions.appendWhole([chaser(1)]));
  expect(whysOf(proposal.touches)).toEqual(["complete"]);
  expect(resultsOf(proposal)[1]).toBe(REASON.none);
});

test("in the whole-system group it ends as exceeded when its runs have cost too much; others wait for the next", async () => {
  const partitions = await begin({ groupRoundsMax: 2, exceededGas: 4 * GAS });
  const proposal = await partitions.proposal(await partitions.appendWhole([chaser(1), adder(2)]));
  expect(whysOf(proposal.touches)).toEqual(["complete", "deferred"]);
  expect(resultsOf(proposal)).toEqual([0, REASON.exceeded, GAS]);
  expect(proposal.writes).toEqual([]);
  await partitions.appendApply(proposal);
  expect(await partitions.slot("11")).toBe(5);
  const settled = (await partitions.chain.settled(0)).at(-1)?.settled ?? [];
  expect(settled.map((run) => txCount(run.transactions))).toEqual([1]);
});

test("a sender's first transaction that ends as exceeded has come to an end, and only holders of locks hear of it", async () => {
  const partitions = await begin({ groupRoundsMax: 2, exceededGas: 3 * GAS });
  const fields = { index: 1, sender: "f9", nonce: 0, to: "11", declared: ALL };
  const first = toyTransaction({ ...fields, program: toy(chase(12)) });
  // Its nonce record stands in the log of its sender's partition, in the flush of its first sequencing.
  await partitions.chain.append({ 1: [{ ...runOf(first), transactions: new Uint8Array(0) }] });
  const look = async (): Promise<Uint8Array> => {
    const looks = member(1, "look f9", ["w 11", "w f9"], "02");
    const proposal = await partitions.proposal(await partitions.appendGroup([looks], ["w 11", "w f9"]));
    await partitions.appendApply(proposal);
    return resultOutput(proposal.results, 0);
  };
  const before = await look();
  const proposal = await partitions.proposal(await partitions.appendWhole([first]));
  expect(resultsOf(proposal)).toEqual([0, REASON.exceeded, GAS]);
  expect(proposal.writes.map(([owner]) => owner)).toEqual([1]);
  await partitions.appendApply(proposal);
  expect(await look()).not.toEqual(before); // It was no account before, and is one now.
});

test("no transaction with a small gas limit can exceed: each run finds a cell that costs it 1,300 gas", () => {
  expect(ACTOR_LIMITS.exceededGas).toBe(EXCEEDED_GAS);
  const runsMax = Math.ceil(EXCEEDED_GAS_LIMIT_MIN / 1_300) + 1;
  expect(runsMax * EXCEEDED_GAS_LIMIT_MIN).toBeLessThan(EXCEEDED_GAS);
  expect(EXCEEDED_GAS / 16_777_216).toBe(ACTOR_LIMITS.groupRoundsMax);
});
