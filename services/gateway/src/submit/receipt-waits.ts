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

export function makeReceiptWaits(view: ChainView, archive: Archive, log: Logger): ReceiptWaits {
  const waiting = new Map<string, Set<Waiting>>();
  let isLooking = false;
  let mustLookAgain = false;

  const ask = async (latest: Sealed): Promise<void> => {
    const hashes = [...waiting.values()].flatMap((group) => [...group].slice(0, 1).map(({ hash }) => hash));
    const found = await archive.transactions(concatBytes(hashes), latest.number);
    if ("error" in found) {
      log.warn({ ...found.error }, "The archive could not tell of transactions that are waited for.");
      return;
    }
    for (const transaction of found.value) {
      if (transaction === null || transaction.block === null || transaction.block.number > latest.number) continue;
      for (const { resolve } of waiting.get(hexOf(transaction.hash)) ?? []) resolve(transaction);
    }
  };

  /** One round at a time; what is sealed or begins to wait meanwhile is looked for after it. */
  const look = async (): Promise<void> => {
    mustLookAgain = true;
    if (isLooking) return;
    isLooking = true;
    try {
      while (mustLookAgain && waiting.size > 0) {
        mustLookAgain = false;
        const latest = view.latest();
        if (latest !== null) await ask(latest);
      }
    } catch (error) {
      if (!isIoError(error)) throw error;
      log.warn({ ...error.detail }, "No archive answers; the next block asks again.");
    } finally {
      isLooking = false;
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
