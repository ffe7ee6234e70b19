/** What became of many transactions at a time, without their records: docs/WIRE.md, query `outcomes`. */
import {
  callNumber,
  OUTCOME_BYTES,
  OUTCOME_KEY,
  OUTCOME_KEY_BYTES,
  outcomesAsked,
  readU16,
  sameBytes,
  setOutcome,
  TX,
} from "@meridian/core";
import { chunkCount, chunkResultAt, chunkTransactionAt } from "./archive-layout.ts";
import { peekChunk, placesOf, readBlock } from "./archive-read.ts";
import type { Place } from "./archive-runs.ts";
import type { ArchiveTables } from "./archive-tables.ts";

/** Outcomes of the transactions that `keys` name, in their order. */
export function readOutcomes(tables: ArchiveTables, keys: Uint8Array): Uint8Array {
  const outcomes = new Uint8Array(outcomesAsked(keys) * OUTCOME_BYTES);
  let at = 0;
  for (let key = 0; key < keys.length; key += OUTCOME_KEY_BYTES) {
    const hash = keys.subarray(key + OUTCOME_KEY.hash, key + OUTCOME_KEY.count);
    const first = callNumber(hash, 0);
    const end = first + readU16(keys, key + OUTCOME_KEY.count);
    for (const place of placesOf(tables, hash)) {
      const from = Math.max(first, place.number);
      const to = Math.min(end, place.number + place.count);
      if (from < to) writeRun(tables, place, hash, from, to, outcomes.subarray(at + (from - first) * OUTCOME_BYTES));
    }
    at += (end - first) * OUTCOME_BYTES;
  }
  return outcomes;
}

/** Writes the outcomes of numbers [from, to) of the run at `place`, if it has the hash that is asked for. */
function writeRun(tables: ArchiveTables, place: Place, hash: Uint8Array, from: number, to: number, outcomes: Uint8Array): void {
  const block = readBlock(tables, place.block);
  if (block === null) return;
  for (let next = from; next < to;) {
    const index = place.index + next - place.number;
    const { chunk, first } = peekChunk(tables, block, index);
    // All hashes of a run are equal in what comes before their number.
    if (!sameBytes(chunk, chunkTransactionAt(chunk, index - first) + TX.hash, hash, 0, 30)) return;
    const count = Math.min(to - next, chunkCount(chunk) - (index - first));
    for (let turn = 0; turn < count; turn++) {
      const at = { block: place.block, index: index + turn };
      setOutcome(outcomes, (next - from + turn) * OUTCOME_BYTES, at, chunk, chunkResultAt(chunk, index - first + turn));
    }
    next += count;
  }
}
