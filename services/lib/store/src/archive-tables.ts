/** The archive's LMDB environment: one file with these tables. The only file beside archive-*.ts that knows lmdb. */
import { mkdirSync, statfsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { IoError } from "@meridian/core";
import { open } from "lmdb";
import type { Database, RootDatabase } from "lmdb";
import { ARCHIVE_FORMAT } from "./archive-layout.ts";

type Table<K extends number | Uint8Array> = Database<Uint8Array, K>;

export interface ArchiveTables {
  readonly root: RootDatabase<Uint8Array, string>;
  readonly path: string;
  /** "format": ARCHIVE_FORMAT; "chain": the chain's genesis hash. */
  readonly meta: Database<Uint8Array, string>;
  /** Block number → row (archive-layout.ts). First and last key are the oldest and the newest block. */
  readonly blocks: Table<number>;
  /** Block hash → u32 number. */
  readonly numbers: Table<Uint8Array>;
  /** Block number → hashes of its transactions, as packed runs (archive-runs.ts). */
  readonly hashes: Table<number>;
  /** u32 block, u32 index of the first transaction (big-endian) → chunk. */
  readonly bodies: Table<Uint8Array>;
  /** First 8 bytes of a run's hashes → places (archive-runs.ts); more than one if prefixes are equal. */
  readonly places: Table<Uint8Array>;
  /** u32 block, u8 column (big-endian) → u32 key of each log; a column of zeros is not there. */
  readonly columns: Table<Uint8Array>;
  /** Block number / BLOOM_GROUP → blooms of BLOOM_GROUP blocks. */
  readonly blooms: Table<number>;
  /** Block number → marks of its records; only of the last MARK_BLOCKS blocks. */
  readonly marks: Table<number>;
}

export const BLOOM_BYTES = 256;
export const BLOOM_GROUP = 64;
/** Blocks whose record marks are kept: far more than can be open at a time. */
export const MARK_BLOCKS = 64;

export type ArchiveStoreFailure =
  /** A write failed: the disk is full or broken. Nothing of the block is stored; reads go on. */
  | { code: "STORE_WRITE"; text: string; freeBytes: number; path: string }
  | { code: "FORMAT_UNKNOWN"; format: number; known: number; path: string }
  | { code: "STORE_OPEN"; text: string; path: string };

/** @throws IoError<ArchiveStoreFailure> */
export function openTables(folder: string): ArchiveTables {
  const path = join(folder, "archive.mdb");
  const root = openRoot(path);
  const byNumber = (name: string): Table<number> => root.openDB({ name, encoding: "binary", keyEncoding: "uint32" });
  const byBytes = (name: string, dupSort = false): Table<Uint8Array> =>
    root.openDB({ name, encoding: "binary", keyEncoding: "binary", dupSort });
  const tables: ArchiveTables = {
    root,
    path,
    meta: root.openDB({ name: "meta", encoding: "binary" }),
    blocks: byNumber("blocks"),
    numbers: byBytes("numbers"),
    hashes: byNumber("hashes"),
    bodies: byBytes("bodies"),
    places: byBytes("places", true),
    columns: byBytes("columns"),
    blooms: byNumber("blooms"),
    marks: byNumber("marks"),
  };
  const format = tables.meta.get("format")?.[0] ?? ARCHIVE_FORMAT;
  if (format !== ARCHIVE_FORMAT) {
    throw new IoError<ArchiveStoreFailure>({ code: "FORMAT_UNKNOWN", format, known: ARCHIVE_FORMAT, path }, "never");
  }
  return tables;
}

function openRoot(path: string): RootDatabase<Uint8Array, string> {
  try {
    mkdirSync(dirname(path), { recursive: true });
    // Commits are grouped by `batch` alone, so that one failed commit has one promise; they are visible before they are flushed:
    // what a power loss takes is read again from OUT.
    return open({ path, noSubdir: true, maxDbs: 16, encoding: "binary", separateFlushed: true, eventTurnBatching: false });
  } catch (error) {
    throw new IoError<ArchiveStoreFailure>({ code: "STORE_OPEN", text: String(error), path }, "never", error);
  }
}

/** Runs `write` as one transaction; resolves when it is committed. @throws IoError STORE_WRITE, with nothing of it there */
export async function commit(tables: ArchiveTables, write: () => void): Promise<void> {
  try {
    await tables.root.batch(write);
  } catch (error) {
    const cause = await causeOf(error);
    const { bavail, bsize } = statfsSync(dirname(tables.path));
    const text = `disk full or failing: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new IoError<ArchiveStoreFailure>(
      { code: "STORE_WRITE", text, freeBytes: bavail * bsize, path: tables.path },
      "later",
      cause,
    );
  }
}

/** lmdb gives the cause as a promise of its own that rejects. */
async function causeOf(error: unknown): Promise<unknown> {
  if (!(error instanceof Error) || !("commitError" in error)) return error;
  try {
    await error.commitError;
    return error;
  } catch (cause) {
    return cause;
  }
}

/** Bytes of the file. */
export const tableBytes = (tables: ArchiveTables): number => statSync(tables.path).size;

/**
 * A value, only until the next read of anything: it stands in a buffer that lmdb uses again. Copying what is needed at once is
 * ten times cheaper than a buffer of its own for each value.
 */
export function peekValue<K extends number | Uint8Array>(table: Table<K>, key: K): Uint8Array | undefined {
  const value = table.getBinaryFast(key);
  return value && new Uint8Array(value.buffer, value.byteOffset, value.length);
}

/** A copy of a value. */
export const readValue = <K extends number | Uint8Array>(table: Table<K>, key: K): Uint8Array | undefined =>
  peekValue(table, key)?.slice();

/** A text of `meta`, null if it is not there. */
export const readText = (tables: ArchiveTables, key: string): string | null => tables.meta.get(key)?.toString() ?? null;

export function bodyKey(block: number, first: number): Buffer {
  const key = Buffer.allocUnsafe(8);
  key.writeUInt32BE(block, 0);
  key.writeUInt32BE(first, 4);
  return key;
}

export function columnKey(block: number, column: number): Buffer {
  const key = Buffer.allocUnsafe(5);
  key.writeUInt32BE(block, 0);
  key[4] = column;
  return key;
}
