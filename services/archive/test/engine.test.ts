/** Roots, bloom and size of blocks built by the real engine, computed a second time with EthereumJS. */
import { createMPT } from "@ethereumjs/mpt";
import { RLP } from "@ethereumjs/rlp";
import { Bloom } from "@ethereumjs/vm";
import { concatBytes, hexOf, nextBlock, openAssembly, resultLogs, takeRecords, txRaw, txType } from "@meridian/core";
import type { AssembledBlock, BlockEngine } from "@meridian/core";
import { bytesFrom, shuffledMessages, testFlushes, testHash, testRecords } from "@meridian/core/blocks/testing";
import type { TestLog } from "@meridian/core/blocks/testing";
import { loadEngine } from "@meridian/engine";
import { describe, expect, test } from "vitest";

const logs = (next: (below: number) => number): TestLog[] =>
  Array.from({ length: next(4) }, () => ({
    address: bytesFrom(20, next(50)),
    topics: Array.from({ length: next(5) }, () => bytesFrom(32, next(500))),
    data: bytesFrom(next(90), next(9)),
  }));

/** A chain whose raw transactions are RLP lists and EIP-2718 envelopes, as far as a block looks at them. */
function flushes() {
  const made = testFlushes({ seed: 12, blocks: 6, transactionsPerFlush: 70, logs });
  for (const { transactions } of made) {
    for (const transaction of transactions) {
      const list = RLP.encode([transaction.raw, transaction.hash]);
      transaction.raw = transaction.type === 0 ? list : concatBytes([Uint8Array.of(transaction.type), list]);
    }
  }
  return made;
}

function build(engine: BlockEngine, partitions: number): AssembledBlock[] {
  const options = { sha256: testHash, tailBytesMax: 1e9, marksMax: 100 };
  const assembly = openAssembly({ head: null, sequence: 0, positions: [], marks: [], hashes: [] }, options);
  const blocks: AssembledBlock[] = [];
  for (const message of shuffledMessages(testRecords(flushes(), partitions), partitions)) {
    takeRecords(assembly, message);
    for (let block = nextBlock(assembly, engine); block !== null; block = nextBlock(assembly, engine)) blocks.push(block);
  }
  expect(assembly.alarm).toBeNull();
  return blocks;
}

async function rootOf(values: readonly Uint8Array[]): Promise<string> {
  const trie = await createMPT();
  for (const [index, value] of values.entries()) await trie.put(RLP.encode(index), value);
  return hexOf(trie.root());
}

function receiptsOf(block: AssembledBlock): { receipts: Uint8Array[]; bloom: Bloom; gasUsed: bigint } {
  const whole = new Bloom();
  let gasUsed = 0n;
  const receipts = Array.from({ length: block.count }, (_, index) => {
    const at = block.resultOffsets[index]!;
    gasUsed += Buffer.from(block.results).readBigUInt64LE(at + 16);
    const bloom = new Bloom();
    const views = resultLogs(block.results, at);
    for (const { address, topics } of views) for (const value of [address, ...topics]) bloom.add(value);
    whole.or(bloom);
    const rlp = RLP.encode([1, gasUsed, bloom.bitvector, views.map(({ address, topics, data }) => [address, topics, data])]);
    const type = txType(block.transactions, block.transactionOffsets[index]!);
    return type === 0 ? rlp : concatBytes([Uint8Array.of(type), rlp]);
  });
  return { receipts, bloom: whole, gasUsed };
}

describe.each(["wasm", "auto"] as const)("%s build", (choice) => {
  const engine = loadEngine(choice);

  test("headers hold what EthereumJS computes, whatever the number of partitions", async () => {
    const blocks = build(engine, 3);
    expect(build(engine, 1).map(({ hash }) => hexOf(hash))).toEqual(blocks.map(({ hash }) => hexOf(hash)));
    expect(blocks).toHaveLength(7);
    let parentHash = "0".repeat(64);
    for (const block of blocks) {
      const raws = [...block.transactionOffsets.slice(0, -1)].map((at) => new Uint8Array(txRaw(block.transactions, at)));
      const { receipts, bloom, gasUsed } = receiptsOf(block);
      const fields = (RLP.decode(block.header) as Uint8Array[]).map((field) => hexOf(field));
      expect(fields.slice(3, 7)).toEqual([
        hexOf(block.digest),
        await rootOf(raws),
        await rootOf(receipts),
        hexOf(bloom.bitvector),
      ]);
      expect(fields[0]).toBe(parentHash);
      expect(BigInt(`0x0${fields[10]}`)).toBe(gasUsed);
      expect(hexOf(engine.keccak256(block.header))).toBe(hexOf(block.hash));
      const body = raws.map((raw) => (raw[0]! >= 0xc0 ? RLP.decode(raw) : raw));
      expect(block.sizeBytes).toBe(RLP.encode([RLP.decode(block.header), body, [], []]).length);
      parentHash = hexOf(block.hash);
    }
  });
});
