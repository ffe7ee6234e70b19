import { expect, test } from "vitest";
import { readU32 } from "../bytes.ts";
import type { RunEntry } from "../entries.ts";
import { NONCE_BYTES, TX_HEADER_BYTES, txBytes, txCount, txIndex } from "../transactions.ts";
import { nextFlushAt } from "./flush.ts";
import type { SequencerLimits } from "./limits.ts";
import type { TestLeader, TestTransfer } from "./testing/index.ts";
import { codesOf, endFlush, flush, leadFresh, pass, startFlush, submit, transferRecord } from "./testing/index.ts";

const each = (count: number): TestTransfer[] => Array.from({ length: count }, (_, sender) => ({ sender, nonce: 0 }));
const runsOf = (leader: TestLeader): RunEntry[] =>
  (leader.plan?.messages ?? []).flatMap(({ entries }) => entries.filter((entry) => entry.kind === "run"));

/** Submits, waits until the flush is due and starts it. */
function sent(leader: TestLeader, transfers: TestTransfer[]): number {
  const number = submit(leader, transfers);
  leader.now += leader.sequencer.limits.flushMs;
  startFlush(leader);
  return number;
}

test("indexes count over all partitions, and each nonce record has its transaction's index", () => {
  const leader = leadFresh();
  sent(leader, each(50));
  const transactions = runsOf(leader).flatMap((run) => {
    const indexes: number[] = [];
    for (let at = 0; at < run.transactions.length; at += txBytes(run.transactions, at))
      indexes.push(txIndex(run.transactions, at));
    return indexes;
  });
  const nonces = runsOf(leader).flatMap((run) =>
    Array.from({ length: run.nonces.length / NONCE_BYTES }, (_, row) => readU32(run.nonces, row * NONCE_BYTES)),
  );
  const all = Array.from({ length: 50 }, (_, index) => index);
  expect(leader.plan?.messages.length).toBe(4);
  expect(transactions.toSorted((left, right) => left - right)).toEqual(all);
  expect(nonces.toSorted((left, right) => left - right)).toEqual(all);
  endFlush(leader);
});

test("a record stands in LOG as it was submitted, but for its index", () => {
  const leader = leadFresh(1);
  sent(leader, each(2));
  const [run] = runsOf(leader);
  const second = transferRecord({ sender: 1, nonce: 0 });
  second[4] = 1;
  expect(run?.transactions.subarray(second.length)).toEqual(second);
});

test("the buffers of a flush stay as they are while the next one is filled", () => {
  const leader = leadFresh(1);
  sent(leader, each(1));
  const [run] = runsOf(leader);
  const before = run?.transactions.slice();
  endFlush(leader);
  sent(leader, [{ sender: 5, nonce: 0, rawBytes: 500 }]);
  expect(run?.transactions).toEqual(before);
});

test("only partitions concerned get a message", () => {
  const leader = leadFresh(16);
  sent(leader, [{ sender: 0, nonce: 0 }]);
  expect(leader.plan?.messages.length).toBe(2);
  expect(leader.plan?.messages.flatMap(({ entries }) => entries).map(({ kind }) => kind)).toEqual(["run", "run"]);
});

test("a flush waits flushMs for more, and starts at once when it is full", () => {
  const leader = leadFresh(4, { flushTransactionsMax: 10, flushMs: 5 });
  submit(leader, each(9));
  expect(nextFlushAt(leader.sequencer)).toBe(5);
  expect(startFlush(leader)).toBeUndefined();
  submit(leader, each(12).slice(9));
  expect(nextFlushAt(leader.sequencer)).toBe(0);
  expect(startFlush(leader)?.transactions).toBe(10);
  endFlush(leader);
  expect(nextFlushAt(leader.sequencer)).toBe(5);
});

test.each<[what: string, limits: Partial<SequencerLimits>, each: number]>([
  ["transactions", { flushTransactionsMax: 7 }, 7],
  ["bytes", { flushBytesMax: 5 * (TX_HEADER_BYTES + 21 + 110 + NONCE_BYTES) }, 5],
  ["declared gas", { flushGasMax: 399_999 }, 3],
  ["transactions with more gas than a flush has: one", { flushGasMax: 1 }, 1],
])("a flush has at most so many %s", (_what, limits, perFlush) => {
  const leader = leadFresh(4, limits);
  const number = submit(leader, each(40));
  const sizes: number[] = [];
  for (leader.now += 5; startFlush(leader) !== undefined; leader.now += 5) {
    sizes.push(runsOf(leader).reduce((count, run) => count + txCount(run.transactions), 0));
    endFlush(leader);
  }
  expect(Math.max(...sizes)).toBe(perFlush);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(40);
  expect(codesOf(leader, number)).toEqual(Array.from({ length: 40 }, () => "accepted"));
});

