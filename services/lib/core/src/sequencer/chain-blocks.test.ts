import { expect, test } from "vitest";
import type { BlockEntry, Entry } from "../entries.ts";
import { hexOf } from "../bytes.ts";
import { isSnapshotDue } from "./chain-blocks.ts";
import { beatOf, takeReport } from "./lead.ts";
import type { SequencerLimits } from "./limits.ts";
import { takeAdmin } from "./moves.ts";
import type { TestLeader } from "./testing/index.ts";
import {
  accountOf,
  built,
  codesOf,
  endFlush,
  flush,
  lead,
  leadFresh,
  logOf,
  moveAll,
  pass,
  reportOf,
  startFlush,
  submit,
  testChain,
} from "./testing/index.ts";

const entriesOf = (leader: TestLeader, partition = 0): Entry[] =>
  logOf(leader.chain, partition).flatMap(({ entries }) => entries);
const blocksOf = (leader: TestLeader): BlockEntry[] => entriesOf(leader).filter((entry) => entry.kind === "block");
const kindsOf = (leader: TestLeader): string[] => entriesOf(leader).map(({ kind }) => kind);

test("a block is due every blockMs, also without transactions, and stands in every log", () => {
  const leader = leadFresh();
  for (let turn = 0; turn < 30; turn++) {
    pass(leader, 100);
    built(leader, leader.sequencer.blocks.unsealed[0]?.number ?? 99);
  }
  expect(blocksOf(leader).map(({ number }) => number)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  for (const { open } of leader.chain.ledger.logs.values()) expect(open).toBe(8);
});

test("a block's time is fixed when it is opened, in whole seconds, and never goes back", () => {
  const leader = lead(testChain());
  flush(leader);
  pass(leader, 2_700);
  leader.sequencer.blocks.open = { ...leader.sequencer.blocks.open, timestamp: 5_000 };
  pass(leader, 500);
  expect(blocksOf(leader).map(({ opens }) => opens.timestamp)).toEqual([1_000, 1_002, 5_000]);
});

test("seals stand behind transactions, and block is the last entry of its flush, behind all that was sequenced", () => {
  const leader = leadFresh();
  const kinds = () => new Set(startFlush(leader)?.messages.map(({ entries }) => entries.map(({ kind }) => kind).join(" ")) ?? []);
  built(leader, 0);
  submit(leader, [{ sender: 0, nonce: 0 }]);
  leader.now = 500;
  expect(kinds()).toEqual(new Set(["run seal", "seal"]));
  built(leader, 1);
  endFlush(leader);
  for (const id of leader.chain.logs.keys()) takeReport(leader.sequencer, reportOf(leader.chain.ledger, id), leader.now);
  expect(kinds()).toEqual(new Set(["seal block"]));
  endFlush(leader);
});

test("a block closes before the declared gas goes over its limit", () => {
  const leader = leadFresh(4, {}, 1_000_000);
  const number = submit(
    leader,
    Array.from({ length: 12 }, (_, sender) => ({ sender, nonce: 0, gas: 200_000 })),
  );
  for (let turn = 0; turn < 4; turn++) pass(leader, 5);
  expect(codesOf(leader, number)).toEqual(Array.from({ length: 12 }, () => "accepted"));
  expect(blocksOf(leader).map(({ number: block }) => block)).toEqual([1, 2, 3]);
  expect(leader.sequencer.blocks.gas).toBe(400_000);
});

test("gas of a refused append does not count", () => {
  const leader = leadFresh(4, {}, 1_000_000);
  submit(leader, [{ sender: 0, nonce: 0, gas: 900_000 }]);
  leader.now += 5;
  startFlush(leader);
  endFlush(leader, "full");
  expect(leader.sequencer.blocks.gas).toBe(0);
});

test("seals go out at once, in number order, and are shown once they are in LOG", () => {
  const leader = leadFresh();
  pass(leader, 500);
  built(leader, 1);
  expect(flush(leader)).toBe(0);
  built(leader, 0);
  startFlush(leader);
  expect(beatOf(leader.sequencer, "a").latest.hash).toEqual(new Uint8Array(32));
  endFlush(leader);
  expect(entriesOf(leader).flatMap((entry) => (entry.kind === "seal" ? [entry.number] : []))).toEqual([0, 1]);
  expect(beatOf(leader.sequencer, "a").latest).toEqual({ number: 1, hash: new Uint8Array(32).fill(2), timestamp: 1_000 });
  expect(leader.others).toEqual([{ kind: "sealed" }]);
});

test("a block built before the flush that closed it is acknowledged is taken", () => {
  const leader = leadFresh();
  built(leader, 0);
  pass(leader, 1);
  leader.now = 500;
  startFlush(leader);
  built(leader, 1);
  built(leader, 2);
  endFlush(leader);
  flush(leader);
  expect(leader.sequencer.blocks.latest.number).toBe(2);
});

test.each<[what: string, beforeSeal: boolean]>([
  ["before its seal", true],
  ["after its seal", false],
])("an archive that built another block is reported, and the first one counts: %s", (_what, beforeSeal) => {
  const leader = leadFresh();
  built(leader, 0);
  if (!beforeSeal) flush(leader);
  leader.others = [];
  built(leader, 0);
  expect(leader.others).toEqual([]);
  built(leader, 0, 3);
  expect(leader.others).toMatchObject([{ kind: "unequalBlocks", number: 0, archive: "test", first: new Uint8Array(32).fill(1) }]);
  flush(leader);
  expect(leader.sequencer.blocks.latest.hash).toEqual(new Uint8Array(32).fill(1));
});

test("with 8 unsealed blocks nothing is sequenced and no block closes, until a seal comes", () => {
  const leader = leadFresh();
  for (let turn = 0; turn < 20; turn++) pass(leader, 500);
  expect(leader.sequencer.blocks.unsealed.map(({ number }) => number)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  const number = submit(leader, [{ sender: 0, nonce: 0 }]);
  pass(leader, 1_000);
  expect(codesOf(leader, number)).toBeUndefined();
  built(leader, 0);
  pass(leader, 10);
  pass(leader, 10);
  expect(codesOf(leader, number)).toBeUndefined(); // Block 8 was due first.
  built(leader, 1);
  pass(leader, 10);
  pass(leader, 10);
  expect(codesOf(leader, number)).toEqual(["accepted"]);
});

test("a leader closes the block it finds open before it sequences anything", () => {
  const leader = lead(testChain());
  const number = submit(leader, [{ sender: 0, nonce: 0 }]);
  expect(startFlush(leader)).toMatchObject({ transactions: 0, closes: 1 });
  endFlush(leader);
  pass(leader, 5);
  expect(codesOf(leader, number)).toEqual(["accepted"]);
  expect(kindsOf(leader).slice(0, 3)).toEqual(["genesis", "term", "block"]);
});

test.each<[what: string, limits: Partial<SequencerLimits>, send: number[], want: boolean[]]>([
  [
    "after so many bytes",
    { snapshotBytes: 1_000, snapshotBlocksMin: 1 },
    [1, 1, 2, 1, 0, 3],
    [false, false, true, false, false, true],
  ],
  [
    "after so much time with transactions",
    { snapshotMs: 1_000, snapshotBlocksMin: 1 },
    [0, 0, 1, 0, 0, 1],
    [false, false, true, false, false, true],
  ],
  [
    "but not so soon after the one before",
    { snapshotBytes: 1, snapshotBlocksMin: 4 },
    [1, 1, 1, 1, 1, 1],
    [false, false, true, false, false, false],
  ],
])("a block asks for a snapshot %s", (_what, limits, send, want) => {
  const leader = leadFresh(1, limits);
  built(leader, 0);
  built(leader, 1);
  pass(leader, 1);
  let nonce = 0;
  for (const count of send) {
    submit(
      leader,
      Array.from({ length: count }, () => ({ sender: 0, nonce: nonce++ })),
    );
    pass(leader, 499);
    pass(leader, 1);
    built(leader, leader.sequencer.blocks.unsealed[0]!.number);
  }
  expect(
    blocksOf(leader)
      .slice(1)
      .map(({ snapshot }) => snapshot),
  ).toEqual(want);
});

test.each([
  [7, false],
  [8, true],
])("logs may be cut at the snapshot of block 6 once block %i is sealed: %s", (sealed, want) => {
  const { sequencer } = leadFresh(1, { snapshotBytes: 1, snapshotBlocksMin: 1 });
  const { blocks, limits } = sequencer;
  blocks.snapshot.block = 6;
  blocks.open = { ...blocks.open, number: 9 };
  blocks.latest = { ...blocks.latest, number: sealed };
  expect(isSnapshotDue(blocks, 1, 1, 0, limits)).toBe(want);
});

test("ranges move at a block: nothing is sequenced from there to the map, which stands alone in every log", () => {
  const leader = leadFresh(2);
  submit(leader, [{ sender: 0, nonce: 0 }]);
  const moves = moveAll(leader);
  pass(leader, 10);
  pass(leader, 490);
  const [handOver] = blocksOf(leader).slice(-1);
  expect(handOver).toMatchObject({ moves, mapVersion: 1 });
  const number = submit(leader, [{ sender: 0, nonce: 1 }]);
  leader.now += 100;
  expect(flush(leader)).toBe(0);
  pass(leader, 1);
  for (const log of leader.chain.logs.values()) {
    const last = log.findLast(({ entries }) => entries.some(({ kind }) => kind === "map"));
    expect(last?.entries).toMatchObject([{ kind: "map", index: 0, map: { version: 2 }, handOvers: moves }]);
  }
  expect(leader.others).toMatchObject([{ kind: "publishMap", map: { version: 2 } }]);
  expect(beatOf(leader.sequencer, "a").mapVersion).toBe(2);
  pass(leader, 10);
  expect(codesOf(leader, number)).toEqual(["accepted"]);
  pass(leader, 500);
  expect([...leader.chain.ledger.executed.values()].at(-1)?.partition).toBe(1);
  expect(blocksOf(leader).at(-1)).toMatchObject({ moves: [], mapVersion: 2 });
});

test("a map whose append is refused comes again", () => {
  const leader = leadFresh(2);
  moveAll(leader);
  leader.now = 500;
  startFlush(leader);
  endFlush(leader, "full");
  expect(leader.sequencer.moving?.block).toBeNull();
  pass(leader, 1_000, false);
  for (const id of leader.chain.logs.keys()) takeReport(leader.sequencer, reportOf(leader.chain.ledger, id), leader.now);
  startFlush(leader);
  endFlush(leader, "full");
  expect(leader.sequencer.ranges.map.version).toBe(1);
  pass(leader, 1_000);
  expect(leader.sequencer.ranges.map.version).toBe(2);
});

test("ranges that are not written out in time stay where they are", () => {
  const leader = leadFresh(2, { moveMs: 1_000 });
  moveAll(leader);
  leader.now = 500;
  flush(leader);
  const number = submit(leader, [{ sender: 0, nonce: 0 }]);
  pass(leader, 999, false);
  expect(codesOf(leader, number)).toBeUndefined();
  pass(leader, 1, false);
  pass(leader, 5, false);
  expect([codesOf(leader, number), leader.sequencer.moving]).toEqual([["accepted"], null]);
  expect(leader.others).toContainEqual({ kind: "moveFailed", version: 2 });
});

test("a pin is a move of one address, and goes back to its range", () => {
  const leader = leadFresh(4);
  const address = accountOf(3);
  const pin = (partition: number | null) => takeAdmin(leader.sequencer, { op: "pin", address, partition });
  const owner = leader.sequencer.ranges.ownerOf(address, 0);
  const other = (owner + 1) % 4;
  expect([pin(owner), pin(9)]).toMatchObject([{ op: "failed" }, { op: "failed", text: "there is no partition 9" }]);
  expect([pin(other), pin(other)]).toMatchObject([{ op: "moving", version: 2 }, { op: "failed" }]);
  pass(leader, 500);
  pass(leader, 1);
  expect(leader.sequencer.ranges.map.pins).toEqual([{ address: hexOf(address), partition: other }]);
  expect(pin(null)).toEqual({ op: "moving", version: 3 });
  pass(leader, 500);
  pass(leader, 1);
  expect(leader.sequencer.ranges.map).toMatchObject({ version: 3, pins: [] });
  expect(takeAdmin(leader.sequencer, { op: "map" })).toMatchObject({ op: "map", moving: false, map: { version: 3 } });
});

test("a block waits until its transactions are reported, and says so", () => {
  const leader = leadFresh();
  submit(leader, [{ sender: 0, nonce: 0 }]);
  leader.now = 10;
  flush(leader);
  leader.now = 600;
  expect(flush(leader)).toBe(0);
  expect([leader.others, beatOf(leader.sequencer, "a").draining]).toEqual([[{ kind: "draining" }], true]);
  const number = submit(leader, [{ sender: 1, nonce: 0 }]);
  expect(blocksOf(leader).length).toBe(1);
  pass(leader, 1);
  expect([blocksOf(leader).length, beatOf(leader.sequencer, "a").draining]).toEqual([2, false]);
  pass(leader, 5);
  expect(codesOf(leader, number)).toEqual(["accepted"]);
});
