/**
 * Snapshots of the archive in the object store: chunks of whole blocks, and for each snapshot a manifest that names them.
 *
 * A1. Blocks never change, so a snapshot adds chunks for the new blocks only and names the older ones again. A small last chunk
 *     is written again together with what follows, under a new name: the snapshot before keeps its own.
 * A2. A manifest is written after its chunks. Chunks and manifest have a SHA-256; damage is a finding: the older one is next.
 * A3. Where a chunk starts depends on the snapshot before that its archive saw. So a chunk's name says its blocks and contents,
 *     and one never takes the place of another; and no chunk of the older kept snapshot or of a newer one is ever removed. So any
 *     number of archives may take snapshots without agreeing on anything.
 * A4. Two snapshots are kept. OUT may go up to the older one's `sequence`: whatever archive comes later finds the rest there.
 */
import { createHash } from "node:crypto";
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { assert, concatBytes, hexOf, IoError, readU32, sameBytes, txOffsets, resultBytes, writeU32 } from "@meridian/core";
import type { AssembledBlock, Merged, Objects } from "@meridian/core";
import { packRow, unpackRow } from "./archive-layout.ts";
import type { ArchiveStore } from "./archive.ts";
import { BLOOM_BYTES } from "./archive-tables.ts";
import type { SnapshotDamage } from "./snapshots.ts";

export interface ArchiveManifest {
  format: number;
  /** Genesis hash of the chain. */
  chain: string;
  /** Newest block in it, its hash, and the OUT sequence up to which everything is in blocks. */
  block: number;
  hash: string;
  sequence: number;
  /** Ascending, without gap. `bytes`: before they are compressed; `sha256`: of the object. */
  chunks: { object: string; first: number; last: number; bytes: number; sha256: string }[];
}

/** Newest first. */
export interface KeptArchives {
  kept: ArchiveManifest[];
  damaged: SnapshotDamage[];
}

const MANIFEST_FORMAT = 3;
export const SNAPSHOT_CHUNK_BYTES = 8 * 1_024 * 1_024;
/** Objects cost ten times what compressing them does: the library of the object store hashes them in JavaScript. */
const COMPRESSION = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };
const PREFIX = "archive/";
const KEPT_MAX = 2;
/** Chunks `<first>-<last>-<start of the SHA-256>`; only a number in folders of before. */
const NAME = /^archive\/(\d+)\/(manifest|\d+(?:-\d+-[0-9a-f]{8})?)$/;

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const chunkName = (block: number, first: number, last: number, hash: string): string =>
  `${PREFIX}${block}/${first}-${last}-${hash.slice(0, 8)}`;
const manifestName = (block: number): string => `${PREFIX}${block}/manifest`;

/** The manifests that are there. @throws IoError FORMAT_UNKNOWN if a later version wrote one */
export async function readArchiveSnapshots(objects: Objects): Promise<KeptArchives> {
  const blocks = blocksOf(await objects.list(PREFIX), (kind) => kind === "manifest");
  const found: KeptArchives = { kept: [], damaged: [] };
  for (const block of blocks.sort((left, right) => right - left)) {
    const name = manifestName(block);
    const manifest = parseManifest(await objects.get(name));
    if (manifest === null) found.damaged.push({ code: "SNAPSHOT_DAMAGED", object: name, text: "not there, cut off or changed" });
    else found.kept.push(manifest);
  }
  return found;
}

function blocksOf(names: readonly string[], isWanted: (kind: string) => boolean): number[] {
  return names.flatMap((name) => {
    const [, block, kind] = NAME.exec(name) ?? [];
    return kind !== undefined && isWanted(kind) ? [Number(block)] : [];
  });
}

/** A manifest's object: SHA-256 of the rest, a line feed, JSON. */
function packManifest(manifest: ArchiveManifest): Uint8Array {
  const body = new TextEncoder().encode(JSON.stringify(manifest));
  return concatBytes([new TextEncoder().encode(`${sha256(body)}\n`), body]);
}

function parseManifest(bytes: Uint8Array | undefined): ArchiveManifest | null {
  const body = bytes?.subarray(65);
  if (bytes === undefined || body === undefined || new TextDecoder().decode(bytes.subarray(0, 64)) !== sha256(body)) return null;
  const manifest = JSON.parse(new TextDecoder().decode(body)) as ArchiveManifest; // Its hash says that we wrote it.
  if (manifest.format !== MANIFEST_FORMAT) {
    const detail = { code: "FORMAT_UNKNOWN", what: "archive snapshot", format: manifest.format, known: MANIFEST_FORMAT };
    throw new IoError(detail, "never");
  }
  return manifest;
}

