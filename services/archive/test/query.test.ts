/** Every query, its waits and its limits. */
import { hexOf, OUTCOME_BYTES, packOutcomeKeys, resultLogs, TX, txBytes, txCount } from "@meridian/core";
import type { ArchiveLog, ArchiveQuery, ArchiveReply, AssembledBlock, LogFilter } from "@meridian/core";
import { bytesFrom } from "@meridian/core/blocks/testing";
import type { TestLog } from "@meridian/core/blocks/testing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Rig, until } from "./rig.ts";
import type { StartOptions, TestArchive } from "./rig.ts";

const tokens = Array.from({ length: 3 }, (_, number) => bytesFrom(20, 3, number));
const words = Array.from({ length: 4 }, (_, number) => bytesFrom(32, 4, number));
const logs = (next: (below: number) => number): TestLog[] =>
  Array.from({ length: next(3) }, () => ({
    address: tokens[next(3)]!,
    topics: Array.from({ length: next(4) }, () => words[next(4)]!),
    data: bytesFrom(next(60), 1),
  }));

let rig: Rig;
let archive: TestArchive;
beforeEach(async () => {
  rig = await Rig.open({ seed: 5, blocks: 30, transactionsPerFlush: 10, logs });
});
afterEach(() => rig.close());

async function startAt(block: number, options: StartOptions = {}): Promise<void> {
  archive = rig.start("a", options);
  await rig.publish(block);
  await until(() => archive.running.status().head === block && archive.running.status().isAnswering);
}
const ask = <Op extends ArchiveQuery["op"]>(query: Extract<ArchiveQuery, { op: Op }>) =>
  rig.ask(query) as Promise<Extract<ArchiveReply, { op: Op }>>;
const failureOf = async (query: ArchiveQuery) => ((await rig.ask(query)) as Extract<ArchiveReply, { op: "failed" }>).failure;

const hashAt = ({ transactions, transactionOffsets }: AssembledBlock, index: number): Uint8Array =>
  transactions.slice(transactionOffsets[index]! + TX.hash, transactionOffsets[index]! + TX.hash + 32);
const busy = (): AssembledBlock => rig.blocks.find(({ count, number }) => count > 5 && number > 3)!;
const headOf = ({ number, hash, header, timestamp, gasUsed, count, sizeBytes }: AssembledBlock) => ({
  ...{ number, hash, header, timestamp, gasUsed, transactionCount: count, sizeBytes },
});

test("head", async () => {
  await startAt(7);
  expect(await ask({ op: "head" })).toEqual({ op: "head", number: 7, hash: rig.blocks[7]!.hash, oldest: 0 });
});

test("block by number and by hash, with and without body", async () => {
  await startAt(20);
  const block = busy();
  const hashes = Array.from({ length: block.count }, (_, index) => hexOf(hashAt(block, index))).join("");
  for (const by of [block.number, block.hash]) {
    const head = (await ask({ op: "block", by, atLeast: 0, body: false })).block!;
    expect(head).toMatchObject(headOf(block));
    expect([hexOf(head.transactionHashes), head.transactions.length, head.results.length]).toEqual([hashes, 0, 0]);
    const whole = (await ask({ op: "block", by, atLeast: 0, body: true })).block!;
    expect([whole.transactionHashes, whole.transactions, whole.results].map((bytes) => hexOf(bytes))).toEqual(
      [hashes, hexOf(block.transactions), hexOf(block.results)],
    ); // prettier-ignore
  }
  expect((await ask({ op: "block", by: 21, atLeast: 0, body: true })).block).toBeNull();
  expect((await ask({ op: "block", by: bytesFrom(32, 1), atLeast: 0, body: true })).block).toBeNull();
});

test("a body larger than a reply comes in parts", async () => {
  await startAt(20, { limits: { replyBytesMax: 2_000 } });
  const block = busy();
  const parts: string[] = [];
  let from = 0;
  for (let turn = 0; turn < 100 && from < block.count; turn++) {
    const part = (await ask({ op: "block", by: block.number, atLeast: 0, body: true, from })).block!;
    expect(part.transactionHashes.length).toBe(from === 0 ? block.count * 32 : 0);
    parts.push(hexOf(part.transactions));
    from += txCount(part.transactions);
  }
  expect(parts.length).toBeGreaterThan(1);
  expect(parts.join("")).toBe(hexOf(block.transactions));
  const two = (await ask({ op: "block", by: block.number, atLeast: 0, body: true, from: 1, count: 2 })).block!;
  expect(txCount(two.transactions)).toBe(2);
});

