import { expect, test } from "vitest";
import { concatBytes, writeU32 } from "../bytes.ts";
import { TX } from "../transactions.ts";
import { checkRecords, openRunList } from "./check-records.ts";
import { stepDown, takeReport, tickSequencer } from "./lead.ts";
import type { SequencerLimits } from "./limits.ts";
import { submitRecords } from "./submit.ts";
import type { TestLeader, TestTransfer } from "./testing/index.ts";
import {
  accountOf,
  answerAsks,
  codesOf,
  endFlush,
  flush,
  lead,
  leadFresh,
  onlyAsk,
  pass,
  reportOf,
  settleEffects,
  startFlush,
  submit,
  testChain,
  transferRecord,
  transferRecords,
} from "./testing/index.ts";

const from = (sender: number, ...nonces: number[]): TestTransfer[] => nonces.map((nonce) => ({ sender, nonce }));

/** One step of a story: a submit with the codes it gets in the end, or something that happens meanwhile. */
type Step = { submit: TestTransfer[]; refusesGaps?: boolean; codes: string[] } | { ms: number } | ((leader: TestLeader) => void);

function check(steps: Step[], limits: Partial<SequencerLimits> = {}): void {
  const leader = leadFresh(4, limits);
  const wanted: [step: number, submit: number, codes: string[]][] = [];
  const got = new Map<number, string[] | undefined>();
  const collect = () => {
    for (const [step, number] of wanted) if (!got.has(step) && leader.replies.has(number)) got.set(step, codesOf(leader, number));
  };
  steps.forEach((step, index) => {
    if (typeof step === "function") step(leader);
    else if ("ms" in step) pass(leader, step.ms);
    else wanted.push([index, submit(leader, step.submit, step.refusesGaps), step.codes]);
    collect();
  });
  for (let turn = 0; turn < 20; turn++) pass(leader, 500);
  collect();
  expect(wanted.map(([step]) => got.get(step))).toEqual(wanted.map(([, , codes]) => codes));
}

const start = (leader: TestLeader) => void startFlush(leader);
const end = (leader: TestLeader) => endFlush(leader);
const full = (leader: TestLeader) => endFlush(leader, "full");
const silence = (leader: TestLeader) => {
  leader.now += 3_001; // Nobody reports.
};
const home = 1; // transfers of sender 0 go to account 1
const fill = (leader: TestLeader, account: number) => {
  const partition = leader.chain.ledger.ranges.ownerOf(accountOf(account), 0);
  takeReport(leader.sequencer, reportOf(leader.chain.ledger, partition, { memoryBytes: 2, memoryBytesMax: 1 }), leader.now);
};
const memory = (leader: TestLeader) => fill(leader, home);
const senderMemory = (leader: TestLeader) => fill(leader, 0);
const partitionOf = (account: number) => leadFresh().chain.ledger.ranges.ownerOf(accountOf(account), 0);
const detail = (code: string, number: number) => (number === 0 ? code : `${code} ${number}`);
const known = (count: number) => Array.from({ length: count }, () => "known");
const many = (count: number, first = 0) => from(0, ...Array.from({ length: count }, (_, index) => first + index));

