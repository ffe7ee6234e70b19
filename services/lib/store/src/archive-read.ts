/** Reads of the archive's store: copies, safe to keep. Each function sees one state of the database. */
import { assert, callNumber, concatBytes, sameBytes, TX, UNSEALED_MAX } from "@meridian/core";
import {
  chunkCount,
  chunkFirstLog,
  chunkGas,
  chunkResultAt,
  chunkTransactionAt,
  lastAtOrBelow,
  unpackMarks,
  unpackRow,
} from "./archive-layout.ts";
import type { StoredBlock } from "./archive-layout.ts";
import { hashesOf, PREFIX_BYTES, unpackPlace } from "./archive-runs.ts";
import type { Place } from "./archive-runs.ts";
import { bodyKey, peekValue } from "./archive-tables.ts";
import type { ArchiveTables } from "./archive-tables.ts";
import { numberOf } from "./archive-write.ts";

/** One transaction with what its receipt needs. */
export interface StoredTransaction {
  block: StoredBlock;
  index: number;
  hash: Uint8Array;
  transaction: Uint8Array; // packed record
  result: Uint8Array; // packed record
  cumulativeGasUsed: number;
  firstLogIndex: number;
}

/** Transactions [from, from + count) of a block. */
export interface StoredBody {
  count: number;
  transactions: Uint8Array;
  results: Uint8Array;
}

export function readBlock(tables: ArchiveTables, number: number): StoredBlock | null {
  const row = peekValue(tables.blocks, number);
  return row === undefined ? null : unpackRow(number, row);
}

export function readNumber(tables: ArchiveTables, hash: Uint8Array): number | null {
  const value = peekValue(tables.numbers, hash);
  return value === undefined ? null : numberOf(value);
}

/** Hashes of the last blocks up to this one that assembly goes on with, ascending. */
export function lastHashes(tables: ArchiveTables, number: number): Uint8Array[] {
  const first = Math.max(0, number - UNSEALED_MAX + 1);
  return Array.from({ length: number - first + 1 }, (_, index) => readBlock(tables, first + index)).flatMap((block) =>
    block === null ? [] : [block.hash],
  );
}

/** Number of the oldest or newest block, null if there is none. */
export function edgeNumber(tables: ArchiveTables, edge: "oldest" | "newest"): number | null {
  if (edge === "newest") for (const number of tables.blocks.getKeys({ reverse: true, limit: 1 })) return number;
  // Also for the newest: lmdb's way back leaves out key 0 when it is the only one.
  for (const number of tables.blocks.getKeys({ limit: 1 })) return number;
  return null;
}

/** Packed hashes of a block's transactions. */
export const readHashes = (tables: ArchiveTables, number: number): Uint8Array =>
  hashesOf(peekValue(tables.hashes, number) ?? new Uint8Array(0));

/** The chunk with transaction `index`, only until the next read (see `peekValue`). */
export function peekChunk(tables: ArchiveTables, block: StoredBlock, index: number): { chunk: Uint8Array; first: number } {
  const first = block.chunks[lastAtOrBelow(block.chunks, index)];
  assert(first !== undefined, `block ${block.number} has no chunk for transaction ${index}`);
  const chunk = peekValue(tables.bodies, bodyKey(block.number, first));
  assert(chunk !== undefined, `chunk ${first} of block ${block.number} is not there`);
  return { chunk, first };
}

/** Transaction `index` of a block, null if the block has fewer. */
export function readTransaction(tables: ArchiveTables, block: StoredBlock, index: number): StoredTransaction | null {
  if (index >= block.transactionCount) return null;
  const { chunk, first } = peekChunk(tables, block, index);
  const at = index - first;
  const transaction = chunk.slice(chunkTransactionAt(chunk, at), chunkTransactionAt(chunk, at + 1));
  return {
    block,
    index,
    hash: transaction.slice(TX.hash, TX.hash + 32),
    transaction,
    result: chunk.slice(chunkResultAt(chunk, at), chunkResultAt(chunk, at + 1)),
    cumulativeGasUsed: chunkGas(chunk, at),
    firstLogIndex: chunkFirstLog(chunk, at),
  };
}

/** Where a run with this prefix may stand: prefixes can be equal, by chance or by intent, so hashes are to be compared. */
export function placesOf(tables: ArchiveTables, hash: Uint8Array): Place[] {
  return [...tables.places.getValues(hash.slice(0, PREFIX_BYTES)).map((value) => unpackPlace(Buffer.from(value)))];
}

/** The transaction with this hash. */
export function findTransaction(tables: ArchiveTables, hash: Uint8Array): StoredTransaction | null {
  const asked = callNumber(hash, 0);
  for (const { block: blockNumber, index, number, count } of placesOf(tables, hash)) {
    if (asked < number || asked >= number + count) continue;
    const block = readBlock(tables, blockNumber);
    const found = block === null ? null : readTransaction(tables, block, index + asked - number);
    if (found !== null && sameBytes(found.hash, 0, hash, 0, 32)) return found;
  }
  return null;
}

/** Up to `count` transactions from `from` on, at most about `bytesMax` but at least one if there is one. */
export function readBody(tables: ArchiveTables, block: StoredBlock, from: number, count: number, bytesMax: number): StoredBody {
  const end = Math.min(block.transactionCount, from + count);
  const transactions: Uint8Array[] = [];
  const results: Uint8Array[] = [];
  let next = from;
  for (let bytes = 0, isFull = false; next < end && !isFull;) {
    const { chunk, first } = peekChunk(tables, block, next);
    const start = next - first;
    const [txFrom, resultFrom] = [chunkTransactionAt(chunk, start), chunkResultAt(chunk, start)];
    let to = start;
    for (const stop = Math.min(chunkCount(chunk), end - first); to < stop && !isFull;) {
      const size = chunkTransactionAt(chunk, to + 1) - txFrom + chunkResultAt(chunk, to + 1) - resultFrom;
      isFull = bytes + size > bytesMax && first + to > from;
      if (!isFull) to++;
    }
    transactions.push(chunk.slice(txFrom, chunkTransactionAt(chunk, to)));
    results.push(chunk.slice(resultFrom, chunkResultAt(chunk, to)));
    bytes += chunkTransactionAt(chunk, to) - txFrom + chunkResultAt(chunk, to) - resultFrom;
    next = first + to;
  }
  return { count: next - from, transactions: concatBytes(transactions), results: concatBytes(results) };
}

/** Marks of the newest blocks' records, oldest first. */
export function readMarks(tables: ArchiveTables) {
  return [...tables.marks.getRange().map(({ value }) => Buffer.from(value))].flatMap(unpackMarks);
}
