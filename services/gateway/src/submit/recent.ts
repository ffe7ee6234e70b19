/**
 * Transactions that were acknowledged here moments ago, so that a client that asks for its hash at once finds it although no
 * archive has it yet. Kept as the packed buffers in which they were submitted.
 */
import { findRecord } from "./records.ts";

export interface Recent {
  add(records: Uint8Array): void;
  /** Packed records and where the one with this hash starts; null if it is not among them. */
  find(hash: Uint8Array): { records: Uint8Array; at: number } | null;
}

/** @param now milliseconds of a steady clock */
export function makeRecent(options: { bytesMax: number; ageMsMax: number }, now: () => number = () => performance.now()): Recent {
  const kept: { records: Uint8Array; since: number }[] = [];
  let bytes = 0;
  const forget = (): void => {
    const oldestSince = now() - options.ageMsMax;
    while (kept[0] !== undefined && (bytes > options.bytesMax || kept[0].since < oldestSince)) {
      bytes -= kept.shift()?.records.length ?? 0;
    }
  };
  return {
    add: (records) => {
      if (records.length === 0) return;
      kept.push({ records, since: now() });
      bytes += records.length;
      forget();
    },
    find: (hash) => {
      forget();
      for (const { records } of kept) {
        const at = findRecord(records, hash);
        if (at !== undefined) return { records, at };
      }
      return null;
    },
  };
}
