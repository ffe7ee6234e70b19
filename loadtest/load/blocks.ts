/** Reads what blocks hold: hash and status of each transaction, in the order of the chain. */
import { IoError, RESULT, TX, bytesOfHex, resultBytes, txBytes, txCount } from "@meridian/core";
import type { RpcClient } from "@meridian/launcher";

export interface BlockReceipts {
  hashes: Uint8Array; // 32 bytes each
  statuses: Uint8Array; // 1 success, 0 failure
}

/** @throws IoError BLOCK_MISSING if a block is not there as a whole */
export type BlockReader = (number: number) => Promise<BlockReceipts>;

const HASH_BYTES = 32;

const missing = (number: number): IoError => new IoError({ code: "BLOCK_MISSING", text: `block ${number}` }, "later");
const hex = (number: number): string => `0x${number.toString(16)}`;

/** Of Meridian: packed records and results from the archive, in parts. */
export function meridianBlocks(rpc: RpcClient): BlockReader {
  interface Part {
    transactionCount: string;
    transactions: string;
    results: string;
  }
  return async (number) => {
    const parts: BlockReceipts[] = [];
    for (let from = 0; ;) {
      const part = await rpc.call<Part | null>("meridian_block", hex(number), from);
      if (part === null) throw missing(number);
      const read = readPart(bytesOfHex(part.transactions), bytesOfHex(part.results));
      parts.push(read);
      from += read.statuses.length;
      if (from >= Number(part.transactionCount)) return joined(parts);
      if (read.statuses.length === 0) throw missing(number);
    }
  };
}

function readPart(transactions: Uint8Array, results: Uint8Array): BlockReceipts {
  const count = txCount(transactions);
  const receipts = { hashes: new Uint8Array(count * HASH_BYTES), statuses: new Uint8Array(count) };
  let [at, resultAt] = [0, 0];
  for (let index = 0; index < count; index++) {
    receipts.hashes.set(transactions.subarray(at + TX.hash, at + TX.hash + HASH_BYTES), index * HASH_BYTES);
    receipts.statuses[index] = results[resultAt + RESULT.status]!;
    at += txBytes(transactions, at);
    resultAt += resultBytes(results, resultAt);
  }
  return receipts;
}

function joined(parts: readonly BlockReceipts[]): BlockReceipts {
  if (parts.length === 1 && parts[0] !== undefined) return parts[0];
  const count = parts.reduce((sum, { statuses }) => sum + statuses.length, 0);
  const whole = { hashes: new Uint8Array(count * HASH_BYTES), statuses: new Uint8Array(count) };
  let at = 0;
  for (const { hashes, statuses } of parts) {
    whole.hashes.set(hashes, at * HASH_BYTES);
    whole.statuses.set(statuses, at);
    at += statuses.length;
  }
  return whole;
}

/** Of any node: eth_getBlockReceipts. */
export function ethereumBlocks(rpc: RpcClient): BlockReader {
  interface Receipt {
    transactionHash: string;
    status: string;
  }
  return async (number) => {
    const receipts = await rpc.call<Receipt[] | null>("eth_getBlockReceipts", hex(number));
    if (receipts === null) throw missing(number);
    const read = { hashes: new Uint8Array(receipts.length * HASH_BYTES), statuses: new Uint8Array(receipts.length) };
    for (const [index, { transactionHash, status }] of receipts.entries()) {
      read.hashes.set(bytesOfHex(transactionHash), index * HASH_BYTES);
      read.statuses[index] = status === "0x1" ? 1 : 0;
    }
    return read;
  };
}
