/** eth_sendRawTransactionSync: waits until the block of a transaction is sealed. One query for all that wait, once a block. */
import type { ArchiveTransaction, Logger } from "@meridian/core";
import { concatBytes, hexOf, isIoError } from "@meridian/core";
import type { Archive } from "../chain/archive.ts";
import type { ChainView, Sealed } from "../chain/view.ts";

export interface ReceiptWaits {
  /** Resolves with the transaction once its block is sealed; null after `msMax`. */
  wait(hash: Uint8Array, msMax: number): Promise<ArchiveTransaction | null>;
  waiting(): number;
}

interface Waiting {
  hash: Uint8Array;
  resolve: (transaction: ArchiveTransaction | null) => void;
}
const QUERY_HASHES_MAX = 256;

export function makeReceiptWaits(view: ChainView, archive: Archive, log: Logger): ReceiptWaits {
  const waiting = new Map<string, Set<Waiting>>();
  let isAsking = false;

  const ask = async (latest: Sealed): Promise<void> => {
    const hashes = [...waiting.values()].flatMap((group) => [...group].slice(0, 1).map(({ hash }) => hash));
    for (let start = 0; start < hashes.length; start += QUERY_HASHES_MAX) {
      const found = await archive.transactions(concatBytes(hashes.slice(start, start + QUERY_HASHES_MAX)), latest.number);
      if ("error" in found) {
        log.warn({ ...found.error }, "The archive could not tell of transactions that are waited for.");
        return;
      }
      for (const transaction of found.value) {
        if (transaction === null || transaction.block === null || transaction.block.number > latest.number) continue;
        for (const { resolve } of waiting.get(hexOf(transaction.hash)) ?? []) resolve(transaction);
      }
    }
  };

  /** A block that is sealed while an answer is on its way is asked for after it: one round at a time. */
  const look = async (): Promise<void> => {
    if (isAsking) return;
    isAsking = true;
    try {
      for (let asked = -1; waiting.size > 0;) {
        const latest = view.latest();
        if (latest === null || latest.number === asked) break;
        asked = latest.number;
        await ask(latest);
      }
    } catch (error) {
      if (!isIoError(error)) throw error;
      log.warn({ ...error.detail }, "No archive answers; the next block asks again.");
    } finally {
      isAsking = false;
    }
  };
  view.onSealed(() => void look());

  return {
    waiting: () => waiting.size,
    wait: async (hash, msMax) =>
      new Promise((resolve) => {
        const key = hexOf(hash);
        const group = waiting.get(key) ?? new Set<Waiting>();
        const own: Waiting = {
          hash,
          resolve: (transaction) => {
            clearTimeout(timer);
            group.delete(own);
            if (group.size === 0) waiting.delete(key);
            resolve(transaction);
          },
        };
        const timer = setTimeout(() => own.resolve(null), msMax);
        waiting.set(key, group.add(own));
        void look(); // It may be sealed already, if it was sent before.
      }),
  };
}
