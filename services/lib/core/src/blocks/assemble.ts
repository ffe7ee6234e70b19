/**
 * Assembles blocks from the OutRecords of all partitions.
 *
 * B1. Per partition records count n without gap. An equal duplicate is dropped; an unequal one, a gap, or anything else that
 *     cannot be is an alarm, and after an alarm nothing is assembled any more.
 * B2. A block is complete when every partition that its `block` entry names has delivered its record with that block.
 * B3. A block is a function of the records alone: cut, delivery order and duplicates do not show in it.
 * B4. `progress` of a block is enough to go on after it: OUT read after `sequence`, with everything up to `positions` dropped,
 *     gives exactly the records that are not in a block. So what is not in a block need not be saved: OUT has it.
 * B5. A block holds what came to an end before its `block` entry, in a record's own run or settled in a later record of the
 *     block; all of it stands at its own position.
 * B6. A block's digest is that of its partitions' lattices and of the hashes that the history account's cells lack
 *     (history-account.ts): the state as a transaction of the next block sees it, but for the block's own hash.
 * B7. What waits for its block is bounded in bytes; the bound is above what the scheduler lets stand open.
 */
import { concatBytes, sameBytes } from "../bytes.ts";
import type { EngineModule } from "../engine.ts";
import type { OutRecord } from "../entries.ts";
import type { OutBatch } from "../ports.ts";
import { UNSEALED_MAX, cellsBehind } from "../history/history-account.ts";
import type { PartitionId } from "../ranges.ts";
import { merge } from "./merge.ts";
import type { Merged, MergeSource } from "./merge.ts";
import { closingOf, markOf, MARK_BYTES, sourcesOf } from "./record.ts";
import type { Closing, Sha256 } from "./record.ts";
import { blockRlpBytes } from "./size.ts";

/** Why assembly stopped for good. */
export type Alarm =
  | { code: "GAP"; partition: PartitionId; nExpected: number; nGot: number }
  | { code: "UNEQUAL"; partition: PartitionId; n: number } // two different records of one message
  | { code: "MALFORMED"; partition: PartitionId; n: number; text: string }
  | { code: "BLOCK_ORDER"; partition: PartitionId; n: number; blockExpected: number; blockGot: number }
  | { code: "BLOCKS_DIFFER"; block: number; partition: PartitionId; other: PartitionId } // same block, other context
  | { code: "POSITION_TWICE"; block: number; flush: number; index: number }
  | { code: "TAIL_FULL"; bytes: number; bytesMax: number; awaited: PartitionId[] };

export interface ChainHead {
  number: number;
  hash: Uint8Array;
  timestamp: number;
}

/** Marks of one partition's records that went into a block: `marks` is MARK_BYTES for each n from `firstN` on. */
export interface RecordMarks {
  partition: PartitionId;
  firstN: number;
  marks: Uint8Array;
}

/** Where assembly stands after a block (B4). */
export interface AssemblyProgress {
  /** Every OUT message up to this stream sequence is in blocks as a whole. */
  sequence: number;
  /** n of each partition's last record that is in a block. */
  positions: [PartitionId, number][];
}

export interface AssembledBlock extends Merged {
  number: number;
  hash: Uint8Array;
  parentHash: Uint8Array;
  header: Uint8Array; // RLP
  timestamp: number;
  gasUsed: number;
  digest: Uint8Array;
  logsBloom: Uint8Array;
  sizeBytes: number; // of the block in RLP
  snapshot: boolean; // partitions take a snapshot at its end
  progress: AssemblyProgress;
  marks: RecordMarks[];
  /** First sequences of the OUT messages that its records came in, for trace links; ascending. */
  sequences: number[];
}

export interface AssemblyStart extends AssemblyProgress {
  head: ChainHead | null; // null: block 0 is next
  /** Hashes of the last blocks, ascending up to the head: `UNSEALED_MAX`, or all there are. */
  hashes: Uint8Array[];
  marks: RecordMarks[]; // of the last blocks, to compare late duplicates with
}

export interface AssemblyOptions {
  sha256: Sha256;
  tailBytesMax: number;
  /** Marks kept for each partition; an older duplicate is dropped without comparison. */
  marksMax: number;
}

/** What assembly asks of the engine. */
export type BlockEngine = Pick<EngineModule, "buildBlock" | "foldDigest" | "latticeOf">;

interface TailRecord {
  n: number;
  sources: MergeSource[]; // what came to an end with this record
  bytes: number;
  firstSequence: number; // of its OUT message
  mark: Uint8Array;
  closes: Closing | null;
}

/** One partition's records that are not in a block. */
interface Tail {
  n: number; // last taken
  builtN: number; // last in a block
  records: TailRecord[];
  /** Index in `records` of the first one that closes a block, -1 if none. */
  closeAt: number;
  marks: Map<number, Uint8Array>;
  marksFrom: number; // marks below are gone
}

export interface Assembly {
  readonly options: AssemblyOptions;
  head: ChainHead | null;
  hashes: Uint8Array[]; // as in AssemblyStart
  alarm: Alarm | null;
  sequence: number; // last OUT message taken
  tailBytes: number;
  tails: Map<PartitionId, Tail>;
}

