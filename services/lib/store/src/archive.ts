/** The archive's store: blocks, transactions, receipts and logs in one LMDB file. */
import { assert } from "@meridian/core";
import type { ArchiveLog, AssembledBlock, AssemblyStart, ChainHead, PreparedFilter } from "@meridian/core";
import { ARCHIVE_FORMAT } from "./archive-layout.ts";
import type { StoredBlock } from "./archive-layout.ts";
import { findLogs } from "./archive-logs.ts";
import type { LogBudget } from "./archive-logs.ts";
import { readOutcomes } from "./archive-outcomes.ts";
import {
  edgeNumber,
  findTransaction,
  lastHashes,
  readBlock,
  readBody,
  readHashes,
  readMarks,
  readNumber,
  readTransaction,
} from "./archive-read.ts";
import type { StoredBody, StoredTransaction } from "./archive-read.ts";
import { BLOOM_BYTES, BLOOM_GROUP, commit, openTables, readText, readValue, tableBytes } from "./archive-tables.ts";
import type { ArchiveTables } from "./archive-tables.ts";
import { clearTables, putBlocks, removeBlock } from "./archive-write.ts";
import type { BloomGroup } from "./archive-write.ts";

/** Reads are copies, safe to keep. */
export interface ArchiveReads {
  block(by: number | Uint8Array): StoredBlock | null;
  /** Packed hashes of a block's transactions. */
  hashes(number: number): Uint8Array;
  bloom(number: number): Uint8Array;
  body(block: StoredBlock, from: number, count: number, bytesMax: number): StoredBody;
  transaction(block: StoredBlock, index: number): StoredTransaction | null;
  find(hash: Uint8Array): StoredTransaction | null;
  /** Packed outcomes of the transactions that packed keys name (core's outcomes.ts). */
  outcomes(keys: Uint8Array): Uint8Array;
  /** Appends the matching logs of blocks [first, last] until the budget is below 0; holds the thread, so cut wide ranges. */
  logs(filter: PreparedFilter, first: number, last: number, budget: LogBudget, found: ArchiveLog[]): void;
  bytes(): number;
}

export interface ArchiveStore extends ArchiveReads {
  /** Makes the store that of one chain if it is nobody's yet. @returns the genesis hash of the chain whose store it is */
  claim(genesisHash: string): Promise<string>;
  /** Genesis hash of the chain whose store it is. @throws BugError before `claim` */
  chain(): string;
  /** The newest block, null if there is none. */
  head(): ChainHead | null;
  /** Number of the oldest block; 0 if there is none. */
  oldest(): number;
  /** Where assembly goes on. */
  start(): AssemblyStart;
  /**
   * Puts the next blocks, or any first ones, in one commit; resolves when it is done. One call at a time: a commit costs
   * milliseconds whatever is in it, so what is built meanwhile goes into the next.
   * @throws IoError STORE_WRITE if the disk is full or failing: nothing of them is there, and they may be put again
   */
  put(blocks: readonly AssembledBlock[]): Promise<void>;
  /** Removes the oldest block; not the only one. @throws IoError STORE_WRITE */
  removeOldest(): Promise<void>;
  /** Removes everything. */
  clear(): Promise<void>;
  close(): Promise<void>;
}

/** lmdb's close never ends after a failed commit. */
const CLOSE_MS_MAX = 3_000;

/**
 * Opens the store in `folder`, made if it is not there. One process at a time.
 * @throws IoError STORE_OPEN | FORMAT_UNKNOWN
 */
export function openArchive(folder: string): ArchiveStore {
  const tables = openTables(folder);
  const open: BloomGroup = { group: -1, blooms: new Uint8Array(0) };
  let head = headOf(newest());
  let oldest = edgeNumber(tables, "oldest") ?? 0;
  let isPutting = false;

  function newest(): StoredBlock | null {
    const number = edgeNumber(tables, "newest");
    return number === null ? null : readBlock(tables, number);
  }

  async function put(blocks: readonly AssembledBlock[]): Promise<void> {
    const [first] = blocks;
    if (first === undefined) return;
    assert(!isPutting, "blocks are put while others are");
    blocks.forEach(({ number }, at) => {
      const before = at === 0 ? head : blocks[at - 1]!;
      assert(before === null || number === before.number + 1, `block ${number} is put after ${before?.number}`);
    });
    isPutting = true;
    try {
      await putBlocks(tables, open, blocks);
    } finally {
      isPutting = false;
    }
    if (head === null) oldest = first.number;
    head = headOf(blocks.at(-1)!);
  }

  async function removeOldest(): Promise<void> {
    assert(head !== null && oldest < head.number, "the only block is to be removed");
    await removeBlock(tables, oldest);
    oldest++;
  }

  return {
    ...ownershipOf(tables),
    head: () => head,
    oldest: () => oldest,
    start() {
      const block = newest();
      if (block === null) return { head: null, sequence: 0, positions: [], marks: [], hashes: [] };
      return { head: headOf(block), ...block.progress, marks: readMarks(tables), hashes: lastHashes(tables, block.number) };
    },
    put,
    removeOldest,
    async clear() {
      await clearTables(tables);
      open.group = -1;
      head = null;
      oldest = 0;
    },
    ...readsOf(tables),
    async close() {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, CLOSE_MS_MAX);
      await Promise.race([tables.root.close(), promise]);
      clearTimeout(timer);
    },
  };
}

const headOf = (block: Pick<StoredBlock, "number" | "hash" | "timestamp"> | null): ChainHead | null =>
  block && { number: block.number, hash: block.hash, timestamp: block.timestamp };

function readsOf(tables: ArchiveTables): ArchiveReads {
  return {
    block(by) {
      const number = typeof by === "number" ? by : readNumber(tables, by);
      return number === null ? null : readBlock(tables, number);
    },
    hashes: (number) => readHashes(tables, number),
    bloom(number) {
      const at = (number % BLOOM_GROUP) * BLOOM_BYTES;
      return (
        readValue(tables.blooms, Math.floor(number / BLOOM_GROUP))?.slice(at, at + BLOOM_BYTES) ?? new Uint8Array(BLOOM_BYTES)
      );
    },
    body: (block, from, count, bytesMax) => readBody(tables, block, from, count, bytesMax),
    transaction: (block, index) => readTransaction(tables, block, index),
    find: (hash) => findTransaction(tables, hash),
    outcomes: (keys) => readOutcomes(tables, keys),
    logs: (filter, first, last, budget, found) => findLogs(tables, filter, first, last, budget, found),
    bytes: () => tableBytes(tables),
  };
}

function ownershipOf(tables: ArchiveTables): Pick<ArchiveStore, "claim" | "chain"> {
  return {
    async claim(genesisHash) {
      const owner = readText(tables, "chain");
      if (owner !== null) return owner;
      await commit(tables, () => {
        void tables.meta.put("format", Uint8Array.of(ARCHIVE_FORMAT));
        void tables.meta.put("chain", Buffer.from(genesisHash));
      });
      return genesisHash;
    },
    chain() {
      const owner = readText(tables, "chain");
      assert(owner !== null, "the store is nobody's");
      return owner;
    },
  };
}
