/** Runs of calls: neighbours in a submit with one sender and consecutive nonces. */
import { expect, test } from "vitest";
import { readU32, readU64 } from "../bytes.ts";
import type { RunEntry } from "../entries.ts";
import { NONCE, NONCE_BYTES, TX, txAfterFlush, txAfterIndex, txIndex, txOffsets } from "../transactions.ts";
import type { SequencerLimits } from "./limits.ts";
import { at, on } from "./testing/group-steps.ts";
import type { TestLeader, TestTransfer } from "./testing/index.ts";
import { codesOf, endFlush, flush, lead, leadFresh, pass, startFlush, submit } from "./testing/index.ts";

/** Calls of one signed batch; all to `to`. */
const batch = (sender: number, first: number, calls: number, to = on(1), id = first): TestTransfer[] =>
  Array.from({ length: calls }, (_, call) => ({ sender, nonce: first + call, to, call: [id, call] }));
const all = (code: string, count: number) => Array.from({ length: count }, () => code);
const counts = (codes: string[] | undefined) => {
  const found = new Map<string, number>();
  for (const code of codes ?? []) found.set(code, (found.get(code) ?? 0) + 1);
  return Object.fromEntries(found);
};
/** What a flush says of runs, by partition: indexes of its transactions, and its nonce records. */
function runsOf(leader: TestLeader): { indexes: number[]; nonces: [index: number, nonce: number, following: number][] }[] {
  const runs = (leader.plan?.messages ?? []).flatMap(({ entries }) => entries.filter((entry) => entry.kind === "run"));
  return runs.map(({ transactions, nonces }: RunEntry) => ({
    indexes: Array.from(txOffsets(transactions), (offset) => txIndex(transactions, offset)),
    nonces: Array.from({ length: nonces.length / NONCE_BYTES }, (_, number) => [
      readU32(nonces, number * NONCE_BYTES + NONCE.index),
      readU64(nonces, number * NONCE_BYTES + NONCE.nonce),
      readU32(nonces, number * NONCE_BYTES + NONCE.following),
    ]),
  }));
}
function planned(leader: TestLeader): TestLeader {
  leader.now += 5;
  startFlush(leader);
  return leader;
}
const owned = (sender: number, home: number): boolean => (at[home] ?? []).includes(sender);

test("a batch is one run with one nonce record, and each call names the one before it", () => {
  const leader = leadFresh(4, { flushMs: 0 });
  const sender = on(1, 40);
  submit(leader, batch(sender, 0, 100));
  planned(leader);
  const [first] = runsOf(leader);
  expect(first).toEqual({ indexes: Array.from({ length: 100 }, (_, index) => index), nonces: [[0, 0, 99]] });
  const [message] = leader.plan?.messages ?? [];
  const { transactions } = message?.entries[0] as RunEntry;
  const befores = Array.from(txOffsets(transactions), (offset) => [
    txAfterFlush(transactions, offset),
    txAfterIndex(transactions, offset),
  ]);
  const number = leader.plan?.flush;
  expect(befores).toEqual(Array.from({ length: 100 }, (_, index) => (index === 0 ? [0, 0] : [number, index - 1])));
  expect(transactions[(txOffsets(transactions)[7] ?? 0) + TX.hash + 31]).toBe(7);
  endFlush(leader);
  expect(leader.chain.ledger.nonces.size).toBe(1);
});

test("senders between each other's batches have a nonce record each", () => {
  const leader = leadFresh(4, { flushMs: 0 });
  const [one, other] = [on(1, 40), on(1, 41)];
  submit(leader, [...batch(one, 0, 1), ...batch(other, 0, 1)]);
  pass(leader, 5);
  submit(leader, [...batch(one, 1, 3), ...batch(other, 1, 2), ...batch(one, 4, 2)]);
  planned(leader);
  expect(runsOf(leader)[0]?.nonces).toEqual([[0, 1, 2], [3, 1, 1], [5, 4, 1]]); // prettier-ignore
  endFlush(leader);
  expect(leader.chain.ledger.executed.size).toBe(9);
});

test.each<[what: string, limits: Partial<SequencerLimits>, gas: number]>([
  ["transactions", { flushTransactionsMax: 40 }, 1_000],
  ["bytes", { flushBytesMax: 251 * 40 + NONCE_BYTES }, 1_000],
  ["gas", { flushGasMax: 40_000 }, 1_000],
])("a batch goes into as many flushes as it needs: %s", (_what, limits, gas) => {
  const leader = leadFresh(4, { flushMs: 0, ...limits });
  const number = submit(leader, batch(on(1, 40), 0, 100).map((call) => ({ ...call, gas }))); // prettier-ignore
  const sizes: number[] = [];
  while (codesOf(leader, number) === undefined) {
    planned(leader);
    sizes.push(leader.plan?.transactions ?? 0);
    endFlush(leader);
  }
  expect(sizes).toEqual([40, 40, 20]);
  expect(codesOf(leader, number)).toEqual(all("accepted", 100));
});

test("a batch that fills the block goes on in the next one", () => {
  const leader = leadFresh(4, { flushMs: 0 }, 50_000);
  const number = submit(leader, batch(on(1, 40), 0, 100).map((call) => ({ ...call, gas: 1_000 }))); // prettier-ignore
  for (let turn = 0; turn < 6; turn++) pass(leader, 5);
  expect(codesOf(leader, number)).toEqual(all("accepted", 100));
});

