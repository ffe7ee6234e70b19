/** Receipts and logs as geth shows them. A transaction that failed by a rule of this chain says in `reason` which. */
import {
  REASON,
  RESULT,
  TX,
  resultCreated,
  resultGasUsed,
  resultLogs,
  resultReason,
  resultStatus,
  txCreates,
  txType,
} from "@meridian/core";
import type { ArchiveLog, LogView } from "@meridian/core";
import { hexData, hexNumber } from "./hex.ts";
import { batchPlace } from "./transaction.ts";
import type { Place } from "./transaction.ts";

export type Keccak = (bytes: Uint8Array) => Uint8Array;

/** One transaction and its result inside packed buffers, with its place in the block. */
export interface ReceiptInput {
  transactions: Uint8Array;
  transactionAt: number;
  results: Uint8Array;
  resultAt: number;
  place: Place;
  /** Gas used by the block up to and including this transaction. */
  cumulativeGasUsed: number;
  /** Number of the transaction's first log inside the block. */
  firstLogIndex: number;
}

export function formatReceipt(input: ReceiptInput, keccak256: Keccak): Record<string, unknown> {
  const { transactions, transactionAt: tx, results, resultAt: at, place } = input;
  const logs = resultLogs(results, at);
  const transactionHash = hexData(transactions, tx + TX.hash, tx + TX.hash + 32);
  const reason = reasonText(results, at);
  return {
    blockHash: hexData(place.blockHash),
    blockNumber: hexNumber(place.blockNumber),
    contractAddress: resultCreated(results, at) ? hexData(results, at + RESULT.address, at + RESULT.address + 20) : null,
    cumulativeGasUsed: hexNumber(input.cumulativeGasUsed),
    effectiveGasPrice: "0x0", // Gas is free on this chain, whatever the transaction offers.
    from: hexData(transactions, tx + TX.sender, tx + TX.sender + 20),
    gasUsed: hexNumber(resultGasUsed(results, at)),
    logs: logs.map((log, index) => formatLog(log, place, transactionHash, input.firstLogIndex + index)),
    logsBloom: hexData(bloomOf(logs, keccak256)),
    status: hexNumber(resultStatus(results, at)),
    to: txCreates(transactions, tx) ? null : hexData(transactions, tx + TX.to, tx + TX.to + 20),
    transactionHash,
    transactionIndex: hexNumber(place.index),
    type: hexNumber(txType(transactions, tx)),
    ...batchPlace(transactions, tx),
    ...(reason === null ? {} : { reason }),
  };
}

/** Why a transaction failed by a rule of this chain, as a sentence; null if it succeeded or failed inside the EVM. */
export function reasonText(results: Uint8Array, at: number): string | null {
  switch (resultReason(results, at)) {
    case REASON.void:
      return "the sender's balance is below the value that the transaction carries";
    case REASON.exceeded:
      return "the transaction follows too long a chain of cells over several partitions for its gas limit";
    default:
      return null;
  }
}

function formatLog(log: LogView, place: Place, transactionHash: string, logIndex: number): Record<string, unknown> {
  return {
    address: hexData(log.address),
    topics: log.topics.map((topic) => hexData(topic)),
    data: hexData(log.data),
    blockNumber: hexNumber(place.blockNumber),
    transactionHash,
    transactionIndex: hexNumber(place.index),
    blockHash: hexData(place.blockHash),
    blockTimestamp: hexNumber(place.blockTimestamp),
    logIndex: hexNumber(logIndex),
    removed: false,
  };
}

/** A log that the archive found, as `eth_getLogs` shows it. */
export function formatArchiveLog(log: ArchiveLog): Record<string, unknown> {
  const { number, hash, timestamp } = log.block;
  const place = { blockHash: hash, blockNumber: number, blockTimestamp: timestamp, index: log.transactionIndex };
  return formatLog(log, place, hexData(log.transactionHash), log.logIndex);
}

const BLOOM_BYTES = 256;

/** The bloom filter of a receipt's logs: three bits for each address and topic. Yellow Paper section 4.3.1. */
export function bloomOf(logs: readonly LogView[], keccak256: Keccak): Uint8Array {
  const bloom = new Uint8Array(BLOOM_BYTES);
  for (const { address, topics } of logs) {
    for (const item of [address, ...topics]) {
      const hash = keccak256(item);
      for (let pair = 0; pair < 6; pair += 2) {
        const bit = (((hash[pair] ?? 0) << 8) | (hash[pair + 1] ?? 0)) & 0x7ff;
        const at = BLOOM_BYTES - 1 - (bit >>> 3);
        bloom[at] = (bloom[at] ?? 0) | (1 << (bit & 7));
      }
    }
  }
  return bloom;
}