test("nothing starts while an append is outstanding; what comes meanwhile goes next", () => {
  const leader = leadFresh();
  const first = sent(leader, each(3));
  const second = submit(leader, [{ sender: 0, nonce: 1 }]);
  leader.now += 100;
  expect(nextFlushAt(leader.sequencer)).toBe(Number.POSITIVE_INFINITY);
  expect(codesOf(leader, first)).toBeUndefined();
  endFlush(leader);
  expect([codesOf(leader, first)?.length, codesOf(leader, second)]).toEqual([3, undefined]);
  expect(flush(leader)).toBe(1);
  expect(codesOf(leader, second)).toEqual(["accepted"]);
});

test("a reply names the positions behind its flush", () => {
  const leader = leadFresh();
  const number = submit(leader, each(20));
  pass(leader, 10);
  expect(leader.replies.get(number)?.positions).toEqual([...leader.chain.ledger.logs].map(([id, { n }]) => [id, n]));
});

test("a refused append is taken back whole: what comes again stands at the same nonces, and nothing is skipped", () => {
  const leader = leadFresh();
  submit(leader, [{ sender: 0, nonce: 0 }]);
  pass(leader, 10);
  const lost = sent(leader, [
    { sender: 0, nonce: 1 },
    { sender: 0, nonce: 2 },
    { sender: 1, nonce: 0 },
  ]);
  const next = submit(leader, [{ sender: 0, nonce: 3 }]);
  const gap = submit(leader, [{ sender: 0, nonce: 5 }]);
  endFlush(leader, "full");
  expect([codesOf(leader, lost), codesOf(leader, next), codesOf(leader, gap)]).toEqual([
    ["logFull", "logFull", "logFull"],
    ["logFull"],
    undefined,
  ]);
  expect(flush(leader)).toBe(0);
  pass(leader, 1_000);
  // The first of them is still known, the others are not.
  const again = submit(
    leader,
    [0, 1, 2, 3, 4].map((nonce) => ({ sender: 0, nonce })),
  );
  const other = submit(leader, [{ sender: 1, nonce: 0 }]);
  pass(leader, 10);
  expect(codesOf(leader, again)).toEqual(["known", "accepted", "accepted", "accepted", "accepted"]);
  expect([codesOf(leader, other), codesOf(leader, gap)]).toEqual([["accepted"], ["accepted"]]);
});

test("what waited for room is sequenced after a refused append, when the server has room again", () => {
  const leader = leadFresh(1, { flushTransactionsMax: 2 });
  const number = submit(leader, each(6));
  startFlush(leader);
  endFlush(leader, "full");
  pass(leader, 1_000);
  pass(leader, 10);
  expect(codesOf(leader, number)).toEqual(["logFull", "logFull", "accepted", "accepted", "accepted", "accepted"]);
});

test("what stood behind a refused append waits for its turn again", () => {
  const leader = leadFresh(1, { flushTransactionsMax: 2 });
  const rest = submit(
    leader,
    [0, 1, 2, 3, 4].map((nonce) => ({ sender: 0, nonce })),
  );
  startFlush(leader);
  endFlush(leader, "full");
  pass(leader, 1_000);
  const again = submit(
    leader,
    [0, 1].map((nonce) => ({ sender: 0, nonce })),
  );
  for (let turn = 0; turn < 4; turn++) pass(leader, 10);
  expect(codesOf(leader, again)).toEqual(["accepted", "accepted"]);
  expect(codesOf(leader, rest)).toEqual(["logFull", "logFull", "accepted", "accepted", "accepted"]);
});

test("a transaction of a refused append is not known when another took its nonce", () => {
  const leader = leadFresh();
  const lost = { sender: 0, nonce: 0 };
  sent(leader, [lost]);
  endFlush(leader, "full");
  pass(leader, 1_000);
  submit(leader, [{ sender: 0, nonce: 0, salt: 1 }]);
  pass(leader, 10);
  expect(codesOf(leader, submit(leader, [lost]))).toEqual(["nonceTooLow 1"]);
});
