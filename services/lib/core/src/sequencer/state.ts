/**
 * The scheduler's rules. What stands here is only bookkeeping of one term: a new leader starts empty and learns it again from LOG
 * and from the partitions.
 *
 * Q1. A transaction is sequenced only at its sender's next nonce; one that comes early waits, bounded, for its turn.
 * Q2. What is sequenced counts when its flush is acknowledged. Until then a repetition of it waits for the same acknowledgement.
 * Q3. At most one flush is outstanding. If it fails, it and the one being filled are taken back whole.
 * Q4. Indexes count a flush's positions over all partitions: transactions first, then seals, then the block, then the map.
 * Q5. Nothing that names a silent, stopped or full partition is sequenced; what names a lagging one waits.
 */
import { assert } from "../assert.ts";
import type { SubmitReply } from "../messages.ts";
import type { PartitionId, RangeIndex, RangeMap } from "../ranges.ts";
import { indexRanges } from "../ranges.ts";
import { TX } from "../transactions.ts";
import type { BlockStep, ChainBlocks, OpenWork } from "./chain-blocks.ts";
import type { FlushBuffer } from "./flush-buffer.ts";
import { openFlushBuffer } from "./flush-buffer.ts";
import type { SequencerLimits } from "./limits.ts";
import type { PartitionTable } from "./partition-table.ts";
import { openPartitionTable, slotOf } from "./partition-table.ts";
import type { RecentHashes } from "./recent-hashes.ts";
import type { SenderTable } from "./sender-table.ts";
import { openSenderTable } from "./sender-table.ts";
import type { Submits } from "./submits.ts";
import { decide, openSubmits } from "./submits.ts";
import type { Waiting } from "./waiting.ts";
import { openWaiting } from "./waiting.ts";

/** What the shell has to do. */
export type SequencerEffect =
  /** Answer a submit. `submit` is the number that `submitRecords` returned; it is used again afterwards. */
  | { kind: "reply"; submit: number; reply: SubmitReply }
  /** Ask a partition for nonces (packed b20), then call `takeNonces` or `failNonces`. One request at a time for a partition. */
  | { kind: "ask"; partition: PartitionId; atN: number; addresses: Uint8Array }
  /** `latest` went on: say a beat. */
  | { kind: "sealed" }
  /** Publish the copy of the range map. */
  | { kind: "publishMap"; map: RangeMap }
  /** Two archives built different blocks: log an error, count it. The first one counts. */
  | { kind: "unequalBlocks"; number: number; first: Uint8Array; other: Uint8Array; archive: string };

/** A flush whose append is outstanding. */
export interface Flight {
  flush: number;
  step: BlockStep;
  /** Bytes of each partition's message, by slot; 0 for no message. */
  bytes: Float64Array;
  map: RangeMap | null;
  /** Declared gas in the open block before this flush. */
  gasBefore: number;
  rangesBefore: RangeIndex;
}

export interface Sequencer {
  readonly limits: SequencerLimits;
  readonly term: number;
  readonly blockMs: number;
  ranges: RangeIndex;
  readonly partitions: PartitionTable;
  readonly senders: SenderTable;
  readonly recent: RecentHashes;
  readonly waiting: Waiting;
  readonly submits: Submits;
  readonly blocks: ChainBlocks;
  /** Always empty between flushes in these rules. */
  readonly work: OpenWork;
  /** The flush being filled. */
  filling: FlushBuffer;
  /** The flush outstanding, if `flight` is not null. */
  sent: FlushBuffer;
  flight: Flight | null;
  flushAcknowledged: number;
  /** Senders whose turn it is and who found no room; through SenderTable.link. */
  readyFirst: number;
  readyLast: number;
  /** The server had no room: nothing is tried before this time, ms. */
  fullUntil: number;
  /** Takes effect right after the next block. */
  mapPending: RangeMap | null;
  effects: SequencerEffect[];
  /** How often each SUBMIT code was given. */
  readonly decisions: Float64Array;
  /** Positions as last told; made anew after each flush. */
  positions: [PartitionId, number][];
}

export interface SequencerStart {
  limits: SequencerLimits;
  term: number;
  blockMs: number;
  map: RangeMap;
  /** Of the last flush in LOG: the `term` entry's. */
  flush: number;
  positions: [PartitionId, number][];
  blocks: ChainBlocks;
  /** Hashes found in LOG. */
  recent: RecentHashes;
  /** 32-bit number that nobody outside can foresee. */
  seed: number;
}

/** A leader's bookkeeping at the start of its term. `now` in ms of any clock that does not go back. */
export function openSequencer(start: SequencerStart, now: number): Sequencer {
  const { limits } = start;
  const partitions = openPartitionTable(start.positions, limits, now);
  assert(limits.flushTransactionsMax >= 1 && limits.sendersMax >= 1, "limits below 1");
  return {
    limits,
    term: start.term,
    blockMs: start.blockMs,
    ranges: indexRanges(start.map),
    partitions,
    senders: openSenderTable(limits.sendersMax, start.seed),
    recent: start.recent,
    waiting: openWaiting(),
    submits: openSubmits(limits.submitsMax),
    blocks: start.blocks,
    work: { groups: 0, misses: 0 },
    filling: openFlushBuffer(limits.flushTransactionsMax, partitions.ids.length),
    sent: openFlushBuffer(limits.flushTransactionsMax, partitions.ids.length),
    flight: null,
    flushAcknowledged: start.flush,
    readyFirst: -1,
    readyLast: -1,
    fullUntil: 0,
    mapPending: null,
    effects: [],
    decisions: new Float64Array(256),
    positions: partitions.ids.map((id, slot) => [id, partitions.n[slot]!]),
  };
}

/** Decides one record and counts the code. */
export function settle(sequencer: Sequencer, submit: number, record: number, code: number, detail: number): void {
  decide(sequencer.submits, submit, record, code, detail);
  sequencer.decisions[code]!++;
}

/** Slot of the partition that owns a sender. */
export const ownerOfSender = (sequencer: Sequencer, sender: number): number =>
  slotOf(sequencer.partitions, sequencer.ranges.ownerOf(sequencer.senders.address, sender * 20));

/** Slot of the partition that runs the record. */
export const homeOfRecord = (sequencer: Sequencer, records: Uint8Array, at: number): number =>
  slotOf(sequencer.partitions, sequencer.ranges.ownerOf(records, at + TX.to));
