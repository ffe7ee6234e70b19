import { describe, expect, test } from "vitest";
import { concatBytes, hexOf } from "../bytes.ts";
import type { OutRecord } from "../entries.ts";
import { txCount, txIndex } from "../transactions.ts";
import { awaitedPartitions, nextBlock, openAssembly, tailCounts, takeRecords } from "./assemble.ts";
import type { Alarm, AssembledBlock, AssemblyStart } from "./assemble.ts";
import { findInTail } from "./tail.ts";
import { fakeBlockEngine, shuffledMessages, testFlushes, testHash, testRecords } from "./testing.ts";
import type { TestMessage } from "./testing.ts";

const engine = fakeBlockEngine();
const options = { sha256: testHash, tailBytesMax: 1 << 20, marksMax: 100 };
const start: AssemblyStart = { head: null, sequence: 0, positions: [], marks: [], hashes: [] };

function assemble(messages: readonly TestMessage[], from = start, more: Partial<typeof options> = {}) {
  const assembly = openAssembly(from, { ...options, ...more });
  const blocks: AssembledBlock[] = [];
  const taken = messages.map((message) => {
    const outcome = takeRecords(assembly, message);
    for (let block = nextBlock(assembly, engine); block !== null; block = nextBlock(assembly, engine)) blocks.push(block);
    return outcome;
  });
  return { assembly, blocks, taken };
}

/** What must not depend on the cut. */
const contentOf = (blocks: readonly AssembledBlock[]) =>
  blocks.map(({ number, hash, header, transactions, results, gasUsed, sizeBytes, count }) => ({
    ...{ number, count, gasUsed, sizeBytes, hash: hexOf(hash), header: hexOf(header) },
    ...{ transactions: hexOf(transactions), results: hexOf(results) },
  }));

describe("the same transactions give the same blocks", () => {
  const rows = Array.from({ length: 20 }, (_, seed) => [seed] as const);
  test.each(rows)("seed %d", (seed) => {
    const flushes = testFlushes({ seed, blocks: 8 });
    const want = contentOf(assemble(shuffledMessages(testRecords(flushes, 1), 0)).blocks);
    expect(want).toHaveLength(9);
    expect(want.reduce((sum, { count }) => sum + count, 0)).toBe(
      flushes.reduce((sum, { transactions }) => sum + transactions.length, 0),
    );
    for (const partitions of [1, 2, 4, 7]) {
      for (const order of [1, 2, 3]) {
        const messages = shuffledMessages(testRecords(flushes, partitions), seed * 10 + order);
        expect(contentOf(assemble(messages).blocks)).toEqual(want);
      }
    }
  });
});

describe("when a transaction came to an end does not show in its block", () => {
  const want = contentOf(assemble(shuffledMessages(testRecords(testFlushes({ seed: 6, blocks: 8, lateOneOf: 0 }), 1), 0)).blocks);
  test.each([1, 2, 5])("one of %d late", (lateOneOf) => {
    const flushes = testFlushes({ seed: 6, blocks: 8, lateOneOf });
    const records = testRecords(flushes, 3);
    expect(records.flat().some(({ settled }) => settled.length > 1)).toBe(true);
    expect(contentOf(assemble(shuffledMessages(records, 9)).blocks)).toEqual(want);
  });

  test("a flush that settles in many runs", () => {
    const row = { seed: 7, blocks: 2, flushesPerBlock: 300, transactionsPerFlush: 300 };
    const [plain, late] = [0, 1].map((lateOneOf) => {
      const records = testRecords(testFlushes({ ...row, lateOneOf }), 2);
      return contentOf(assemble(shuffledMessages(records, 3), start, { tailBytesMax: 1 << 30 }).blocks);
    });
    expect(late).toEqual(plain);
  });
});

test("transactions stand by flush, then index, with their offsets", () => {
  const flushes = testFlushes({ seed: 5, blocks: 3, transactionsPerFlush: 40 });
  const [, , block] = assemble(shuffledMessages(testRecords(flushes, 4), 1)).blocks;
  const closing = flushes.flatMap(({ closes }, at) => (closes ? [at] : []));
  const want = flushes.slice(closing[0]! + 1, closing[1]! + 1).flatMap(({ transactions }) => transactions);
  const offsets = [...block!.transactionOffsets];
  expect(offsets.slice(0, -1).map((at) => txIndex(block!.transactions, at))).toEqual(want.map(({ index }) => index));
  expect(offsets.slice(0, -1).map((at) => hexOf(block!.transactions, at + 32, at + 64))).toEqual(
    want.map(({ hash }) => hexOf(hash)),
  );
  expect(offsets.at(-1)).toBe(block!.transactions.length);
  expect(block!.resultOffsets.at(-1)).toBe(block!.results.length);
  expect(txCount(block!.transactions)).toBe(block!.count);
});

