/**
 * The scheduler's rules. What stands here is only bookkeeping of one term: a new leader starts empty and learns it again from LOG
 * and from the partitions.
 *
 * Q1. A transaction is sequenced only at its sender's next nonce; one that comes early waits, bounded, for its turn.
 * Q2. What is sequenced counts when its flush is acknowledged. Until then a repetition of it waits for the same acknowledgement.
 * Q3. At most one flush is outstanding. If it fails, it and the one being filled are taken back whole.
 * Q4. Indexes count a flush's positions over all partitions: first the ends of groups, then local transactions, then new groups,
 *     each with its members behind it, then seals, then the block. A map stands alone.
 * Q5. Nothing that names a silent, stopped or full partition is sequenced; what names a lagging one waits. What is accepted
 *     already waits for a silent one and is not refused.
 * Q6. A block closes when everything that was sequenced is resolved: no group, no retry, no waiter and no miss that is not taken.
 */
import { assert } from "../assert.ts";
import type { MovedRange } from "../entries.ts";
import { UNSEALED_MAX } from "../history/history-account.ts";
import type { SubmitReply } from "../messages.ts";
import type { PartitionId, RangeIndex, RangeMap } from "../ranges.ts";
import { indexRanges } from "../ranges.ts";
import type { Rules } from "../rules.ts";
import { ALL_RULES } from "../rules.ts";
import { WHY } from "../touches.ts";
import type { BlockStep, ChainBlocks } from "./chain-blocks.ts";
import type { FlushBuffer } from "./flush-buffer.ts";
import { openFlushBuffer } from "./flush-buffer.ts";
import type { RunList } from "./check-records.ts";
import { openRunList } from "./check-records.ts";
import type { Groups, OpenGroup } from "./groups.ts";
import { openGroups } from "./groups.ts";
import type { LearnedWork } from "./learn-work.ts";
import { restoreWork } from "./learn-work.ts";
import type { SequencerLimits } from "./limits.ts";
import type { Moving } from "./moves.ts";
import { openMoving } from "./moves.ts";
import type { PartitionTable, SenderList } from "./partition-table.ts";
import { openPartitionTable, slotOf } from "./partition-table.ts";
import type { Predictor } from "./predict.ts";
import { openPredictor } from "./predict.ts";
import type { RecentHashes } from "./recent-hashes.ts";
import type { Retries } from "./retries.ts";
import { openRetries } from "./retries.ts";
import type { SenderTable } from "./sender-table.ts";
import { openSenderTable } from "./sender-table.ts";
import type { Submits } from "./submits.ts";
import { decide, openSubmits } from "./submits.ts";
import type { Turn } from "./turn.ts";
import { openTurn } from "./turn.ts";
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
  /** The open block waits for everything to be resolved: say a beat. */
  | { kind: "draining" }
  /** A group makes no progress: say a beat. */
  | { kind: "askAgain" }
  /** Ranges were not written out in time: the map with this version will not come. */
  | { kind: "moveFailed"; version: number }
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
}

/** What groups did, for the shell's metrics. */
export interface GroupCounts {
  groups: number;
  members: number;
  whole: number; // whole-system groups
  aborts: number;
  retries: number; // transactions sequenced again
  unfitProposals: number;
  /** Members of groups, by `WHY`. */
  ends: Float64Array;
  /** Local misses, by `WHY`. */
  misses: Float64Array;
  /** From the append of a group to the append of its end, ms; the shell takes them. */
  heldMs: number[];
  /** Of those whose end is an apply, from the append of the group to its home's proposal, ms; the shell takes them. */
  proposedMs: number[];
}

