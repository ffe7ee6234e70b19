import { expect, test } from "vitest";
import type { LogMessage } from "../entries.ts";
import { learnChain, reachesBlock, reachesSeal } from "./learn.ts";
import { sequencerLimits } from "./limits.ts";
import { openRecentHashes } from "./recent-hashes.ts";
import type { TestChain, TestLeader } from "./testing/index.ts";
import {
  built,
  codesOf,
  endFlush,
  flush,
  lead,
  leadFresh,
  logOf,
  moveAll,
  onlyAsk,
  pass,
  startFlush,
  submit,
  testChain,
} from "./testing/index.ts";

/** A chain that has run for `blocks` blocks, sealed up to `sealed`; each block has one transaction. */
function grown(blocks: number, sealed: number): TestLeader {
  const leader = leadFresh(2);
  built(leader, 0);
  built(leader, 1);
  for (let number = 2; number <= blocks; number++) {
    submit(leader, [{ sender: 0, nonce: number - 2 }]);
    pass(leader, 10);
    pass(leader, 490);
    if (number <= sealed) built(leader, number);
    pass(leader, 0);
  }
  return leader;
}

const learn = (chain: TestChain, messages = 1_000_000) => {
  const ends = [...chain.logs].map(([partition, log]) => ({ partition, messages: log.slice(-messages) }));
  const recent = openRecentHashes(100);
  return { ...learnChain(ends, recent, sequencerLimits, 10_000), hashes: recent.count };
};

test("a new chain: block 1 is open, block 0 has no seal", () => {
  const { blocks, map, positions, flush: last } = learn(testChain(2));
  expect(blocks).toMatchObject({
    open: { number: 1 },
    latest: { number: 0, timestamp: 1_000 },
    unsealed: [{ number: 0 }],
    gas: 0,
    closesFirst: true,
  });
  expect([map?.version, positions, last]).toEqual([
    1,
    [
      [0, 1],
      [1, 1],
    ],
    1,
  ]);
});

test.each<[blocks: number, sealed: number]>([
  [9, 9],
  [9, 8],
  [9, 5],
  [9, 2],
])("%i blocks, sealed up to %i: a new leader knows what the old one knew", (count, sealed) => {
  const leader = grown(count, sealed);
  submit(leader, [{ sender: 7, nonce: 0, gas: 123_000 }]);
  pass(leader, 10);
  const { blocks } = leader.sequencer;
  const learned = learn(leader.chain).blocks;
  for (const field of ["open", "latest", "unsealed", "gas"] as const) expect(learned[field]).toEqual(blocks[field]);
  expect(learned.gas).toBe(123_000);
});

test("it needs no more of the logs than the last seal and the opening of its block", () => {
  const leader = grown(9, 8);
  const log = logOf(leader.chain, 0);
  let needed = 1;
  while (!reachesSeal(log.slice(-needed))) needed++;
  expect(needed).toBeLessThan(10);
  expect(learn(leader.chain, needed).blocks).toMatchObject({
    latest: leader.sequencer.blocks.latest,
    unsealed: leader.sequencer.blocks.unsealed,
  });
  expect(learn(leader.chain, needed).map).toBeNull();
  expect(learn(leader.chain, needed).mapVersion).toBe(1);
});

test("messages without a block, or with a seal alone, do not reach back far enough", () => {
  const term: LogMessage = { partition: 0, n: 5, term: 2, flush: 5, entries: [{ kind: "term", index: 0, term: 2, leader: "a" }] };
  const seal: LogMessage = { ...term, n: 4, entries: [{ kind: "seal", index: 0, number: 3, hash: new Uint8Array(32) }] };
  expect([reachesBlock([term]), reachesSeal([term]), reachesSeal([seal, term])]).toEqual([false, false, false]);
});

test("the map stands where it changed last", () => {
  const leader = leadFresh(2);
  moveAll(leader);
  pass(leader, 500);
  pass(leader, 1);
  expect(learn(leader.chain)).toMatchObject({ map: { version: 2, ranges: [{ partition: 1 }] }, mapVersion: 2, moves: [] });
});

test("ranges that were to move when the leader changed are moved by the next one", () => {
  const leader = leadFresh(2);
  moveAll(leader);
  leader.now = 500;
  startFlush(leader);
  endFlush(leader); // The block stands in LOG; nothing is written out yet.
  const next = lead(leader.chain, {}, 2, leader.now);
  const number = submit(next, [{ sender: 0, nonce: 0 }]);
  expect(flush(next)).toBe(0);
  pass(next, 1);
  pass(next, 10);
  expect(next.sequencer.ranges.map.ranges).toEqual([{ first: "0".repeat(40), partition: 1 }]);
  expect(codesOf(next, number)).toEqual(["accepted"]);
});

test("a client whose acknowledgement was lost with the old leader gets its hash again", () => {
  const leader = leadFresh();
  const mine = [0, 1, 2, 3].map((nonce) => ({ sender: 3, nonce }));
  submit(leader, mine);
  leader.now += 5;
  startFlush(leader);
  endFlush(leader); // In LOG, but nobody heard of it.
  const next = lead(leader.chain, {}, 2, leader.now);
  expect(codesOf(next, submit(next, mine))).toEqual(["known", "known", "known", "known"]);
  expect(codesOf(next, submit(next, [{ sender: 3, nonce: 2, salt: 1 }]))).toEqual(["nonceTooLow 4"]);
});

test("a new leader asks nonces at a position behind its own term", () => {
  const leader = grown(4, 4);
  const next = lead(leader.chain, {}, 2, leader.now);
  next.answers = false;
  submit(next, [{ sender: 0, nonce: 3 }]);
  const { partition, atN } = onlyAsk(next);
  expect(logOf(next.chain, partition)[atN - 1]?.entries.map(({ kind }) => kind)).toEqual(["term"]);
});

test.each<[what: string, turns: number, window: number | undefined, want: boolean]>([
  ["counted from genesis where that was read", 1, undefined, false],
  ["due at once where the last one is further back than was read", 12, 8, true],
])("snapshot after a takeover: %s", (_what, turns, window, want) => {
  const leader = grown(turns, turns);
  const next = lead(leader.chain, {}, 2, leader.now, window);
  flush(next);
  submit(next, [{ sender: 40, nonce: 0 }]);
  pass(next, 10);
  pass(next, 490);
  const block = logOf(next.chain, 0)
    .at(-1)
    ?.entries.find((entry) => entry.kind === "block");
  expect(block?.snapshot).toBe(want);
});
