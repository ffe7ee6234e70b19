/**
 * What became of transactions, packed: the archive's short answer for many at a time.
 *
 * A *key* names `count` transactions whose hashes differ in their last two bytes only and count up from the first one's, as those
 * of a batch's calls do: b32 hash of the first, u16 count. A single transaction is a key with count 1. For each transaction comes
 * an *outcome* (24 bytes): u64 number of its block + 1 (0: in no block yet), u32 index in it, u8 status, u8 reason, u16 0,
 * u64 gasUsed. All numbers little-endian, but for those two bytes of the hash.
 */
import { readU16, writeU16, writeU32, writeU64 } from "./bytes.ts";
import { resultGasUsed, resultReason, resultStatus } from "./results.ts";

export const OUTCOME = { block: 0, index: 8, status: 12, reason: 13, gasUsed: 16 } as const;
export const OUTCOME_BYTES = 24;
export const OUTCOME_KEY = { hash: 0, count: 32 } as const;
export const OUTCOME_KEY_BYTES = 34;
/** Where a call's number in its batch stands in its hash. */
export const CALL_NUMBER = 30;

/** Transactions that `keys` name. */
export function outcomesAsked(keys: Uint8Array): number {
  let count = 0;
  for (let at = 0; at < keys.length; at += OUTCOME_KEY_BYTES) count += readU16(keys, at + OUTCOME_KEY.count);
  return count;
}

/** Number in the last two bytes of the hash at `at`: of a call's hash, which call of its batch it is. */
export const callNumber = (bytes: Uint8Array, at: number): number =>
  (bytes[at + CALL_NUMBER]! << 8) | bytes[at + CALL_NUMBER + 1]!;

export function setCallNumber(bytes: Uint8Array, at: number, number: number): void {
  bytes[at + CALL_NUMBER] = number >>> 8;
  bytes[at + CALL_NUMBER + 1] = number;
}

/** Writes the outcome at `at` of the transaction at a place, whose result stands at `resultAt`. */
export function setOutcome(
  outcomes: Uint8Array,
  at: number,
  { block, index }: { block: number; index: number },
  results: Uint8Array,
  resultAt: number,
): void {
  writeU64(outcomes, at + OUTCOME.block, block + 1);
  writeU32(outcomes, at + OUTCOME.index, index);
  outcomes[at + OUTCOME.status] = resultStatus(results, resultAt);
  outcomes[at + OUTCOME.reason] = resultReason(results, resultAt);
  writeU64(outcomes, at + OUTCOME.gasUsed, resultGasUsed(results, resultAt));
}

/** A transaction in a block. */
export interface PlacedResult {
  block: { number: number } | null;
  index: number;
  result: Uint8Array; // one packed record
}

/** Outcomes looked up one by one: for stores in memory. */
export function outcomesBy(keys: Uint8Array, find: (hash: Uint8Array) => PlacedResult | null): Uint8Array {
  const outcomes = new Uint8Array(outcomesAsked(keys) * OUTCOME_BYTES);
  let at = 0;
  for (let key = 0; key < keys.length; key += OUTCOME_KEY_BYTES) {
    const hash = keys.slice(key, key + OUTCOME_KEY.count);
    const first = callNumber(hash, 0);
    for (let number = 0; number < readU16(keys, key + OUTCOME_KEY.count); number++, at += OUTCOME_BYTES) {
      setCallNumber(hash, 0, first + number);
      const found = find(hash);
      if (found === null || found.block === null) continue;
      setOutcome(outcomes, at, { block: found.block.number, index: found.index }, found.result, 0);
    }
  }
  return outcomes;
}

/** Packs keys; `hash` is that of the first of `count` transactions. */
export function packOutcomeKeys(keys: readonly { hash: Uint8Array; count: number }[]): Uint8Array {
  const packed = new Uint8Array(keys.length * OUTCOME_KEY_BYTES);
  keys.forEach(({ hash, count }, number) => {
    packed.set(hash, number * OUTCOME_KEY_BYTES);
    writeU16(packed, number * OUTCOME_KEY_BYTES + OUTCOME_KEY.count, count);
  });
  return packed;
}
