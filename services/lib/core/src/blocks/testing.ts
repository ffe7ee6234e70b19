/**
 * A made-up chain for tests and benchmarks: OutRecords as partitions would publish them, from a seed. The same seed gives the
 * same transactions whatever the number of partitions, so that blocks must come out equal. Not for production code.
 */
import { cellsByKey, fakeLattice } from "../actor/testing/fake-cells.ts";
import { concatBytes, writeU16, writeU32, writeU64 } from "../bytes.ts";
import { nextBlock, openAssembly, takeRecords } from "./assemble.ts";
import type { AssembledBlock, BlockEngine } from "./assemble.ts";
import type { OpenedBlock, OutRecord } from "../entries.ts";
import type { PartitionId } from "../ranges.ts";
import { setCallNumber } from "../outcomes.ts";
import { evenRangeMap } from "../ranges.ts";
import { RESULT } from "../results.ts";
import { TX, TX_HEADER_BYTES } from "../transactions.ts";

/** Numbers from a seed (xorshift32), each below `below`. */
export function numbersFrom(seed: number): (below: number) => number {
  let state = (seed ^ 0x9e37_79b9) >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % below;
  };
}

/** `length` bytes that depend on all numbers given; not a cryptographic hash. */
export function bytesFrom(length: number, ...numbers: number[]): Uint8Array {
  let lane = 0x811c_9dc5;
  for (const number of numbers) lane = Math.imul(lane ^ number, 0x0100_0193) ^ (lane >>> 13);
  const next = numbersFrom(lane);
  for (let turn = 0; turn < 4; turn++) next(2);
  return Uint8Array.from({ length }, () => next(256));
}

export interface TestLog {
  address: Uint8Array;
  topics: Uint8Array[];
  data: Uint8Array;
}

export interface TestTransaction {
  /** Decides the partition: account % partition count. */
  account: number;
  index: number;
  hash: Uint8Array;
  raw: Uint8Array;
  type: number;
  gasUsed: number;
  logs: TestLog[];
  /** A later flush of the same block, in whose record it comes to an end; absent: in its own. */
  settlesIn?: number;
}

export function packTransaction({ index, hash, raw, type, account }: TestTransaction): Uint8Array {
  const record = new Uint8Array(TX_HEADER_BYTES + raw.length);
  writeU32(record, TX.bytes, record.length);
  writeU32(record, TX.index, index);
  record[TX.type] = type;
  writeU16(record, TX.declared, 0);
  writeU32(record, TX.rawOffset, TX_HEADER_BYTES);
  writeU64(record, TX.gasLimit, 100_000);
  record.set(hash, TX.hash);
  record.set(bytesFrom(20, 1, account), TX.sender);
  record.set(bytesFrom(20, 2, account), TX.to);
  record.set(raw, TX_HEADER_BYTES);
  return record;
}

export function packResult({ index, gasUsed, logs }: TestTransaction): Uint8Array {
  const packed = logs.map(({ address, topics, data }) => {
    const size = new Uint8Array(4);
    writeU32(size, 0, data.length);
    return concatBytes([address, Uint8Array.of(topics.length), ...topics, size, data]);
  });
  const header = new Uint8Array(RESULT.output);
  const record = concatBytes([header, ...packed]);
  writeU32(record, RESULT.bytes, record.length);
  writeU32(record, RESULT.index, index);
  record[RESULT.status] = 1;
  writeU32(record, RESULT.logsOffset, RESULT.output);
  writeU64(record, RESULT.gasUsed, gasUsed);
  writeU32(record, RESULT.logCount, logs.length);
  return record;
}

/** One flush: its transactions, and whether a block closes at its end. */
export interface TestFlush {
  flush: number;
  transactions: TestTransaction[];
  closes: boolean;
}

export interface TestChainOptions {
  seed: number;
  blocks: number;
  flushesPerBlock?: number; // at most
  transactionsPerFlush?: number; // at most
  logs?: (next: (below: number) => number) => TestLog[];
  snapshotEvery?: number;
  /** Transactions of a flush are calls of batches with so many calls each; absent: they are singles. */
  calls?: number;
  /** One of so many transactions comes to an end later in its block; 0: none. Default 3. */
  lateOneOf?: number;
}

/** The flushes of blocks 1 to `blocks`; flush 1 is genesis. */
export function testFlushes(options: TestChainOptions): TestFlush[] {
  const { seed, blocks, flushesPerBlock = 4, transactionsPerFlush = 6 } = options;
  const next = numbersFrom(seed);
  const flushes: TestFlush[] = [];
  for (let block = 1; block <= blocks; block++) {
    const count = 1 + next(flushesPerBlock);
    for (let turn = 1; turn <= count; turn++) {
      const flush = flushes.length + 2;
      const length = next(transactionsPerFlush + 1);
      const transactions = Array.from({ length }, (_, index) => testTransaction(options, flush, index, next));
      flushes.push({ flush, transactions, closes: turn === count });
    }
  }
  settleLate(flushes, numbersFrom(seed ^ 0x51), options.lateOneOf ?? 3);
  return flushes;
}