test("a block that is not there yet is waited for, not longer than bounded", async () => {
  await startAt(3, { limits: { waitMs: 60 } });
  expect(await failureOf({ op: "block", by: 4, atLeast: 4, body: false })).toEqual({ code: "BEHIND", newest: 3 });
  await archive.stop();
  await startAt(3, { limits: { waitMs: 5_000 } });
  const asked = ask({ op: "block", by: 5, atLeast: 5, body: false });
  await rig.publish(5);
  expect((await asked).block).toMatchObject(headOf(rig.blocks[5]!));
});

test("before there is any block", async () => {
  archive = rig.start("a", { limits: { waitMs: 20 } });
  await until(() => archive.running.status().phase === "running");
  await new Promise((resolve) => setImmediate(resolve));
  expect(await failureOf({ op: "head" })).toEqual({ code: "BEHIND", newest: 0 });
});

test("headers, cut at the newest", async () => {
  await startAt(12);
  const { blocks } = await ask({ op: "headers", first: 10, count: 9, atLeast: 0 });
  expect(blocks).toMatchObject(rig.blocks.slice(10, 13).map(headOf));
  expect(blocks.every(({ transactionHashes, transactions }) => transactionHashes.length + transactions.length === 0)).toBe(true);
  expect((await ask({ op: "headers", first: 13, count: 1, atLeast: 0 })).blocks).toEqual([]);
  expect(await failureOf({ op: "headers", first: 0, count: 2_000, atLeast: 0 })).toEqual({
    code: "RANGE_TOO_LARGE",
    limit: 1_024,
  });
});

test("transactions at a place, with what their receipts need", async () => {
  await startAt(20);
  const block = busy();
  let cumulativeGasUsed = 0;
  let firstLogIndex = 0;
  for (let index = 0; index < block.count; index++) {
    const { transaction } = await ask({
      op: "transactionAt",
      block: index % 2 === 0 ? block.number : block.hash,
      index,
      atLeast: 0,
    });
    const resultAt = block.resultOffsets[index]!;
    cumulativeGasUsed += Buffer.from(block.results).readUInt32LE(resultAt + 16);
    expect(transaction).toMatchObject({ hash: hashAt(block, index), index, cumulativeGasUsed, firstLogIndex });
    expect(transaction!.block).toEqual({ number: block.number, hash: block.hash, timestamp: block.timestamp });
    expect(hexOf(transaction!.result)).toBe(hexOf(block.results, resultAt, block.resultOffsets[index + 1]));
    firstLogIndex += resultLogs(block.results, resultAt).length;
  }
  expect((await ask({ op: "transactionAt", block: block.number, index: block.count, atLeast: 0 })).transaction).toBeNull();
  expect((await ask({ op: "transactionAt", block: 25, index: 0, atLeast: 0 })).transaction).toBeNull();
});

