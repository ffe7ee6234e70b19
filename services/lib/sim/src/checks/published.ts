/** The published order: what came to an end in each block, by the position of its last entry. */
import { resultBytes, txBytes, txIndex } from "@meridian/core";
import type { BlockContext, OutRecord } from "@meridian/core";
import { check } from "../system/failure.ts";
import type { PartitionHistory } from "./history.ts";

export interface PublishedTransaction {
  flush: number;
  index: number;
  record: Uint8Array;
  result: Uint8Array;
}

export interface PublishedBlock {
  number: number;
  /** What its transactions ran in. */
  context: BlockContext | null;
  transactions: PublishedTransaction[];
  lattices: Uint8Array[];
}

/** Blocks that all partitions have closed. @throws CheckFailed if a position appears twice, or not one result for each */
export function publishedBlocks(histories: readonly PartitionHistory[]): PublishedBlock[] {
  const blocks: PublishedBlock[] = [];
  const closed = histories.map(({ records }) => records.findLast(({ block }) => block !== null)?.block?.entry.number ?? 0);
  const last = Math.min(...closed);
  for (let number = 0; number <= last; number++) blocks.push({ number, context: null, transactions: [], lattices: [] });
  for (const { records } of histories) {
    let number = 0;
    for (const record of records) {
      const block = blocks[number];
      if (block === undefined) break;
      takeRuns(block, record);
      if (record.genesis !== null) {
        block.context = { ...record.genesis.opens, number: 0, prevrandao: new Uint8Array(32) };
        block.lattices.push(record.genesis.lattice);
      }
      if (record.block !== null) {
        block.context = record.block.context;
        block.lattices.push(record.block.lattice);
      }
      if (record.genesis !== null || record.block !== null) number++;
    }
  }
  for (const block of blocks) sort(block);
  return blocks;
}

function takeRuns({ transactions: list }: PublishedBlock, { flush, transactions, results, settled }: OutRecord): void {
  for (const run of [{ flush, transactions, results }, ...settled]) {
    let resultAt = 0;
    for (let at = 0; at < run.transactions.length;) {
      const end = at + txBytes(run.transactions, at);
      check(resultAt < run.results.length, "a transaction without a result", () => `flush ${run.flush}`);
      const resultEnd = resultAt + resultBytes(run.results, resultAt);
      list.push({
        flush: run.flush,
        index: txIndex(run.transactions, at),
        record: run.transactions.subarray(at, end),
        result: run.results.subarray(resultAt, resultEnd),
      });
      [at, resultAt] = [end, resultEnd];
    }
    check(resultAt === run.results.length, "a result without a transaction", () => `flush ${run.flush}`);
  }
}

function sort({ number, transactions }: PublishedBlock): void {
  transactions.sort((left, right) => left.flush - right.flush || left.index - right.index);
  transactions.forEach(({ flush, index }, place) => {
    const before = transactions[place - 1];
    const isNew = before === undefined || before.flush !== flush || before.index !== index;
    check(isNew, "a position appears twice", () => `${flush}/${index} in block ${number}`);
  });
}
