/** The flush: what goes into the next append, and what its outcome means. */
import { assert } from "../assert.ts";
import type { Entry, HandOver } from "../entries.ts";
import { RULES_VERSION } from "../entries.ts";
import { SUBMIT } from "../messages.ts";
import type { PartitionId } from "../ranges.ts";
import { indexRanges } from "../ranges.ts";
import { txIndex } from "../transactions.ts";
import { sendAsks, turnAsks } from "./asks.ts";
import { buildEntries } from "./build.ts";
import type { BlockStep } from "./chain-blocks.ts";
import { isSnapshotDue, nextBlock, sealsDue, stepBlocks } from "./chain-blocks.ts";
import { isBlockDue, isWholeTurn, mayClose } from "./drain.ts";
import type { FlushBuffer } from "./flush-buffer.ts";
import { clearFlush, restoreSenders, rowsOf } from "./flush-buffer.ts";
import { groupsAppended, positionKey, releaseGroup, takeBackEnds, takeEnds, tell } from "./groups.ts";
import { beginHandOver, isHeldUp, isMapDue } from "./moves.ts";
import { closeLanes, noteAppended } from "./partition-table.ts";
import { countReady, pump, unpark, unparkLater, unparkSettled } from "./place.ts";
import { dropNewest } from "./recent-hashes.ts";
import { addRetry, placeWhole, pumpRetries } from "./retries.ts";
import type { Sequencer } from "./state.ts";
import { settle, settleAll } from "./state.ts";

/** What an entry adds to a message beside its packed parts, about; for the lag bound. */
const ENTRY_BYTES = 256;
const NO_STEP: BlockStep = { seals: [], opens: null, snapshot: false };

export interface FlushPlan {
  flush: number;
  messages: { partition: PartitionId; entries: Entry[] }[];
  transactions: number;
  bytes: number; // transactions, nonce records and what ends groups
  groups: number; // that it begins
  members: number;
  ends: number; // groups that it ends
  seals: number;
  closes: number | null; // the block that it closes
  snapshot: boolean;
}

/** When a flush may be due, ms; Infinity while one is outstanding or nothing is there to be flushed. */
export function nextFlushAt(sequencer: Sequencer): number {
  const { filling, blocks, limits } = sequencer;
  if (sequencer.flight !== null) return Number.POSITIVE_INFINITY;
  const seals = sealsDue(blocks).length;
  let at = filling.ends.length > 0 || seals > 0 || isMapDue(sequencer) ? 0 : Number.POSITIVE_INFINITY;
  if (rowsOf(filling) > 0) {
    const isUrgent = filling.full || filling.candidates.whole || sequencer.isDraining || isBlockDue(sequencer, 0);
    at = Math.min(at, isUrgent ? 0 : Math.min(filling.firstAt + limits.flushMs, blocks.dueAt));
  }
  if (!isHeldUp(sequencer)) {
    if (!sequencer.isDraining) at = Math.min(at, blocks.isFull || blocks.closesFirst ? 0 : blocks.dueAt);
    else if (mayClose(sequencer, seals)) at = 0; // The whole-system group is placed by `fill`, if its partitions are there.
  }
  return Math.max(at, sequencer.fullUntil);
}

/** Sequences what can be. */
export function fill(sequencer: Sequencer, now: number): void {
  takeEnds(sequencer);
  unpark(sequencer, now);
  pumpRetries(sequencer, now);
  pump(sequencer, now);
  if (!isBlockDue(sequencer, now)) return;
  if (!sequencer.isDraining && !mayClose(sequencer, sealsDue(sequencer.blocks).length)) {
    sequencer.isDraining = true;
    sequencer.effects.push({ kind: "draining" });
  }
  if (isWholeTurn(sequencer)) placeWhole(sequencer, now);
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
  fill(sequencer, now);
  if (nextFlushAt(sequencer) > now) return undefined;
  if (isMapDue(sequencer)) return planMap(sequencer);
  const { blocks, limits, partitions, filling, moving } = sequencer;
  const seals = sealsDue(blocks);
  const closes = isBlockDue(sequencer, now) && mayClose(sequencer, seals.length);
  const step: BlockStep = {
    seals,
    opens: closes ? nextBlock(blocks, unixMs, prevrandao()) : null,
    snapshot: closes && isSnapshotDue(blocks, filling.bytes, rowsOf(filling), now, limits),
  };
  const bytes = new Float64Array(partitions.ids.length);
  const messages = buildMessages(sequencer, step, bytes);
  const plan = takeOff(sequencer, messages, step, bytes, null);
  blocks.gas = closes ? 0 : blocks.gas + filling.blockGas;
  if (closes && moving !== null) moving.block = blocks.open.number;
  // Rule answersAfterAppend
  if (!sequencer.rules.answersAfterAppend) settleFlush(sequencer, filling, SUBMIT.accepted, SUBMIT.known);
  unparkLater(sequencer);
  return plan;
}

