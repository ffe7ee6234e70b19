/** An archive's store in memory, with the behaviour of the one on disk. It outlives the processes that use it, as a disk does. */
import {
  TX,
  UNSEALED_MAX,
  assert,
  bloomMayMatch,
  logColumns,
  logMatches,
  logOffset,
  outcomesBy,
  readU32,
  resultGasUsed,
  resultLogCount,
  sameBytes,
} from "@meridian/core";
import type { ArchiveLog, AssembledBlock, ChainHead, PreparedFilter } from "@meridian/core";
import type { ArchiveStore, LogBudget, StoredBlock, StoredBody, StoredTransaction } from "@meridian/store";

/** Blocks whose record marks are kept, as on disk. */
const MARK_BLOCKS = 64;
const LOG_BYTES = 320;

interface Row {
  assembled: AssembledBlock;
  stored: StoredBlock;
  firstLogs: Uint32Array;
}

/** What an archive has on its disk. */
export class MemoryDisk {
  owner: string | null = null;
  rows: Row[] = [];

  /** Everything on it is lost. */
  wipe(): void {
    this.owner = null;
    this.rows = [];
  }

  get blocks(): AssembledBlock[] {
    return this.rows.map(({ assembled }) => assembled);
  }
}

/**
 * Opens the store on a disk for one process.
 * @param pause  how long the disk takes, before and after each commit; the commit itself is one moment
 */
export function openMemoryArchive(disk: MemoryDisk, pause: () => Promise<void>): ArchiveStore {
  const first = (): number => disk.rows[0]?.stored.number ?? 0;
  const row = (number: number): Row | undefined => disk.rows[number - first()];
  const commit = async (write: () => void): Promise<void> => {
    await pause();
    write();
    await pause();
  };
  const rowOf = (by: number | Uint8Array): Row | undefined =>
    typeof by === "number" ? row(by) : disk.rows.find(({ stored }) => sameBytes(stored.hash, 0, by, 0, 32));

  const find: ArchiveStore["find"] = (hash) => {
    for (const known of disk.rows) {
      for (let index = 0; index < known.assembled.count; index++) {
        const at = known.assembled.transactionOffsets[index]! + TX.hash;
        if (sameBytes(known.assembled.transactions, at, hash, 0, 32)) return transactionOf(known, index);
      }
    }
    return null;
  };

  return {
    async claim(genesisHash) {
      await commit(() => (disk.owner ??= genesisHash));
      return disk.owner ?? genesisHash;
    },
    chain() {
      assert(disk.owner !== null, "the store is nobody's");
      return disk.owner;
    },
    head: () => headOf(disk.rows.at(-1)),
    oldest: first,
    start() {
      const newest = disk.rows.at(-1);
      if (newest === undefined) return { head: null, sequence: 0, positions: [], marks: [], hashes: [] };
      const marks = disk.rows.slice(-MARK_BLOCKS).flatMap(({ assembled }) => assembled.marks);
      const hashes = disk.rows.slice(-UNSEALED_MAX).map(({ stored }) => stored.hash);
      return { head: headOf(newest), ...newest.stored.progress, marks, hashes };
    },
    put: (blocks) =>
      commit(() => {
        for (const block of blocks) putBlock(disk, block);
      }),
    removeOldest: () =>
      commit(() => {
        assert(disk.rows.length > 1, "the only block is to be removed");
        disk.rows = disk.rows.slice(1);
      }),
    clear: () => commit(() => (disk.rows = [])),
    close: () => Promise.resolve(),
    block: (by) => rowOf(by)?.stored ?? null,
    hashes: (number) => hashesOf(row(number)),
    bloom: (number) => row(number)?.assembled.logsBloom ?? new Uint8Array(256),
    body: (block, from, count, bytesMax) => bodyOf(row(block.number), from, count, bytesMax),
    transaction: (block, index) => transactionOf(row(block.number), index),
    find,
    outcomes: (keys) => outcomesBy(keys, find),
    logs(filter, firstBlock, last, budget, found) {
      for (const known of disk.rows) {
        if (known.stored.number >= firstBlock && known.stored.number <= last) collect(known, filter, budget, found);
      }
    },
    bytes: () => 0,
  };
}

const headOf = (row: Row | undefined): ChainHead | null =>
  row === undefined ? null : { number: row.stored.number, hash: row.stored.hash, timestamp: row.stored.timestamp };

