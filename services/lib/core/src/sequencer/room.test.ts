/** Records whose turn it is while there is no room for them. */
import { expect, test } from "vitest";
import { takeReport, tickSequencer } from "./lead.ts";
import type { TestLeader, TestTransfer } from "./testing/index.ts";
import { codesOf, leadFresh, pass, reportOf, settleEffects, submit } from "./testing/index.ts";

const from = (sender: number, ...nonces: number[]): TestTransfer[] => nonces.map((nonce) => ({ sender, nonce }));
const outFull = (leader: TestLeader) =>
  takeReport(leader.sequencer, reportOf(leader.chain.ledger, 0, { outFull: true }), leader.now);

test("a record that finds no room in time is refused as busy, those of its run too, and those behind them as too high", () => {
  const leader = leadFresh(1, { unsealedMax: 2 });
  for (let turn = 0; turn < 4; turn++) pass(leader, 500); // No archive seals.
  const number = submit(leader, from(0, 0, 1));
  const behind = submit(leader, from(0, 2));
  pass(leader, 3_000);
  expect(codesOf(leader, number)).toBeUndefined();
  pass(leader, 600);
  expect(codesOf(leader, number)).toEqual(["busy", "busy"]);
  expect(codesOf(leader, behind)).toEqual(["nonceTooHigh"]);
});

test("what waits for room is refused at once when a partition says that OUT is full", () => {
  const leader = leadFresh(1, { unsealedMax: 2 });
  for (let turn = 0; turn < 4; turn++) pass(leader, 500); // No archive seals.
  const number = submit(leader, from(0, 0));
  pass(leader, 100);
  expect(codesOf(leader, number)).toBeUndefined();
  outFull(leader);
  tickSequencer(leader.sequencer, leader.now);
  settleEffects(leader);
  expect(codesOf(leader, number)).toEqual(["logFull"]);
});

test("while OUT is full everything is refused; as soon as there is room it is taken", () => {
  const leader = leadFresh();
  outFull(leader);
  const refused = submit(leader, from(0, 0));
  settleEffects(leader);
  expect(codesOf(leader, refused)).toEqual(["logFull"]);
  pass(leader, 10); // Everybody reports again.
  const taken = submit(leader, from(0, 0));
  pass(leader, 10);
  expect(codesOf(leader, taken)).toEqual(["accepted"]);
});
