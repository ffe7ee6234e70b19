import { createMPT } from "@ethereumjs/mpt";
import { RLP } from "@ethereumjs/rlp";
import type { EngineModule, LogView } from "@meridian/core";
import { TX_TYPE_CALL, concatBytes, resultGasUsed, resultLogs, resultStatus, txOffsets, txRaw, txType } from "@meridian/core";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { describe, expect, test } from "vitest";
import * as chain from "./chain.ts";
import * as node from "./node.ts";
import * as workload from "./workload.ts";

const EMPTY_LIST_HASH = "1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347";
const EMPTY_TRIE_ROOT = "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421";
const EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const parentHash = new Uint8Array(32).fill(0xaa);
const digest = new Uint8Array(32).fill(0xdd);

async function rootOf(values: Uint8Array[]): Promise<string> {
  const trie = await createMPT();
  for (const [index, value] of values.entries()) await trie.put(RLP.encode(chain.quantity(index)), value);
  return chain.hex(trie.root());
}

/** Yellow Paper, 4.3.1: three bits for the address and for each topic. */
function bloomOf(logs: LogView[]): Uint8Array {
  const bloom = new Uint8Array(256);
  for (const part of logs.flatMap(({ address, topics }) => [address, ...topics])) {
    const hash = keccak_256(part);
    for (const at of [0, 2, 4]) {
      const bit = ((hash[at]! << 8) | hash[at + 1]!) & 2047;
      bloom[255 - (bit >> 3)]! |= 1 << (bit & 7);
    }
  }
  return bloom;
}

/** Receipts of published transactions, by the book: EIP-658, EIP-2718. */
function receiptsOf(
  transactions: Uint8Array,
  results: Uint8Array,
): { encoded: Uint8Array[]; bloom: Uint8Array; gasUsed: number } {
  const facts = node.resultsOf(results);
  const bloom = new Uint8Array(256);
  let gasUsed = 0;
  const encoded = [...txOffsets(transactions)].map((offset, number) => {
    const { at } = facts[number]!;
    gasUsed += resultGasUsed(results, at);
    const logs = resultLogs(results, at);
    const own = bloomOf(logs);
    own.forEach((byte, place) => (bloom[place]! |= byte));
    const list = logs.map(({ address, topics, data }) => [address, topics, data]);
    const type = txType(transactions, offset);
    // Of a call without a bloom: the header's has its logs.
    const blooms = type === TX_TYPE_CALL ? [] : [own];
    const body = RLP.encode([chain.quantity(resultStatus(results, at)), chain.quantity(gasUsed), ...blooms, list]);
    return type === 0 ? body : concatBytes([Uint8Array.of(type), body]);
  });
  return { encoded, bloom, gasUsed };
}

async function checkBlock(module: EngineModule, transactions: Uint8Array, results: Uint8Array): Promise<void> {
  const context = chain.context(7);
  const built = module.buildBlock({ ...context, parentHash, digest }, transactions, results);
  const receipts = receiptsOf(transactions, results);
  const transactionsRoot = await rootOf([...txOffsets(transactions)].map((at) => txRaw(transactions, at)));
  const receiptsRoot = await rootOf(receipts.encoded);
  expect(chain.hex(built.transactionsRoot)).toBe(transactionsRoot);
  expect(chain.hex(built.receiptsRoot)).toBe(receiptsRoot);
  expect(chain.hex(built.logsBloom)).toBe(chain.hex(receipts.bloom));
  expect(built.gasUsed).toBe(receipts.gasUsed);
  const header = RLP.encode([
    parentHash,
    chain.bytes(EMPTY_LIST_HASH),
    new Uint8Array(20),
    digest,
    chain.bytes(transactionsRoot),
    chain.bytes(receiptsRoot),
    receipts.bloom,
    chain.quantity(0), // difficulty
    chain.quantity(7),
    chain.quantity(context.gasLimit),
    chain.quantity(receipts.gasUsed),
    chain.quantity(context.timestamp),
    new TextEncoder().encode("meridian"),
    context.prevrandao,
    new Uint8Array(8), // nonce
    chain.quantity(0), // base fee
    chain.bytes(EMPTY_TRIE_ROOT), // withdrawals
    chain.quantity(0), // blob gas used
    chain.quantity(0), // excess blob gas
    new Uint8Array(32), // parent beacon block root
    chain.bytes(EMPTY_SHA256), // requests
  ]);
  expect(chain.hex(built.header)).toBe(chain.hex(header));
  expect(chain.hex(built.hash)).toBe(chain.hex(keccak_256(header)));
}

describe.each(node.BUILDS)("block, %s build", (_build, module) => {
  test.each([0, 1, 2, 17, 150])("roots, bloom and header of %i transactions, by another implementation", async (count) => {
    const opened = node.open(module, workload.genesis());
    const records = workload.batch(module, workload.dice(count), [], count);
    await checkBlock(module, records, opened.engine.run(records, chain.nonceRecords(records), chain.FREE_RUN).results);
  });

  test("the same with signed batches", async () => {
    const opened = node.open(module, workload.genesis());
    const records = chain.records(module, workload.mixedRaws(workload.dice(5), [], 150));
    expect(new Set([...txOffsets(records)].map((at) => txType(records, at)))).toEqual(new Set([0, 1, 2, TX_TYPE_CALL]));
    await checkBlock(module, records, opened.engine.run(records, chain.nonceRecords(records), chain.FREE_RUN).results);
  });

  test("keccak", () => {
    const text = new TextEncoder().encode("meridian");
    expect(chain.hex(module.keccak256(text))).toBe(chain.hex(keccak_256(text)));
  });
});