test.each<[what: string, steps: Step[], limits?: Partial<SequencerLimits>]>([
  ["nothing", [{ submit: [], codes: [] }]],
  ["in order", [{ submit: from(0, 0, 1, 2), codes: ["accepted", "accepted", "accepted"] }]],
  ["in any order", [{ submit: from(0, 2, 0, 1), codes: ["accepted", "accepted", "accepted"] }]],
  ["in two submits", [{ submit: from(0, 1), codes: ["accepted"] }, { ms: 1_000 }, { submit: from(0, 0), codes: ["accepted"] }]],
  ["gap that does not close", [{ submit: from(0, 0, 2), codes: ["accepted", "nonceTooHigh 1"] }]],
  [
    "gap that closes too late",
    [
      { submit: from(0, 0, 2), codes: ["accepted", "nonceTooHigh 1"] },
      { ms: 2_100 },
      { submit: from(0, 1), codes: ["accepted"] },
    ],
  ],
  [
    "gap of 64",
    [
      { submit: from(0, 0, 65), codes: ["accepted", "nonceTooHigh 1"] },
      { submit: from(0, 64, 66), codes: ["nonceTooHigh 1", "nonceTooHigh 1"] },
    ],
    { gapMax: 64 },
  ],
  ["gap of unknown sender too far", [{ submit: from(0, 64, 65), codes: ["nonceTooHigh", "nonceTooHigh"] }], { gapMax: 64 }],
  [
    "gap refused at once where asked for, though the predecessor comes",
    [
      { submit: from(0, 0), codes: ["accepted"] },
      { ms: 10 },
      { submit: from(0, 2), refusesGaps: true, codes: ["nonceTooHigh 1"] },
      { submit: from(0, 1), codes: ["accepted"] },
    ],
  ],
  ["gap refused at once for an unknown sender", [{ submit: from(0, 1, 0), refusesGaps: true, codes: ["accepted", "accepted"] }]],
  [
    "nonce used by another transaction",
    [
      { submit: from(0, 0, 1), codes: ["accepted", "accepted"] },
      { ms: 10 },
      { submit: [{ sender: 0, nonce: 0, salt: 1 }], codes: ["nonceTooLow 2"] },
    ],
  ],
  [
    "the same again after its acknowledgement, last and earlier one",
    [
      { submit: from(0, 0, 1), codes: ["accepted", "accepted"] },
      { ms: 10 },
      { submit: from(0, 1, 0), codes: ["known", "known"] },
    ],
  ],
  [
    "the same again before its flush starts",
    [
      { submit: from(0, 0), codes: ["accepted"] },
      { submit: from(0, 0), codes: ["known"] },
    ],
  ],
  [
    "the same again while its append is outstanding",
    [
      { submit: from(0, 0), codes: ["accepted"] },
      { ms: 0 },
      (leader) => void (leader.now += 5),
      start,
      { submit: from(0, 0), codes: ["known"] },
      end,
    ],
  ],
  [
    "the same again while its append is outstanding, and the server is full",
    [
      { submit: from(0, 0), codes: ["logFull"] },
      (leader) => void (leader.now += 5),
      start,
      { submit: from(0, 0), codes: ["logFull"] },
      full,
    ],
  ],
  [
    "the same again while it waits",
    [
      { submit: from(0, 1), codes: ["nonceTooHigh"] },
      { submit: from(0, 1), codes: ["alreadyKnown"] },
    ],
  ],
  ["twice in one submit", [{ submit: from(0, 0, 0), codes: ["accepted", "alreadyKnown"] }]],
  [
    "another with the nonce of one that waits",
    [
      { submit: from(0, 1), codes: ["nonceTooHigh"] },
      { submit: [{ sender: 0, nonce: 1, salt: 1 }], codes: ["replacement"] },
    ],
  ],
  [
    "faster than a sender may",
    [
      { submit: many(4), codes: ["accepted", "accepted", "senderLimit 1000", "senderLimit 1000"] },
      { ms: 1 },
      { submit: from(0, 2, 3), codes: ["accepted", "senderLimit 1000"] },
    ],
    { senderRatePerSecond: 1_000, senderBurst: 2 },
  ],
  [
    "old ones that anybody sends again do not count against their sender",
    [
      { submit: many(2), codes: ["accepted", "accepted"] },
      { ms: 10 },
      { submit: [...many(2), ...many(2), { sender: 0, nonce: 0, salt: 1 }], codes: [...known(4), "nonceTooLow 2"] },
      { submit: many(3, 2), codes: ["accepted", "accepted", "senderLimit 1000"] },
      { submit: many(2, 2), codes: known(2) },
      { ms: 1 },
      { submit: many(2, 4), codes: ["accepted", "senderLimit 1000"] },
    ],
    { senderRatePerSecond: 1_000, senderBurst: 2 },
  ],
  [
    "repetitions and replacements of what waits do not count, what waits does",
    [
      { submit: from(0, 0), codes: ["accepted"] },
      { ms: 10 },
      { submit: from(0, 2, 2, 2), codes: ["accepted", "alreadyKnown", "alreadyKnown"] },
      { submit: [{ sender: 0, nonce: 2, salt: 1 }], codes: ["replacement"] },
      { submit: from(0, 1, 3), codes: ["accepted", "senderLimit 1000"] },
    ],
    { senderRatePerSecond: 1_000, senderBurst: 2 },
  ],
  ["more than may wait", [{ submit: from(0, 0, 1, 2), codes: ["accepted", "accepted", "busy"] }], { queueRecordsMax: 2 }],
  [
    "more than may wait behind gaps",
    [{ submit: from(0, 0, 2, 3, 4), codes: ["accepted", "nonceTooHigh 1", "nonceTooHigh 1", "busy"] }],
    { queueRecordsMax: 4 },
  ],
  ["more bytes than may wait", [{ submit: from(0, 0, 1), codes: ["busy", "busy"] }], { queueBytesMax: 300 }],
  [
    "more submits than may wait",
    [
      { submit: from(0, 1), codes: ["nonceTooHigh"] },
      { submit: from(7, 0), codes: ["busy"] },
    ],
    { submitsMax: 1 },
  ],
  ["more gas than a block has", [{ submit: [{ sender: 0, nonce: 0, gas: 1_000_000_001 }], codes: ["gasLimit 1000000000"] }]],
  [
    "silent partition",
    [
      silence,
      { submit: from(0, 0), codes: [detail("partitionSilent", partitionOf(home))] },
      { ms: 1 },
      { submit: from(0, 0), codes: ["accepted"] },
    ],
  ],
  ["full partition", [memory, { submit: from(0, 0), codes: [detail("partitionFull", partitionOf(home))] }]],
  [
    "full partition of an unknown sender, and of a known one",
    [
      senderMemory,
      { submit: from(0, 0), codes: [detail("partitionFull", partitionOf(0))] },
      { ms: 1 },
      { submit: from(0, 0), codes: ["accepted"] },
      { ms: 10 },
      senderMemory,
      { submit: from(0, 1), codes: [detail("partitionFull", partitionOf(0))] },
    ],
  ],
  [
    "full server",
    [
      { submit: from(0, 0), codes: ["logFull"] },
      (leader) => void (leader.now += 5),
      start,
      full,
      { submit: from(0, 0), codes: ["logFull"] },
      { ms: 1_001 },
      { submit: from(0, 0), codes: ["accepted"] },
    ],
  ],
  [
    "more ready than one sender may have",
    [{ submit: many(4), codes: ["accepted", "accepted", "senderLimit 2", "senderLimit 2"] }],
    { readyPerSenderMax: 2 },
  ],
])("%s", (_what, steps, limits) => check(steps, limits));