/**
 * Takes a snapshot of everything up to `block`, unless there is one as new, and removes what is older than the newest two.
 * Goes back to the event loop between chunks; the store may take on blocks meanwhile.
 * @returns the kept manifests, newest first, as far as their blocks are here: OUT may be cut by these
 * @throws IoError SNAPSHOT_FOREIGN if the snapshots that are there are of another chain
 */
export async function takeArchiveSnapshot(objects: Objects, store: ArchiveStore, block: number): Promise<ArchiveManifest[]> {
  const { kept } = await readArchiveSnapshots(objects);
  for (const manifest of kept) checkChain(store, manifest);
  const [newest] = kept;
  // Taken by another archive: it counts here once its blocks are here and are the same.
  if (newest !== undefined && newest.block >= block) return kept.filter((manifest) => store.block(manifest.block) !== null);
  const chunks = chunksToKeep(store, newest);
  const stored = store.block(block);
  assert(stored !== null, `block ${block} of a snapshot is not there`);
  for (let first = (chunks.at(-1)?.last ?? store.oldest() - 1) + 1; first <= block;) {
    const { bytes, last } = packBlocks(store, first, block);
    const compressed = zstdCompressSync(bytes, COMPRESSION);
    const hash = sha256(compressed);
    const object = chunkName(block, first, last, hash);
    await objects.put(object, compressed);
    chunks.push({ object, first, last, bytes: bytes.length, sha256: hash });
    first = last + 1;
  }
  const { sequence } = stored.progress;
  const facts = { format: MANIFEST_FORMAT, chain: store.chain(), block, hash: hexOf(stored.hash), sequence };
  const manifest: ArchiveManifest = { ...facts, chunks };
  await objects.put(manifestName(block), packManifest(manifest));
  return removeOld(objects, [manifest, ...kept]);
}

/** @throws IoError SNAPSHOT_FOREIGN if a snapshot is not of the store's chain */
function checkChain(store: ArchiveStore, { chain, block, hash }: ArchiveManifest): void {
  const own = store.block(block);
  if (chain === store.chain() && (own === null || hexOf(own.hash) === hash)) return;
  throw new IoError({ code: "SNAPSHOT_FOREIGN", block, hash, own: own === null ? "" : hexOf(own.hash), chain }, "never");
}

/** Chunks of the snapshot before that go on: not those of removed blocks, and not a small last one if it can be written again. */
function chunksToKeep(store: ArchiveStore, before: ArchiveManifest | undefined): ArchiveManifest["chunks"] {
  const chunks = (before?.chunks ?? []).filter(({ last }) => last >= store.oldest());
  const last = chunks.at(-1);
  if (last !== undefined && last.bytes < SNAPSHOT_CHUNK_BYTES / 2 && last.first >= store.oldest()) chunks.pop();
  const end = chunks.at(-1)?.last;
  return end !== undefined && end + 1 < store.oldest() ? [] : chunks;
}

/** Blocks from `first` on, up to `lastMax` or about one chunk, at least one. */
function packBlocks(store: ArchiveStore, first: number, lastMax: number): { bytes: Uint8Array; last: number } {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  let last = first - 1;
  while (last < lastMax && bytes < SNAPSHOT_CHUNK_BYTES) {
    last++;
    const stored = store.block(last);
    assert(stored !== null, `block ${last} of a snapshot is not there`);
    const row = packRow(stored);
    const { transactions, results } = store.body(stored, 0, Infinity, Infinity);
    const sizes = new Uint8Array(16);
    [last, row.length, transactions.length, results.length].forEach((size, at) => writeU32(sizes, at * 4, size));
    parts.push(sizes, row, store.bloom(last), transactions, results);
    bytes += sizes.length + row.length + BLOOM_BYTES + transactions.length + results.length;
  }
  return { bytes: concatBytes(parts), last };
}

function* unpackBlocks(chunk: Uint8Array): Generator<AssembledBlock, void, undefined> {
  for (let at = 0; at < chunk.length;) {
    const rowAt = at + 16;
    const bloomAt = rowAt + readU32(chunk, at + 4);
    const transactionsAt = bloomAt + BLOOM_BYTES;
    const resultsAt = transactionsAt + readU32(chunk, at + 8);
    const end = resultsAt + readU32(chunk, at + 12);
    const row = unpackRow(readU32(chunk, at), chunk.subarray(rowAt, bloomAt));
    const transactions = chunk.slice(transactionsAt, resultsAt);
    const results = chunk.slice(resultsAt, end);
    yield {
      ...row,
      ...offsetsOf(transactions, results),
      logsBloom: chunk.slice(bloomAt, transactionsAt),
      marks: [],
      sequences: [],
    };
    at = end;
  }
}

