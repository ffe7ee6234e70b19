/**
 * Writes of the archive's store.
 *
 * W1. A block and the progress that it stands for are one LMDB transaction: after a crash at any time the newest block says
 *     where in OUT to go on, and no part of a later block is there.
 * W2. Blocks are put one after another without gap; only the oldest block is removed.
 */
import { assert, LOG_COLUMNS, logColumns, readU32 } from "@meridian/core";
import type { AssembledBlock, LogColumns } from "@meridian/core";
import { cutChunks, packChunk, packMarks, packRow, storedBlock, unpackRow } from "./archive-layout.ts";
import { eachPlace, runsOf } from "./archive-runs.ts";
import { BLOOM_BYTES, BLOOM_GROUP, bodyKey, columnKey, commit, MARK_BLOCKS, readValue } from "./archive-tables.ts";
import type { ArchiveTables } from "./archive-tables.ts";

/** Blooms of the group that is being filled; read once, then kept. */
export interface BloomGroup {
  group: number;
  blooms: Uint8Array;
}

/** Puts the next blocks, all or none. @throws IoError STORE_WRITE */
export async function putBlocks(tables: ArchiveTables, open: BloomGroup, blocks: readonly AssembledBlock[]): Promise<void> {
  await commit(tables, () => {
    for (const block of blocks) putBlock(tables, open, block);
  });
}

function putBlock(tables: ArchiveTables, open: BloomGroup, block: AssembledBlock): void {
  const columns = logColumns(block.results, block.resultOffsets);
  const chunks = cutChunks(block);
  const blooms = bloomsWith(tables, open, block);
  void tables.blocks.put(block.number, packRow(storedBlock(block, columns.firstLogs, chunks)));
  void tables.numbers.put(block.hash, u32(block.number));
  void tables.blooms.put(open.group, blooms);
  void tables.marks.put(block.number, packMarks(block.marks));
  if (block.number >= MARK_BLOCKS) void tables.marks.remove(block.number - MARK_BLOCKS);
  if (block.count === 0) return;
  putBodies(tables, block, columns, chunks);
  putPlaces(tables, block.number, runsOf(block));
  putColumns(tables, block.number, columns);
}

function u32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/** A copy, because lmdb reads values until the commit. */
function bloomsWith(tables: ArchiveTables, open: BloomGroup, block: AssembledBlock): Uint8Array {
  const group = Math.floor(block.number / BLOOM_GROUP);
  if (open.group !== group) {
    open.group = group;
    open.blooms = readValue(tables.blooms, group) ?? new Uint8Array(BLOOM_GROUP * BLOOM_BYTES);
  }
  open.blooms.set(block.logsBloom, (block.number % BLOOM_GROUP) * BLOOM_BYTES);
  return open.blooms.slice();
}

function putBodies(tables: ArchiveTables, block: AssembledBlock, columns: LogColumns, chunks: Uint32Array): void {
  let gasBefore = 0;
  chunks.forEach((first, number) => {
    const { chunk, gas } = packChunk(block, columns.firstLogs, first, chunks[number + 1] ?? block.count, gasBefore);
    gasBefore = gas;
    void tables.bodies.put(bodyKey(block.number, first), chunk);
  });
}

function putPlaces(tables: ArchiveTables, block: number, runs: Uint8Array): void {
  void tables.hashes.put(block, runs);
  eachPlace(block, runs, (prefix, place) => void tables.places.put(prefix, place));
}

function putColumns(tables: ArchiveTables, block: number, { keys }: LogColumns): void {
  const logCount = keys.length / LOG_COLUMNS;
  for (let column = 0; column < LOG_COLUMNS; column++) {
    const part = keys.subarray(column * logCount, (column + 1) * logCount);
    if (part.some((key) => key !== 0))
      void tables.columns.put(columnKey(block, column), new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
  }
}

/** Removes the oldest block with all that points to it. @throws IoError STORE_WRITE */
export async function removeBlock(tables: ArchiveTables, number: number): Promise<void> {
  const packed = readValue(tables.blocks, number);
  assert(packed !== undefined, `block ${number} to remove is not there`);
  const row = unpackRow(number, packed);
  const runs = readValue(tables.hashes, number) ?? new Uint8Array(0);
  await commit(tables, () => {
    void tables.blocks.remove(number);
    void tables.numbers.remove(row.hash);
    void tables.marks.remove(number);
    if (number % BLOOM_GROUP === BLOOM_GROUP - 1) void tables.blooms.remove(Math.floor(number / BLOOM_GROUP));
    if (row.transactionCount === 0) return;
    void tables.hashes.remove(number);
    for (const first of row.chunks) void tables.bodies.remove(bodyKey(number, first));
    for (let column = 0; column < LOG_COLUMNS; column++) void tables.columns.remove(columnKey(number, column));
    eachPlace(number, runs, (prefix, place) => void tables.places.remove(prefix, place));
  });
}

/** Number in a value of `numbers`. */
export const numberOf = (value: Uint8Array): number => readU32(value, 0);

/** Removes everything. @throws IoError STORE_WRITE */
export async function clearTables(tables: ArchiveTables): Promise<void> {
  const { blocks, numbers, hashes, bodies, places, columns, blooms, marks } = tables;
  await commit(tables, () => {
    for (const table of [blocks, numbers, hashes, bodies, places, columns, blooms, marks]) void table.clearAsync();
  });
}