function putBlock(disk: MemoryDisk, block: AssembledBlock): void {
  const before = disk.rows.at(-1)?.stored.number;
  assert(before === undefined || block.number === before + 1, `block ${block.number} is put after ${before}`);
  const { firstLogs } = logColumns(block.results, block.resultOffsets);
  const { number, hash, parentHash, digest, header, timestamp, gasUsed, sizeBytes, snapshot, progress } = block;
  const stored: StoredBlock = {
    ...{ number, hash, parentHash, digest, header, timestamp, gasUsed, sizeBytes, snapshot, progress },
    transactionCount: block.count,
    logCount: firstLogs[block.count]!,
    bodyBytes: block.transactions.length + block.results.length,
    chunks: Uint32Array.from(block.count > 0 ? [0] : []),
    chunkLogs: Uint32Array.from(block.count > 0 ? [0] : []),
  };
  disk.rows.push({ assembled: block, stored, firstLogs });
}

function hashesOf(row: Row | undefined): Uint8Array {
  const block = row?.assembled;
  const hashes = new Uint8Array((block?.count ?? 0) * 32);
  for (let index = 0; block !== undefined && index < block.count; index++) {
    const at = block.transactionOffsets[index]! + TX.hash;
    hashes.set(block.transactions.subarray(at, at + 32), index * 32);
  }
  return hashes;
}

function bodyOf(row: Row | undefined, from: number, count: number, bytesMax: number): StoredBody {
  assert(row !== undefined, "the body of a block that is not there");
  const { transactionOffsets, resultOffsets, transactions, results } = row.assembled;
  const end = Math.min(row.assembled.count, from + count);
  const sizeTo = (to: number): number =>
    transactionOffsets[to]! - transactionOffsets[from]! + resultOffsets[to]! - resultOffsets[from]!;
  let to = Math.min(from, row.assembled.count);
  while (to < end && (to === from || sizeTo(to + 1) <= bytesMax)) to++;
  if (to <= from) return { count: 0, transactions: new Uint8Array(0), results: new Uint8Array(0) };
  return {
    count: to - from,
    transactions: transactions.slice(transactionOffsets[from], transactionOffsets[to]),
    results: results.slice(resultOffsets[from], resultOffsets[to]),
  };
}

function transactionOf(row: Row | undefined, index: number): StoredTransaction | null {
  if (row === undefined || index >= row.assembled.count) return null;
  const { transactionOffsets, resultOffsets, transactions, results } = row.assembled;
  const transaction = transactions.slice(transactionOffsets[index], transactionOffsets[index + 1]);
  let cumulativeGasUsed = 0;
  for (let before = 0; before <= index; before++) cumulativeGasUsed += resultGasUsed(results, resultOffsets[before]!);
  return {
    ...{ block: row.stored, index, hash: transaction.slice(TX.hash, TX.hash + 32), transaction, cumulativeGasUsed },
    result: results.slice(resultOffsets[index], resultOffsets[index + 1]),
    firstLogIndex: row.firstLogs[index]!,
  };
}

function collect({ assembled, stored }: Row, filter: PreparedFilter, budget: LogBudget, found: ArchiveLog[]): void {
  const { results, resultOffsets, transactions, transactionOffsets, count } = assembled;
  if (!bloomMayMatch(filter, assembled.logsBloom, 0)) return;
  for (let index = 0, logIndex = 0; index < count; index++) {
    const at = resultOffsets[index]!;
    for (let log = 0; log < resultLogCount(results, at); log++, logIndex++) {
      const logAt = logOffset(results, at, log);
      if (budget.logs < 0 || budget.bytes < 0 || !logMatches(filter, results, logAt)) continue;
      const topics = results[logAt + 20]!;
      const dataAt = logAt + 25 + topics * 32;
      const data = results.slice(dataAt, dataAt + readU32(results, dataAt - 4));
      budget.logs--;
      budget.bytes -= LOG_BYTES + data.length;
      if (budget.logs < 0 || budget.bytes < 0) return;
      const hashAt = transactionOffsets[index]! + TX.hash;
      found.push({
        block: { number: stored.number, hash: stored.hash, timestamp: stored.timestamp },
        transactionHash: transactions.slice(hashAt, hashAt + 32),
        transactionIndex: index,
        logIndex,
        address: results.slice(logAt, logAt + 20),
        topics: Array.from({ length: topics }, (_, topic) => results.slice(logAt + 21 + topic * 32, logAt + 53 + topic * 32)),
        data,
      });
    }
  }
}
