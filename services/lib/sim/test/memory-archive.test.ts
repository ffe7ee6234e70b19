/** The archive's store in memory gives what the one on disk gives, whatever it is asked. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TX, hexOf, prepareFilter } from "@meridian/core";
import type { ArchiveLog, AssembledBlock } from "@meridian/core";
import { bytesFrom, fakeBlockEngine, testBlocks, testHash } from "@meridian/core/blocks/testing";
import type { TestLog } from "@meridian/core/blocks/testing";
import { openArchive } from "@meridian/store";
import type { ArchiveStore } from "@meridian/store";
import { afterEach, beforeEach, expect, test } from "vitest";
import { MemoryDisk, openMemoryArchive } from "../src/kernel/memory-archive.ts";

let folder: string;
let onDisk: ArchiveStore;
let inMemory: ArchiveStore;
let disk: MemoryDisk;

const open = (): ArchiveStore => openMemoryArchive(disk, () => Promise.resolve());

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "meridian.sim-"));
  onDisk = openArchive(folder);
  disk = new MemoryDisk();
  inMemory = open();
});
afterEach(async () => {
  await onDisk.close();
  await rm(folder, { recursive: true, force: true });
});

const tokens = Array.from({ length: 5 }, (_, number) => bytesFrom(20, 3, number));
const words = Array.from({ length: 7 }, (_, number) => bytesFrom(32, 4, number));
const someLogs = (next: (below: number) => number): TestLog[] =>
  Array.from({ length: next(4) }, () => ({
    address: tokens[next(5)]!,
    topics: Array.from({ length: next(5) }, () => words[next(7)]!),
    data: bytesFrom(next(90), next(999)),
  }));

/** Asks both and compares; how a store cuts its blocks is its own business. */
function same<T>(ask: (store: ArchiveStore) => T): T {
  const wanted = ask(onDisk);
  expect(plain(ask(inMemory))).toEqual(plain(wanted));
  return wanted;
}
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return hexOf(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object" || ArrayBuffer.isView(value)) return value;
  const parts = Object.entries(value).filter(([key]) => key !== "chunks" && key !== "chunkLogs");
  return Object.fromEntries(parts.map(([key, part]) => [key, plain(part)]));
}

function sameEverywhere(blocks: readonly AssembledBlock[]): void {
  same((store) => [store.head(), store.oldest(), store.start()]);
  for (const { number, hash, count, transactions, transactionOffsets } of blocks) {
    same((store) => [store.block(number), store.block(hash), store.hashes(number)]);
    if (same((store) => store.block(number)) === null) continue;
    same((store) => store.bloom(number));
    for (const [from, take, bytesMax] of [
      [0, Infinity, Infinity],
      [1, 3, Infinity],
      [0, Infinity, 500],
      [count, 5, 10],
    ] as const) {
      same((store) => store.body(store.block(number)!, from, take, bytesMax));
    }
    for (let index = 0; index <= count; index++) same((store) => store.transaction(store.block(number)!, index));
    for (let index = 0; index < count; index++) {
      const at = transactionOffsets[index]! + TX.hash;
      same((store) => store.find(transactions.slice(at, at + 32)));
    }
  }
  same((store) => store.find(new Uint8Array(32)));
}

test("empty, claimed, filled, opened again and emptied", async () => {
  same((store) => [store.head(), store.oldest(), store.start(), store.block(0)]);
  for (const name of ["aa", "bb"]) expect(await inMemory.claim(name)).toBe(await onDisk.claim(name));
  same((store) => store.chain());
  const blocks = testBlocks({ seed: 1, blocks: 12, transactionsPerFlush: 9, logs: someLogs, snapshotEvery: 5 });
  for (const part of [blocks.slice(0, 1), blocks.slice(1, 8), blocks.slice(8)]) {
    await Promise.all([onDisk.put(part), inMemory.put(part)]);
    sameEverywhere(blocks.slice(0, part.at(-1)!.number + 1));
  }
  inMemory = open();
  sameEverywhere(blocks);
  for (let count = 0; count < 3; count++) await Promise.all([onDisk.removeOldest(), inMemory.removeOldest()]);
  sameEverywhere(blocks);
  await Promise.all([onDisk.clear(), inMemory.clear()]);
  same((store) => [store.head(), store.oldest(), store.start()]);
});

/** Blooms that hide nothing. */
const engine: ReturnType<typeof fakeBlockEngine> = {
  ...fakeBlockEngine(),
  buildBlock: (...args) => ({ ...fakeBlockEngine().buildBlock(...args), logsBloom: new Uint8Array(256).fill(255) }),
};

test("logs by filter and within a budget", async () => {
  const blocks = testBlocks({ seed: 21, blocks: 30, transactionsPerFlush: 4, logs: someLogs }, 2, engine);
  await Promise.all([onDisk.put(blocks), inMemory.put(blocks)]);
  const filters = [
    { addresses: new Uint8Array(0), topics: [] },
    { addresses: tokens[1]!, topics: [] },
    { addresses: Buffer.concat(tokens.slice(0, 2)), topics: [Buffer.concat(words.slice(0, 3))] },
    { addresses: new Uint8Array(0), topics: [new Uint8Array(0), words[2]!] },
  ];
  for (const filter of filters) {
    for (const budget of [
      { logs: 1e6, bytes: 1e9 },
      { logs: 3, bytes: 1e9 },
      { logs: 1e6, bytes: 1_000 },
    ]) {
      same((store) => {
        const found: ArchiveLog[] = [];
        const left = { ...budget };
        store.logs(prepareFilter(filter, testHash), 3, 25, left, found);
        return [found, left.logs < 0 || left.bytes < 0];
      });
    }
  }
});