/** The flush being filled is outstanding from here on, and the next one is filled. */
function takeOff(
  sequencer: Sequencer,
  messages: FlushPlan["messages"],
  step: BlockStep,
  bytes: Float64Array,
  map: Sequencer["ranges"]["map"] | null,
): FlushPlan {
  const { filling, blocks } = sequencer;
  const flush = sequencer.flushAcknowledged + 1;
  sequencer.flight = { flush, step, bytes, map, gasBefore: blocks.gas };
  sequencer.filling = sequencer.sent;
  sequencer.sent = filling;
  takeEnds(sequencer); // Before anything else: what had no room beside others has it alone.
  return {
    ...{ flush, messages, transactions: rowsOf(filling), bytes: filling.bytes, ends: filling.ends.length },
    ...{ groups: filling.begun.length, members: filling.candidates.members.length, seals: step.seals.length },
    ...{ closes: step.opens === null ? null : blocks.open.number, snapshot: step.snapshot },
  };
}

/** The new map, alone in every log. */
function planMap(sequencer: Sequencer): FlushPlan {
  const { moving, partitions } = sequencer;
  assert(moving !== null, "no ranges move");
  const handOvers = moving.handOvers.filter((handOver): handOver is HandOver => handOver !== null);
  const entry: Entry = { kind: "map", index: 0, map: moving.map, handOvers };
  const messages = partitions.ids.map((partition) => ({ partition, entries: [entry] }));
  return takeOff(sequencer, messages, NO_STEP, new Float64Array(messages.length).fill(ENTRY_BYTES), moving.map);
}

/** Every partition's entries in order of index (Q4). Seals and blocks stand in every log. */
function buildMessages(sequencer: Sequencer, step: BlockStep, bytes: Float64Array): FlushPlan["messages"] {
  const { partitions, blocks, moving } = sequencer;
  const { entries, index: first } = buildEntries(sequencer, sequencer.flushAcknowledged + 1);
  let index = first;
  const shared: Entry[] = [];
  for (const { number, hash } of step.seals) shared.push({ kind: "seal", index: index++, number, hash });
  if (step.opens !== null) {
    shared.push({
      kind: "block",
      index,
      number: blocks.open.number,
      opens: step.opens,
      rules: RULES_VERSION,
      mapVersion: sequencer.ranges.map.version,
      partitions: partitions.ids.slice(),
      snapshot: step.snapshot,
      moves: moving?.moves ?? [],
    });
  }
  return entries.flatMap((list, slot) => {
    list.push(...shared);
    if (list.length === 0) return [];
    bytes[slot] = list.reduce((sum, entry) => sum + entryBytes(entry), 0);
    return [{ partition: partitions.ids[slot]!, entries: list }];
  });
}

function entryBytes(entry: Entry): number {
  switch (entry.kind) {
    case "run":
      return entry.transactions.length + entry.nonces.length + ENTRY_BYTES;
    case "group":
      return entry.transactions.length + entry.accounts.length + ENTRY_BYTES;
    case "lock":
      return entry.accounts.length + ENTRY_BYTES;
    case "apply":
      return entry.writes.length + entry.results.length + entry.misses.length + ENTRY_BYTES;
    default:
      return ENTRY_BYTES;
  }
}

/** The outstanding flush is in LOG, durable: its transactions are accepted. */
export function flushAppended(sequencer: Sequencer, now: number): void {
  const { flight, sent, filling, blocks, partitions, counts } = sequencer;
  assert(flight !== null, "no flush is outstanding");
  sequencer.flight = null;
  sequencer.flushAcknowledged = flight.flush;
  flight.bytes.forEach((bytes, slot) => {
    if (bytes === 0) return;
    noteAppended(partitions, slot, bytes);
    if (sent.homeBytes[slot]! > 0) partitions.lanes[slot]!.workN = partitions.n[slot]!;
  });
  sequencer.positions = partitions.ids.map((id, slot) => [id, partitions.n[slot]!]);
  counts.groups += sent.begun.length;
  counts.members += sent.candidates.members.length;
  counts.whole += sent.candidates.whole ? 1 : 0;
  counts.retries += sent.retried.length;
  groupsAppended(sequencer, sent.begun, sent.ends, now);
  for (const { origin, record } of sent.retried) {
    if (origin !== null) tell(sequencer, origin, { type: "resequenced", members: [txIndex(record, 0)] });
  }
  stepBlocks(blocks, flight.step, sent.bytes, rowsOf(sent), now);
  if (flight.step.opens !== null) blockAppended(sequencer, flight.flush, now);
  if (sequencer.rules.answersAfterAppend) settleFlush(sequencer, sent, SUBMIT.accepted, SUBMIT.known);
  clearFlush(sent);
  // Repetitions that came meanwhile, of transactions that are all acknowledged now.
  if (rowsOf(filling) === 0) {
    settleRepeats(sequencer, filling, SUBMIT.known);
    filling.repeats = [];
  }
  if (flight.step.seals.length > 0) sequencer.effects.push({ kind: "sealed" });
  if (flight.map !== null) {
    sequencer.moving = null;
    sequencer.ranges = indexRanges(flight.map);
    turnAsks(sequencer);
    sequencer.effects.push({ kind: "publishMap", map: flight.map });
  }
  fill(sequencer, now);
  sendAsks(sequencer, now);
}