test("progress after any block is enough to go on", () => {
  const messages = shuffledMessages(testRecords(testFlushes({ seed: 3, blocks: 10 }), 3), 4);
  const whole = assemble(messages).blocks;
  for (const block of whole) {
    const from = {
      ...block.progress,
      head: { number: block.number, hash: block.hash, timestamp: block.timestamp },
      marks: whole.filter(({ number }) => number <= block.number).flatMap(({ marks }) => marks),
      hashes: whole.slice(Math.max(0, block.number - 7), block.number + 1).map(({ hash }) => hash),
    };
    const rest = assemble(messages.slice(block.progress.sequence), from);
    expect(rest.assembly.alarm).toBeNull();
    expect(rest.blocks.map(({ number, hash, progress }) => ({ number, hash, progress }))).toEqual(
      whole.slice(block.number + 1).map(({ number, hash, progress }) => ({ number, hash, progress })),
    );
  }
});

describe("what arrives twice, differs or is missing", () => {
  const flushes = testFlushes({ seed: 11, blocks: 4, transactionsPerFlush: 9 });
  const plain = testRecords(flushes, 2);
  const messagesOf = (records: readonly OutRecord[][]) => shuffledMessages(records, 6, 1);
  const want = contentOf(assemble(messagesOf(plain)).blocks);
  const changed = (partition: number, n: number, change: Partial<OutRecord>): OutRecord => ({
    ...plain[partition]![n - 1]!,
    ...change,
  });
  const again = (messages: TestMessage[], partition: number, record: OutRecord): TestMessage[] => [
    ...messages,
    { firstSequence: messages.length + 1, sequence: messages.length + 1, partition, records: [record] },
  ];
  const replaced = (partition: number, n: number, change: Partial<OutRecord>): TestMessage[] =>
    messagesOf(
      plain.map((records, of) =>
        records.map((record) => (of === partition && record.n === n ? changed(partition, n, change) : record)),
      ),
    );
  const without = (partition: number, n: number) =>
    messagesOf(plain.map((list, of) => list.filter((r) => of !== partition || r.n !== n)));
  const late = plain[0]!.find(({ settled }) => settled.length > 0)!;
  const [run] = late.settled;
  const closing = plain[1]!.find(({ block }) => block?.entry.number === 2)!;
  const busy = plain[0]!.find(({ transactions }) => txCount(transactions) > 1)!;
  const lateIn = (plain[0]!.findLast(({ n, block: closed }) => n < late.n && closed !== null)?.block?.entry.number ?? 0) + 1;
  const secondAt = busy.transactions[0]! + busy.transactions[1]! * 256;
  const block = closing.block!;

  test.each<[what: string, messages: TestMessage[], alarm: Partial<Alarm> | null, blocks: number]>([
    ["every message twice", messagesOf(plain).flatMap((message) => [message, message]), null, 5],
    ["all again at the end", [...messagesOf(plain), ...messagesOf(plain)], null, 5],
    [
      "unequal result in the tail",
      again(messagesOf(plain).slice(0, 4), 0, changed(0, 1, { results: new Uint8Array(1) })),
      { code: "UNEQUAL", n: 1 },
      1,
    ],
    [
      "unequal transactions long after",
      again(
        messagesOf(plain),
        0,
        changed(0, busy.n, { transactions: busy.transactions.map((byte, at) => (at === 40 ? byte ^ 1 : byte)) }),
      ),
      { code: "UNEQUAL", partition: 0, n: busy.n },
      5,
    ],
    [
      "unequal lattice",
      again(messagesOf(plain), 1, { ...closing, block: { ...block, lattice: new Uint8Array(2048).fill(1) } }),
      { code: "UNEQUAL", partition: 1, n: closing.n },
      5,
    ],
    [
      "unequal settled result",
      again(messagesOf(plain), 0, changed(0, late.n, { settled: [{ ...run!, results: new Uint8Array(1) }] })),
      { code: "UNEQUAL", partition: 0, n: late.n },
      5,
    ],
    [
      "settled at another flush",
      again(
        messagesOf(plain),
        0,
        changed(0, late.n, { settled: [{ ...run!, flush: run!.flush - 1 }, ...late.settled.slice(1)] }),
      ),
      { code: "UNEQUAL", partition: 0, n: late.n },
      5,
    ],
    [
      "settled without result",
      replaced(0, late.n, { settled: [{ ...run!, results: new Uint8Array(0) }] }),
      {
        code: "MALFORMED",
        partition: 0,
        n: late.n,
        text: `settled of flush ${run!.flush}: transaction 0 has no result`,
      },
      lateIn,
    ],
    [
      "settled in the record of its own flush",
      replaced(0, late.n, { settled: [{ ...run!, flush: late.flush }] }),
      { code: "MALFORMED", partition: 0, n: late.n, text: `flush ${late.flush} settled in flush ${late.flush}` },
      lateIn,
    ],
    [
      "settled twice",
      replaced(0, late.n, { settled: [...late.settled, run!] }),
      { code: "POSITION_TWICE", block: lateIn, flush: run!.flush },
      lateIn,
    ],
    ["gap", without(1, 3), { code: "GAP", partition: 1, nExpected: 3, nGot: 4 }, 1],
    ["first record missing", without(1, 1), { code: "GAP", partition: 1, nExpected: 1, nGot: 2 }, 0],
    [
      "transaction without result",
      replaced(0, busy.n, { transactions: busy.transactions, results: new Uint8Array(0) }),
      { code: "MALFORMED", partition: 0, n: busy.n, text: "transaction 0 has no result" },
      1,
    ],
    [
      "result of another transaction",
      replaced(0, busy.n, { results: busy.results.map((byte, at) => (at === 4 ? byte ^ 64 : byte)) }),
      { code: "MALFORMED", n: busy.n },
      1,
    ],
    [
      "one result too many",
      replaced(0, busy.n, { results: concatBytes([busy.results, busy.results]) }),
      { code: "MALFORMED", n: busy.n },
      1,
    ],
    [
      "cut off transaction",
      replaced(0, busy.n, { transactions: busy.transactions.slice(0, -1) }),
      { code: "MALFORMED", n: busy.n },
      1,
    ],
    [
      "indexes that do not ascend",
      replaced(0, busy.n, {
        transactions: concatBytes([busy.transactions.slice(0, secondAt), busy.transactions.slice(0, secondAt)]),
        results: concatBytes([busy.results.slice(0, 64), busy.results.slice(0, 64)]),
      }),
      { code: "MALFORMED", n: busy.n },
      1,
    ],
    [
      "same block, other time",
      replaced(1, closing.n, { block: { ...block, context: { ...block.context, timestamp: 5 } } }),
      { code: "BLOCKS_DIFFER", block: 2 },
      2,
    ],
    [
      "block number skipped in one partition",
      replaced(1, closing.n, { block: { ...block, entry: { ...block.entry, number: 3 } } }),
      { code: "BLOCK_ORDER", partition: 1, blockExpected: 2, blockGot: 3 },
      2,
    ],
  ])("%s", (_what, messages, alarm, blocks) => {
    const got = assemble(messages);
    if (alarm === null) expect(got.assembly.alarm).toBeNull();
    else expect(got.assembly.alarm).toMatchObject(alarm);
    expect(contentOf(got.blocks)).toEqual(want.slice(0, blocks));
    expect(nextBlock(got.assembly, engine)).toBeNull();
  });

  test("duplicates are counted, those older than the marks as unchecked", () => {
    const twice = assemble([...messagesOf(plain), ...messagesOf(plain)], start, { marksMax: 2 }).taken;
    const sum = (field: "taken" | "duplicates" | "unchecked") => twice.reduce((total, outcome) => total + outcome[field], 0);
    const records = plain[0]!.length + plain[1]!.length;
    expect([sum("taken"), sum("duplicates"), sum("unchecked")]).toEqual([records, 4, records - 4]);
  });
});

