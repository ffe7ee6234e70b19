/**
 * Packed values of the archive's LMDB. All numbers little-endian, except in keys, which sort as bytes.
 *
 * A block's transactions stand in chunks of up to CHUNK_TRANSACTIONS_MAX transactions and about CHUNK_BYTES_MAX bytes: one lookup
 * reads one chunk and nothing has to be scanned.
 *
 * | chunk | |
 * |---|---|
 * | 0 | u32 count |
 * | 4 | u32 start of each transaction record, count + 1 |
 * | … | u32 start of each result record, count + 1 |
 * | … | u32 number of the first log of each transaction in its block, count + 1 |
 * | … | u64 gas used in the block up to and including each transaction, count |
 * | … | transaction records, then result records |
 */
import { assert, readU16, readU32, readU64, resultGasUsed, writeU16, writeU32, writeU64 } from "@meridian/core";
import type { AssembledBlock, AssemblyProgress, Merged, PartitionId, RecordMarks } from "@meridian/core";

export const ARCHIVE_FORMAT = 3;
export const CHUNK_TRANSACTIONS_MAX = 1_024;
export const CHUNK_BYTES_MAX = 64 * 1_024;

/** A block without its transactions. */
export interface StoredBlock {
  number: number;
  hash: Uint8Array;
  parentHash: Uint8Array;
  digest: Uint8Array;
  header: Uint8Array; // RLP
  timestamp: number;
  gasUsed: number;
  sizeBytes: number; // of its RLP
  transactionCount: number;
  logCount: number;
  snapshot: boolean;
  progress: AssemblyProgress;
  /** Packed transactions and results together. */
  bodyBytes: number;
  /** Index of each chunk's first transaction, and number of its first log. */
  chunks: Uint32Array;
  chunkLogs: Uint32Array;
}

const ROW = { hash: 1, parentHash: 33, digest: 65, timestamp: 97, gasUsed: 105, sizeBytes: 113, bodyBytes: 121 } as const;
const ROW_COUNTS = {
  transactions: 129,
  logs: 133,
  snapshot: 137,
  sequence: 138,
  positions: 146,
  chunks: 148,
  header: 152,
} as const;
const ROW_BYTES = 156;
const POSITION_BYTES = 12;

export function packRow(block: StoredBlock): Uint8Array {
  const { positions } = block.progress;
  const row = new Uint8Array(ROW_BYTES + positions.length * POSITION_BYTES + block.chunks.length * 8 + block.header.length);
  row[0] = ARCHIVE_FORMAT;
  row.set(block.hash, ROW.hash);
  row.set(block.parentHash, ROW.parentHash);
  row.set(block.digest, ROW.digest);
  writeU64(row, ROW.timestamp, block.timestamp);
  writeU64(row, ROW.gasUsed, block.gasUsed);
  writeU64(row, ROW.sizeBytes, block.sizeBytes);
  writeU64(row, ROW.bodyBytes, block.bodyBytes);
  writeU32(row, ROW_COUNTS.transactions, block.transactionCount);
  writeU32(row, ROW_COUNTS.logs, block.logCount);
  row[ROW_COUNTS.snapshot] = block.snapshot ? 1 : 0;
  writeU64(row, ROW_COUNTS.sequence, block.progress.sequence);
  writeU16(row, ROW_COUNTS.positions, positions.length);
  writeU32(row, ROW_COUNTS.chunks, block.chunks.length);
  writeU32(row, ROW_COUNTS.header, block.header.length);
  let at = ROW_BYTES;
  for (const [partition, n] of positions) {
    writeU32(row, at, partition);
    writeU64(row, at + 4, n);
    at += POSITION_BYTES;
  }
  for (const first of [...block.chunks, ...block.chunkLogs]) {
    writeU32(row, at, first);
    at += 4;
  }
  row.set(block.header, at);
  return row;
}

/** @param number  the row's key */
export function unpackRow(number: number, row: Uint8Array): StoredBlock {
  assert(row[0] === ARCHIVE_FORMAT, `block ${number} has format ${row[0]}`);
  const positions: [PartitionId, number][] = [];
  let at = ROW_BYTES;
  for (let count = readU16(row, ROW_COUNTS.positions); count > 0; count--, at += POSITION_BYTES) {
    positions.push([readU32(row, at), readU64(row, at + 4)]);
  }
  const chunkCount = readU32(row, ROW_COUNTS.chunks);
  const firsts = Uint32Array.from({ length: chunkCount * 2 }, (_, chunk) => readU32(row, at + chunk * 4));
  at += firsts.length * 4;
  return {
    number,
    hash: row.slice(ROW.hash, ROW.hash + 32),
    parentHash: row.slice(ROW.parentHash, ROW.parentHash + 32),
    digest: row.slice(ROW.digest, ROW.digest + 32),
    header: row.slice(at, at + readU32(row, ROW_COUNTS.header)),
    timestamp: readU64(row, ROW.timestamp),
    gasUsed: readU64(row, ROW.gasUsed),
    sizeBytes: readU64(row, ROW.sizeBytes),
    bodyBytes: readU64(row, ROW.bodyBytes),
    transactionCount: readU32(row, ROW_COUNTS.transactions),
    logCount: readU32(row, ROW_COUNTS.logs),
    snapshot: row[ROW_COUNTS.snapshot] === 1,
    progress: { sequence: readU64(row, ROW_COUNTS.sequence), positions },
    chunks: firsts.subarray(0, chunkCount),
    chunkLogs: firsts.subarray(chunkCount),
  };
}

