/** The flush: what goes into the next append, and what its outcome means. */
import { assert } from "../assert.ts";
import type { Entry } from "../entries.ts";
import { RULES_VERSION } from "../entries.ts";
import { SUBMIT } from "../messages.ts";
import type { PartitionId, RangeMap } from "../ranges.ts";
import { indexRanges } from "../ranges.ts";
import { sendAsks } from "./asks.ts";
import type { BlockStep } from "./chain-blocks.ts";
import { isDrained, isSnapshotDue, nextBlock, sealsDue, stepBlocks } from "./chain-blocks.ts";
import type { FlushBuffer } from "./flush-buffer.ts";
import { buildRuns, clearFlush, restoreSenders } from "./flush-buffer.ts";
import { noteAppended } from "./partition-table.ts";
import { countReady, pump, unpark } from "./place.ts";
import { dropNewest } from "./recent-hashes.ts";
import type { Sequencer } from "./state.ts";
import { settle } from "./state.ts";

/** What an entry other than `run` adds to a message, about; for the lag bound. */
const ENTRY_BYTES = 256;

export interface FlushPlan {
  flush: number;
  messages: { partition: PartitionId; entries: Entry[] }[];
  transactions: number;
  bytes: number; // transactions and nonce records
  seals: number;
  closes: number | null; // the block that it closes
  snapshot: boolean;
}

/** When a flush may be due, ms; Infinity while one is outstanding or nothing is there to be flushed. */
export function nextFlushAt(sequencer: Sequencer): number {
  const { filling, blocks, limits } = sequencer;
  if (sequencer.flight !== null) return Number.POSITIVE_INFINITY;
  let at = filling.count > 0 ? (filling.full || filling.closes ? 0 : filling.firstAt + limits.flushMs) : Number.POSITIVE_INFINITY;
  const seals = sealsDue(blocks).length;
  if (seals > 0) at = 0;
  if (mayClose(sequencer, seals)) at = Math.min(at, filling.closes || blocks.closesFirst ? 0 : blocks.dueAt);
  return Math.max(at, sequencer.fullUntil);
}

function mayClose(sequencer: Sequencer, seals: number): boolean {
  return isDrained(sequencer.work) && sequencer.blocks.unsealed.length - seals < sequencer.limits.unsealedMax;
}

/**
 * Builds the next flush if one is due. Call `flushAppended`, `flushFull` or `stepDown` with the outcome of its append.
 * @param unixMs     wall clock, for the next block's timestamp
 * @param prevrandao draws 32 random bytes for the next block
 */
export function planFlush(
  sequencer: Sequencer,
  now: number,
  unixMs: number,
  prevrandao: () => Uint8Array,
): FlushPlan | undefined {
  if (sequencer.flight !== null || now < sequencer.fullUntil) return undefined;
  unpark(sequencer, now);
  pump(sequencer, now);
  if (nextFlushAt(sequencer) > now) return undefined;
  const { blocks, limits, partitions, filling } = sequencer;
  const seals = sealsDue(blocks);
  const isDue = now >= blocks.dueAt || filling.closes || blocks.closesFirst;
  const closes = isDue && mayClose(sequencer, seals.length);
  const step: BlockStep = {
    seals,
    opens: closes ? nextBlock(blocks, unixMs, prevrandao()) : null,
    snapshot: closes && isSnapshotDue(blocks, filling.bytes, filling.count, now, limits),
  };
  const map = closes ? sequencer.mapPending : null;
  const bytes = new Float64Array(partitions.ids.length);
  const messages = buildMessages(sequencer, step, map, bytes);
  sequencer.flight = {
    flush: sequencer.flushAcknowledged + 1,
    step,
    bytes,
    map,
    gasBefore: blocks.gas,
    rangesBefore: sequencer.ranges,
  };
  blocks.gas = closes ? 0 : blocks.gas + filling.gas;
  if (map !== null) sequencer.ranges = indexRanges(map);
  sequencer.filling = sequencer.sent;
  sequencer.sent = filling;
  return {
    flush: sequencer.flight.flush,
    messages,
    transactions: filling.count,
    bytes: filling.bytes,
    seals: seals.length,
    closes: closes ? blocks.open.number : null,
    snapshot: step.snapshot,
  };
}

