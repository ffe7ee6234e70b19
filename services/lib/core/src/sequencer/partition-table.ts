/**
 * What the leader knows about partitions: where their logs stand, and what they say of themselves. Reports are repeated state:
 * the newest counts, a lost one does no harm.
 *
 * T1. A partition that is silent, stopped or full gets no transaction and no nonce record.
 * T2. At most `lagBytesMax` bytes and `lagMessagesMax` messages that this leader appended stand unapplied in one log.
 * T3. Several processes may speak for one partition, one of them far behind because it has just started or stood still. What
 *     counts is the furthest of them; but if one says that it has stopped, what that one found is to be looked at first.
 */
import { assert } from "../assert.ts";
import type { Report } from "../messages.ts";
import type { PartitionId } from "../ranges.ts";
import type { SequencerLimits } from "./limits.ts";

export interface PartitionTable {
  ids: PartitionId[]; // by slot, ascending
  slots: Int32Array; //  slot + 1 by id
  n: number[]; //        of the last acknowledged message
  lanes: Lane[];
}
/** Senders in a row; through SenderTable.link. */
export interface SenderList {
  first: number;
  last: number;
}

/** Which process said something, and when: it alone may take it back, until it is silent. */
interface Teller {
  host: string;
  at: number; // ms
}

/** One partition. */
export interface Lane {
  applied: number; //        n of the last report, by the furthest of its processes
  appliedBy: Teller;
  reportedAt: number; //     ms
  stopped: boolean;
  stoppedBy: Teller;
  outFull: boolean;
  memoryBytes: number;
  memoryBytesMax: number;
  firstN: number; //         n of the first message of this leader
  appendedBytes: number; //  by this leader
  /** Sum of bytes up to and including message n, at n % lagMessagesMax. */
  sums: Float64Array;
  /** Up to this message every local transaction is resolved: it has come to an end, or its miss is taken. */
  settled: number;
  workN: number; //          last message with local transactions
  reportedBlock: number; //  open block of the last report
  reportedSettled: number; // and its settledN
  reportedMisses: number; //  and its misses
  missesTaken: number; //    of the open block
  isToldSilent: boolean; //  groups know that it is silent
  /** Senders who wait for this partition to catch up; through SenderTable.link. */
  parkedFirst: number;
  parkedLast: number;
  /** Senders who wait for their local transactions here to be resolved, by the message of the last one. */
  settling: Map<number, SenderList>;
  asking: Int32Array; //     senders whose nonces are asked now; empty if no request is out
  askable: number[]; //      senders to be asked next
  askAt: number; //          not before, ms
}

/** @param positions every partition with a log and the n of its last message */
export function openPartitionTable(positions: [PartitionId, number][], limits: SequencerLimits, now: number): PartitionTable {
  const sorted = positions.toSorted(([left], [right]) => left - right);
  const slots = new Int32Array((sorted.at(-1)?.[0] ?? 0) + 1);
  sorted.forEach(([id], slot) => (slots[id] = slot + 1));
  return {
    ids: sorted.map(([id]) => id),
    slots,
    n: sorted.map(([, n]) => n),
    lanes: sorted.map(([, n]) => ({
      applied: 0,
      appliedBy: { host: "", at: Number.NEGATIVE_INFINITY },
      reportedAt: now,
      stopped: false,
      stoppedBy: { host: "", at: Number.NEGATIVE_INFINITY },
      outFull: false,
      memoryBytes: 0,
      memoryBytesMax: Number.POSITIVE_INFINITY,
      firstN: n + 1,
      appendedBytes: 0,
      sums: new Float64Array(limits.lagMessagesMax),
      settled: n,
      workN: 0,
      reportedBlock: 0,
      reportedSettled: 0,
      reportedMisses: 0,
      missesTaken: 0,
      isToldSilent: false,
      parkedFirst: -1,
      parkedLast: -1,
      settling: new Map(),
      asking: new Int32Array(0),
      askable: [],
      askAt: 0,
    })),
  };
}

