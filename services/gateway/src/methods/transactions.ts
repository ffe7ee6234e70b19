/** Transactions and receipts by hash, and logs. */
import type { ArchiveTransaction } from "@meridian/core";
import { concatBytes } from "@meridian/core";
import type { Read } from "../chain/state.ts";
import { formatArchiveLog, formatReceipt } from "../format/receipt.ts";
import { formatTransaction } from "../format/transaction.ts";
import { blockNumber } from "../rpc/block-param.ts";
import type { BlockNumberRef } from "../rpc/block-param.ts";
import { invalidParams, refused } from "../rpc/errors.ts";
import type { Answer } from "../rpc/errors.ts";
import { cannotUnmarshal, hash, kindOf, required } from "../rpc/params.ts";
import type { Parsed, Parser } from "../rpc/params.ts";
import { findBlock, sealedNumber } from "./blocks-by.ts";
import { method } from "./method.ts";
import type { Context, Method } from "./method.ts";

const TOPIC_PLACES_MAX = 4; // LOG4 has no more
const TOPICS_MAX = 1_000; // of one place, as in geth
const ADDRESSES_MAX = 1_000;

export const transactionMethods: Readonly<Record<string, Method>> = {
  eth_getTransactionByHash: method([required(hash)], async (context, hash) => {
    const found = await context.archive.transactions(hash, context.latest.number);
    if ("error" in found) return found;
    return { result: transactionAnswer(found.value[0] ?? null, context) ?? recentTransaction(hash, context) };
  }),
  eth_getTransactionReceipt: method([required(hash)], async (context, hash) => {
    const found = await context.archive.transactions(hash, context.latest.number);
    if ("error" in found) return found;
    return { result: receiptAnswer(found.value[0] ?? null, context) };
  }),
  eth_getLogs: method([required((input) => logCriteria(input))], logs),
};

/** A block that is built but not sealed is not there for a client yet; it may have been sealed since the request came. */
const isSealed = (number: number, { latest, view }: Context): boolean =>
  number <= Math.max(latest.number, view.latest()?.number ?? 0);

/** A transaction with its place, or without one while its block is not sealed. */
export function transactionAnswer(found: ArchiveTransaction | null, context: Context): Record<string, unknown> | null {
  if (found === null) return null;
  const { block, index, transaction } = found;
  if (block === null || !isSealed(block.number, context)) return formatTransaction(transaction, 0, null);
  return formatTransaction(transaction, 0, {
    blockHash: block.hash,
    blockNumber: block.number,
    blockTimestamp: block.timestamp,
    index,
  });
}

/** An acknowledged transaction that no archive has yet. */
function recentTransaction(hash: Uint8Array, { recent }: Context): Record<string, unknown> | null {
  const found = recent.find(hash);
  return found === null ? null : formatTransaction(found.records, found.at, null);
}

/** A receipt; null while the block is not sealed. */
export function receiptAnswer(found: ArchiveTransaction | null, context: Context): Record<string, unknown> | null {
  if (found === null || found.block === null || !isSealed(found.block.number, context)) return null;
  const { block, index, transaction, result, cumulativeGasUsed, firstLogIndex } = found;
  const place = { blockHash: block.hash, blockNumber: block.number, blockTimestamp: block.timestamp, index };
  const input = {
    transactions: transaction,
    transactionAt: 0,
    results: result,
    resultAt: 0,
    place,
    cumulativeGasUsed,
    firstLogIndex,
  };
  return formatReceipt(input, (bytes) => context.engine.keccak256(bytes));
}

interface LogCriteria {
  blockHash: Uint8Array | null;
  from: BlockNumberRef;
  to: BlockNumberRef;
  addresses: Uint8Array;
  topics: Uint8Array[];
}

function logCriteria(input: unknown): Parsed<LogCriteria> {
  if (typeof input !== "object" || input === null || Array.isArray(input)) {
    return { problem: cannotUnmarshal(kindOf(input), "filters.input", undefined) };
  }
  const raw = input as Record<string, unknown>;
  const blockHash = field(raw.blockHash, hash, null);
  const from = field<BlockNumberRef>(raw.fromBlock, blockNumber, "latest");
  const to = field<BlockNumberRef>(raw.toBlock, blockNumber, "latest");
  if ("problem" in blockHash) return blockHash;
  if ("problem" in from) return from;
  if ("problem" in to) return to;
  if (blockHash.value !== null && ((raw.fromBlock ?? null) !== null || (raw.toBlock ?? null) !== null)) {
    return { problem: "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other" };
  }
  const addresses = readAddresses(raw.address);
  if ("problem" in addresses) return addresses;
  const topics = readTopics(raw.topics);
  if ("problem" in topics) return topics;
  return {
    value: { blockHash: blockHash.value, from: from.value, to: to.value, addresses: addresses.value, topics: topics.value },
  };
}