/** Lets some transactions come to an end in a later flush of their block. */
function settleLate(flushes: readonly TestFlush[], next: (below: number) => number, oneOf: number): void {
  let closing = 0; // flush that closes the block
  for (const { flush, transactions, closes } of flushes.toReversed()) {
    if (closes) closing = flush;
    for (const transaction of transactions) {
      if (oneOf > 0 && closing > flush && next(oneOf) === 0) transaction.settlesIn = flush + 1 + next(closing - flush);
    }
  }
}

function testTransaction(
  options: TestChainOptions,
  flush: number,
  index: number,
  next: (below: number) => number,
): TestTransaction {
  return {
    account: next(1_000),
    index: index * 2 + next(2), // positions may have holes: nonce records and entries take indexes too
    hash: testHashOf(options, flush, index),
    raw: bytesFrom(40 + next(100), options.seed, flush, index, 7),
    type: next(3),
    gasUsed: 21_000 + next(50_000),
    logs: options.logs?.(next) ?? [],
  };
}

function testHashOf({ seed, calls }: TestChainOptions, flush: number, index: number): Uint8Array {
  if (calls === undefined) return bytesFrom(32, seed, flush, index);
  const hash = bytesFrom(32, seed, flush, Math.floor(index / calls));
  setCallNumber(hash, 0, index % calls);
  return hash;
}

const openedBlock = (number: number): OpenedBlock => ({
  number,
  timestamp: 1_700_000_000 + number,
  prevrandao: bytesFrom(32, number),
  gasLimit: 30_000_000,
});

/** Each partition's lattice: they add up to the same, however many partitions there are. */
function lattice(block: number, partition: number): Uint8Array {
  const bytes = new Uint8Array(2_048);
  if (partition === 0) for (let lane = 0; lane < 1_024; lane++) writeU16(bytes, lane * 2, block * 31 + lane);
  return bytes;
}

/** What `partitions` partitions publish for these flushes, by partition; one without entries in a flush has no record of it. */
export function testRecords(
  flushes: readonly TestFlush[],
  partitions: number,
  options: { snapshotEvery?: number } = {},
): OutRecord[][] {
  const map = { ...evenRangeMap(partitions), version: 1 };
  const genesis = { chainId: 31_337, genesisHash: bytesFrom(32, 99), map, opens: openedBlock(1) };
  const none = { ...packRun([]), settled: [], block: null, genesis: null, map: null };
  const out = Array.from({ length: partitions }, (_, partition): OutRecord[] => [
    { ...none, n: 1, flush: 1, genesis: { ...genesis, lattice: lattice(0, partition) } },
  ]);
  const late = settledBy(flushes);
  let block = 1;
  for (const { flush, transactions, closes } of flushes) {
    out.forEach((records, partition) => {
      const isOwn = ({ account }: TestTransaction): boolean => account % partitions === partition;
      const own = transactions.filter((transaction) => transaction.settlesIn === undefined && isOwn(transaction));
      const settled = (late.get(flush) ?? []).flatMap(([earlier, transactions]) => {
        const run = transactions.filter(isOwn);
        return run.length === 0 ? [] : [{ flush: earlier, ...packRun(run) }];
      });
      if (own.length === 0 && settled.length === 0 && !closes) return;
      records.push({
        ...none,
        n: records.length + 1,
        flush,
        ...packRun(own),
        settled,
        block: closes ? closedBlock(block, partition, partitions, options.snapshotEvery) : null,
      });
    });
    if (closes) block++;
  }
  return out;
}

/** For each flush what settles in it: [flush of the positions, transactions]. */
function settledBy(flushes: readonly TestFlush[]): Map<number, [number, TestTransaction[]][]> {
  const late = new Map<number, [number, TestTransaction[]][]>();
  for (const { flush, transactions } of flushes) {
    for (const [settlesIn, run] of Map.groupBy(transactions, (transaction) => transaction.settlesIn)) {
      if (settlesIn !== undefined) late.set(settlesIn, [...(late.get(settlesIn) ?? []), [flush, run]]);
    }
  }
  return late;
}

const packRun = (run: readonly TestTransaction[]): Pick<OutRecord, "transactions" | "results"> => ({
  transactions: concatBytes(run.map(packTransaction)),
  results: concatBytes(run.map(packResult)),
});