test("one position in two partitions", () => {
  const flushes = testFlushes({ seed: 2, blocks: 1, flushesPerBlock: 1, transactionsPerFlush: 1 });
  const [flush] = flushes;
  const pay = {
    account: 0,
    index: 3,
    hash: testHash(Uint8Array.of(1)),
    raw: new Uint8Array(9),
    type: 2,
    gasUsed: 21_000,
    logs: [],
  };
  flush!.transactions = [pay, { ...pay, account: 1 }];
  const { assembly, blocks } = assemble(shuffledMessages(testRecords(flushes, 2), 1));
  expect(assembly.alarm).toEqual({ code: "POSITION_TWICE", block: 1, flush: 2, index: 3 });
  expect(blocks).toHaveLength(1);
});

test("a silent partition: the tail is bounded, and the alarm says who is awaited", () => {
  const records = testRecords(testFlushes({ seed: 1, blocks: 30 }), 3);
  const messages = shuffledMessages([records[0]!, records[1]!.slice(0, 1), records[2]!], 1);
  const open = assemble(messages.slice(0, 20)).assembly;
  expect(awaitedPartitions(open)).toEqual([1]);
  expect(tailCounts(open).records).toBeGreaterThan(10);
  const { assembly } = assemble(messages, start, { tailBytesMax: 50_000 });
  expect(assembly.alarm).toMatchObject({ code: "TAIL_FULL", bytesMax: 50_000, awaited: [1] });
  expect(assembly.tailBytes).toBeLessThan(100_000);
});

