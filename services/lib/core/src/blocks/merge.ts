/**
 * Merges the packed transactions and results that several log messages let come to an end into published order: by flush, then
 * by index inside it.
 *
 * G1. The outcome depends on positions only, not on how transactions are spread over partitions, nor on when they came to an
 *     end inside the block. (A flush's local transactions stand before its groups' members: so the scheduler gives indexes.)
 * G2. Transactions and results stay packed: whole runs of records are copied, there is no object for a transaction.
 */
import { RESULT, resultBytes, resultIndex } from "../results.ts";
import { TX_HEADER_BYTES, txBytes, txIndex } from "../transactions.ts";

/**
 * Transactions of one flush that one log message let come to an end: `count` of them with one result each, both ascending by
 * index (see `pairedCount`).
 */
export interface MergeSource {
  flush: number;
  count: number;
  transactions: Uint8Array;
  results: Uint8Array;
}

/** A block's transactions in published order. */
export interface Merged {
  count: number;
  transactions: Uint8Array; // packed records
  results: Uint8Array; // packed records, one for each transaction
  /** Where each record starts; one more at the end, so that record i is [offsets[i], offsets[i + 1]). */
  transactionOffsets: Uint32Array;
  resultOffsets: Uint32Array;
}

/** Two transactions at one position: the scheduler gave it twice, or a partition ran what was not its own. */
export interface PositionTwice {
  flush: number;
  index: number;
}

/** Write positions in the merged buffers. */
interface Output extends Merged {
  transactionsAt: number;
  resultsAt: number;
  written: number;
}

/** Read positions in one source. */
interface Cursor {
  source: MergeSource;
  transactionsAt: number;
  resultsAt: number;
  index: number; // of the next transaction; Infinity at the end
}

/** Merges `sources`, in any order; sources without transactions may be among them. */
export function merge(sources: readonly MergeSource[]): Merged | PositionTwice {
  const filled = sources.filter(({ count }) => count > 0).sort((left, right) => left.flush - right.flush);
  const output = openOutput(filled);
  for (let first = 0; first < filled.length;) {
    const flush = filled[first]!.flush;
    let end = first + 1;
    while (end < filled.length && filled[end]!.flush === flush) end++;
    const twice = end === first + 1 ? appendWhole(output, filled[first]!) : appendMerged(output, filled.slice(first, end));
    if (twice !== null) return twice;
    first = end;
  }
  output.transactionOffsets[output.count] = output.transactionsAt;
  output.resultOffsets[output.count] = output.resultsAt;
  const { count, transactions, results, transactionOffsets, resultOffsets } = output;
  return { count, transactions, results, transactionOffsets, resultOffsets };
}

function openOutput(sources: readonly MergeSource[]): Output {
  let count = 0;
  let transactionsLength = 0;
  let resultsLength = 0;
  for (const source of sources) {
    count += source.count;
    transactionsLength += source.transactions.length;
    resultsLength += source.results.length;
  }
  return {
    count,
    transactions: new Uint8Array(transactionsLength),
    results: new Uint8Array(resultsLength),
    transactionOffsets: new Uint32Array(count + 1),
    resultOffsets: new Uint32Array(count + 1),
    transactionsAt: 0,
    resultsAt: 0,
    written: 0,
  };
}

function appendWhole(output: Output, source: MergeSource): null {
  appendRun(output, source, 0, source.transactions.length, 0, source.results.length);
  return null;
}

/** Merges sources of one flush: the source with the lowest index goes on as long as it stays below all others. */
function appendMerged(output: Output, sources: readonly MergeSource[]): PositionTwice | null {
  // A heap by next index: a flush whose transactions waited comes in as many runs as there were entries that let some of them go.
  const heap = sources.map((source): Cursor => ({
    source,
    transactionsAt: 0,
    resultsAt: 0,
    index: txIndex(source.transactions, 0),
  }));
  for (let root = heap.length >> 1; root-- > 0;) siftDown(heap, root);
  for (;;) {
    const lowest = heap[0]!;
    if (lowest.index === Infinity) return null;
    const bound = Math.min(heap[1]?.index ?? Infinity, heap[2]?.index ?? Infinity); // the lowest index among the others
    if (lowest.index === bound) return { flush: lowest.source.flush, index: bound };
    appendBelow(output, lowest, bound);
    siftDown(heap, 0);
  }
}

