/** Replays one published block and says what differs. */
import { type TypedTransaction, Capability, createTxFromRLP } from "@ethereumjs/tx";
import { bigIntToUnpaddedBytes, bytesToBigInt, bytesToHex, generateAddress } from "@ethereumjs/util";
import type { Common } from "@ethereumjs/common";
import {
  EXCEEDED_GAS_LIMIT_MIN,
  REASON,
  RESULT,
  TX,
  TX_TYPE_CALL,
  hexOf,
  resultBytes,
  resultCreated,
  resultGasUsed,
  resultIndex,
  resultLogs,
  resultOutput,
  resultReason,
  resultStatus,
  txBytes,
  txCreates,
  txIndex,
  txNonce,
  txOffsets,
  txRaw,
  txType,
} from "@meridian/core";
import type { Batches } from "./batches.ts";
import { parseCall, replayableCall } from "./call.ts";
import { addressBytes } from "./cells.ts";
import type { Crossing } from "./crossing.ts";
import type { Differences } from "./difference.ts";
import type { Header } from "./header.ts";
import type { Outcome } from "./replay.ts";
import { type ReceiptFacts, receiptsRoot, transactionsRoot } from "./roots.ts";
import type { Replayer } from "./replay.ts";
import type { PublishedBlock } from "./source.ts";
import type { ReplayState } from "./state.ts";

/** Of a revert's output the chain keeps this much. */
const OUTPUT_BYTES_MAX = 4_096;
const REASON_NAME: Record<number, string> = Object.fromEntries(Object.entries(REASON).map(([name, code]) => [code, name]));

export interface BlockContext {
  state: ReplayState;
  replayer: Replayer;
  common: Common;
  differences: Differences;
  crossing: Crossing;
  batches: Batches;
}

type Report = (field: string, published: unknown, replayed: unknown) => void;

/** Replays the transactions of a block in published order, then compares roots, bloom and gas. @returns number of transactions */
export async function replayBlock(context: BlockContext, header: Header, published: PublishedBlock): Promise<number> {
  const { transactions, results } = published;
  context.replayer.openBlock(header);
  // First: if a transaction was left out or changed, this names it better than everything that follows from it.
  await compareTransactions(context, header, transactions);
  let count = 0;
  const receipts: ReceiptFacts[] = [];
  let resultAt = 0;
  for (let at = 0; at < transactions.length && !context.differences.isFull; at += txBytes(transactions, at)) {
    const report: Report = (field, publishedValue, replayed) =>
      context.differences.add({
        block: header.number,
        transaction: { index: count, hash: `0x${hexOf(transactions, at + TX.hash, at + TX.hash + 32)}` },
        field,
        published: String(publishedValue),
        replayed: String(replayed),
      });
    const isPaired = resultAt < results.length && resultIndex(results, resultAt) === txIndex(transactions, at);
    if (!isPaired) {
      report(
        "result",
        resultAt < results.length ? `of index ${resultIndex(results, resultAt)}` : "none",
        `of index ${txIndex(transactions, at)}`,
      );
      break;
    }
    const receipt = await replayTransaction(context, transactions, at, results, resultAt, report);
    count += 1;
    if (receipt !== null) receipts.push(receipt);
    resultAt += resultBytes(results, resultAt);
  }
  if (!context.differences.isFull) await compareReceipts(context, header, receipts);
  return count;
}

async function compareTransactions(context: BlockContext, header: Header, transactions: Uint8Array): Promise<void> {
  const raws = Array.from(txOffsets(transactions), (at) => txRaw(transactions, at));
  const root = await transactionsRoot(raws);
  compareBlock(context, header, "transactionsRoot", bytesToHex(header.transactionsRoot), bytesToHex(root));
}