test("a sender whose partition does not answer is refused after askMs, and asked again meanwhile", () => {
  const leader = leadFresh();
  leader.answers = false;
  const number = submit(leader, from(0, 0));
  const { addresses, partition } = onlyAsk(leader);
  expect(addresses).toEqual(accountOf(0));
  for (let turn = 0; turn < 29; turn++) pass(leader, 100);
  expect(leader.replies.has(number)).toBe(false);
  pass(leader, 101);
  expect(codesOf(leader, number)).toEqual([detail("partitionSilent", partition)]);
});

test("old ones that waited for their sender's nonce do not count against it", () => {
  const chain = testChain();
  const before = lead(chain);
  flush(before);
  submit(before, many(2));
  pass(before, 10);
  const leader = lead(chain, { senderRatePerSecond: 1_000, senderBurst: 2 }, 2);
  pass(leader, 0);
  leader.answers = false;
  const old = submit(leader, many(2));
  answerAsks(leader);
  settleEffects(leader);
  expect(codesOf(leader, old)).toEqual(known(2));
  const real = submit(leader, many(3, 2));
  pass(leader, 10);
  expect(codesOf(leader, real)).toEqual(["accepted", "accepted", "senderLimit 1000"]);
});

test("senders of one partition are asked in one request, and further ones after its answer", () => {
  const leader = leadFresh(1);
  leader.answers = false;
  submit(leader, [...from(0, 0), ...from(1, 0), ...from(0, 1)]);
  submit(leader, from(2, 0));
  expect(leader.asks.map(({ addresses }) => addresses)).toEqual([concatBytes([accountOf(0), accountOf(1)])]);
  answerAsks(leader);
  settleEffects(leader);
  expect(leader.asks.map(({ addresses }) => addresses)).toEqual([accountOf(2)]);
  answerAsks(leader);
  pass(leader, 10);
  expect(leader.chain.ledger.executed.size).toBe(4);
});

