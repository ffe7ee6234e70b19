/**
 * What a transaction costs in the sequencer, from submit to the built flush and its acknowledgement: no server, no disk.
 * `node bench/sequencer.ts`
 */
import { flushAppended, planFlush, submitRecords, takeEffects, takeNonces, takeReport } from "@meridian/core";
import { lead, noncesInLedger, reportOf, testChain, transferRecords } from "@meridian/core/sequencer/testing";
import type { TestTransfer } from "@meridian/core/sequencer/testing";

const BATCH = 500;
const TRANSACTIONS = 400_000;
const PARTITIONS = 4;

for (const senders of [500, 100_000]) {
  measure(senders, 10_000); // Warm.
  const { us, flushes, submitUs, planUs } = measure(senders, TRANSACTIONS);
  console.log(
    `${senders} senders, batches of ${BATCH}: ${us.toFixed(2)} us a transaction ` +
      `(submit ${submitUs.toFixed(2)}, flush ${planUs.toFixed(2)}), ${Math.round(TRANSACTIONS / flushes)} a flush`,
  );
}

function measure(senders: number, count: number): { us: number; flushes: number; submitUs: number; planUs: number } {
  const leader = lead(testChain(PARTITIONS, 1e15), { senderRatePerSecond: 1e9, senderBurst: 1e9, flushMs: 5 });
  const { sequencer, chain } = leader;
  // Batches of one gateway: each has neighbours of many senders, nonces in order.
  const batches: Uint8Array[] = [];
  for (let first = 0; first < count; first += BATCH) {
    const transfers: TestTransfer[] = Array.from({ length: BATCH }, (_, index) => {
      const number = first + index;
      return { sender: number % senders, nonce: Math.floor(number / senders), to: (number * 7) % 10_000 };
    });
    batches.push(transferRecords(transfers));
  }
  let [submitMs, planMs, flushes, now] = [0, 0, 0, 0];
  const perform = () => {
    for (const effect of takeEffects(sequencer)) {
      if (effect.kind === "ask") takeNonces(sequencer, effect.partition, noncesInLedger(chain.ledger, effect.addresses), now);
    }
  };
  const flush = () => {
    const plan = planFlush(sequencer, now, 0, () => new Uint8Array(32));
    if (plan === undefined) return;
    flushes++;
    flushAppended(sequencer, now);
    // Nobody applies: as if every partition had.
    const closedBlock = sequencer.blocks.open.number - 1;
    for (const [partition, n] of sequencer.positions) {
      takeReport(sequencer, reportOf(chain.ledger, partition, { n, settledN: n, closedBlock }), now);
    }
    sequencer.blocks.dueAt = Number.POSITIVE_INFINITY;
  };
  flush();
  for (const batch of batches) {
    const startedAt = performance.now();
    submitRecords(sequencer, batch, false, now);
    perform();
    const submittedAt = performance.now();
    now += 2;
    flush();
    perform();
    submitMs += submittedAt - startedAt;
    planMs += performance.now() - submittedAt;
  }
  const us = (ms: number) => (ms * 1_000) / count;
  return { us: us(submitMs + planMs), flushes, submitUs: us(submitMs), planUs: us(planMs) };
}