/** A block stands in every log: nothing before it is open. */
function blockAppended(sequencer: Sequencer, flush: number, now: number): void {
  const { blocks, partitions, retries } = sequencer;
  const due = blocks.dueAt + sequencer.blockMs;
  blocks.dueAt = due > now ? due : now + sequencer.blockMs;
  sequencer.isDraining = false;
  sequencer.blockFlush = flush;
  closeLanes(partitions);
  retries.sequencedAgain.clear();
  partitions.lanes.forEach((_, slot) => unparkSettled(sequencer, slot, true));
  beginHandOver(sequencer, blocks.open.number - 1, now);
}

/** The server has no room and appended nothing: this flush and the one being filled are taken back, as if they had not come. */
export function flushFull(sequencer: Sequencer, now: number): void {
  const { flight, sent, filling, senders, blocks, groups, moving } = sequencer;
  assert(flight !== null, "no flush is outstanding");
  sequencer.flight = null;
  blocks.gas = flight.gasBefore;
  sequencer.fullUntil = now + sequencer.limits.fullRetryMs;
  if (moving !== null && moving.deadline === Number.POSITIVE_INFINITY) moving.block = null;
  dropNewest(sequencer.recent, filling.hashes + sent.hashes);
  for (const buffer of [filling, sent]) {
    restoreSenders(buffer, senders);
    for (let row = 0; row < buffer.undoCount; row++) {
      const sender = buffer.undoSender[row]!;
      senders.ready[sender] = 0;
      senders.memberFlush[sender] = 0;
    }
  }
  for (const group of sent.begun) {
    groups.byPosition.delete(positionKey(group.position));
    releaseGroup(sequencer, group);
  }
  const ends = [...sent.ends, ...filling.ends];
  const retried = [...sent.retried, ...filling.retried];
  for (const buffer of [sent, filling]) {
    if (buffer === filling || sequencer.rules.answersAfterAppend) settleFlush(sequencer, buffer, SUBMIT.logFull, SUBMIT.logFull);
    for (let row = 0; row < buffer.undoCount; row++) countReady(sequencer, buffer.undoSender[row]!, now);
    clearFlush(buffer);
  }
  for (const retry of retried) addRetry(sequencer, retry);
  takeBackEnds(sequencer, ends);
  unparkLater(sequencer);
  sequencer.partitions.lanes.forEach((_, slot) => unparkSettled(sequencer, slot, true));
}

function settleFlush(sequencer: Sequencer, buffer: FlushBuffer, code: number, repeatCode: number): void {
  for (let row = 0; row < buffer.rows; row++) {
    if (buffer.submit[row]! < 0) continue;
    settleAll(sequencer, buffer.submit[row]!, buffer.record[row]!, buffer.records[row]!, code, 0);
  }
  for (const { submit, record } of buffer.candidates.members) if (submit >= 0) settle(sequencer, submit, record, code, 0);
  settleRepeats(sequencer, buffer, repeatCode);
}

function settleRepeats(sequencer: Sequencer, { repeats }: FlushBuffer, code: number): void {
  for (let at = 0; at < repeats.length; at += 2) settle(sequencer, repeats[at]!, repeats[at + 1]!, code, 0);
}

/** Numbers of the submits that have transactions in the outstanding flush, each once, at most `max`; for span links. */
export function submitsInFlight({ sent }: Sequencer, max: number): number[] {
  const found = new Set<number>();
  for (let row = 0; row < sent.rows && found.size < max; row++) found.add(sent.submit[row]!);
  for (const { submit } of sent.candidates.members) if (found.size < max) found.add(submit);
  found.delete(-1);
  return [...found];
}
