/**
 * Local transactions: those of a `run` entry, and those that waited.
 *
 * R1. With nothing open, a `run` entry is one call of the engine; nothing here looks at a transaction.
 * R2. Otherwise a transaction that conflicts with an open entry or with one that waits before it waits; the others run at once,
 *     in one call, and touch what stands open only as they have declared.
 * R3. A waiting transaction runs strict at its turn. Nonce records never wait.
 */
import { concatBytes } from "../bytes.ts";
import type { RunEntry } from "../entries.ts";
import { DECLARED_BYTES, TX, txBytes, txDeclared } from "../transactions.ts";
import type { Keys } from "./keys.ts";
import { recordConflicts } from "./keys.ts";
import { barredOf, missedPositions, openLocal, takeTurns, withoutAfter } from "./queue.ts";
import { settleRun } from "./settle.ts";
import type { Turn } from "./settle.ts";
import type { PartitionState } from "./state.ts";

const NOTHING = new Uint8Array(0);

/** Applies a `run` entry. */
export function runEntry(turn: Turn, entry: RunEntry): void {
  const { state, engine, message } = turn;
  const isFree = state.open.entries.size === 0;
  const transactions = isFree ? entry.transactions : takeFree(turn, entry.transactions);
  // Where groups stand, many entries have nonce records only: then the engine need not take these lists in.
  const hasTransactions = transactions.length > 0;
  const barred = isFree || !hasTransactions ? NOTHING : barredOf(state);
  const ran = engine.run(withoutAfter(state, transactions), entry.nonces, {
    flush: message.flush,
    strict: false,
    barred,
    missed: hasTransactions ? missedPositions(state) : NOTHING,
  });
  settleRun(turn, message.flush, transactions, ran);
}

/** Puts the transactions that have to wait into the queue; returns the others. */
function takeFree({ state, message }: Turn, transactions: Uint8Array): Uint8Array {
  const { standing } = state.open;
  const free: Uint8Array[] = [];
  let start = 0;
  for (let at = 0; at < transactions.length;) {
    const next = at + txBytes(transactions, at);
    if (standing.all.size > 0 && recordConflicts(standing, transactions, at, state.rules.sendersQueue)) {
      const record = transactions.slice(at, next);
      openLocal(state, record, keysOf(state, record), message.n, message.flush);
      if (at > start) free.push(transactions.subarray(start, at));
      start = next;
    }
    at = next;
  }
  if (start === 0) return transactions;
  if (start < transactions.length) free.push(transactions.subarray(start));
  return concatBytes(free);
}

function keysOf({ rules }: PartitionState, record: Uint8Array): Keys {
  const accounts = record.subarray(TX.declaredSet, TX.declaredSet + txDeclared(record, 0) * DECLARED_BYTES);
  const senders = rules.sendersQueue ? record.subarray(TX.sender, TX.sender + 20) : NOTHING; // Rule sendersQueue
  return { accounts, senders, whole: false };
}

/** Runs everything whose turn has come, in log order; one call of the engine for neighbours of one flush. */
export function pump(turn: Turn): void {
  const { state, engine } = turn;
  const { due, held } = takeTurns(state);
  turn.held.push(...held);
  const { waitersAreStrict, predictionsAreChecked } = state.rules;
  const strict = waitersAreStrict && predictionsAreChecked; // Rules waitersAreStrict, predictionsAreChecked
  const barred = strict ? NOTHING : barredOf(state);
  for (let first = 0; first < due.length;) {
    const flush = due[first]!.position.flush;
    let end = first + 1;
    while (end < due.length && due[end]!.position.flush === flush) end++;
    const transactions = concatBytes(due.slice(first, end).map(({ record }) => record));
    const rules = { flush, strict, barred, missed: missedPositions(state) };
    settleRun(turn, flush, transactions, engine.run(withoutAfter(state, transactions), NOTHING, rules));
    first = end;
  }
}
