/**
 * What comes to an end in one message, and what misses.
 *
 * S1. A transaction that came to an end is in exactly one record, with its result, at its own position (`flush`, index) whoever
 *     made it run. One that missed is in none; its position is remembered until the block closes.
 * S2. Runs of one flush are merged, ascending by index; flushes ascend.
 */
import { assert } from "../assert.ts";
import { concatBytes, writeU32, writeU64 } from "../bytes.ts";
import { merge } from "../blocks/merge.ts";
import type { Engine, RunResult } from "../engine.ts";
import type { LogMessage, MovedRange, OutRecord, SettledRun } from "../entries.ts";
import type { MissedTransaction } from "../messages.ts";
import { touchBytes, touchIndex } from "../touches.ts";
import { txBytes, txCount, txIndex } from "../transactions.ts";
import type { OpenGroup } from "./queue.ts";
import type { PartitionState } from "./state.ts";

/** One message while it is applied. */
export interface Turn {
  readonly state: PartitionState;
  readonly engine: Engine;
  readonly message: LogMessage;
  readonly record: OutRecord;
  /** Runs that came to an end, of any flush, in the order in which they ran. */
  readonly ended: SettledRun[];
  /** Local transactions that missed. */
  readonly missed: MissedTransaction[];
  /** Groups that got their turn. */
  readonly held: OpenGroup[];
  moves: MovedRange[];
}

const NOTHING = new Uint8Array(0);
const POSITION_BYTES = 12;

export function beginTurn(state: PartitionState, message: LogMessage, engine: Engine): Turn {
  const record: OutRecord = {
    n: message.n,
    flush: message.flush,
    transactions: NOTHING,
    results: NOTHING,
    settled: [],
    block: null,
    genesis: null,
    map: null,
  };
  return { state, engine, message, record, ended: [], missed: [], held: [], moves: [] };
}

/** Takes what a run of local transactions of one flush came to. */
export function settleRun(turn: Turn, flush: number, transactions: Uint8Array, { results, misses }: RunResult): void {
  if (misses.length === 0) {
    if (transactions.length > 0) turn.ended.push({ flush, transactions, results });
    return;
  }
  const indexes: number[] = [];
  const touches = new Map<number, Uint8Array>();
  for (let at = 0; at < misses.length; at += touchBytes(misses, at)) {
    indexes.push(touchIndex(misses, at));
    touches.set(touchIndex(misses, at), misses.slice(at, at + touchBytes(misses, at)));
  }
  for (let at = 0; at < transactions.length; at += txBytes(transactions, at)) {
    const touch = touches.get(txIndex(transactions, at));
    if (touch === undefined) continue;
    turn.missed.push({ flush, record: transactions.slice(at, at + txBytes(transactions, at)), touch });
  }
  turn.state.misses += indexes.length;
  addMissed(turn.state, flush, indexes);
  const ended = recordsWithout(transactions, touches);
  if (ended.length > 0) turn.ended.push({ flush, transactions: ended, results });
}

/** Remembers positions that missed. */
export function addMissed(state: PartitionState, flush: number, indexes: readonly number[]): void {
  if (indexes.length === 0) return;
  const added = new Uint8Array(indexes.length * POSITION_BYTES);
  indexes.forEach((index, number) => {
    writeU64(added, number * POSITION_BYTES, flush);
    writeU32(added, number * POSITION_BYTES + 8, index);
  });
  state.missed = concatBytes([state.missed, added]);
}

/** The packed records whose index is not among `left`, in order; neighbours are copied at once. */
export function recordsWithout(transactions: Uint8Array, left: { has(index: number): boolean }): Uint8Array {
  const parts: Uint8Array[] = [];
  let start = 0;
  for (let at = 0; at < transactions.length;) {
    const next = at + txBytes(transactions, at);
    if (left.has(txIndex(transactions, at))) {
      if (at > start) parts.push(transactions.subarray(start, at));
      start = next;
    }
    at = next;
  }
  if (start === 0) return transactions;
  if (start < transactions.length) parts.push(transactions.subarray(start));
  return concatBytes(parts);
}

/** Writes everything that came to an end into the record. */
export function endTurn({ state, message, record, ended }: Turn): void {
  const [only] = ended;
  if (only === undefined) return;
  if (ended.length === 1 && only.flush === message.flush) {
    record.transactions = only.transactions; // The usual case: without a copy.
    record.results = only.results;
    return;
  }
  const own = ended.filter(({ flush }) => flush === message.flush);
  if (own.length > 0) ({ transactions: record.transactions, results: record.results } = merged(own));
  const earlier = [...new Set(ended.map(({ flush }) => flush))].filter((flush) => flush !== message.flush);
  earlier.sort((left, right) => left - right);
  record.settled = earlier.map((flush) => merged(ended.filter((run) => run.flush === flush)));
  if (!state.rules.publishedAtEntry) for (const run of record.settled) run.flush = message.flush; // Rule publishedAtEntry
}

/** Runs of one flush as one, ascending by index. */
function merged(runs: SettledRun[]): SettledRun {
  const [first] = runs;
  assert(first !== undefined, "no runs to merge");
  if (runs.length === 1) return first;
  const sources = runs.map((run) => ({ ...run, count: txCount(run.transactions) }));
  const whole = merge(sources);
  assert("count" in whole, `a transaction of flush ${first.flush} came to an end twice`);
  return { flush: first.flush, transactions: whole.transactions, results: whole.results };
}