function offsetsOf(transactions: Uint8Array, results: Uint8Array): Merged {
  const transactionOffsets = Uint32Array.from([...txOffsets(transactions), transactions.length]);
  const count = transactionOffsets.length - 1;
  const resultOffsets = new Uint32Array(count + 1);
  for (let index = 0; index < count; index++) {
    resultOffsets[index + 1] = resultOffsets[index]! + resultBytes(results, resultOffsets[index]!);
  }
  return { count, transactions, results, transactionOffsets, resultOffsets };
}

/**
 * Manifests first, then chunks that no kept one names (A3: only those of a snapshot before the older kept one). Another archive
 * may have put its own manifest in the place of one of ours meanwhile: what that names stays too.
 */
async function removeOld(objects: Objects, manifests: readonly ArchiveManifest[]): Promise<ArchiveManifest[]> {
  const kept = manifests.slice(0, KEPT_MAX);
  const [, older] = kept;
  if (older === undefined) return kept;
  const names = await objects.list(PREFIX);
  const present = (await readArchiveSnapshots(objects)).kept.filter(({ block }) => block >= older.block);
  const needed = new Set(
    [...kept, ...present].flatMap(({ block, chunks }) => [manifestName(block), ...chunks.map(({ object }) => object)]),
  );
  const stray = names.filter((name) => !needed.has(name) && Number(NAME.exec(name)?.[1] ?? Infinity) < older.block);
  for (const name of stray.filter((name) => name.endsWith("/manifest"))) await objects.delete(name);
  for (const name of stray.filter((name) => !name.endsWith("/manifest"))) await objects.delete(name);
  return kept;
}

/** True if OUT may not hold everything after the store's head any more. */
function isTooFarBehind(store: ArchiveStore, kept: readonly ArchiveManifest[]): boolean {
  const [, older] = kept;
  return older !== undefined && store.start().sequence < older.sequence;
}

/** True if the store cannot go on from OUT, or is empty and a snapshot is the faster way. */
export function needsRestore(store: ArchiveStore, kept: readonly ArchiveManifest[]): boolean {
  return kept.length > 0 && (store.head() === null || isTooFarBehind(store, kept));
}

/**
 * Brings the store up to the newest snapshot that is whole, from where it stands or from nothing. Blocks must follow each other
 * by hash. A damaged chunk ends the way through that snapshot; the older one goes on from the blocks already there.
 * @param onChunk  called after each chunk with its last block
 * @returns what was damaged
 * @throws IoError SNAPSHOT_FOREIGN; RESTORE_FAILED if OUT may not hold what comes after the blocks that could be had
 */
export async function restoreArchive(
  objects: Objects,
  store: ArchiveStore,
  onChunk: (number: number) => void,
): Promise<SnapshotDamage[]> {
  const { kept, damaged } = await readArchiveSnapshots(objects);
  for (const manifest of kept) checkChain(store, manifest);
  for (const manifest of kept) {
    const head = store.head();
    if (head !== null && head.number >= manifest.block) break;
    const damage = await restoreFrom(objects, store, manifest, onChunk);
    if (damage === null) break;
    damaged.push(damage);
  }
  if (isTooFarBehind(store, kept)) {
    const objectsDamaged = damaged.map(({ object }) => object).join(" ");
    const head = store.head()?.number ?? -1;
    throw new IoError({ code: "RESTORE_FAILED", head, wanted: kept.at(-1)?.block, damaged: objectsDamaged }, "never");
  }
  return damaged;
}

async function restoreFrom(
  objects: Objects,
  store: ArchiveStore,
  manifest: ArchiveManifest,
  onChunk: (number: number) => void,
): Promise<SnapshotDamage | null> {
  const [first] = manifest.chunks;
  const head = store.head();
  // Too far behind: the blocks in between are gone everywhere.
  if (head !== null && first !== undefined && first.first > head.number + 1) await store.clear();
  for (const chunk of manifest.chunks) {
    if (chunk.last <= (store.head()?.number ?? -1)) continue;
    const compressed = await objects.get(chunk.object);
    const damage = (text: string): SnapshotDamage => ({ code: "SNAPSHOT_DAMAGED", object: chunk.object, text });
    if (compressed === undefined) return damage("not there");
    if (sha256(compressed) !== chunk.sha256) return damage("its SHA-256 is not the manifest's");
    const blocks: AssembledBlock[] = [];
    // Its hash says that an archive made it, so it is a frame of what the manifest tells.
    for (const block of unpackBlocks(new Uint8Array(zstdDecompressSync(compressed, { maxOutputLength: chunk.bytes })))) {
      const before = blocks.at(-1) ?? store.head();
      if (before !== null && block.number <= before.number) continue;
      if (before !== null && !sameBytes(block.parentHash, 0, before.hash, 0, 32))
        return damage(`block ${block.number} does not follow ${before.number}`);
      blocks.push(block);
    }
    await store.put(blocks);
    onChunk(chunk.last);
  }
  return null;
}