/** Index of the first transaction of each chunk that a block is cut into. */
export function cutChunks({ count, transactionOffsets, resultOffsets }: Merged): Uint32Array {
  const firsts: number[] = [];
  let chunkAt = 0;
  for (let number = 0; number < count; number++) {
    const end = transactionOffsets[number + 1]! + resultOffsets[number + 1]!;
    const first = firsts.at(-1);
    const isFull = first === undefined || number - first === CHUNK_TRANSACTIONS_MAX || end - chunkAt > CHUNK_BYTES_MAX;
    if (!isFull) continue;
    firsts.push(number);
    chunkAt = transactionOffsets[number]! + resultOffsets[number]!;
  }
  return Uint32Array.from(firsts);
}

const tableBytes = (count: number): number => 4 + (count + 1) * 12 + count * 8;

/**
 * Packs transactions [from, to) of a block.
 * @param firstLogs  number of each transaction's first log in the block
 * @param gasBefore  gas used in the block before transaction `from`
 * @returns the chunk, and the gas used up to its end
 */
export function packChunk(block: Merged, firstLogs: Uint32Array, from: number, to: number, gasBefore: number) {
  const { transactions, results, transactionOffsets, resultOffsets } = block;
  const count = to - from;
  const [txFrom, txTo] = [transactionOffsets[from]!, transactionOffsets[to]!];
  const [resultFrom, resultTo] = [resultOffsets[from]!, resultOffsets[to]!];
  const txAt = tableBytes(count);
  const resultAt = txAt + txTo - txFrom;
  const chunk = new Uint8Array(resultAt + resultTo - resultFrom);
  const gasAt = 4 + (count + 1) * 12;
  writeU32(chunk, 0, count);
  let gas = gasBefore;
  for (let number = 0; number <= count; number++) {
    writeU32(chunk, 4 + number * 4, txAt + transactionOffsets[from + number]! - txFrom);
    writeU32(chunk, 4 + (count + 1 + number) * 4, resultAt + resultOffsets[from + number]! - resultFrom);
    writeU32(chunk, 4 + (2 * (count + 1) + number) * 4, firstLogs[from + number]!);
    if (number === count) break;
    gas += resultGasUsed(results, resultOffsets[from + number]!);
    writeU64(chunk, gasAt + number * 8, gas);
  }
  chunk.set(transactions.subarray(txFrom, txTo), txAt);
  chunk.set(results.subarray(resultFrom, resultTo), resultAt);
  return { chunk, gas };
}

export const chunkCount = (chunk: Uint8Array): number => readU32(chunk, 0);
/** Start of transaction `number` of the chunk; `number` = count gives the end of the last. The same for the next two. */
export const chunkTransactionAt = (chunk: Uint8Array, number: number): number => readU32(chunk, 4 + number * 4);
export const chunkResultAt = (chunk: Uint8Array, number: number): number =>
  readU32(chunk, 4 + (chunkCount(chunk) + 1 + number) * 4);
export const chunkFirstLog = (chunk: Uint8Array, number: number): number =>
  readU32(chunk, 4 + (2 * (chunkCount(chunk) + 1) + number) * 4);
/** Gas used in the block up to and including transaction `number` of the chunk. */
export const chunkGas = (chunk: Uint8Array, number: number): number =>
  readU64(chunk, 4 + (chunkCount(chunk) + 1) * 12 + number * 8);

/** Last element of `firsts` (ascending) that is not above `value`; -1 if all are. */
export function lastAtOrBelow(firsts: Uint32Array, value: number): number {
  let low = 0;
  let high = firsts.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (firsts[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Marks of one block's records: (u32 partition, u64 first n, u32 bytes, marks)*. */
export function packMarks(marks: readonly RecordMarks[]): Uint8Array {
  const packed = new Uint8Array(marks.reduce((length, part) => length + 16 + part.marks.length, 0));
  let at = 0;
  for (const { partition, firstN, marks: bytes } of marks) {
    writeU32(packed, at, partition);
    writeU64(packed, at + 4, firstN);
    writeU32(packed, at + 12, bytes.length);
    packed.set(bytes, at + 16);
    at += 16 + bytes.length;
  }
  return packed;
}

export function unpackMarks(packed: Uint8Array): RecordMarks[] {
  const marks: RecordMarks[] = [];
  for (let at = 0; at < packed.length; at += 16 + readU32(packed, at + 12)) {
    const bytes = readU32(packed, at + 12);
    marks.push({
      partition: readU32(packed, at),
      firstN: readU64(packed, at + 4),
      marks: packed.slice(at + 16, at + 16 + bytes),
    });
  }
  return marks;
}

/** What `packRow` needs of an assembled block. */
export function storedBlock(block: AssembledBlock, firstLogs: Uint32Array, chunks: Uint32Array): StoredBlock {
  const { number, hash, parentHash, digest, header, timestamp, gasUsed, sizeBytes, snapshot, progress } = block;
  const bodyBytes = block.transactions.length + block.results.length;
  const chunkLogs = chunks.map((first) => firstLogs[first]!);
  const counts = { bodyBytes, transactionCount: block.count, logCount: firstLogs[block.count]!, chunks, chunkLogs };
  return { number, hash, parentHash, digest, header, timestamp, gasUsed, sizeBytes, snapshot, progress, ...counts };
}
