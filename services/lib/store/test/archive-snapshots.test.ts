import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hexOf, TX } from "@meridian/core";
import type { AssembledBlock, Objects } from "@meridian/core";
import { bytesFrom, testBlocks } from "@meridian/core/blocks/testing";
import { afterEach, beforeEach, expect, test } from "vitest";
import { needsRestore, openArchive, readArchiveSnapshots, restoreArchive, takeArchiveSnapshot } from "../src/index.ts";
import type { ArchiveManifest, ArchiveStore } from "../src/index.ts";

const blocks = testBlocks({
  ...{ seed: 6, blocks: 90, transactionsPerFlush: 8 },
  logs: (next) => [{ address: bytesFrom(20, next(5)), topics: [bytesFrom(32, next(9))], data: bytesFrom(next(50), 1) }],
});

let folder: string;
let opened: ArchiveStore[];
let names: Map<string, Uint8Array>;
let objects: Objects;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "meridian.archive-"));
  opened = [];
  names = new Map();
  objects = {
    put: (name, bytes) => Promise.resolve(void names.set(name, bytes.slice())),
    get: (name) => Promise.resolve(names.get(name)?.slice()),
    delete: (name) => Promise.resolve(void names.delete(name)),
    list: (prefix) => Promise.resolve([...names.keys()].filter((name) => name.startsWith(prefix))),
  };
});
afterEach(async () => {
  for (const store of opened) await store.close();
  await rm(folder, { recursive: true, force: true });
});

async function openStore(name: string, chain = "aa"): Promise<ArchiveStore> {
  const store = openArchive(join(folder, name));
  opened.push(store);
  await store.claim(chain);
  return store;
}
async function putUpTo(store: ArchiveStore, last: number): Promise<void> {
  for (const block of blocks.slice((store.head()?.number ?? -1) + 1, last + 1)) await store.put([block]);
}
async function snapshots(store: ArchiveStore, ...at: number[]) {
  let kept: ArchiveManifest[] | undefined;
  for (const block of at) {
    await putUpTo(store, block);
    kept = await takeArchiveSnapshot(objects, store, block);
  }
  return kept ?? [];
}
function flip(name: string): void {
  const bytes = names.get(name)!;
  names.set(
    name,
    bytes.map((byte, at) => (at === 100 ? byte ^ 1 : byte)),
  );
}

/** The name of block `block`'s only chunk. */
const chunkAt = (block: number): string =>
  [...names.keys()].find((name) => name.startsWith(`archive/${block}/`) && !name.endsWith("manifest"))!;

function expectSame(store: ArchiveStore, block: AssembledBlock): void {
  const stored = store.block(block.number)!;
  const body = store.body(stored, 0, Infinity, Infinity);
  const got = [stored.hash, stored.header, body.transactions, body.results, store.bloom(block.number)].map((bytes) =>
    hexOf(bytes),
  );
  expect(got).toEqual(
    [block.hash, block.header, block.transactions, block.results, block.logsBloom].map((bytes) => hexOf(bytes)),
  );
  expect(stored.progress).toEqual(block.progress);
  for (let index = 0; index < block.count; index++) {
    const at = block.transactionOffsets[index]! + TX.hash;
    expect(store.find(block.transactions.slice(at, at + 32))).toMatchObject({ index, block: { number: block.number } });
  }
}

test("a fresh store restores the newest snapshot and is the same as the one it came from", async () => {
  const kept = await snapshots(await openStore("a"), 20, 40, 60);
  expect(kept.map(({ block, sequence }) => [block, sequence])).toEqual([60, 40].map((at) => [at, blocks[at]!.progress.sequence]));
  const fresh = await openStore("b");
  expect(needsRestore(fresh, kept)).toBe(true);
  const seen: number[] = [];
  expect(await restoreArchive(objects, fresh, (number) => seen.push(number))).toEqual([]);
  expect(seen).toEqual([60]);
  for (const block of blocks.slice(0, 61)) expectSame(fresh, block);
  expect(fresh.start()).toMatchObject(blocks[60]!.progress);
  await putUpTo(fresh, 90);
  expectSame(fresh, blocks[90]!);
});

test("only two snapshots are kept, with the chunks that they name", async () => {
  const kept = await snapshots(await openStore("a"), 10, 20, 30, 40, 50);
  const needed = kept.flatMap(({ block, chunks }) => [`archive/${block}/manifest`, ...chunks.map(({ object }) => object)]);
  expect([...names.keys()].sort()).toEqual([...new Set(needed)].sort());
  expect(kept.map(({ block }) => block)).toEqual([50, 40]);
});

test.each<[what: string, damage: () => void, head: number, damaged: RegExp[]]>([
  ["a chunk of the newest", () => flip(chunkAt(40)), 20, [/^archive\/40\/0-40-[0-9a-f]{8}$/]],
  ["a chunk of the newest is gone", () => names.delete(chunkAt(40)), 20, [/^archive\/40\/0-40-/]],
  ["the newest manifest", () => flip("archive/40/manifest"), 20, [/^archive\/40\/manifest$/]],
  ["a manifest cut off", () => names.set("archive/40/manifest", new Uint8Array(20)), 20, [/^archive\/40\/manifest$/]],
  ["a chunk of the older", () => flip(chunkAt(20)), 40, []],
])("damage falls back: %s", async (_what, damage, head, damaged) => {
  await snapshots(await openStore("a"), 20, 40);
  damage();
  const fresh = await openStore("b");
  const found = await restoreArchive(objects, fresh, () => undefined);
  expect(found.map(({ object }) => object)).toEqual(damaged.map((name) => expect.stringMatching(name) as string));
  expect(fresh.head()!.number).toBe(head);
  for (const block of blocks.slice(0, head + 1)) expectSame(fresh, block);
});