describe("transactions by hash", () => {
  const all = (): Uint8Array[] => rig.flushes.flatMap(({ transactions }) => transactions.map(({ hash }) => hash));

  test("stored, pending and unknown ones in one query", async () => {
    await startAt(10, { limits: { unknownMs: 30 } });
    await rig.publishOf(0, 4);
    await until(() => archive.running.status().lagBlocks === 0 && pendingHashes().length > 0);
    const pending = pendingHashes()[0]!;
    const block = busy();
    const hashes = Buffer.concat([hashAt(block, 1), pending, bytesFrom(32, 1)]);
    const { transactions } = await ask({ op: "transactions", hashes, atLeast: 0 });
    expect(transactions).toMatchObject([
      { hash: hashAt(block, 1), index: 1, block: { number: block.number } },
      { hash: pending, block: null },
      null,
    ]);
    expect(txBytes(transactions[1]!.transaction, 0)).toBe(transactions[1]!.transaction.length);
    expect(transactions[1]!.result.length).toBeGreaterThanOrEqual(64);
  });

  const pendingHashes = (): Uint8Array[] => {
    const published = rig.records[0]!.filter(
      ({ block, genesis }) => (block?.entry.number ?? 0) > 10 || genesis !== null || block === null,
    );
    const stored = new Set(
      rig.blocks.slice(0, 11).flatMap((block) => Array.from({ length: block.count }, (_, index) => hexOf(hashAt(block, index)))),
    );
    const hashes = published.flatMap(({ transactions }) =>
      transactions.length === 0 ? [] : [transactions.slice(TX.hash, TX.hash + 32)],
    );
    return hashes.filter((hash) => !stored.has(hexOf(hash))).slice(0, 1);
  };

  test("an unknown one is waited for until the next block", async () => {
    await startAt(2, { limits: { unknownMs: 5_000, unknownPollMs: 1_000 } });
    const block = rig.blocks.find(({ number, count }) => number > 2 && count > 0)!;
    const asked = ask({ op: "transactions", hashes: hashAt(block, 0), atLeast: 0 });
    await rig.publish(block.number);
    const { transactions } = await asked;
    expect(transactions[0]?.hash).toEqual(hashAt(block, 0));
  });

  test("one that does not exist is null at the next block, or after a bounded time", async () => {
    await startAt(2, { limits: { unknownMs: 40 } });
    expect((await ask({ op: "transactions", hashes: bytesFrom(32, 1), atLeast: 0 })).transactions).toEqual([null]);
    await archive.stop();
    await startAt(2, { limits: { unknownMs: 60_000 } });
    const asked = ask({ op: "transactions", hashes: bytesFrom(32, 1), atLeast: 0 });
    await rig.publish(3);
    expect((await asked).transactions).toEqual([null]);
  });

  test("an archive that is behind does not say that one does not exist", async () => {
    await startAt(2, { limits: { unknownMs: 20 } });
    rig.beat(3);
    await until(() => archive.running.status().lagBlocks === 1);
    expect(await failureOf({ op: "transactions", hashes: bytesFrom(32, 1), atLeast: 0 })).toEqual({ code: "BEHIND", newest: 2 });
  });

  test("more than may wait for unknown ones are refused, others are answered", async () => {
    await startAt(2, { limits: { unknownMs: 60_000, unknownMax: 2 } });
    const asked = [1, 2, 3, 4].map((seed) => rig.ask({ op: "transactions", hashes: bytesFrom(32, seed), atLeast: 0 }));
    expect(await Promise.race(asked)).toEqual({ op: "failed", failure: { code: "BUSY", limit: 2 } });
    expect((await ask({ op: "head" })).number).toBe(2);
    await rig.publish(3);
    const outcomes = (await Promise.all(asked)).map(({ op }) => op);
    expect(outcomes.sort()).toEqual(["failed", "failed", "transactions", "transactions"]);
  });

  test("every acknowledged one is found on either archive", async () => {
    await startAt(30);
    const other = rig.start("b");
    await until(() => other.running.status().head === 30);
    for (let round = 0; round < 2; round++) {
      const { transactions } = await ask({ op: "transactions", hashes: Buffer.concat(all()), atLeast: 0 });
      expect(transactions.map((found) => found?.block === null || found?.block === undefined)).toEqual(all().map(() => false));
    }
  });

  test("too many, or too large for a reply", async () => {
    await startAt(30, { limits: { hashesMax: 5, replyBytesMax: 500 } });
    const hashes = Buffer.concat(all());
    expect(await failureOf({ op: "transactions", hashes, atLeast: 0 })).toEqual({ code: "RANGE_TOO_LARGE", limit: 5 });
    expect(await failureOf({ op: "transactions", hashes: hashes.subarray(0, 128), atLeast: 0 })).toEqual({
      code: "RANGE_TOO_LARGE",
      limit: 500,
    });
  });
});