function closedBlock(
  number: number,
  partition: PartitionId,
  partitions: number,
  snapshotEvery = 0,
): NonNullable<OutRecord["block"]> {
  return {
    entry: {
      kind: "block",
      index: 9_999,
      number,
      opens: openedBlock(number + 1),
      rules: 1,
      mapVersion: 1,
      partitions: Array.from({ length: partitions }, (_, id) => id),
      snapshot: snapshotEvery > 0 && number % snapshotEvery === 0,
      moves: [],
    },
    context: openedBlock(number),
    lattice: lattice(number, partition),
  };
}

/** One OUT message. */
export interface TestMessage {
  firstSequence: number;
  sequence: number;
  partition: PartitionId;
  records: OutRecord[];
}

/** Mixes the partitions' records into OUT messages of up to `recordsMax` records: in order inside a partition, else random. */
export function shuffledMessages(records: readonly OutRecord[][], seed: number, recordsMax = 3): TestMessage[] {
  const next = numbersFrom(seed);
  const taken = records.map(() => 0);
  const messages: TestMessage[] = [];
  for (;;) {
    const open = taken.flatMap((count, partition) => (count < records[partition]!.length ? [partition] : []));
    const partition = open[next(Math.max(1, open.length))];
    if (partition === undefined) return messages;
    const from = taken[partition]!;
    const part = records[partition]!.slice(from, from + 1 + next(recordsMax));
    taken[partition] = from + part.length;
    const sequence = messages.length + 1;
    messages.push({ firstSequence: sequence, sequence, partition, records: part });
  }
}

/** 32 bytes that depend on every byte given; stands in for SHA-256 and keccak in tests of rules. */
export function testHash(bytes: Uint8Array): Uint8Array {
  const hash = new Uint8Array(32);
  let [low, high] = [0x811c_9dc5, 0x1234_5678];
  for (const byte of bytes) {
    low = Math.imul(low ^ byte, 0x0100_0193);
    high = Math.imul(high ^ byte ^ (low >>> 15), 0x85eb_ca6b) ^ (high >>> 13);
  }
  for (let at = 0; at < 32; at += 8) {
    writeU32(hash, at, Math.imul(low ^ at, 0x9e37_79b1));
    writeU32(hash, at + 4, Math.imul(high ^ at, 0xc2b2_ae35));
  }
  return hash;
}

/** An engine that hashes with `testHash` where the real one builds roots. */
export function fakeBlockEngine(): BlockEngine & { keccak256: typeof testHash } {
  return {
    keccak256: testHash,
    latticeOf: (cells) => fakeLattice(cellsByKey(cells).values()),
    foldDigest(lattices) {
      const sum = new Uint8Array(2_048);
      for (let at = 0; at < lattices.length; at += 2) {
        const lane = at % 2_048;
        writeU16(sum, lane, sum[lane]! + sum[lane + 1]! * 256 + lattices[at]! + lattices[at + 1]! * 256);
      }
      return testHash(sum);
    },
    buildBlock(header, transactions, results) {
      const facts = new TextEncoder().encode(JSON.stringify([header.number, header.timestamp, header.gasLimit]));
      const transactionsRoot = testHash(transactions);
      const receiptsRoot = testHash(results);
      const rlp = concatBytes([header.parentHash, header.digest, header.prevrandao, transactionsRoot, receiptsRoot, facts]);
      let gasUsed = 0;
      for (let at = 0; at < results.length; at += results[at]! + results[at + 1]! * 256 + results[at + 2]! * 65_536) {
        gasUsed +=
          results[at + RESULT.gasUsed]! + results[at + RESULT.gasUsed + 1]! * 256 + results[at + RESULT.gasUsed + 2]! * 65_536;
      }
      return {
        hash: testHash(rlp),
        header: rlp,
        transactionsRoot,
        receiptsRoot,
        logsBloom: new Uint8Array(256).fill(255),
        gasUsed,
      };
    },
  };
}

/** The assembled blocks 0 to `blocks` of a made-up chain. */
export function testBlocks(options: TestChainOptions, partitions = 2, engine: BlockEngine = fakeBlockEngine()): AssembledBlock[] {
  const records = testRecords(testFlushes(options), partitions, options);
  const start = { head: null, sequence: 0, positions: [], marks: [], hashes: [] };
  const assembly = openAssembly(start, { sha256: testHash, tailBytesMax: Number.MAX_SAFE_INTEGER, marksMax: 1_000 });
  const blocks: AssembledBlock[] = [];
  for (const message of shuffledMessages(records, options.seed)) {
    takeRecords(assembly, message);
    for (let block = nextBlock(assembly, engine); block !== null; block = nextBlock(assembly, engine)) blocks.push(block);
  }
  return blocks;
}