async function compareReceipts(context: BlockContext, header: Header, receipts: ReceiptFacts[]): Promise<void> {
  const { root, bloom, gasUsed } = await receiptsRoot(receipts);
  compareBlock(context, header, "receiptsRoot", bytesToHex(header.receiptsRoot), bytesToHex(root));
  compareBlock(context, header, "logsBloom", bytesToHex(header.bloom), bytesToHex(bloom));
  compareBlock(context, header, "gasUsed", header.gasUsed, gasUsed);
  compareBlock(context, header, "baseFeePerGas", header.baseFee, 0n);
}

function compareBlock(
  { differences }: BlockContext,
  { number }: Header,
  field: string,
  published: unknown,
  replayed: unknown,
): void {
  if (published === replayed) return;
  differences.add({ block: number, transaction: null, field, published: String(published), replayed: String(replayed) });
}

/** @returns what the replay's receipt says; null if the published transaction cannot be replayed at all */
async function replayTransaction(
  context: BlockContext,
  transactions: Uint8Array,
  at: number,
  results: Uint8Array,
  resultAt: number,
  report: Report,
): Promise<ReceiptFacts | null> {
  const transaction = decode(context, transactions, at, report);
  if (transaction === null) return null;
  const type = txType(transactions, at);
  const sender = transaction.getSenderAddress().toString();
  compareRecord(context, transaction, sender, transactions, at, report);

  const reason = resultReason(results, resultAt);
  if (reason === REASON.void || reason === REASON.exceeded) {
    return { type, ...replayFailedByRule(context, transaction, sender, results, resultAt, report) };
  }
  context.state.forgetTouched();
  const outcome = await attempt(() => context.replayer.run(transaction));
  context.crossing.note(context.state.touched);
  if ("invalid" in outcome) {
    report("status", resultStatus(results, resultAt), `invalid: ${outcome.invalid}`);
    return null;
  }
  compareOutcome(outcome, results, resultAt, report);
  return { type, status: outcome.status, gasUsed: outcome.gasUsed, logs: outcome.logs };
}

function decode(
  { common, batches }: BlockContext,
  transactions: Uint8Array,
  at: number,
  report: Report,
): TypedTransaction | null {
  const raw = txRaw(transactions, at);
  const type = txType(transactions, at);
  try {
    if (type === TX_TYPE_CALL) {
      // Whose it is the signature of the whole batch tells, as soon as all of its calls are there.
      const call = parseCall(raw);
      const sender = `0x${hexOf(transactions, at + TX.sender, at + TX.sender + 20)}`;
      batches.add(call, sender, report);
      if (bytesToBigInt(call.chainId) !== common.chainId()) report("chainId", bytesToHex(call.chainId), common.chainId());
      return replayableCall(call, sender, common);
    }
    const transaction = createTxFromRLP(raw, { common });
    if (transaction.type !== type) report("type", type, transaction.type);
    if (transaction.type === 0 && !transaction.supports(Capability.EIP155ReplayProtection))
      report("chainId", "none", common.chainId());
    transaction.getSenderAddress();
    return transaction;
  } catch (error) {
    report("transaction", "included", `invalid: ${error instanceof Error ? error.message : String(error)}`);
    return null;
  }
}

/** The packed record's fields against what the raw transaction says, and the nonce's turn. */
function compareRecord(
  context: BlockContext,
  transaction: TypedTransaction,
  sender: string,
  transactions: Uint8Array,
  at: number,
  report: Report,
): void {
  const compare = (field: string, published: unknown, replayed: unknown) => {
    if (published !== replayed) report(field, published, replayed);
  };
  compare("hash", `0x${hexOf(transactions, at + TX.hash, at + TX.hash + 32)}`, bytesToHex(transaction.hash()));
  compare("sender", `0x${hexOf(transactions, at + TX.sender, at + TX.sender + 20)}`, sender);
  const to = transaction.to?.toString() ?? createdBy(sender, transaction.nonce);
  compare("to", `0x${hexOf(transactions, at + TX.to, at + TX.to + 20)}`, to);
  compare("creates", txCreates(transactions, at), transaction.to === undefined);
  compare("record nonce", BigInt(txNonce(transactions, at)), transaction.nonce);
  const turn = context.state.nonceOf(sender);
  compare("nonce", transaction.nonce, turn);
  // The published transaction counts: what follows is compared under its nonce, not under a second difference for each.
  if (turn !== transaction.nonce) context.state.setNonce(sender, transaction.nonce);
}