/** How far a run came into the flush being filled. */
export interface Placed {
  records: number;
  bytes: number;
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
  /** Of the submit that came last. */
  readonly runs: RunList;
  readonly blocks: ChainBlocks;
  readonly rules: Rules;
  readonly predictor: Predictor;
  readonly groups: Groups;
  readonly retries: Retries;
  readonly counts: GroupCounts;
  /** Used again and again. */
  readonly turn: Turn;
  readonly placed: Placed;
  /** Senders who wait for the next flush. */
  readonly later: SenderList;
  /** The group that stood in the way of the last one placed. */
  inTheWay: OpenGroup | null;
  moving: Moving | null;
  /** The open block is due and waits for everything to be resolved. */
  isDraining: boolean;
  /** Flush of the last block: everything up to it is resolved. */
  blockFlush: number;
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
  /** What stands in the open block, all of it unresolved until reported. */
  work?: LearnedWork;
  /** Ranges that the last block lets move and that no map has moved. */
  moves?: MovedRange[];
  /** Default: all. */
  rules?: Rules;
}

/** A leader's bookkeeping at the start of its term. `now` in ms of any clock that does not go back. */
export function openSequencer(start: SequencerStart, now: number): Sequencer {
  const { limits } = start;
  const partitions = openPartitionTable(start.positions, limits, now);
  assert(limits.flushTransactionsMax >= 1 && limits.sendersMax >= 1, "limits below 1");
  assert(limits.unsealedMax <= UNSEALED_MAX, `more than ${UNSEALED_MAX} blocks without a seal`);
  const sequencer: Sequencer = {
    limits,
    term: start.term,
    blockMs: start.blockMs,
    ranges: indexRanges(start.map),
    partitions,
    senders: openSenderTable(limits.sendersMax, start.seed),
    recent: start.recent,
    waiting: openWaiting(),
    submits: openSubmits(limits.submitsMax),
    runs: openRunList(),
    blocks: start.blocks,
    rules: start.rules ?? ALL_RULES,
    predictor: openPredictor(start.limits.predictor),
    groups: openGroups(),
    retries: openRetries(),
    counts: openCounts(),
    turn: openTurn(),
    placed: { records: 0, bytes: 0 },
    later: { first: -1, last: -1 },
    inTheWay: null,
    moving: null,
    isDraining: false,
    blockFlush: start.work?.blockFlush ?? start.flush,
    filling: openFlushBuffer(limits.flushTransactionsMax, partitions.ids.length),
    sent: openFlushBuffer(limits.flushTransactionsMax, partitions.ids.length),
    flight: null,
    flushAcknowledged: start.flush,
    readyFirst: -1,
    readyLast: -1,
    fullUntil: 0,
    effects: [],
    decisions: new Float64Array(256),
    positions: partitions.ids.map((id, slot) => [id, partitions.n[slot]!]),
  };
  if (start.work !== undefined) restoreWork(sequencer, start.work, now);
  if (start.moves !== undefined && start.moves.length > 0) {
    sequencer.moving = openMoving(start.map, start.moves, start.blocks.open.number - 1, now + limits.moveMs);
  }
  return sequencer;
}

const openCounts = (): GroupCounts => ({
  ...{ groups: 0, members: 0, whole: 0, aborts: 0, retries: 0, unfitProposals: 0, heldMs: [], proposedMs: [] },
  ends: new Float64Array(Object.keys(WHY).length),
  misses: new Float64Array(Object.keys(WHY).length),
});

/** Decides one record and counts the code. */
export const settle = (sequencer: Sequencer, submit: number, record: number, code: number, detail: number): void =>
  settleAll(sequencer, submit, record, 1, code, detail);

/** Decides `count` records from `record` on. */
export function settleAll(
  sequencer: Sequencer,
  submit: number,
  record: number,
  count: number,
  code: number,
  detail: number,
): void {
  decide(sequencer.submits, submit, record, count, code, detail);
  sequencer.decisions[code]! += count;
}

/** Slot of the partition that owns a sender. */
export const ownerOfSender = (sequencer: Sequencer, sender: number): number =>
  slotOf(sequencer.partitions, sequencer.ranges.ownerOf(sequencer.senders.address, sender * 20));