/** Puts the cursor at `at` below those with a lower index. */
function siftDown(heap: Cursor[], at: number): void {
  const cursor = heap[at]!;
  for (;;) {
    let child = 2 * at + 1;
    if ((heap[child + 1]?.index ?? Infinity) < (heap[child]?.index ?? Infinity)) child++;
    const lower = heap[child];
    if (lower === undefined || lower.index >= cursor.index) break;
    heap[at] = lower;
    at = child;
  }
  heap[at] = cursor;
}

/** Copies the cursor's records with an index below `bound`, at least one. */
function appendBelow(output: Output, cursor: Cursor, bound: number): void {
  const { transactions, results } = cursor.source;
  let transactionsEnd = cursor.transactionsAt;
  let resultsEnd = cursor.resultsAt;
  let index = cursor.index;
  while (index < bound) {
    transactionsEnd += txBytes(transactions, transactionsEnd);
    resultsEnd += resultBytes(results, resultsEnd);
    index = transactionsEnd < transactions.length ? txIndex(transactions, transactionsEnd) : Infinity;
  }
  appendRun(output, cursor.source, cursor.transactionsAt, transactionsEnd, cursor.resultsAt, resultsEnd);
  cursor.transactionsAt = transactionsEnd;
  cursor.resultsAt = resultsEnd;
  cursor.index = index;
}

function appendRun(
  output: Output,
  source: MergeSource,
  txFrom: number,
  txTo: number,
  resultFrom: number,
  resultTo: number,
): void {
  output.transactions.set(source.transactions.subarray(txFrom, txTo), output.transactionsAt);
  output.results.set(source.results.subarray(resultFrom, resultTo), output.resultsAt);
  const txShift = output.transactionsAt - txFrom;
  const resultShift = output.resultsAt - resultFrom;
  let resultAt = resultFrom;
  for (let at = txFrom; at < txTo; at += txBytes(source.transactions, at)) {
    output.transactionOffsets[output.written] = at + txShift;
    output.resultOffsets[output.written] = resultAt + resultShift;
    output.written++;
    resultAt += resultBytes(source.results, resultAt);
  }
  output.transactionsAt += txTo - txFrom;
  output.resultsAt += resultTo - resultFrom;
}

/**
 * Checks that both buffers are whole records, that each transaction has its result, and that indexes ascend.
 * @returns the number of transactions, or what is wrong
 */
export function pairedCount(transactions: Uint8Array, results: Uint8Array): number | string {
  let count = 0;
  let resultAt = 0;
  let last = -1;
  for (let at = 0; at < transactions.length; count++) {
    if (at + TX_HEADER_BYTES > transactions.length) return `transaction ${count} is cut off`;
    if (resultAt + RESULT.output > results.length) return `transaction ${count} has no result`;
    const bytes = txBytes(transactions, at);
    const bytesOfResult = resultBytes(results, resultAt);
    if (bytes < TX_HEADER_BYTES || at + bytes > transactions.length) return `transaction ${count} has a wrong length ${bytes}`;
    if (bytesOfResult < RESULT.output || resultAt + bytesOfResult > results.length) {
      return `result ${count} has a wrong length ${bytesOfResult}`;
    }
    const index = txIndex(transactions, at);
    if (index <= last) return `index ${index} stands after ${last}`;
    if (resultIndex(results, resultAt) !== index)
      return `transaction at index ${index} has the result of ${resultIndex(results, resultAt)}`;
    last = index;
    at += bytes;
    resultAt += bytesOfResult;
  }
  return resultAt === results.length ? count : `results go on after transaction ${count}`;
}
