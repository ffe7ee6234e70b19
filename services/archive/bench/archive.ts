/**
 * What a transaction costs from an OUT message to its stored block: blocks of ERC-20 transfers, cut into flushes and spread over
 * partitions as the system does it. OUT is in memory, the database on the disk; the rows are this thread's processor time.
 *
 * npm run bench -w @meridian/archive
 *   [-- --engine wasm|native --blocks 60 --transactions 3000 --partitions 4 --flushes 100 --calls 0]
 * With --calls the transactions are calls of signed batches of so many.
 */
import { hash, randomFillSync } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { memoryBus } from "@meridian/bus";
import { concatBytes, nextBlock, openAssembly, prepareFilter, setCallNumber, takeRecords } from "@meridian/core";
import type { ArchiveLog, AssembledBlock, Bus, EngineModule, OutRecord } from "@meridian/core";
import { packResult, packTransaction, testRecords } from "@meridian/core/blocks/testing";
import type { TestFlush, TestTransaction } from "@meridian/core/blocks/testing";
import { loadEngine } from "@meridian/engine";
import { openArchive } from "@meridian/store";
import type { ArchiveStore } from "@meridian/store";

const { values } = parseArgs({
  options: {
    engine: { type: "string", default: "auto" },
    blocks: { type: "string", default: "60" },
    transactions: { type: "string", default: "3000" },
    partitions: { type: "string", default: "4" },
    flushes: { type: "string", default: "100" },
    calls: { type: "string", default: "0" },
  },
});
const [blocks, perBlock, partitions, flushesPerBlock, calls] = [
  values.blocks,
  values.transactions,
  values.partitions,
  values.flushes,
  values.calls,
].map(Number) as [number, number, number, number, number];
/** Blocks before measuring: caches and the compiler are warm then. */
const WARM = Math.min(10, blocks >> 2);
const HOLDERS = 100_000;
/** Of a signed EIP-1559 transfer(address,uint256), or of a call's record. */
const RAW_BYTES = calls > 0 ? 144 : 176;
const TYPE = calls > 0 ? 0x4d : 2;

const random = (length: number): Uint8Array => new Uint8Array(randomFillSync(Buffer.allocUnsafe(length)));
const token = random(20);
const transferTopic = random(32);
const holders = random(HOLDERS * 20);
function holder(): Uint8Array {
  const at = Math.floor(Math.random() * HOLDERS) * 20;
  return holders.subarray(at, at + 20);
}
const word = (address: Uint8Array): Uint8Array => concatBytes([new Uint8Array(12), address]);

/** Calls of a batch: the same but for their number. */
let batch = random(32);
function hashAt(index: number): Uint8Array {
  if (calls === 0) return random(32);
  if (index % calls === 0) batch = random(32);
  const call = batch.slice();
  setCallNumber(call, 0, index % calls);
  return call;
}

function transfer(index: number, account: number): TestTransaction {
  const raw = random(RAW_BYTES);
  raw[0] = TYPE;
  const log = { address: token, topics: [transferTopic, word(holder()), word(holder())], data: random(32) };
  return { account, index, hash: hashAt(index), raw, type: TYPE, gasUsed: 51_000, logs: [log] };
}

/** The chain with the same few transactions in every block; hashes are made new below, they decide where index entries go. */
function flushes(): TestFlush[] {
  const perFlush = Math.ceil(perBlock / flushesPerBlock);
  return Array.from({ length: blocks * flushesPerBlock }, (_, number) => {
    const place = number % flushesPerBlock;
    const count = Math.min(perFlush, Math.max(0, perBlock - place * perFlush));
    const transactions = Array.from({ length: count }, (_, index) =>
      transfer(index, calls === 0 ? index : Math.floor(index / calls)),
    );
    return { flush: number + 2, transactions, closes: place === flushesPerBlock - 1 };
  });
}

async function fill(bus: Bus): Promise<void> {
  const records = testRecords(flushes(), partitions);
  const longest = Math.max(...records.map((list) => list.length));
  const step = 8; // records a message
  for (let at = 0; at < longest; at += step) {
    for (let partition = 0; partition < partitions; partition++) {
      const part: OutRecord[] = records[partition]!.slice(at, at + step);
      if (part.length > 0) await bus.out.publish(partition, part);
    }
  }
}

/** Milliseconds of this thread's processor time: on a machine that is shared the wall clock says more about the others. */
function threadMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}
const spent: Record<string, number> = {};
function timed<T>(what: string, work: () => T): T {
  const startedAt = threadMs();
  const result = work();
  spent[what] = (spent[what] ?? 0) + threadMs() - startedAt;
  return result;
}