/** Slot of a partition that the range map names. */
export function slotOf(table: PartitionTable, id: PartitionId): number {
  const slot = (table.slots[id] ?? 0) - 1;
  assert(slot >= 0, `partition ${id} has no log`);
  return slot;
}

/**
 * Takes a report in; one of an unknown partition changes nothing. `n` goes back when a host starts again from a snapshot.
 * @returns the partition's slot, or -1
 */
export function noteReport(table: PartitionTable, report: Report, now: number, silentMs: number): number {
  const slot = (table.slots[report.partition] ?? 0) - 1;
  const lane = table.lanes[slot];
  if (lane === undefined) return -1;
  const teller = { host: report.host, at: now };
  const mayTakeBack = ({ host, at }: Teller) => host === report.host || now - at > silentMs;
  lane.reportedAt = now;
  if (report.stopped !== null || mayTakeBack(lane.stoppedBy)) {
    lane.stopped = report.stopped !== null;
    lane.stoppedBy = teller;
  }
  if (report.n < lane.applied && !mayTakeBack(lane.appliedBy)) return slot;
  lane.applied = report.n;
  lane.appliedBy = teller;
  lane.outFull = report.outFull;
  lane.memoryBytes = report.memoryBytes;
  lane.memoryBytesMax = report.memoryBytesMax;
  lane.reportedBlock = report.closedBlock + 1;
  lane.reportedSettled = Math.min(report.settledN, report.n);
  lane.reportedMisses = report.misses;
  return slot;
}

/**
 * Moves on what counts as resolved. A report counts only if it speaks of the open block and all the misses that it counts are
 * taken. True if something was.
 */
export function settleLane(lane: Lane, openBlock: number): boolean {
  if (lane.reportedBlock !== openBlock || lane.missesTaken < lane.reportedMisses) return false;
  if (lane.reportedSettled <= lane.settled) return false;
  lane.settled = lane.reportedSettled;
  return true;
}

/** True if all local transactions are resolved. */
export const areSettled = ({ lanes }: PartitionTable): boolean => lanes.every(({ settled, workN }) => settled >= workN);

/** A block stands in all logs: everything before it is resolved. */
export function closeLanes({ lanes, n }: PartitionTable): void {
  lanes.forEach((lane, slot) => {
    lane.settled = n[slot]!;
    lane.missesTaken = 0;
  });
}

/** Counts an acknowledged message. */
export function noteAppended(table: PartitionTable, slot: number, bytes: number): void {
  const lane = table.lanes[slot]!;
  const n = table.n[slot]! + 1;
  table.n[slot] = n;
  lane.appendedBytes += bytes;
  lane.sums[n % lane.sums.length] = lane.appendedBytes;
}

/** Bytes that this leader appended and the partition has not reported as applied; Infinity if too many messages to tell. */
export function lagBytes(table: PartitionTable, slot: number): number {
  const lane = table.lanes[slot]!;
  const n = table.n[slot]!;
  if (lane.applied >= n) return 0;
  const applied = Math.max(lane.applied, lane.firstN - 1);
  if (n - applied >= lane.sums.length) return Number.POSITIVE_INFINITY;
  return lane.appendedBytes - (applied < lane.firstN ? 0 : lane.sums[applied % lane.sums.length]!);
}

export const isSilent = (table: PartitionTable, slot: number, now: number, silentMs: number): boolean => {
  const lane = table.lanes[slot]!;
  return lane.stopped || now - lane.reportedAt > silentMs;
};

/** True if a partition that reports cannot publish what it executes: OUT is one stream, so none can for long. */
export const isOutFull = ({ lanes }: PartitionTable, now: number, silentMs: number): boolean =>
  lanes.some(({ outFull, reportedAt }) => outFull && now - reportedAt <= silentMs);

export const isFull = (table: PartitionTable, slot: number): boolean => {
  const lane = table.lanes[slot]!;
  return lane.memoryBytes > lane.memoryBytesMax;
};
