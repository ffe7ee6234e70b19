/** Finding logs in stored blocks: bloom of the block, then the columns that the filter constrains, then the log itself. */
import { bloomMayMatch, logCandidates, logMatches, logOffset, readU32, TX } from "@meridian/core";
import type { ArchiveLog, PreparedFilter } from "@meridian/core";
import { chunkCount, chunkFirstLog, chunkResultAt, chunkTransactionAt, lastAtOrBelow } from "./archive-layout.ts";
import type { StoredBlock } from "./archive-layout.ts";
import { readBlock } from "./archive-read.ts";
import { BLOOM_BYTES, BLOOM_GROUP, bodyKey, columnKey, peekValue, readValue } from "./archive-tables.ts";
import type { ArchiveTables } from "./archive-tables.ts";

/** How much a search may still return; both count down. */
export interface LogBudget {
  logs: number;
  bytes: number;
}

/** What a log costs in a reply beside its data. */
const LOG_BYTES = 320;

/**
 * Appends the matching logs of blocks [first, last] to `found`, in order. Does nothing more once the budget is below 0.
 * Blocks that are not there are passed over. Call it for short ranges: it holds the thread.
 */
export function findLogs(
  tables: ArchiveTables,
  filter: PreparedFilter,
  first: number,
  last: number,
  budget: LogBudget,
  found: ArchiveLog[],
): void {
  let group = -1;
  let blooms: Uint8Array | undefined;
  for (let number = first; number <= last && budget.logs >= 0 && budget.bytes >= 0; number++) {
    if (Math.floor(number / BLOOM_GROUP) !== group) {
      group = Math.floor(number / BLOOM_GROUP);
      blooms = readValue(tables.blooms, group);
    }
    if (blooms === undefined || !bloomMayMatch(filter, blooms, (number % BLOOM_GROUP) * BLOOM_BYTES)) continue;
    const candidates = candidatesOf(tables, filter, number);
    if (candidates.length > 0) collect(tables, filter, number, candidates, budget, found);
  }
}

function candidatesOf(tables: ArchiveTables, filter: PreparedFilter, number: number): Uint32Array {
  return logCandidates(filter, (column) => {
    const keys = readValue(tables.columns, columnKey(number, column));
    return keys === undefined ? null : new Uint32Array(keys.buffer);
  });
}

function collect(
  tables: ArchiveTables,
  filter: PreparedFilter,
  number: number,
  candidates: Uint32Array,
  budget: LogBudget,
  found: ArchiveLog[],
): void {
  const block = readBlock(tables, number);
  if (block === null) return;
  // Nothing else is read in this loop, so that a chunk may be looked at where lmdb put it.
  let chunk: Uint8Array | undefined;
  let chunkAt = -1; // place in block.chunks
  let transaction = 0; // in the chunk
  for (const log of candidates) {
    if (chunk === undefined || log >= chunkFirstLog(chunk, chunkCount(chunk))) {
      chunkAt = lastAtOrBelow(block.chunkLogs, log);
      transaction = 0;
      chunk = peekValue(tables.bodies, bodyKey(number, block.chunks[chunkAt]!));
      if (chunk === undefined) return;
    }
    while (log >= chunkFirstLog(chunk, transaction + 1)) transaction++;
    const at = logOffset(chunk, chunkResultAt(chunk, transaction), log - chunkFirstLog(chunk, transaction));
    if (!logMatches(filter, chunk, at)) continue;
    const hit = logAt(block, chunk, transaction, at, log, block.chunks[chunkAt]!);
    budget.logs--;
    budget.bytes -= LOG_BYTES + hit.data.length;
    if (budget.logs < 0 || budget.bytes < 0) return;
    found.push(hit);
  }
}

function logAt(
  block: StoredBlock,
  chunk: Uint8Array,
  transaction: number,
  at: number,
  logIndex: number,
  first: number,
): ArchiveLog {
  const topicCount = chunk[at + 20]!;
  const dataAt = at + 25 + topicCount * 32;
  const hashAt = chunkTransactionAt(chunk, transaction) + TX.hash;
  return {
    block: { number: block.number, hash: block.hash, timestamp: block.timestamp },
    transactionHash: chunk.slice(hashAt, hashAt + 32),
    transactionIndex: first + transaction,
    logIndex,
    address: chunk.slice(at, at + 20),
    topics: Array.from({ length: topicCount }, (_, topic) => chunk.slice(at + 21 + topic * 32, at + 53 + topic * 32)),
    data: chunk.slice(dataAt, dataAt + readU32(chunk, dataAt - 4)),
  };
}