/** A zero hash: the parent of block 0. */
const NO_HASH = new Uint8Array(32);
/** What a record costs beside its buffers, lattice included, and what a run of it does. */
const RECORD_BYTES = 4_096;
const SOURCE_BYTES = 512;

export function openAssembly(start: AssemblyStart, options: AssemblyOptions): Assembly {
  const tails = new Map<PartitionId, Tail>();
  for (const [partition, n] of start.positions) tails.set(partition, openTail(n));
  for (const { partition, firstN, marks } of start.marks) {
    const tail = tails.get(partition);
    for (let at = 0; tail !== undefined && at < marks.length; at += MARK_BYTES) {
      tail.marks.set(firstN + at / MARK_BYTES, marks.slice(at, at + MARK_BYTES));
    }
    if (tail !== undefined) tail.marksFrom = Math.min(tail.marksFrom, firstN);
  }
  const { head, hashes, sequence } = start;
  return { options, head, hashes: [...hashes], alarm: null, sequence, tailBytes: 0, tails };
}

const openTail = (n: number): Tail => ({ n, builtN: n, records: [], closeAt: -1, marks: new Map(), marksFrom: n + 1 });

/** What became of a message's records. `unchecked`: duplicates older than the marks that are kept. */
export interface Taken {
  taken: number;
  duplicates: number;
  unchecked: number;
}

/** Takes one OUT message. Sets `assembly.alarm` and takes nothing more if something cannot be (B1). Mutates `assembly`. */
export function takeRecords(
  assembly: Assembly,
  message: Pick<OutBatch, "firstSequence" | "sequence" | "partition" | "records">,
): Taken {
  const outcome: Taken = { taken: 0, duplicates: 0, unchecked: 0 };
  if (assembly.tailBytes > assembly.options.tailBytesMax) {
    const { tailBytesMax } = assembly.options;
    assembly.alarm ??= {
      code: "TAIL_FULL",
      bytes: assembly.tailBytes,
      bytesMax: tailBytesMax,
      awaited: awaitedPartitions(assembly),
    };
  }
  for (const record of message.records) {
    if (assembly.alarm !== null) return outcome;
    const tail = assembly.tails.get(message.partition) ?? openTail(0);
    assembly.tails.set(message.partition, tail);
    if (record.n <= tail.n) dropDuplicate(assembly, message.partition, tail, record, outcome);
    else takeRecord(assembly, message.partition, tail, record, message.firstSequence, outcome);
  }
  assembly.sequence = Math.max(assembly.sequence, message.sequence);
  return outcome;
}

function dropDuplicate(assembly: Assembly, partition: PartitionId, tail: Tail, record: OutRecord, outcome: Taken): void {
  const known = tail.marks.get(record.n);
  if (known === undefined) outcome.unchecked++;
  else if (sameBytes(known, 0, markOf(record, assembly.options.sha256), 0, MARK_BYTES)) outcome.duplicates++;
  else assembly.alarm = { code: "UNEQUAL", partition, n: record.n };
}

function takeRecord(
  assembly: Assembly,
  partition: PartitionId,
  tail: Tail,
  record: OutRecord,
  firstSequence: number,
  outcome: Taken,
): void {
  const { n } = record;
  if (n !== tail.n + 1) {
    assembly.alarm = { code: "GAP", partition, nExpected: tail.n + 1, nGot: n };
    return;
  }
  const sources = sourcesOf(record);
  if (typeof sources === "string") {
    assembly.alarm = { code: "MALFORMED", partition, n, text: sources };
    return;
  }
  const mark = markOf(record, assembly.options.sha256);
  const closes = closingOf(record);
  tail.n = n;
  tail.marks.set(n, mark);
  const bytes = sources.reduce(
    (sum, { transactions, results }) => sum + SOURCE_BYTES + transactions.length + results.length,
    RECORD_BYTES,
  );
  tail.records.push({ n, sources, bytes, firstSequence, mark, closes });
  if (closes !== null && tail.closeAt < 0) tail.closeAt = tail.records.length - 1;
  assembly.tailBytes += bytes;
  outcome.taken++;
}

/** The closing of the next block as the first partition that has it says it. */
function nextClosing(assembly: Assembly): { closing: Closing; partition: PartitionId } | null {
  const number = assembly.head === null ? 0 : assembly.head.number + 1;
  for (const [partition, tail] of assembly.tails) {
    const closing = tail.records[tail.closeAt]?.closes;
    if (closing?.number === number) return { closing, partition };
  }
  return null;
}

/** Partitions whose record the next block waits for; [] if nobody has closed it yet. */
export function awaitedPartitions(assembly: Assembly): PartitionId[] {
  const partitions = nextClosing(assembly)?.closing.partitions ?? [];
  return partitions.filter((partition) => (assembly.tails.get(partition)?.closeAt ?? -1) < 0);
}

/** Records and transactions that are in no block yet. */
export function tailCounts(assembly: Assembly): { records: number; transactions: number } {
  let records = 0;
  let transactions = 0;
  for (const tail of assembly.tails.values()) {
    records += tail.records.length;
    for (const record of tail.records) for (const { count } of record.sources) transactions += count;
  }
  return { records, transactions };
}