test("a partition that starts later takes part from its first block on", () => {
  const records = testRecords(testFlushes({ seed: 8, blocks: 4 }), 3);
  const late = records.map((list, partition) =>
    list
      .filter(({ block, genesis }) => partition < 2 || (genesis === null && block !== null && block.entry.number >= 3))
      .map((record, at) => ({
        ...record,
        n: partition < 2 ? record.n : at + 1,
        genesis: record.genesis && {
          ...record.genesis,
          map: { ...record.genesis.map, partitions: record.genesis.map.partitions.slice(0, 2) },
        },
        block: record.block && {
          ...record.block,
          entry: { ...record.block.entry, partitions: record.block.entry.number >= 3 ? [0, 1, 2] : [0, 1] },
        },
      })),
  );
  const early = { firstSequence: 1, sequence: 1, partition: 2, records: late[2]! };
  const { assembly, blocks } = assemble([early, ...shuffledMessages(late.slice(0, 2), 4)]);
  expect(assembly.alarm).toBeNull();
  expect(blocks.map(({ number }) => number)).toEqual([0, 1, 2, 3, 4]);
  expect(blocks.map(({ progress }) => progress.positions.find(([partition]) => partition === 2)?.[1])).toEqual([0, 0, 0, 1, 2]);
});

test("progress goes back to the first part of a record that came in parts", () => {
  // Every message takes three sequences, as if each record stood in three parts.
  const messages = shuffledMessages(testRecords(testFlushes({ seed: 3, blocks: 6 }), 3), 4).map((message) => ({
    ...message,
    firstSequence: message.sequence * 3 - 2,
    sequence: message.sequence * 3,
  }));
  const { blocks } = assemble(messages);
  expect(blocks).toHaveLength(7);
  expect(blocks.map(({ progress }) => progress.sequence % 3)).toEqual(blocks.map(() => 0));
});

test("transactions that are in no block yet are found by hash", () => {
  const flushes = testFlushes({ seed: 4, blocks: 6, transactionsPerFlush: 9 });
  const records = testRecords(flushes, 3);
  const messages = shuffledMessages([records[0]!, records[1]!.slice(0, 1), records[2]!], 1);
  const { assembly, blocks } = assemble(messages);
  expect(blocks).toHaveLength(1);
  const all = flushes.flatMap(({ transactions }) => transactions);
  const found = findInTail(assembly, concatBytes(all.map(({ hash }) => hash)));
  expect(found.map((hit) => hit !== null)).toEqual(all.map(({ account }) => account % 3 !== 1));
  found.forEach((hit, number) => {
    if (hit === null) return;
    expect(hexOf(hit.hash)).toBe(hexOf(all[number]!.hash));
    expect(txIndex(hit.transaction, 0)).toBe(all[number]!.index);
    expect(hit.result[4]).toBe(hit.transaction[4]);
  });
  const [known] = all.filter((_, number) => found[number] !== null);
  const twice = findInTail(assembly, concatBytes([known!.hash, testHash(Uint8Array.of(9)), known!.hash]));
  expect(twice.map((hit) => hit && hexOf(hit.hash))).toEqual([hexOf(known!.hash), null, hexOf(known!.hash)]);
  expect(twice[2]).toBe(twice[0]);
});