/** Every partition's entries in order of index (Q4). Seals, blocks and maps stand in every log. */
function buildMessages(sequencer: Sequencer, step: BlockStep, map: RangeMap | null, bytes: Float64Array): FlushPlan["messages"] {
  const { filling, partitions, submits, blocks } = sequencer;
  const shared: Entry[] = [];
  let index = filling.count;
  for (const { number, hash } of step.seals) shared.push({ kind: "seal", index: index++, number, hash });
  if (step.opens !== null) {
    shared.push({
      kind: "block",
      index: index++,
      number: blocks.open.number,
      opens: step.opens,
      rules: RULES_VERSION,
      mapVersion: sequencer.ranges.map.version,
      partitions: partitions.ids.slice(),
      snapshot: step.snapshot,
    });
    if (map !== null) shared.push({ kind: "map", index, map });
  }
  const runs = buildRuns(filling, submits, partitions.ids.length);
  return runs.flatMap((run, slot) => {
    if (run === undefined && shared.length === 0) return [];
    bytes[slot] = (run === undefined ? 0 : run.transactions.length + run.nonces.length) + (shared.length + 1) * ENTRY_BYTES;
    return [{ partition: partitions.ids[slot]!, entries: run === undefined ? shared.slice() : [run, ...shared] }];
  });
}

/** The outstanding flush is in LOG, durable: its transactions are accepted. */
export function flushAppended(sequencer: Sequencer, now: number): void {
  const { flight, sent, filling, blocks, partitions } = sequencer;
  assert(flight !== null, "no flush is outstanding");
  sequencer.flight = null;
  sequencer.flushAcknowledged = flight.flush;
  flight.bytes.forEach((bytes, slot) => {
    if (bytes > 0) noteAppended(partitions, slot, bytes);
  });
  sequencer.positions = partitions.ids.map((id, slot) => [id, partitions.n[slot]!]);
  stepBlocks(blocks, flight.step, sent.bytes, sent.count, now);
  if (flight.step.opens !== null) {
    const due = blocks.dueAt + sequencer.blockMs;
    blocks.dueAt = due > now ? due : now + sequencer.blockMs;
  }
  settleFlush(sequencer, sent, SUBMIT.accepted, SUBMIT.known);
  clearFlush(sent);
  // Repetitions that came meanwhile, of transactions that are all acknowledged now.
  if (filling.count === 0) {
    settleRepeats(sequencer, filling, SUBMIT.known);
    filling.repeats = [];
  }
  if (flight.step.seals.length > 0) sequencer.effects.push({ kind: "sealed" });
  if (flight.map !== null) {
    sequencer.mapPending = null;
    sequencer.effects.push({ kind: "publishMap", map: flight.map });
  }
  pump(sequencer, now);
  sendAsks(sequencer, now);
}

/** The server has no room and appended nothing: this flush and the one being filled are taken back, as if they had not come. */
export function flushFull(sequencer: Sequencer, now: number): void {
  const { flight, sent, filling, senders, blocks } = sequencer;
  assert(flight !== null, "no flush is outstanding");
  sequencer.flight = null;
  blocks.gas = flight.gasBefore;
  sequencer.ranges = flight.rangesBefore;
  sequencer.fullUntil = now + sequencer.limits.fullRetryMs;
  dropNewest(sequencer.recent, filling.count + sent.count);
  for (const buffer of [filling, sent]) {
    restoreSenders(buffer, senders);
    for (let row = 0; row < buffer.undoCount; row++) senders.ready[buffer.undoSender[row]!] = 0;
  }
  for (const buffer of [sent, filling]) {
    settleFlush(sequencer, buffer, SUBMIT.logFull, SUBMIT.logFull);
    for (let row = 0; row < buffer.undoCount; row++) countReady(sequencer, buffer.undoSender[row]!, now);
    clearFlush(buffer);
  }
}

function settleFlush(sequencer: Sequencer, buffer: FlushBuffer, code: number, repeatCode: number): void {
  for (let index = 0; index < buffer.count; index++) {
    settle(sequencer, buffer.submit[index]!, buffer.record[index]!, code, 0);
  }
  settleRepeats(sequencer, buffer, repeatCode);
}

function settleRepeats(sequencer: Sequencer, { repeats }: FlushBuffer, code: number): void {
  for (let at = 0; at < repeats.length; at += 2) settle(sequencer, repeats[at]!, repeats[at + 1]!, code, 0);
}

/** Numbers of the submits that have transactions in the outstanding flush, each once, at most `max`; for span links. */
export function submitsInFlight(sequencer: Sequencer, max: number): number[] {
  const found = new Set<number>();
  const { sent } = sequencer;
  for (let index = 0; index < sent.count && found.size < max; index++) found.add(sent.submit[index]!);
  return [...found];
}
