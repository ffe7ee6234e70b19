/**
 * Writes of the archive's store.
 *
 * W1. A block and the progress that it stands for are one LMDB transaction: after a crash at any time the newest block says
 *     where in OUT to go on, and no part of a later block is there.
 * W2. Blocks are put one after another without gap; only the oldest block is removed.
 */
import { assert, LOG_COLUMNS, logColumns, readU32, TX } from "@meridian/core";
import type { AssembledBlock, LogColumns, Merged } from "@meridian/core";
import { cutChunks, packChunk, packMarks, packRow, storedBlock, unpackRow } from "./archive-layout.ts";
import { BLOOM_BYTES, BLOOM_GROUP, bodyKey, columnKey, commit, MARK_BLOCKS, PREFIX_BYTES, readValue } from "./archive-tables.ts";
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
  putPlaces(tables, block.number, hashesOf(block));
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

function hashesOf({ count, transactions, transactionOffsets }: Merged): Buffer {
  const hashes = Buffer.allocUnsafeSlow(count * 32);
  for (let number = 0; number < count; number++) {
    const at = transactionOffsets[number]! + TX.hash;
    hashes.set(transactions.subarray(at, at + 32), number * 32);
  }
  return hashes;
}

function putBodies(tables: ArchiveTables, block: AssembledBlock, columns: LogColumns, chunks: Uint32Array): void {
  let gasBefore = 0;
  chunks.forEach((first, number) => {
    const { chunk, gas } = packChunk(block, columns.firstLogs, first, chunks[number + 1] ?? block.count, gasBefore);
    gasBefore = gas;
    void tables.bodies.put(bodyKey(block.number, first), chunk);
  });
}

/** Ascending by prefix: neighbours in the tree are written together, which halves the cost of a put. */
function putPlaces(tables: ArchiveTables, block: number, hashes: Buffer): void {
  void tables.hashes.put(block, hashes);
  const places = placesOf(block, hashes.length / 32);
  for (const number of prefixOrder(hashes)) {
    const key = hashes.subarray(number * 32, number * 32 + PREFIX_BYTES);
    void tables.places.put(key, places.subarray(number * 8, number * 8 + 8));
  }
}

function placesOf(block: number, count: number): Buffer {
  const places = Buffer.allocUnsafeSlow(count * 8);
  for (let number = 0; number < count; number++) {
    places.writeUInt32BE(block, number * 8);
    places.writeUInt32BE(number, number * 8 + 4);
  }
  return places;
}

/** Numbers of the hashes, ascending by their first four bytes: enough to write neighbours together. */
function prefixOrder(hashes: Buffer): Uint32Array {
  const count = hashes.length / 32;
  const keyed = new Float64Array(count);
  for (let number = 0; number < count; number++) keyed[number] = hashes.readUInt32BE(number * 32) * 0x20_0000 + number;
  return Uint32Array.from(keyed.sort(), (key) => key % 0x20_0000);
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
  const hashes = Buffer.from(readValue(tables.hashes, number) ?? new Uint8Array(0));
  await commit(tables, () => {
    void tables.blocks.remove(number);
    void tables.numbers.remove(row.hash);
    void tables.marks.remove(number);
    if (number % BLOOM_GROUP === BLOOM_GROUP - 1) void tables.blooms.remove(Math.floor(number / BLOOM_GROUP));
    if (row.transactionCount === 0) return;
    void tables.hashes.remove(number);
    for (const first of row.chunks) void tables.bodies.remove(bodyKey(number, first));
    for (let column = 0; column < LOG_COLUMNS; column++) void tables.columns.remove(columnKey(number, column));
    const places = placesOf(number, row.transactionCount);
    for (const at of prefixOrder(hashes)) {
      void tables.places.remove(hashes.subarray(at * 32, at * 32 + PREFIX_BYTES), places.subarray(at * 8, at * 8 + 8));
    }
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