function field<T, A = T>(input: unknown, parse: Parser<T>, absent: A): Parsed<T | A> {
  return input === undefined || input === null ? { value: absent } : parse(input);
}

function readAddresses(input: unknown): Parsed<Uint8Array> {
  if (input === undefined || input === null) return { value: new Uint8Array(0) };
  const isOne = typeof input === "string";
  if (!isOne && !Array.isArray(input)) return { problem: "invalid addresses in query" };
  const list: readonly unknown[] = isOne ? [input] : (input as unknown[]);
  if (list.length > ADDRESSES_MAX) return { problem: "exceed max addresses or topics per search position" };
  const addresses: Uint8Array[] = [];
  for (const [index, item] of list.entries()) {
    if (typeof item !== "string") return { problem: `non-string address at index ${index}` };
    const parsed = fixedHex(item, 20, "address");
    if ("problem" in parsed) return { problem: `invalid address${isOne ? "" : ` at index ${index}`}: ${parsed.problem}` };
    addresses.push(parsed.value);
  }
  return { value: concatBytes(addresses) };
}

/** For each place the topics that may stand there, packed; empty for any. */
function readTopics(input: unknown): Parsed<Uint8Array[]> {
  if (input === undefined || input === null) return { value: [] };
  if (!Array.isArray(input)) return { problem: cannotUnmarshal(kindOf(input), "[]interface {}", "input.topics") };
  if (input.length > TOPIC_PLACES_MAX) return { problem: "exceed max topics" };
  const places: Uint8Array[] = [];
  for (const place of input as unknown[]) {
    const choices: readonly unknown[] = Array.isArray(place) ? (place as unknown[]) : place === null ? [] : [place];
    if (choices.length > TOPICS_MAX) return { problem: "exceed max topics" };
    const topics: Uint8Array[] = [];
    for (const choice of choices.includes(null) ? [] : choices) {
      if (typeof choice !== "string") return { problem: "invalid topic(s)" };
      const parsed = fixedHex(choice, 32, "topic");
      if ("problem" in parsed) return parsed;
      topics.push(parsed.value);
    }
    places.push(concatBytes(topics));
  }
  return { value: places };
}

/** Hex of a fixed length, with the words of geth's filters for what is wrong. */
function fixedHex(text: string, bytes: number, what: string): Parsed<Uint8Array> {
  if (text === "") return { problem: "empty hex string" };
  if (!/^0[xX]/.test(text)) return { problem: "hex string without 0x prefix" };
  if (text.length % 2 !== 0) return { problem: "hex string of odd length" };
  const value = Buffer.from(text.slice(2), "hex");
  if (value.length * 2 !== text.length - 2) return { problem: "invalid hex string" };
  if (value.length === bytes) return { value };
  return { problem: `hex has invalid length ${value.length} after decoding; expected ${bytes} for ${what}` };
}

async function logs(context: Context, { blockHash, from, to, addresses, topics }: LogCriteria): Promise<Answer> {
  const { archive, latest } = context;
  if (blockHash !== null) {
    const block = await findBlock(blockHash, context);
    if ("error" in block) return block;
    if (block.value === null) return { error: refused("unknown block") };
  }
  const range = await logRange(from, to, context);
  if ("error" in range) return range;
  const found = await archive.logs({ ...range.value, blockHash, addresses, topics }, latest.number);
  return "error" in found ? found : { result: found.value.map(formatArchiveLog) };
}

async function logRange(
  from: BlockNumberRef,
  to: BlockNumberRef,
  context: Context,
): Promise<Read<{ first: number; last: number }>> {
  if (from === "pending" || to === "pending") return { error: invalidParams("pending logs are not supported") };
  if (typeof from === "number" && typeof to === "number" && from > to)
    return { error: invalidParams("invalid block range params") };
  const [first, last] = [await sealedNumber(from, context), await sealedNumber(to, context)];
  if ("error" in first) return first;
  if ("error" in last) return last;
  if (first.value === null || last.value === null)
    return { error: invalidParams("block range extends beyond current head block") };
  if (first.value > last.value) return { error: invalidParams("invalid block range params") };
  return { value: { first: first.value, last: last.value } };
}