function compareOutcome(outcome: Outcome, results: Uint8Array, at: number, report: Report): void {
  const compare = (field: string, published: unknown, replayed: unknown) => {
    if (published !== replayed) report(field, published, replayed);
  };
  compare("status", resultStatus(results, at), outcome.status);
  compare("gasUsed", BigInt(resultGasUsed(results, at)), outcome.gasUsed);
  const reason = outcome.status === 1 ? REASON.none : outcome.halted ? REASON.halt : REASON.revert;
  compare("reason", REASON_NAME[resultReason(results, at)], REASON_NAME[reason]);
  const created = resultCreated(results, at) ? `0x${hexOf(results, at + RESULT.address, at + RESULT.address + 20)}` : null;
  compare("created address", created, outcome.created);
  compare("output", bytesToHex(resultOutput(results, at)), bytesToHex(outcome.output.subarray(0, OUTPUT_BYTES_MAX)));
  const logs = resultLogs(results, at);
  compare("log count", logs.length, outcome.logs.length);
  for (const [index, log] of logs.slice(0, outcome.logs.length).entries()) {
    compare(`log ${index}`, describeLog(log), describeLog(outcome.logs[index]));
  }
}

function describeLog(log: { address: Uint8Array; topics: Uint8Array[]; data: Uint8Array } | undefined): string {
  if (log === undefined) return "none";
  return `${bytesToHex(log.address)} [${log.topics.map((topic) => bytesToHex(topic)).join(", ")}] ${bytesToHex(log.data)}`;
}

/**
 * A receipt that failed by a rule of this chain (docs/adr/0007): the transaction uses up its nonce and all of its gas and
 * changes nothing else. It is not believed: with `void` the balance must be below the value, with `exceeded` the gas limit must
 * be so large that the transaction could need too many runs.
 */
function replayFailedByRule(
  { state }: BlockContext,
  transaction: TypedTransaction,
  sender: string,
  results: Uint8Array,
  at: number,
  report: Report,
): Omit<ReceiptFacts, "type"> {
  const compare = (field: string, published: unknown, replayed: unknown) => {
    if (published !== replayed) report(field, published, replayed);
  };
  const balance = state.balanceOf(sender);
  if (resultReason(results, at) === REASON.void && balance >= transaction.value) {
    report("reason", REASON_NAME[REASON.void], `the sender's balance ${balance} covers the value ${transaction.value}`);
  }
  if (resultReason(results, at) === REASON.exceeded && transaction.gasLimit < EXCEEDED_GAS_LIMIT_MIN) {
    report("reason", REASON_NAME[REASON.exceeded], `the gas limit ${transaction.gasLimit} is below ${EXCEEDED_GAS_LIMIT_MIN}`);
  }
  compare("status", resultStatus(results, at), 0);
  compare("gasUsed", BigInt(resultGasUsed(results, at)), transaction.gasLimit);
  compare("log count", resultLogs(results, at).length, 0);
  compare("created address", resultCreated(results, at), false);
  compare("output", resultOutput(results, at).length, 0);
  state.setNonce(sender, transaction.nonce + 1n);
  return { status: 0, gasUsed: transaction.gasLimit, logs: [] };
}

function createdBy(sender: string, nonce: bigint): string {
  return bytesToHex(generateAddress(addressBytes(sender), bigIntToUnpaddedBytes(nonce)));
}

/** EthereumJS throws for a transaction that is invalid at its turn; here that is an answer. */
async function attempt<Result>(run: () => Promise<Result>): Promise<Result | { invalid: string }> {
  try {
    return await run();
  } catch (error) {
    return { invalid: error instanceof Error ? error.message : String(error) };
  }
}
