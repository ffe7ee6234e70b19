/** What happened in a run, in numbers: whether seeds really meet what they are meant to meet. */
import { txAttempt, txBytes, txCount, txIndex } from "@meridian/core";
import type { Entry } from "@meridian/core";
import type { PartitionHistory } from "./history.ts";

export interface Tally {
  transactions: number;
  groups: number;
  members: number;
  /** Local transactions that waited for their turn. */
  waiters: number;
  /** Waiters that missed for an account that is owned where they ran, and transactions that ran at once and met a lock so. */
  strictMisses: number;
  barredMisses: number;
  /** Transactions sequenced again for what they touched. */
  retries: number;
  /** Groups of the whole system. */
  wholes: number;
  aborts: number;
  terms: number;
  moves: number;
  blocks: number;
  snapshots: number;
}

export const noTally = (): Tally => ({
  ...{ transactions: 0, groups: 0, members: 0, waiters: 0, strictMisses: 0, barredMisses: 0, retries: 0, wholes: 0 },
  ...{ aborts: 0, terms: 0, moves: 0, blocks: 0, snapshots: 0 },
});

export function tallyOf(histories: readonly PartitionHistory[]): Tally {
  const tally = noTally();
  for (const { partition, log, records } of histories) {
    const members = new Set<string>();
    for (const { message } of log) {
      for (const entry of message.entries) count(tally, entry, partition === 0);
      for (const entry of message.entries) if (entry.kind === "group") addMembers(members, message.flush, entry.transactions);
    }
    for (const { transactions, settled } of records) {
      tally.transactions += txCount(transactions);
      for (const run of settled) {
        tally.transactions += txCount(run.transactions);
        tally.waiters += positionsOf(run.flush, run.transactions).filter((position) => !members.has(position)).length;
      }
    }
  }
  return tally;
}

function count(tally: Tally, entry: Entry, isFirst: boolean): void {
  if (entry.kind === "run") tally.retries += retriesIn(entry.transactions);
  if (entry.kind === "group") {
    tally.groups++;
    tally.wholes += entry.whole ? 1 : 0;
    tally.members += txCount(entry.transactions);
    tally.retries += retriesIn(entry.transactions);
  }
  if (!isFirst) return;
  if (entry.kind === "term") tally.terms++;
  if (entry.kind === "abort") tally.aborts++;
  if (entry.kind === "map") tally.moves++;
  if (entry.kind === "block") {
    tally.blocks++;
    tally.snapshots += entry.snapshot ? 1 : 0;
  }
}

function retriesIn(records: Uint8Array): number {
  let retries = 0;
  for (let at = 0; at < records.length; at += txBytes(records, at)) retries += txAttempt(records, at) > 0 ? 1 : 0;
  return retries;
}

function positionsOf(flush: number, records: Uint8Array): string[] {
  const positions: string[] = [];
  for (let at = 0; at < records.length; at += txBytes(records, at)) positions.push(`${flush}/${txIndex(records, at)}`);
  return positions;
}

function addMembers(members: Set<string>, flush: number, records: Uint8Array): void {
  for (const position of positionsOf(flush, records)) members.add(position);
}

/** Sums up. */
export function addTally(sum: Tally, tally: Tally): void {
  for (const name of Object.keys(sum) as (keyof Tally)[]) sum[name] += tally[name];
}

export const describeTally = (tally: Tally): string =>
  Object.entries(tally)
    .map(([name, number]) => `${name} ${number}`)
    .join(", ");
