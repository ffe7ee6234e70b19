/** Blocks, and transactions by their place in a block. */
import { resultBytes, resultGasUsed, resultLogCount, txBytes } from "@meridian/core";
import { formatBlock, formatPendingBlock } from "../format/block.ts";
import { hexNumber } from "../format/hex.ts";
import { formatReceipt } from "../format/receipt.ts";
import { blockNumber, blockRef } from "../rpc/block-param.ts";
import type { BlockNumberRef, BlockRef } from "../rpc/block-param.ts";
import { refused } from "../rpc/errors.ts";
import type { Answer } from "../rpc/errors.ts";
import { bool, count, hash, required } from "../rpc/params.ts";
import { findBlock, sealedNumber } from "./blocks-by.ts";
import { method } from "./method.ts";
import type { Context, Method } from "./method.ts";
import { transactionAnswer } from "./transactions.ts";

export const blockMethods: Readonly<Record<string, Method>> = {
  eth_getBlockByNumber: method([required(blockNumber), required(bool)], (context, ref, isWhole) =>
    ref === "pending" ? pendingBlock(context) : block(context, ref, isWhole),
  ),
  eth_getBlockByHash: method([required(hash), required(bool)], block),
  eth_getBlockTransactionCountByNumber: method([required(blockNumber)], (context, ref) =>
    ref === "pending" ? { result: "0x0" } : transactionCount(context, ref),
  ),
  eth_getBlockTransactionCountByHash: method([required(hash)], transactionCount),
  eth_getTransactionByBlockNumberAndIndex: method([required(blockNumber), required(count)], transactionAt),
  eth_getTransactionByBlockHashAndIndex: method([required(hash), required(count)], transactionAt),
  eth_getBlockReceipts: method([required(blockRef)], blockReceipts),
};

function pendingBlock({ latest, view, chain }: Context): Answer {
  const timestamp = Math.max(view.beat()?.open.timestamp ?? 0, latest.timestamp);
  return { result: formatPendingBlock(latest, timestamp, chain.blockGasLimit) };
}

async function block(context: Context, by: BlockNumberRef | Uint8Array, isWhole: boolean): Promise<Answer> {
  const found = await findBlock(by, context, isWhole);
  if ("error" in found) return found;
  return { result: found.value === null ? null : formatBlock(found.value, isWhole ? found.value.transactions : null) };
}

async function transactionCount(context: Context, by: BlockNumberRef | Uint8Array): Promise<Answer> {
  const found = await findBlock(by, context);
  if ("error" in found) return found;
  return { result: found.value === null ? null : hexNumber(found.value.transactionCount) };
}

async function transactionAt(context: Context, by: BlockNumberRef | Uint8Array, index: number): Promise<Answer> {
  const block = by instanceof Uint8Array ? { value: by } : await sealedNumber(by, context);
  if ("error" in block) return block;
  if (block.value === null) return { result: null };
  const found = await context.archive.transactionAt(block.value, index, context.latest.number);
  if ("error" in found) return found;
  const answer = transactionAnswer(found.value, context);
  return answer === null || answer.blockHash === null ? { result: null } : { result: answer };
}

async function blockReceipts(context: Context, ref: BlockRef): Promise<Answer> {
  if (ref === "pending") return { error: refused("pending receipts is not available") };
  const found = await findBlock(typeof ref === "object" ? ref.hash : ref, context, true);
  if ("error" in found) return found;
  if (found.value === null) return { result: null };
  const { hash: blockHash, number, timestamp, transactions, results } = found.value;
  const receipts: Record<string, unknown>[] = [];
  let [cumulativeGasUsed, firstLogIndex] = [0, 0];
  for (let transactionAt = 0, resultAt = 0; transactionAt < transactions.length;) {
    cumulativeGasUsed += resultGasUsed(results, resultAt);
    const place = { blockHash, blockNumber: number, blockTimestamp: timestamp, index: receipts.length };
    const input = { transactions, transactionAt, results, resultAt, place, cumulativeGasUsed, firstLogIndex };
    receipts.push(formatReceipt(input, (bytes) => context.engine.keccak256(bytes)));
    firstLogIndex += resultLogCount(results, resultAt);
    transactionAt += txBytes(transactions, transactionAt);
    resultAt += resultBytes(results, resultAt);
  }
  return { result: receipts };
}