test("what waits for a lagging partition goes on when it catches up; others are not held up", () => {
  const leader = leadFresh(2, { lagBytesMax: 1_000 });
  const { ledger } = leader.chain;
  const at = (partition: number) =>
    Array.from({ length: 100 }, (_, account) => account).filter(
      (account) => ledger.ranges.ownerOf(accountOf(account), 0) === partition,
    );
  const [slow, fast] = [at(0), at(1)];
  const stuck = reportOf(ledger, 0);
  const send = (sender: number, to: number, nonce: number) => submit(leader, [{ sender, nonce, to, rawBytes: 1_000 }]);
  send(slow[0]!, slow[1]!, 0);
  pass(leader, 10, false);
  takeReport(leader.sequencer, stuck, leader.now);
  const waits = send(slow[0]!, slow[1]!, 1);
  const goes = send(fast[0]!, fast[1]!, 0);
  leader.now += 10;
  flush(leader);
  expect([codesOf(leader, waits), codesOf(leader, goes)]).toEqual([undefined, ["accepted"]]);
  takeReport(leader.sequencer, reportOf(ledger, 0), leader.now);
  leader.now += 10;
  flush(leader);
  expect(codesOf(leader, waits)).toEqual(["accepted"]);
});

test("what stands behind a record refused at its turn waits for that nonce", () => {
  const leader = leadFresh(4, { flushTransactionsMax: 1 });
  const { ledger } = leader.chain;
  const number = submit(leader, [
    { sender: 5, nonce: 0 },
    { sender: 0, nonce: 0, to: home },
    { sender: 0, nonce: 1, to: 2 },
  ]);
  memory(leader);
  pass(leader, 0, false);
  expect(leader.chain.ledger.executed.size).toBe(1);
  const partition = ledger.ranges.ownerOf(accountOf(home), 0);
  takeReport(leader.sequencer, reportOf(ledger, partition), leader.now);
  const again = submit(leader, [{ sender: 0, nonce: 0, to: home }]);
  for (let turn = 0; turn < 3; turn++) pass(leader, 10);
  expect(codesOf(leader, number)).toEqual(["accepted", detail("partitionFull", partition), "accepted"]);
  expect(codesOf(leader, again)).toEqual(["accepted"]);
});

test("a deposed leader answers everything open with notLeader", () => {
  const leader = leadFresh();
  const numbers = [submit(leader, from(0, 0)), submit(leader, from(1, 5, 0))];
  leader.now += 5;
  startFlush(leader);
  numbers.push(submit(leader, from(2, 0)), submit(leader, from(0, 0)));
  stepDown(leader.sequencer);
  settleEffects(leader);
  expect(numbers.map((number) => codesOf(leader, number))).toEqual([
    ["notLeader"],
    ["notLeader", "notLeader"],
    ["notLeader"],
    ["notLeader"],
  ]);
});

test("every code is counted", () => {
  const leader = leadFresh();
  submit(leader, from(0, 0, 0));
  pass(leader, 10);
  expect([...leader.sequencer.decisions.slice(0, 5)]).toEqual([1, 0, 0, 0, 1]);
});

test("expired gaps leave nothing behind", () => {
  const leader = leadFresh();
  submit(leader, from(0, 3, 4));
  leader.now += 2_001;
  tickSequencer(leader.sequencer, leader.now);
  settleEffects(leader);
  const { waiting, submits } = leader.sequencer;
  expect([waiting.count, submits.open, submits.records, submits.bytes]).toEqual([0, 0, 0, 0]);
});

const broken = (change: (records: Uint8Array) => void): Uint8Array => {
  const records = transferRecords(from(0, 0, 1));
  change(records);
  return records;
};
test.each<[what: string, records: Uint8Array, count: number]>([
  ["two records", transferRecords(from(0, 0, 1)), 2],
  ["none", new Uint8Array(0), 0],
  ["a cut record", transferRecord({ sender: 0, nonce: 0 }).subarray(0, -1), -1],
  ["a rest", concatBytes([transferRecord({ sender: 0, nonce: 0 }), new Uint8Array(3)]), -1],
  ["length 0", broken((records) => writeU32(records, 0, 0)), -1],
  ["raw transaction outside", broken((records) => writeU32(records, TX.rawOffset, 0xffff_ffff)), -1],
  ["more declared accounts than there is room", broken((records) => records.fill(255, TX.declared, TX.declared + 2)), -1],
  ["nonce of 2^53", broken((records) => writeU32(records, TX.nonce + 4, 0x20_0000)), -1],
  ["gas limit of 2^64 - 1", broken((records) => records.fill(255, TX.gasLimit, TX.gasLimit + 8)), -1],
  ["too large", transferRecord({ sender: 0, nonce: 0, rawBytes: 2_000 }), -1],
])("form of a submit: %s", (_what, records, count) => {
  expect(checkRecords(records, 1_000, 1_000_000, openRunList())).toBe(count);
  if (count < 0) expect(submitRecords(leadFresh(1, { recordBytesMax: 1_000 }).sequencer, records, false, 0)).toBe(-1);
});
