/**
 * What a transaction costs in the sequencer, from submit to the built flush and its acknowledgement: no server, no disk.
 * Processor time of this process, so that others on the machine do not count. `node bench/sequencer.ts [part of a name]`
 */
import { flushAppended, planFlush, submitRecords, takeEffects, takeNonces, takeReport } from "@meridian/core";
import { lead, noncesInLedger, reportOf, testChain, transferRecords } from "@meridian/core/sequencer/testing";
import type { TestTransfer } from "@meridian/core/sequencer/testing";

const TRANSACTIONS = 400_000;
const PARTITIONS = 4;
/** Of a call to an ERC-20 token, about. */
const RAW_BYTES = 142;

interface Shape {
  name: string;
  /** Records of one submit, and how many submits come between two flushes. */
  records: number;
  submits: number;
  transfer: (number: number) => TestTransfer;
}

/** Neighbours of many senders, nonces in order. */
const singles = (senders: number) => (number: number) => ({
  ...{ sender: number % senders, nonce: Math.floor(number / senders), to: (number * 7) % 10_000 },
});
/** Signed batches of `calls`, one account called by each; in turn from 64 senders. */
const batches = (calls: number) => (number: number) => {
  const batch = Math.floor(number / calls);
  const [sender, turn, call] = [batch % 64, Math.floor(batch / 64), number % calls];
  return { sender, nonce: turn * calls + call, to: 100 + (batch % 64), call: [turn, call] as [number, number] };
};

const shapes: Shape[] = [
  { name: "singles, 500 senders", records: 100, submits: 5, transfer: singles(500) },
  { name: "singles, 100,000 senders", records: 100, submits: 5, transfer: singles(100_000) },
  { name: "batches of 10 calls", records: 1_000, submits: 2, transfer: batches(10) },
  { name: "batches of 100 calls", records: 1_000, submits: 2, transfer: batches(100) },
  { name: "batches of 1,000 calls", records: 1_000, submits: 2, transfer: batches(1_000) },
  { name: "batches of 1,000 calls, more than a flush holds", records: 1_000, submits: 200, transfer: batches(1_000) },
];

for (const shape of shapes.filter(({ name }) => name.includes(process.argv[2] ?? ""))) {
  measure(shape, TRANSACTIONS / 4); // Warm.
  const { submitUs, planUs, flushes, decided } = measure(shape, TRANSACTIONS);
  const us = (submitUs + planUs) / TRANSACTIONS;
  console.log(
    `${shape.name}: ${us.toFixed(2)} us a transaction (submit ${(submitUs / TRANSACTIONS).toFixed(2)}, ` +
      `flush ${(planUs / TRANSACTIONS).toFixed(2)}), ${Math.round(TRANSACTIONS / flushes)} a flush, accepted ${decided}`,
  );
}

function measure({ records, submits, transfer }: Shape, count: number) {
  const limits = { senderRatePerSecond: 1e9, senderBurst: 1e9, readyPerSenderMax: 1e9, queueRecordsMax: 1e9, queueBytesMax: 1e9 };
  const leader = lead(testChain(PARTITIONS, 1e15), { ...limits, flushMs: 0 });
  const { sequencer, chain } = leader;
  const payloads: Uint8Array[] = [];
  for (let first = 0; first < count; first += records) {
    const one = (_: unknown, index: number) => ({ rawBytes: RAW_BYTES, ...transfer(first + index) });
    payloads.push(transferRecords(Array.from({ length: records }, one)));
  }
  let [submitUs, planUs, flushes, now] = [0, 0, 0, 0];
  const perform = () => {
    for (const effect of takeEffects(sequencer)) {
      if (effect.kind === "ask") takeNonces(sequencer, effect.partition, noncesInLedger(chain.ledger, effect.addresses), now);
    }
  };
  const flush = () => {
    const plan = planFlush(sequencer, now, 0, () => new Uint8Array(32));
    if (plan === undefined) return false;
    flushes++;
    flushAppended(sequencer, now);
    // Nobody applies: as if every partition had.
    const closedBlock = sequencer.blocks.open.number - 1;
    for (const [partition, n] of sequencer.positions) {
      takeReport(sequencer, reportOf(chain.ledger, partition, { n, settledN: n, closedBlock }), now);
    }
    sequencer.blocks.dueAt = Number.POSITIVE_INFINITY;
    perform();
    return true;
  };
  flush();
  for (let first = 0; first < payloads.length; first += submits) {
    const started = used();
    for (const payload of payloads.slice(first, first + submits)) {
      submitRecords(sequencer, payload, false, now);
      perform();
    }
    const submitted = used();
    now += 2;
    while (flush()) continue;
    submitUs += submitted - started;
    planUs += used() - submitted;
  }
  return { submitUs, planUs, flushes, decided: sequencer.decisions[0] ?? 0 };
}

function used(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}