async function run(): Promise<void> {
  const module = loadEngine(values.engine as "auto");
  const engine = {
    buildBlock: (...args: Parameters<typeof module.buildBlock>) =>
      timed("engine: roots, bloom, hash", () => module.buildBlock(...args)),
    latticeOf: (cells: Uint8Array) => module.latticeOf(cells),
    foldDigest: (lattices: Uint8Array) => timed("engine: digest", () => module.foldDigest(lattices)),
  };
  const folder = mkdtempSync(join(tmpdir(), "meridian.bench-"));
  const bus = memoryBus();
  await fill(bus);
  const store = openArchive(folder);
  const sha256 = (bytes: Uint8Array): Uint8Array => timed("marks: SHA-256", () => hash("sha256", bytes, "buffer"));
  const assembly = openAssembly(store.start(), { sha256, tailBytesMax: 1e9, marksMax: 8_192 });
  const stopping = new AbortController();
  let built = 0;
  let pending = Promise.resolve();
  let readAt = threadMs();
  let begun = { at: 0, cpu: process.cpuUsage() };
  for await (const messages of bus.out.read(0, { bytesMax: 1 << 20, signal: stopping.signal })) {
    spent["bus: read, decode"] = (spent["bus: read, decode"] ?? 0) + threadMs() - readAt;
    for (const message of messages) {
      timed("take: check, marks", () => takeRecords(assembly, message));
      for (;;) {
        const block = timed("build: merge, size, all of it", () => nextBlock(assembly, engine));
        if (block === null) break;
        await pending;
        if (block.number === WARM) {
          for (const what of Object.keys(spent)) delete spent[what];
          begun = { at: performance.now(), cpu: process.cpuUsage() };
        }
        pending = put(block);
        built = block.number;
      }
    }
    if (built === blocks) break;
    readAt = threadMs();
  }
  await pending;
  report(module.build, performance.now() - begun.at, process.cpuUsage(begun.cpu), store.bytes());
  async function put(block: AssembledBlock): Promise<void> {
    await timed("store: pack, columns, index (this thread)", () => store.put([block]));
  }
  reads(store, { keccak256: (bytes) => module.keccak256(bytes) });
  await store.close();
  await bus.close();
  rmSync(folder, { recursive: true });
}

function report(build: string, wallMs: number, cpu: NodeJS.CpuUsage, bytes: number): void {
  const count = (blocks - WARM) * perBlock;
  const us = (ms: number): string => ((ms * 1_000) / count).toFixed(2).padStart(7);
  const inside = (spent["engine: roots, bloom, hash"] ?? 0) + (spent["engine: digest"] ?? 0);
  spent["build: merge, size, all of it"]! -= inside;
  spent["take: check, marks"]! -= spent["marks: SHA-256"] ?? 0;
  const rows = Object.entries(spent).map(
    ([what, ms]) => [what.replace(", all of it", "").replace("check, marks", "check"), ms] as const,
  );
  const facts = `${blocks - WARM} blocks of ${perBlock} transfers, ${partitions} partitions, ${flushesPerBlock} flushes a block`;
  const [record, result] = [packTransaction(transfer(0, 0)).length, packResult(transfer(0, 0)).length];
  const lines = [
    `${build} engine, ${facts}`,
    "  us/tx",
    ...rows.map(([what, ms]) => `${us(ms)}  ${what}`),
    `${us(wallMs)}  all, by the clock: ${Math.round(count / (wallMs / 1_000))} transactions a second`,
    `${us((cpu.user + cpu.system) / 1_000)}  all, processor time of all threads`,
    `record ${record} bytes, result ${result} bytes, database ${Math.round(bytes / (blocks * perBlock))} bytes a transaction`,
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

/** What answers cost: a transaction by hash, and logs by recipient over all blocks. */
function reads(store: ArchiveStore, { keccak256 }: Pick<EngineModule, "keccak256">): void {
  const LOOKUPS = 5_000;
  const hashes = Array.from({ length: blocks }, (_, number) => store.hashes(number + 1));
  const lookedUp = measure(() => {
    for (let turn = 0; turn < LOOKUPS; turn++) {
      const at = Math.floor(Math.random() * perBlock) * 32;
      store.find(hashes[turn % blocks]!.subarray(at, at + 32));
    }
  });
  const found: ArchiveLog[] = [];
  const searched = measure(() => {
    for (let turn = 0; turn < 10; turn++) {
      const filter = { addresses: token, topics: [transferTopic, new Uint8Array(0), word(holder())] };
      store.logs(prepareFilter(filter, keccak256), 1, blocks, { logs: 1e6, bytes: 1e9 }, found);
    }
  });
  const lines = [
    `${((lookedUp * 1_000) / LOOKUPS).toFixed(1)} us  a transaction by hash`,
    `${((searched * 1_000) / 10 / blocks).toFixed(1)} us  logs by token and recipient, a block (${found.length} found)`,
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

function measure(work: () => void): number {
  const startedAt = threadMs();
  work();
  return threadMs() - startedAt;
}

await run();