describe("logs", () => {
  const none: LogFilter = { first: 0, last: 30, blockHash: null, addresses: new Uint8Array(0), topics: [] };
  const allOf = (blocks: AssembledBlock[]) =>
    blocks.flatMap((block) => [...block.resultOffsets.slice(0, -1)].flatMap((at) => resultLogs(block.results, at)));
  const plain = ({ address, topics, data }: Pick<ArchiveLog, "address" | "topics" | "data">) =>
    [address, ...topics, data].map((bytes) => hexOf(bytes)).join(" ");

  test.each<[what: string, filter: Partial<LogFilter>, matches: (log: Pick<ArchiveLog, "address" | "topics">) => boolean]>([
    ["all", {}, () => true],
    ["by address", { addresses: tokens[0]! }, ({ address }) => hexOf(address) === hexOf(tokens[0]!)],
    ["by topic", { topics: [words[1]!] }, ({ topics }) => topics.length > 0 && hexOf(topics[0]!) === hexOf(words[1]!)],
    ["any topic, but two of them", { topics: [new Uint8Array(0), new Uint8Array(0)] }, ({ topics }) => topics.length >= 2],
    ["five places", { topics: Array.from({ length: 5 }, () => new Uint8Array(0)) }, () => false],
  ])("%s", async (_what, filter, matches) => {
    await startAt(30);
    const got = await ask({ op: "logs", filter: { ...none, ...filter }, atLeast: 0 });
    expect(got.logs.map(plain)).toEqual(allOf(rig.blocks).filter(matches).map(plain));
  });

  test("of one block by hash; of a range beyond the newest; of nothing", async () => {
    await startAt(20);
    const block = rig.blocks.find(({ number }) => number > 5 && allOf([rig.blocks[number]!]).length > 0)!;
    const of = async (filter: Partial<LogFilter>) => (await ask({ op: "logs", filter: { ...none, ...filter }, atLeast: 0 })).logs;
    expect((await of({ blockHash: block.hash })).map(plain)).toEqual(allOf([block]).map(plain));
    expect((await of({ blockHash: block.hash })).every((log) => log.block.number === block.number)).toBe(true);
    expect((await of({ first: 15, last: 9_000_000 })).map(plain)).toEqual(allOf(rig.blocks.slice(15, 21)).map(plain));
    expect(await of({ first: 9, last: 8 })).toEqual([]);
    expect(await of({ first: 25, last: 29 })).toEqual([]);
  });

  test.each<[what: string, options: StartOptions, filter: Partial<LogFilter>, failure: object]>([
    ["unknown block", {}, { blockHash: bytesFrom(32, 1) }, { code: "UNKNOWN_BLOCK" }],
    ["too many blocks", { limits: { logBlocksMax: 10 } }, { first: 3, last: 13 }, { code: "RANGE_TOO_LARGE", limit: 10 }],
    ["too many logs", { limits: { logsMax: 3 } }, {}, { code: "TOO_MANY_LOGS", limit: 3 }],
    ["too many bytes", { limits: { replyBytesMax: 1_000 } }, {}, { code: "TOO_MANY_LOGS", limit: expect.any(Number) as number }],
    [
      "too many values",
      { limits: { filterValuesMax: 2 } },
      { topics: [Buffer.concat(words)] },
      { code: "RANGE_TOO_LARGE", limit: 2 },
    ],
  ])("refused: %s", async (_what, options, filter, failure) => {
    await startAt(20, options);
    expect(await failureOf({ op: "logs", filter: { ...none, ...filter }, atLeast: 0 })).toEqual(failure);
  });

  test("exactly as many blocks as allowed", async () => {
    await startAt(20, { limits: { logBlocksMax: 10 } });
    expect(await ask({ op: "logs", filter: { ...none, first: 3, last: 12 }, atLeast: 0 })).toMatchObject({ op: "logs" });
  });

  test("searches take turns", async () => {
    await startAt(20, { limits: { searchesMax: 1, searchMs: 0 } });
    const got = await Promise.all(Array.from({ length: 8 }, () => ask({ op: "logs", filter: none, atLeast: 0 })));
    expect(new Set(got.map((reply) => reply.logs.length))).toEqual(new Set([allOf(rig.blocks.slice(0, 21)).length]));
  });
});

test("outcomes: in blocks, in none yet, too many", async () => {
  await startAt(20, { limits: { outcomesMax: 3 } });
  const block = busy();
  const keys = packOutcomeKeys([
    { hash: hashAt(block, 1), count: 1 },
    { hash: bytesFrom(32, 1), count: 2 },
  ]);
  const { outcomes } = await ask({ op: "outcomes", keys, atLeast: 20 });
  const result = block.results.subarray(block.resultOffsets[1]);
  const want = new Uint8Array(3 * OUTCOME_BYTES);
  want.set([block.number + 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, ...result.subarray(16, 24)]);
  expect(hexOf(outcomes)).toBe(hexOf(want));
  const more = packOutcomeKeys([{ hash: bytesFrom(32, 1), count: 4 }]);
  expect(await failureOf({ op: "outcomes", keys: more, atLeast: 0 })).toEqual({ code: "RANGE_TOO_LARGE", limit: 3 });
});

test("what was removed is said to be pruned", async () => {
  await startAt(30, { retentionBlocks: 9 });
  await until(() => archive.store.oldest() === 22);
  const pruned = { code: "PRUNED", oldest: 22 };
  expect(await failureOf({ op: "block", by: 3, atLeast: 0, body: true })).toEqual(pruned);
  expect(await failureOf({ op: "headers", first: 3, count: 2, atLeast: 0 })).toEqual(pruned);
  expect(await failureOf({ op: "transactionAt", block: 3, index: 0, atLeast: 0 })).toEqual(pruned);
  const filter = { first: 3, last: 30, blockHash: null, addresses: new Uint8Array(0), topics: [] };
  expect(await failureOf({ op: "logs", filter, atLeast: 0 })).toEqual(pruned);
  expect((await ask({ op: "block", by: rig.blocks[3]!.hash, atLeast: 0, body: true })).block).toBeNull();
});

test("more queries than may wait are refused", async () => {
  await startAt(3, { limits: { queriesMax: 4, waitMs: 200 } });
  const replies = await Promise.all(Array.from({ length: 9 }, () => rig.ask({ op: "block", by: 9, atLeast: 9, body: false })));
  const codes = replies.map((reply) => (reply.op === "failed" ? reply.failure.code : "ok"));
  expect(codes.filter((code) => code === "BUSY")).toHaveLength(5);
  expect(codes.filter((code) => code === "BEHIND")).toHaveLength(4);
});