test("the same batch again is known, also from within it and behind its end", () => {
  const leader = leadFresh(4, { flushMs: 0 });
  const sender = on(1, 40);
  submit(leader, batch(sender, 0, 50));
  pass(leader, 5);
  const answer = (calls: TestTransfer[]) => {
    const number = submit(leader, calls);
    pass(leader, 5);
    return codesOf(leader, number);
  };
  expect(answer(batch(sender, 0, 50))).toEqual(all("known", 50));
  expect(counts(answer([...batch(sender, 0, 50).slice(20), ...batch(sender, 50, 5)]))).toEqual({ known: 30, accepted: 5 });
  expect(answer(batch(sender, 0, 2, on(1), 999))).toEqual(all("nonceTooLow 55", 2));
});

test("a new leader knows the calls of a batch", () => {
  const old = leadFresh(4, { flushMs: 0 });
  submit(old, batch(on(1, 40), 0, 50));
  pass(old, 5);
  const leader = lead(old.chain, { flushMs: 0 }, 2);
  pass(leader, 0);
  const again = submit(leader, batch(on(1, 40), 0, 60));
  pass(leader, 5);
  expect(counts(codesOf(leader, again))).toEqual({ known: 50, accepted: 10 });
});

test("batches that overlap while they wait", () => {
  const leader = leadFresh(4, { flushMs: 0 });
  const sender = on(1, 40);
  submit(leader, batch(sender, 0, 1));
  pass(leader, 5);
  const behind = submit(leader, batch(sender, 10, 10)); // 10 to 19: behind a gap.
  const over = submit(leader, batch(sender, 5, 20, on(1), 99)); // 5 to 24.
  const same = submit(leader, batch(sender, 10, 10));
  expect(counts(codesOf(leader, same))).toEqual({ alreadyKnown: 10 });
  const front = submit(leader, batch(sender, 1, 4));
  pass(leader, 5);
  expect(counts(codesOf(leader, front))).toEqual({ accepted: 4 });
  expect(counts(codesOf(leader, behind))).toEqual({ accepted: 10 });
  expect(codesOf(leader, over)).toEqual([...all("accepted", 5), ...all("replacement", 10), ...all("accepted", 5)]);
});

test("a refused append takes a batch back whole", () => {
  const leader = leadFresh(4, { flushMs: 0, flushTransactionsMax: 30 });
  const sender = on(1, 40);
  const first = submit(leader, batch(sender, 0, 50));
  planned(leader);
  endFlush(leader, "full");
  expect(leader.sequencer.recent.count).toBe(0);
  leader.now += 2_000;
  const again = submit(leader, batch(sender, 0, 50));
  for (let turn = 0; turn < 6; turn++) pass(leader, 5);
  expect(counts(codesOf(leader, first))["logFull"]).toBeGreaterThanOrEqual(30);
  expect(counts(codesOf(leader, again))).toEqual({ accepted: 30, alreadyKnown: 20 }); // Those have waited behind the others.
  expect(leader.chain.ledger.executed.size).toBe(50);
});

test("who sends singles is not held up by who sends batches", () => {
  const leader = leadFresh(4, { flushMs: 0, flushTransactionsMax: 200 });
  const heavy = [0, 1, 2, 3].map((number) => on(1, 40 + number));
  for (const sender of heavy) submit(leader, batch(sender, 0, 1_000));
  const singles = Array.from({ length: 20 }, (_, number) =>
    submit(leader, [{ sender: on(1, 60 + number), nonce: 0, to: on(1) }]),
  );
  let flushes = 0;
  while (singles.some((number) => codesOf(leader, number) === undefined)) {
    flushes += flush(leader, 1);
  }
  expect(flushes).toBeLessThanOrEqual(3);
  expect(leader.chain.ledger.executed.size).toBeLessThan(1_000);
});

test("batches leave room in the queue for singles", () => {
  const leader = leadFresh(4, { flushTransactionsMax: 1, queueRecordsMax: 400, queueFairMax: 10 });
  submit(leader, batch(on(1, 40), 0, 1));
  const codes = [41, 42, 43].map((sender) => submit(leader, batch(on(1, sender), 0, 200)));
  const single = submit(leader, [{ sender: on(1, 60), nonce: 0, to: on(1) }]);
  for (let turn = 0; turn < 900 && codesOf(leader, single) === undefined; turn++) pass(leader, 1);
  expect(codesOf(leader, single)).toEqual(["accepted"]);
  for (let turn = 0; turn < 900; turn++) pass(leader, 1);
  const answers = codes.map((number) => counts(codesOf(leader, number)));
  expect(answers).toEqual([{ accepted: 200 }, { accepted: 100, busy: 100 }, { accepted: 10, busy: 190 }]);
});

test("calls to accounts of several partitions keep their order", () => {
  const leader = leadFresh(4, { flushMs: 0 });
  const sender = on(0, 40);
  const calls = batch(sender, 0, 12).map((call, index) => ({ ...call, to: on(index < 6 ? 1 : 2) }));
  const number = submit(leader, calls);
  for (let turn = 0; turn < 6; turn++) pass(leader, 5);
  expect(codesOf(leader, number)).toEqual(all("accepted", 12));
  const where = [...leader.chain.ledger.executed.values()].map(({ partition }) => partition);
  expect(where).toEqual([...Array<number>(6).fill(1), ...Array<number>(6).fill(2)]);
  expect(owned(sender, 0)).toBe(true);
});
