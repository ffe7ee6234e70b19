import { expect, test } from "vitest";
import { numbersFrom } from "../blocks/testing.ts";
import { hexOf } from "../bytes.ts";
import { SUBMIT } from "../messages.ts";
import { stepDown } from "./lead.ts";
import type { TestLeader, TestTransfer } from "./testing/index.ts";
import {
  answerAsks,
  built,
  endFlush,
  lead,
  pass,
  settleEffects,
  startFlush,
  submit,
  testChain,
  transferHash,
} from "./testing/index.ts";

const SENDERS = 40;
const NONCES = 250;

/** Shuffled within a window, so that most nonces come a little too early or late; some come twice. */
function makeSubmits(next: (below: number) => number): TestTransfer[][] {
  const all: { transfer: TestTransfer; at: number }[] = [];
  for (let sender = 0; sender < SENDERS; sender++) {
    for (let nonce = 0; nonce < NONCES; nonce++) {
      const transfer = { sender, nonce, to: next(100), rawBytes: 50 + next(200) };
      all.push({ transfer, at: nonce * 10 + next(120) });
      if (next(10) === 0) all.push({ transfer, at: nonce * 10 + next(500) });
      if (next(50) === 0) all.push({ transfer: { ...transfer, salt: 1 }, at: nonce * 10 + next(300) });
    }
  }
  all.sort((left, right) => left.at - right.at);
  const submits: TestTransfer[][] = [];
  while (all.length > 0) submits.push(all.splice(0, 1 + next(120)).map(({ transfer }) => transfer));
  return submits;
}

/** One run with refused appends and leaders that lose their place, acknowledged or not. */
function run(seed: number): { leader: TestLeader; accepted: Set<string> } {
  const next = numbersFrom(seed);
  const limits = { flushTransactionsMax: 64, senderRatePerSecond: 1_000_000, senderBurst: 1_000_000, fullRetryMs: 20 };
  let leader = lead(testChain(4, 5_000_000), limits);
  const accepted = new Set<string>();
  const open = new Map<number, TestTransfer[]>();
  const again: TestTransfer[] = [];
  const collect = () => {
    for (const [number, transfers] of open) {
      const reply = leader.replies.get(number);
      if (reply === undefined) continue;
      open.delete(number);
      transfers.forEach((transfer, index) => {
        const code = reply.codes[index];
        if (code === SUBMIT.accepted || code === SUBMIT.known) accepted.add(hexOf(transferHash(transfer)));
        else if (code !== SUBMIT.nonceTooLow) again.push(transfer);
      });
    }
  };
  const send = (transfers: TestTransfer[]) => {
    open.set(submit(leader, transfers, next(3) === 0), transfers);
    collect();
  };
  const turn = () => {
    leader.answers = next(3) > 0;
    if (next(40) === 0) {
      stepDown(leader.sequencer);
      settleEffects(leader);
      collect();
      leader = lead(leader.chain, limits, leader.sequencer.term + 1, leader.now, 200);
    }
    leader.now += next(8);
    if (startFlush(leader) !== undefined) {
      if (next(4) === 0) send([{ sender: next(SENDERS), nonce: next(NONCES) }]);
      if (next(30) === 0) endFlush(leader, "full");
      else endFlush(leader);
    }
    answerAsks(leader);
    settleEffects(leader);
    pass(leader, 0);
    for (const { number } of leader.sequencer.blocks.unsealed.slice()) built(leader, number);
    collect();
  };
  for (const transfers of makeSubmits(next)) {
    send(transfers);
    turn();
  }
  // Clients go on until everything is answered.
  for (let round = 0; round < 2_000 && (again.length > 0 || open.size > 0); round++) {
    if (again.length > 0) send(again.splice(0).toSorted((left, right) => left.nonce - right.nonce));
    turn();
    pass(leader, 500);
    for (const { number } of leader.sequencer.blocks.unsealed.slice()) built(leader, number);
    collect();
  }
  expect(open.size).toBe(0);
  return { leader, accepted };
}

test.each([1, 2, 3])("10,000 submits in disorder, seed %i: each sender's transactions in nonce order, exactly once", (seed) => {
  const { leader, accepted } = run(seed);
  const { executed, nonces } = leader.chain.ledger; // It asserts order and uniqueness itself.
  expect(executed.size).toBe(SENDERS * NONCES);
  expect([...nonces.values()].map(({ next }) => next)).toEqual(Array.from({ length: SENDERS }, () => NONCES));
  const order = [...executed.values()].toSorted((left, right) => left.flush - right.flush || left.index - right.index);
  const seen = new Map<string, number>();
  for (const { sender, nonce } of order) {
    expect(nonce).toBe(seen.get(sender) ?? 0);
    seen.set(sender, nonce + 1);
  }
  for (const hash of accepted) expect(executed.has(hash)).toBe(true);
  const { waiting, submits } = leader.sequencer;
  expect([waiting.count, submits.open, submits.bytes, submits.records]).toEqual([0, 0, 0, 0]);
});
