/** Local transactions that missed, as their partitions say it. */
import type { Misses } from "../messages.ts";
import { touchWhy, WHY } from "../touches.ts";
import { TX, txIndex } from "../transactions.ts";
import { isFilling } from "./flights.ts";
import { settleLane } from "./partition-table.ts";
import { fill } from "./flush.ts";
import { unparkSettled } from "./place.ts";
import { learn } from "./predict.ts";
import { addRetry, isSequencedAgain, retryOf } from "./retries.ts";
import { findSender } from "./sender-table.ts";
import type { Sequencer } from "./state.ts";

/**
 * Takes what a partition says of its misses. They are counted from the block's beginning: what was taken before is passed over,
 * and nothing is taken across a gap, so each counts once however often it is said.
 */
export function takeMisses(sequencer: Sequencer, { partition, block, first, missed }: Misses, now: number): void {
  const { partitions, blocks } = sequencer;
  const slot = (partitions.slots[partition] ?? 0) - 1;
  const lane = partitions.lanes[slot];
  if (lane === undefined || block !== blocks.open.number || first > lane.missesTaken) return;
  for (const { flush, record, touch } of missed.slice(lane.missesTaken - first)) {
    lane.missesTaken++;
    takeMiss(sequencer, flush, record, touch);
  }
  settled(sequencer, slot, now);
}

function takeMiss(sequencer: Sequencer, flush: number, record: Uint8Array, touch: Uint8Array): void {
  const { senders, counts, predictor } = sequencer;
  const why = touchWhy(touch, 0);
  counts.misses[why]!++;
  if (why === WHY.outside) learn(predictor, record, touch);
  const sender = findSender(senders, record, TX.sender);
  // A sender with something in the open block is not forgotten; a miss of an older leader's that stands in LOG again is done.
  if (sender < 0 || isSequencedAgain(sequencer, record, flush, txIndex(record, 0))) return;
  // Its newest transaction has had its turn, hence all of them; unless another one is in the flush being filled.
  const isNewest = senders.topFlush[sender] === flush && senders.topIndex[sender] === txIndex(record, 0);
  if (isNewest && !isFilling(sequencer, sender)) senders.flightN[sender] = 0;
  const retry = retryOf(sequencer, sender, record, touch);
  retry.isReady = true;
  addRetry(sequencer, retry);
}

/** A report or a miss came: what was waiting for that goes on. */
export function settled(sequencer: Sequencer, slot: number, now: number): void {
  if (settleLane(sequencer.partitions.lanes[slot]!, sequencer.blocks.open.number)) unparkSettled(sequencer, slot, false);
  fill(sequencer, now);
}
