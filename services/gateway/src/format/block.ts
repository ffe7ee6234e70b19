/** Blocks as geth shows them after Prague; fees, blobs and withdrawals stand there and are zero or empty. */
import { TX, txBytes } from "@meridian/core";
import type { ArchiveBlock } from "@meridian/core";
import { hexData, hexNumber, hexQuantity } from "./hex.ts";
import { rlpBytes, rlpList } from "./rlp.ts";
import { formatTransaction } from "./transaction.ts";

/** The header's fields in the order of their RLP, and how each is written. */
const HEADER_FIELDS: readonly [name: string, form: (bytes: Uint8Array) => string][] = [
  ["parentHash", hexData],
  ["sha3Uncles", hexData],
  ["miner", hexData],
  ["stateRoot", hexData],
  ["transactionsRoot", hexData],
  ["receiptsRoot", hexData],
  ["logsBloom", hexData],
  ["difficulty", hexQuantity],
  ["number", hexQuantity],
  ["gasLimit", hexQuantity],
  ["gasUsed", hexQuantity],
  ["timestamp", hexQuantity],
  ["extraData", hexData],
  ["mixHash", hexData],
  ["nonce", hexData],
  ["baseFeePerGas", hexQuantity],
  ["withdrawalsRoot", hexData],
  ["blobGasUsed", hexQuantity],
  ["excessBlobGas", hexQuantity],
  ["parentBeaconBlockRoot", hexData],
  ["requestsHash", hexData],
];

/** A header's fields by name, as hex text. */
export function formatHeader(header: Uint8Array): Record<string, string> {
  const items = rlpList(header);
  const fields: Record<string, string> = {};
  HEADER_FIELDS.forEach(([name, form], index) => {
    const bytes = rlpBytes(items, index);
    if (bytes !== undefined) fields[name] = form(bytes);
  });
  return fields;
}

/** A block; `transactions` are all packed records of its body for whole transactions, or null for their hashes. */
export function formatBlock(block: ArchiveBlock, transactions: Uint8Array | null): Record<string, unknown> {
  const header = formatHeader(block.header);
  const withdrawals = "withdrawalsRoot" in header ? { withdrawals: [] } : {};
  return {
    ...header,
    hash: hexData(block.hash),
    size: hexNumber(block.sizeBytes),
    transactions: transactions === null ? hashTexts(block.transactionHashes) : wholeTransactions(block, transactions),
    uncles: [],
    ...withdrawals,
  };
}

function hashTexts(hashes: Uint8Array): string[] {
  return Array.from({ length: hashes.length / 32 }, (_, index) => hexData(hashes, index * 32, index * 32 + 32));
}

function wholeTransactions(block: ArchiveBlock, transactions: Uint8Array): Record<string, unknown>[] {
  const texts: Record<string, unknown>[] = [];
  for (let at = 0; at < transactions.length; at += txBytes(transactions, at)) {
    const place = { blockHash: block.hash, blockNumber: block.number, blockTimestamp: block.timestamp, index: texts.length };
    texts.push(formatTransaction(transactions, at, place));
  }
  return texts;
}

/** Hash of the transaction at `at`, as a view. */
export const transactionHashAt = (records: Uint8Array, at: number): Uint8Array =>
  records.subarray(at + TX.hash, at + TX.hash + 32);

/** An empty list's root, the empty ommers' and the empty requests' hash: the same in every block. */
const EMPTY_ROOT = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421";
const EMPTY_OMMERS = "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347";
const EMPTY_REQUESTS = "0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const ZERO_HASH = `0x${"0".repeat(64)}`;

/**
 * The block after `latest` as tag `pending` shows it: no transactions, since none has its place before its block is closed, and
 * no hash, nonce or miner, as in geth.
 */
export function formatPendingBlock(parent: { number: number; hash: Uint8Array }, timestamp: number, gasLimit: number) {
  return {
    parentHash: hexData(parent.hash),
    sha3Uncles: EMPTY_OMMERS,
    miner: null,
    stateRoot: ZERO_HASH,
    transactionsRoot: EMPTY_ROOT,
    receiptsRoot: EMPTY_ROOT,
    logsBloom: `0x${"0".repeat(512)}`,
    difficulty: "0x0",
    number: hexNumber(parent.number + 1),
    gasLimit: hexNumber(gasLimit),
    gasUsed: "0x0",
    timestamp: hexNumber(timestamp),
    extraData: "0x",
    mixHash: ZERO_HASH,
    nonce: null,
    baseFeePerGas: "0x0",
    withdrawalsRoot: EMPTY_ROOT,
    blobGasUsed: "0x0",
    excessBlobGas: "0x0",
    parentBeaconBlockRoot: ZERO_HASH,
    requestsHash: EMPTY_REQUESTS,
    hash: null,
    size: "0x0",
    transactions: [],
    uncles: [],
    withdrawals: [],
  };
}