/**
 * Builds the next block if it is complete, and makes it the head; null if it is not, or after an alarm.
 * Call it after every message until it is null: then `progress` depends on OUT's order alone. Mutates `assembly`.
 */
export function nextBlock(assembly: Assembly, engine: BlockEngine): AssembledBlock | null {
  if (assembly.alarm !== null) return null;
  const next = nextClosing(assembly);
  if (next === null) {
    assembly.alarm = blockOrder(assembly);
    return null;
  }
  const closings: Closing[] = [];
  for (const partition of next.closing.partitions) {
    const tail = assembly.tails.get(partition);
    const record = tail?.records[tail.closeAt];
    if (record?.closes == null) return null;
    closings.push(record.closes);
    const alarm = differs(next, partition, record.n, record.closes);
    if (alarm !== null) {
      assembly.alarm = alarm;
      return null;
    }
  }
  return build(assembly, engine, next.closing, closings);
}

function differs(
  next: { closing: Closing; partition: PartitionId },
  partition: PartitionId,
  n: number,
  closing: Closing,
): Alarm | null {
  const { number, facts } = next.closing;
  if (closing.number !== number) return { code: "BLOCK_ORDER", partition, n, blockExpected: number, blockGot: closing.number };
  return closing.facts === facts ? null : { code: "BLOCKS_DIFFER", block: number, partition, other: next.partition };
}

/** Nobody has the next block: fine if nobody closed anything, or only partitions that start later; else a block is missing. */
function blockOrder(assembly: Assembly): Alarm | null {
  const blockExpected = assembly.head === null ? 0 : assembly.head.number + 1;
  for (const [partition, tail] of assembly.tails) {
    const record = tail.records[tail.closeAt];
    // A partition with records in blocks, or with an older block, has no excuse; one that is new waits for the others.
    if (record?.closes != null && (tail.builtN > 0 || record.closes.number < blockExpected)) {
      return { code: "BLOCK_ORDER", partition, n: record.n, blockExpected, blockGot: record.closes.number };
    }
  }
  return null;
}

function build(assembly: Assembly, engine: BlockEngine, closing: Closing, closings: Closing[]): AssembledBlock | null {
  const parts = closing.partitions.map((partition) => {
    const tail = assembly.tails.get(partition) ?? openTail(0); // Complete: all of them are there.
    return { partition, tail, records: tail.records.slice(0, tail.closeAt + 1) };
  });
  const records = parts.flatMap((part) => part.records);
  const merged = merge(records.flatMap(({ sources }) => sources));
  if ("index" in merged) {
    assembly.alarm = { code: "POSITION_TWICE", block: closing.number, ...merged };
    return null;
  }
  const parentHash = assembly.head?.hash ?? NO_HASH;
  const behind = engine.latticeOf(cellsBehind(closing.number, assembly.hashes));
  const digest = engine.foldDigest(concatBytes([...closings.map(({ lattice }) => lattice), behind]));
  const built = engine.buildBlock({ ...closing.context, parentHash, digest }, merged.transactions, merged.results);
  for (const { tail, records: taken } of parts) advance(assembly, tail, taken);
  assembly.head = { number: closing.number, hash: built.hash, timestamp: closing.context.timestamp };
  assembly.hashes = [...assembly.hashes, built.hash].slice(-UNSEALED_MAX);
  return {
    ...merged,
    ...{ number: closing.number, hash: built.hash, parentHash, header: built.header, timestamp: closing.context.timestamp },
    ...{ gasUsed: built.gasUsed, digest, logsBloom: built.logsBloom, snapshot: closing.snapshot },
    sizeBytes: blockRlpBytes(built.header.length, merged.transactions, merged.transactionOffsets),
    progress: progressOf(assembly),
    marks: parts.map(({ partition, records: taken }) => ({
      partition,
      firstN: taken[0]!.n,
      marks: concatBytes(taken.map(({ mark }) => mark)),
    })),
    sequences: [...new Set(records.map(({ firstSequence }) => firstSequence))].sort((left, right) => left - right),
  };
}

/** Moves a partition's records out of the tail once they are in a block, and lets marks go that are too old. */
function advance(assembly: Assembly, tail: Tail, taken: readonly TailRecord[]): void {
  for (const record of taken) assembly.tailBytes -= record.bytes;
  tail.records = tail.records.slice(taken.length);
  tail.closeAt = tail.records.findIndex(({ closes }) => closes !== null);
  tail.builtN += taken.length;
  for (; tail.marksFrom <= tail.builtN - assembly.options.marksMax; tail.marksFrom++) tail.marks.delete(tail.marksFrom);
}

function progressOf(assembly: Assembly): AssemblyProgress {
  let sequence = assembly.sequence;
  const positions: [PartitionId, number][] = [];
  for (const [partition, tail] of [...assembly.tails].sort(([left], [right]) => left - right)) {
    positions.push([partition, tail.builtN]);
    const first = tail.records[0];
    if (first !== undefined) sequence = Math.min(sequence, first.firstSequence - 1);
  }
  return { sequence, positions };
}
