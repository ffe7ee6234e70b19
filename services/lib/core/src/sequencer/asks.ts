/**
 * Nonces of senders that this leader has not met: asked from the partition that owns the sender, many in one request. A partition
 * answers from the position that its log had when it was asked, so that nothing an earlier leader appended is overlooked.
 */
import { assert } from "../assert.ts";
import { concatBytes, readU64 } from "../bytes.ts";
import { NONCE_STATE_BYTES } from "../engine.ts";
import { SUBMIT } from "../messages.ts";
import { txBytes } from "../transactions.ts";
import type { PartitionId } from "../ranges.ts";
import { isHeldUp } from "./moves.ts";
import { slotOf } from "./partition-table.ts";
import { behindReady, countReady, pump, settleOld } from "./place.ts";
import { refundSender } from "./sender-rate.ts";
import { removeSender, SENDER } from "./sender-table.ts";
import type { Sequencer } from "./state.ts";
import { ownerOfSender, settleAll } from "./state.ts";
import { removeFirst, removeLast, removeWaiting, WAIT, waitFor } from "./waiting.ts";

/** Puts a new sender down for the next request. */
export function askSender(sequencer: Sequencer, sender: number): void {
  sequencer.partitions.lanes[ownerOfSender(sequencer, sender)]!.askable.push(sender);
}

/** The map has changed: whoever has not been asked yet is asked of the new owner. No request is out then. */
export function turnAsks(sequencer: Sequencer): void {
  const { lanes } = sequencer.partitions;
  const askable = lanes.flatMap((lane) => lane.askable.splice(0));
  for (const sender of askable) askSender(sequencer, sender);
}

/** Makes an `ask` effect for each partition that has somebody to ask about and no request out. */
export function sendAsks(sequencer: Sequencer, now: number): void {
  const { partitions, senders, limits } = sequencer;
  if (isHeldUp(sequencer)) return; // An owner that changes might answer as if it had never known the sender.
  for (let slot = 0; slot < partitions.lanes.length; slot++) {
    const lane = partitions.lanes[slot]!;
    if (lane.askable.length === 0 || lane.asking.length > 0 || now < lane.askAt) continue;
    const asking: number[] = [];
    const left: number[] = [];
    for (const sender of lane.askable) {
      if (senders.waiting[sender] === 0) removeSender(senders, sender);
      else if (asking.length < limits.askSendersMax) asking.push(sender);
      else left.push(sender);
    }
    lane.askable = left;
    if (asking.length === 0) continue;
    lane.asking = Int32Array.from(asking);
    const addresses = concatBytes(asking.map((sender) => senders.address.subarray(sender * 20, sender * 20 + 20)));
    sequencer.effects.push({ kind: "ask", partition: partitions.ids[slot]!, atN: partitions.n[slot]!, addresses });
  }
}

/**
 * Takes a partition's answer to the `ask` that is out.
 * @param nonces packed (u64 next nonce, u8 1 if it has a balance, b32 hash), one for each address asked, in that order
 */
export function takeNonces(sequencer: Sequencer, partition: PartitionId, nonces: Uint8Array, now: number): void {
  const { partitions, senders } = sequencer;
  const lane = partitions.lanes[slotOf(partitions, partition)]!;
  if (nonces.length !== lane.asking.length * NONCE_STATE_BYTES) return failNonces(sequencer, partition, now);
  const { asking } = lane;
  lane.asking = new Int32Array(0);
  asking.forEach((sender, index) => {
    assert(senders.state[sender] === SENDER.asking, "a sender was answered twice");
    const at = index * NONCE_STATE_BYTES;
    senders.state[sender] = SENDER.known;
    senders.next[sender] = readU64(nonces, at);
    senders.funded[sender] = nonces[at + 8]!;
    senders.lastHash.set(nonces.subarray(at + 9, at + NONCE_STATE_BYTES), sender * 32);
    meet(sequencer, sender, now);
  });
  pump(sequencer, now);
  sendAsks(sequencer, now);
}

/** The `ask` that is out got no answer: it is made again, until those who wait for it have waited `askMs`. */
export function failNonces(sequencer: Sequencer, partition: PartitionId, now: number): void {
  const lane = sequencer.partitions.lanes[slotOf(sequencer.partitions, partition)]!;
  lane.askable = [...lane.asking, ...lane.askable];
  lane.asking = new Int32Array(0);
  lane.askAt = now + sequencer.limits.askRetryMs;
}

/** The sender is known now: what waited for that is old, or its turn is here, or it stands behind a gap. */
function meet(sequencer: Sequencer, sender: number, now: number): void {
  const { senders, waiting, submits, limits } = sequencer;
  const next = senders.next[sender]!;
  for (let node = senders.first[sender]!; node >= 0 && waiting.nonce[node]! < next; node = senders.first[sender]!) {
    const [submit, at] = [waiting.submit[node]!, waiting.at[node]!];
    settleOld(sequencer, sender, submit, waiting.record[node]!, at);
    refundSender(sequencer, sender, 1);
    removeFirst(waiting, senders, node, 1, txBytes(submits.payloads[submit]!, at));
  }
  countReady(sequencer, sender, now);
  const turn = next + senders.ready[sender]!;
  let node = behindReady(sequencer, sender);
  while (node >= 0) {
    const following = waiting.next[node]!;
    const near = submits.refusesGaps[waiting.submit[node]!] === true ? 0 : limits.gapMax - (waiting.nonce[node]! - turn) + 1;
    const room = Math.ceil(limits.queueRecordsMax / 2 - waiting.counts[WAIT.gap]!);
    if (near < waiting.records[node]!) refuseLast(sequencer, node, Math.max(near, 0), SUBMIT.nonceTooHigh, next);
    if (room < waiting.records[node]!) refuseLast(sequencer, node, Math.max(room, 0), SUBMIT.busy, 0);
    if (waiting.records[node]! > 0) waitFor(waiting, node, WAIT.gap, now + limits.gapMs);
    node = following;
  }
}

/** Refuses what stands behind the first `keep` of a run that waits. With none left its node is free and has no records. */
function refuseLast(sequencer: Sequencer, node: number, keep: number, code: number, detail: number): void {
  const { waiting, senders } = sequencer;
  const records = waiting.records[node]! - keep;
  if (records === 0) return;
  settleAll(sequencer, waiting.submit[node]!, waiting.record[node]! + keep, records, code, detail);
  if (keep > 0) return removeLast(waiting, senders, node, records);
  removeWaiting(waiting, senders, node);
  waiting.records[node] = 0;
}
