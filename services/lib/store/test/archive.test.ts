import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { callNumber, hexOf, packOutcomeKeys, prepareFilter, resultLogs, sameBytes, TX } from "@meridian/core";
import type { ArchiveLog, AssembledBlock, LogFilter } from "@meridian/core";
import { bytesFrom, fakeBlockEngine, testBlocks, testHash } from "@meridian/core/blocks/testing";
import type { TestLog } from "@meridian/core/blocks/testing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openArchive } from "../src/index.ts";
import type { ArchiveStore } from "../src/index.ts";

let folder: string;
let store: ArchiveStore;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "meridian.archive-"));
  store = openArchive(folder);
});
afterEach(async () => {
  await store.close();
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

async function putAll(blocks: readonly AssembledBlock[]): Promise<void> {
  for (const block of blocks) await store.put([block]);
}
async function reopen(): Promise<void> {
  await store.close();
  store = openArchive(folder);
}
const hashAt = ({ transactions, transactionOffsets }: AssembledBlock, number: number): Uint8Array =>
  transactions.slice(transactionOffsets[number]! + TX.hash, transactionOffsets[number]! + TX.hash + 32);
const recordOf = (bytes: Uint8Array, offsets: Uint32Array, number: number): string =>
  hexOf(bytes, offsets[number], offsets[number + 1]);
const wholeBody = (number: number) => store.body(store.block(number)!, 0, Infinity, Infinity);

test("an empty store", () => {
  expect([store.head(), store.oldest(), store.block(0), store.find(bytesFrom(32, 1))]).toEqual([null, 0, null, null]);
  expect(store.start()).toEqual({ head: null, sequence: 0, positions: [], marks: [], hashes: [] });
});

test("with block 0 alone", async () => {
  await putAll(testBlocks({ seed: 1, blocks: 1 }).slice(0, 1));
  expect([store.head()?.number, store.oldest(), store.start().head?.number]).toEqual([0, 0, 0]);
  await reopen();
  expect([store.head()?.number, store.oldest(), store.start().head?.number]).toEqual([0, 0, 0]);
});

test("a store is that of one chain", async () => {
  expect(await store.claim("aa")).toBe("aa");
  await reopen();
  expect(await store.claim("bb")).toBe("aa");
});

test("blocks, bodies and transactions read back, also after opening again", async () => {
  const blocks = testBlocks({ seed: 1, blocks: 12, transactionsPerFlush: 60, logs: someLogs, snapshotEvery: 5 });
  await putAll(blocks);
  for (let round = 0; round < 2; round++, await reopen()) {
    expect(store.head()).toMatchObject({ number: 12, timestamp: blocks[12]!.timestamp });
    for (const block of blocks) {
      const { number, hash, parentHash, digest, header, timestamp, gasUsed, sizeBytes, snapshot, progress, count } = block;
      const want = {
        number,
        hash,
        parentHash,
        digest,
        header,
        timestamp,
        gasUsed,
        sizeBytes,
        snapshot,
        progress,
        transactionCount: count,
      };
      expect(store.block(number)).toMatchObject(want);
      expect(store.block(hash)?.number).toBe(number);
      expect(hexOf(store.bloom(number))).toBe(hexOf(block.logsBloom));
      const body = wholeBody(number);
      expect([body.count, hexOf(body.transactions), hexOf(body.results)]).toEqual([
        count,
        hexOf(block.transactions),
        hexOf(block.results),
      ]);
      checkTransactions(block);
    }
    const [marks, last] = [store.start().marks, blocks.at(-1)!];
    expect(marks.map(({ partition, firstN }) => [partition, firstN])).toEqual(
      blocks.flatMap((block) => block.marks.map(({ partition, firstN }) => [partition, firstN])),
    );
    expect(store.start()).toMatchObject({ ...last.progress, head: { number: 12 } });
  }
});

function checkTransactions(block: AssembledBlock): void {
  let cumulativeGasUsed = 0;
  let firstLogIndex = 0;
  const hashes = store.hashes(block.number);
  expect(hashes).toHaveLength(block.count * 32);
  for (let index = 0; index < block.count; index++) {
    const hash = hashAt(block, index);
    const found = store.find(hash)!;
    const resultAt = block.resultOffsets[index]!;
    cumulativeGasUsed += Buffer.from(block.results).readUInt32LE(resultAt + 16);
    expect(found).toMatchObject({ index, hash, cumulativeGasUsed, firstLogIndex, block: { number: block.number } });
    expect(hexOf(found.transaction)).toBe(recordOf(block.transactions, block.transactionOffsets, index));
    expect(hexOf(found.result)).toBe(recordOf(block.results, block.resultOffsets, index));
    expect(hexOf(hashes, index * 32, index * 32 + 32)).toBe(hexOf(hash));
    firstLogIndex += resultLogs(block.results, resultAt).length;
  }
  expect(store.transaction(store.block(block.number)!, block.count)).toBeNull();
}

test("a body in parts, by count and by bytes", async () => {
  const [, block] = testBlocks({ seed: 5, blocks: 1, flushesPerBlock: 9, transactionsPerFlush: 700 });
  await store.put([block!]);
  const stored = store.block(1)!;
  expect(stored.chunks.length).toBeGreaterThan(2);
  for (const [count, bytesMax] of [
    [7, Infinity],
    [Infinity, 10_000],
    [Infinity, 1],
    [100_000, 200_000],
  ] as const) {
    // prettier-ignore
    const parts: string[] = [];
    let from = 0;
    for (let turn = 0; from < block!.count && turn <= block!.count; turn++) {
      const part = store.body(stored, from, count, bytesMax);
      expect(part.count).toBeGreaterThan(0);
      expect(part.count).toBeLessThanOrEqual(count);
      parts.push(hexOf(part.transactions));
      from += part.count;
    }
    expect(parts.join("")).toBe(hexOf(block!.transactions));
  }
  expect(store.body(stored, block!.count, 10, Infinity).count).toBe(0);
});

test("hashes with equal prefixes are told apart", async () => {
  const blocks = testBlocks({ seed: 9, blocks: 3, transactionsPerFlush: 5 });
  const hashes: Uint8Array[] = [];
  for (const block of blocks) {
    for (let number = 0; number < block.count; number++) {
      const hash = bytesFrom(32, block.number, number, 5);
      hash.set(Uint8Array.of(7, 7, 7, 7, 7, 7, 7, 7));
      block.transactions.set(hash, block.transactionOffsets[number]! + TX.hash);
      hashes.push(hash);
    }
  }
  await putAll(blocks);
  expect(hashes.length).toBeGreaterThan(5);
  for (const hash of hashes) expect(hexOf(store.find(hash)!.hash)).toBe(hexOf(hash));
  expect(store.find(Uint8Array.from({ length: 32 }, () => 7))).toBeNull();
  await store.removeOldest();
  await store.removeOldest();
  const kept = hashes.filter((hash) => store.find(hash) !== null);
  expect(kept).toHaveLength(blocks[2]!.count + blocks[3]!.count);
});

test("the oldest blocks go, with all that points to them", async () => {
  const blocks = testBlocks({ seed: 2, blocks: 150, logs: someLogs });
  await putAll(blocks);
  for (let count = 0; count < 140; count++) await store.removeOldest();
  for (let round = 0; round < 2; round++, await reopen()) {
    expect([store.oldest(), store.head()!.number]).toEqual([140, 150]);
    for (const block of blocks) {
      const isKept = block.number >= 140;
      expect(store.block(block.number) !== null).toBe(isKept);
      expect(store.block(block.hash) !== null).toBe(isKept);
      for (let number = 0; number < block.count; number++) expect(store.find(hashAt(block, number)) !== null).toBe(isKept);
    }
    const found: ArchiveLog[] = [];
    store.logs(prepareFilter({ addresses: new Uint8Array(0), topics: [] }, testHash), 0, 150, { logs: 1e6, bytes: 1e9 }, found);
    expect(new Set(found.map(({ block }) => block.number))).toEqual(new Set(withLogs(blocks.slice(140))));
  }
});
const withLogs = (blocks: readonly AssembledBlock[]): number[] =>
  blocks.flatMap((block) => (allLogs([block]).length > 0 ? [block.number] : []));

test("marks of old blocks go", async () => {
  const blocks = testBlocks({ seed: 2, blocks: 100, transactionsPerFlush: 1 });
  await putAll(blocks);
  const firsts = store.start().marks.filter(({ partition }) => partition === 0);
  expect(firsts[0]!.firstN).toBe(blocks[37]!.marks.find(({ partition }) => partition === 0)!.firstN);
});

test("the file grows far beyond its first size while reads go on", async () => {
  const blocks = testBlocks({ seed: 3, blocks: 40, flushesPerBlock: 1, transactionsPerFlush: 4_000 });
  for (const block of blocks) {
    const put = store.put([block]);
    if (block.number > 0) expect(hexOf(store.block(block.number - 1)!.hash)).toBe(hexOf(blocks[block.number - 1]!.hash));
    await put;
  }
  const lastHash = hashAt(blocks[40]!, 0);
  expect(store.find(lastHash)!.block.number).toBe(40);
  expect(store.bytes()).toBeGreaterThan(10 << 20);
});

describe("logs as a naive filter finds them", () => {
  const logs = (next: (below: number) => number): TestLog[] => (next(10) < 7 ? [] : someLogs(next));
  const engine = { ...fakeBlockEngine(), buildBlock: withRealBloom };
  const blocks = testBlocks({ seed: 21, blocks: 130, transactionsPerFlush: 3, logs }, 3, engine);

  test.each([[1], [2], [3]])("filters from seed %d", async (seed) => {
    await putAll(blocks);
    const next = (below: number): number =>
      Math.abs(bytesFrom(4, seed, calls++).reduce((sum, byte) => sum * 251 + byte, 0)) % below;
    let calls = 0;
    for (let round = 0; round < 80; round++) {
      const [first, last] = [next(131), next(131)].sort((left, right) => left - right) as [number, number];
      const filter = {
        addresses: Buffer.concat(tokens.filter(() => next(5) === 0)),
        topics: Array.from({ length: next(4) }, () => Buffer.concat(words.filter(() => next(5) === 0))),
      };
      const found: ArchiveLog[] = [];
      store.logs(prepareFilter(filter, testHash), first, last, { logs: 1e6, bytes: 1e9 }, found);
      expect(found.map(plainLog)).toEqual(allLogs(blocks.slice(first, last + 1)).filter((log) => naive(log, filter)));
    }
  });

  test("in blocks of many chunks, some of them without logs", async () => {
    let made = 0;
    const inStretches = (next: (below: number) => number): TestLog[] =>
      Math.floor(made++ / 400) % 2 === 0 ? someLogs(next) : [];
    const large = testBlocks({ seed: 8, blocks: 2, flushesPerBlock: 9, transactionsPerFlush: 600, logs: inStretches }, 2, engine);
    await putAll(large);
    expect(store.block(1)!.chunks.length).toBeGreaterThan(3);
    for (const filter of [
      { addresses: new Uint8Array(0), topics: [] },
      { addresses: new Uint8Array(0), topics: [new Uint8Array(0), words[2]!] },
      { addresses: tokens[1]!, topics: [words[1]!, new Uint8Array(0), words[3]!] },
    ]) {
      const found: ArchiveLog[] = [];
      store.logs(prepareFilter(filter, testHash), 0, 2, { logs: 1e6, bytes: 1e9 }, found);
      expect(found.map(plainLog)).toEqual(allLogs(large).filter((log) => naive(log, filter)));
    }
  });

  test("a budget stops the search", async () => {
    await putAll(blocks);
    const any = prepareFilter({ addresses: new Uint8Array(0), topics: [] }, testHash);
    const all = allLogs(blocks).length;
    const ask = (budget: { logs: number; bytes: number }) => {
      const found: ArchiveLog[] = [];
      store.logs(any, 0, 130, budget, found);
      return [found.length, budget.logs < 0 || budget.bytes < 0];
    };
    expect(ask({ logs: all, bytes: 1e9 })).toEqual([all, false]);
    expect(ask({ logs: all - 1, bytes: 1e9 })).toEqual([all - 1, true]);
    expect(ask({ logs: 1e9, bytes: 1_000 })).toEqual([expect.any(Number), true]);
  });
});

function plainLog({ block, transactionHash, transactionIndex, logIndex, address, topics, data }: ArchiveLog) {
  const place = {
    number: block.number,
    hash: hexOf(block.hash),
    transactionHash: hexOf(transactionHash),
    transactionIndex,
    logIndex,
  };
  return { ...place, address: hexOf(address), topics: topics.map((topic) => hexOf(topic)), data: hexOf(data) };
}

function allLogs(blocks: readonly AssembledBlock[]) {
  return blocks.flatMap((block) => {
    let logIndex = 0;
    return [...block.resultOffsets.slice(0, -1)].flatMap((at, transactionIndex) =>
      resultLogs(block.results, at).map((log) =>
        plainLog({ ...log, block, transactionHash: hashAt(block, transactionIndex), transactionIndex, logIndex: logIndex++ }),
      ),
    );
  });
}

function naive(log: ReturnType<typeof plainLog>, filter: Pick<LogFilter, "addresses" | "topics">): boolean {
  const has = (list: Uint8Array, length: number, value: string | undefined) =>
    list.length === 0 ||
    Array.from({ length: list.length / length }, (_, at) => hexOf(list, at * length, at * length + length)).includes(value ?? "");
  if (log.topics.length < filter.topics.length) return false;
  return has(filter.addresses, 20, log.address) && filter.topics.every((list, place) => has(list, 32, log.topics[place]));
}

function withRealBloom(...args: Parameters<ReturnType<typeof fakeBlockEngine>["buildBlock"]>) {
  const built = fakeBlockEngine().buildBlock(...args);
  const logsBloom = new Uint8Array(256);
  const results = args[2];
  for (let at = 0; at < results.length; at += Buffer.from(results).readUInt32LE(at)) {
    for (const { address, topics } of resultLogs(results, at)) {
      for (const value of [address, ...topics]) {
        const hash = testHash(value);
        for (let number = 0; number < 6; number += 2) {
          const bit = (hash[number]! * 256 + hash[number + 1]!) % 2_048;
          logsBloom[255 - (bit >> 3)]! |= 1 << (bit & 7);
        }
      }
    }
  }
  return { ...built, logsBloom };
}

test("calls of batches: hashes, and each by its hash, until their block goes", async () => {
  const options = { seed: 12, blocks: 2, flushesPerBlock: 3, transactionsPerFlush: 300, calls: 100 };
  const blocks = testBlocks(options);
  await putAll(blocks);
  for (let round = 0; round < 2; round++, await reopen()) {
    for (const block of blocks) {
      const hashes = Array.from({ length: block.count }, (_, index) => hashAt(block, index));
      expect(hexOf(store.hashes(block.number))).toBe(hashes.map((hash) => hexOf(hash)).join(""));
      const found = hashes.map((hash) => store.find(hash));
      expect(found.map((one) => [one!.block.number, one!.index])).toEqual(hashes.map((_, index) => [block.number, index]));
    }
  }
  const gone = hashAt(blocks[1]!, 0);
  const beyond = gone.slice();
  beyond.set([0xff, 0xff], 30);
  expect([store.find(gone)?.index, store.find(beyond)]).toEqual([0, null]);
  await store.removeOldest();
  await store.removeOldest();
  expect([store.find(gone), hexOf(store.outcomes(packOutcomeKeys([{ hash: gone, count: 2 }])))]).toEqual([null, "00".repeat(48)]);
});

describe("outcomes", () => {
  const outcomeOf = (number: number, index: number): string => {
    const { result } = store.transaction(store.block(number)!, index)!;
    const outcome = Buffer.alloc(24);
    outcome.writeBigUInt64LE(BigInt(number + 1), 0);
    outcome.writeUInt32LE(index, 8);
    outcome.set(result.subarray(8, 10), 12);
    outcome.set(result.subarray(16, 24), 16);
    return outcome.toString("hex");
  };
  const NONE = "00".repeat(24);
  const asked = (keys: readonly { hash: Uint8Array; count: number }[]): string[] =>
    hexOf(store.outcomes(packOutcomeKeys(keys))).match(/.{48}/g) ?? [];

  test("of singles, known and unknown", async () => {
    const blocks = testBlocks({ seed: 9, blocks: 6, logs: someLogs });
    await putAll(blocks);
    const places = blocks.flatMap((block) => Array.from({ length: block.count }, (_, index) => ({ block, index })));
    const keys = places.map(({ block, index }) => ({ hash: hashAt(block, index), count: 1 }));
    const want = places.map(({ block, index }) => outcomeOf(block.number, index));
    expect(asked(keys)).toEqual(want);
    expect(asked([{ hash: bytesFrom(32, 5), count: 2 }, ...keys.slice(0, 1)])).toEqual([NONE, NONE, want[0]]);
    expect(asked([])).toEqual([]);
  });

  test.each([3, 1_024])("of the calls of batches with %i calls, all of a batch with one key", async (calls) => {
    const options = { seed: 10, blocks: 3, flushesPerBlock: 2, transactionsPerFlush: 1_500, calls, logs: someLogs };
    const blocks = testBlocks(options);
    await putAll(blocks);
    for (const block of blocks) {
      for (let index = 0; index < block.count; index += 97) {
        const hash = hashAt(block, index);
        const first = callNumber(hash, 0);
        const got = asked([{ hash, count: calls - first }]);
        expect(got[0]).toBe(outcomeOf(block.number, index));
        let same = 0;
        while (index + same < block.count && sameBytes(hashAt(block, index + same), 0, hash, 0, 30)) same++;
        const want = Array.from({ length: calls - first }, (_, at) => (at < same ? outcomeOf(block.number, index + at) : NONE));
        expect(got).toEqual(want);
      }
    }
  });
});