test("both damaged: refused if OUT was cut, read from OUT if it was not", async () => {
  await snapshots(await openStore("a"), 20);
  flip(chunkAt(20));
  const one = await openStore("b");
  expect(await restoreArchive(objects, one, () => undefined)).toHaveLength(1);
  expect(one.head()).toBeNull();
  await snapshots(opened[0]!, 40);
  flip(chunkAt(40));
  await expect(restoreArchive(objects, one, () => undefined)).rejects.toMatchObject({
    detail: { code: "RESTORE_FAILED", head: -1, wanted: 20 },
  });
});

test("a store that is far behind goes on from its own blocks", async () => {
  const behind = await openStore("b");
  await putUpTo(behind, 5);
  const kept = await snapshots(await openStore("a"), 20, 40);
  expect(needsRestore(behind, kept)).toBe(true);
  const seen: number[] = [];
  await restoreArchive(objects, behind, (number) => seen.push(number));
  expect([seen, needsRestore(behind, kept)]).toEqual([[40], false]);
  for (const block of blocks.slice(0, 41)) expectSame(behind, block);
});

test("with retention: snapshots start later, and a store behind their start begins anew", async () => {
  const short = await openStore("a");
  const behind = await openStore("b");
  await putUpTo(behind, 5);
  await snapshots(short, 20, 40);
  await putUpTo(short, 55);
  for (let count = 0; count < 50; count++) await short.removeOldest();
  const kept = await snapshots(short, 60, 80);
  expect(kept[0]!.chunks[0]!.first).toBe(50);
  await restoreArchive(objects, behind, () => undefined);
  expect([behind.oldest(), behind.head()!.number, behind.block(5), behind.block(blocks[5]!.hash)]).toEqual([50, 80, null, null]);
  for (const block of blocks.slice(50, 81)) expectSame(behind, block);
});

test("two archives take the same snapshots in any order without harm", async () => {
  const [left, right] = [await openStore("a"), await openStore("b")];
  await snapshots(left, 20, 40);
  const before = new Map(names);
  expect(await snapshots(right, 40)).toHaveLength(2);
  expect(names).toEqual(before);
  await putUpTo(right, 60);
  await putUpTo(left, 60);
  await Promise.all([takeArchiveSnapshot(objects, left, 60), takeArchiveSnapshot(objects, right, 60)]);
  expect((await readArchiveSnapshots(objects)).kept.map(({ block }) => block)).toEqual([60, 40]);
  const fresh = await openStore("c");
  expect(await restoreArchive(objects, fresh, () => undefined)).toEqual([]);
  for (const block of blocks.slice(0, 61)) expectSame(fresh, block);
});

test("two archives whose chunks start at different blocks do not overwrite each other's", async () => {
  const [left, right] = [await openStore("a"), await openStore("b")];
  await snapshots(left, 20, 40);
  await putUpTo(left, 60);
  await putUpTo(right, 60);
  for (let count = 0; count < 10; count++) await right.removeOldest(); // Its chunks start elsewhere.
  const manifestSeen = names.get("archive/40/manifest")!;
  await takeArchiveSnapshot(objects, left, 60);
  const ofLeft = new Map(names);
  // The right one lists what is there before the left one writes its manifest, and puts its own in the place of that.
  names.delete("archive/60/manifest");
  names.set("archive/40/manifest", manifestSeen);
  await takeArchiveSnapshot(objects, right, 60);
  for (const [name, bytes] of ofLeft) if (!name.endsWith("manifest")) expect(names.get(name)).toEqual(bytes);
  expect([...names.keys()].filter((name) => /^archive\/60\/\d/.test(name))).toHaveLength(2);
  for (const manifest of ["archive/60/manifest", "archive/40/manifest"]) expect(names.has(manifest)).toBe(true);
  const ofRight = names.get("archive/60/manifest")!;
  for (const manifest of [ofLeft.get("archive/60/manifest")!, ofRight]) {
    names.set("archive/60/manifest", manifest);
    const fresh = await openStore(`c${opened.length}`);
    expect(await restoreArchive(objects, fresh, () => undefined)).toEqual([]);
    for (const block of blocks.slice(10, 61)) expectSame(fresh, block);
  }
  await snapshots(left, 80, 90);
  const { kept } = await readArchiveSnapshots(objects);
  const needed = kept.flatMap(({ block, chunks }) => [`archive/${block}/manifest`, ...chunks.map(({ object }) => object)]);
  expect([...names.keys()].sort()).toEqual([...new Set(needed)].sort());
});

test("snapshots of another chain are not touched", async () => {
  await snapshots(await openStore("a"), 20);
  const other = await openStore("b");
  for (const block of testBlocks({ seed: 7, blocks: 30 })) await other.put([block]);
  await expect(takeArchiveSnapshot(objects, other, 30)).rejects.toMatchObject({
    detail: { code: "SNAPSHOT_FOREIGN", block: 20 },
  });
  const empty = await openStore("c", "bb");
  await expect(restoreArchive(objects, empty, () => undefined)).rejects.toMatchObject({ detail: { code: "SNAPSHOT_FOREIGN" } });
});
