/** Follows the chain's sealed blocks and says when each transaction was first seen in one. */
import { setTimeout as delay } from "node:timers/promises";
import { IoError } from "@meridian/core";
import type { RpcClient } from "./rpc.ts";

interface BlockHashes {
  transactions: string[];
}

export interface Follower {
  /** By hash: when its block was first seen, in milliseconds of `performance.now()`, and the block's number. */
  readonly seen: ReadonlyMap<string, { at: number; block: number }>;
  /** Last block that was read. */
  readonly block: number;
  /** Resolves when `count` transactions were seen. @throws IoError NOT_SEALED if that takes longer than `msMax` */
  until(count: number, msMax: number): Promise<void>;
  stop(): Promise<void>;
}

const POLL_MS = 25;
const RETRY_MS = 250;

/** @param from the last block not to read */
export function followBlocks(rpc: RpcClient, from: number): Follower {
  const seen = new Map<string, { at: number; block: number }>();
  let block = from;
  let isStopped = false;
  const run = async (): Promise<void> => {
    while (!isStopped) {
      try {
        const latest = Number(await rpc.call<string>("eth_blockNumber"));
        if (latest <= block) await delay(POLL_MS);
        while (block < latest && !isStopped) {
          const next = await rpc.call<BlockHashes | null>("eth_getBlockByNumber", `0x${(block + 1).toString(16)}`, false);
          if (next === null) break;
          const at = performance.now();
          block += 1;
          for (const hash of next.transactions) if (!seen.has(hash)) seen.set(hash, { at, block });
        }
      } catch (error) {
        if (!(error instanceof IoError)) throw error;
        await delay(RETRY_MS); // The gateway is away, as it may be: blocks are read when it is back.
      }
    }
  };
  const running = run();
  return {
    seen,
    get block() {
      return block;
    },
    async until(count, msMax) {
      const endsAt = Date.now() + msMax;
      while (seen.size < count) {
        if (Date.now() > endsAt) {
          throw new IoError(
            { code: "NOT_SEALED", text: `${seen.size} of ${count} transactions are in blocks up to ${block} after ${msMax} ms` },
            "later",
          );
        }
        await delay(POLL_MS);
      }
    },
    async stop() {
      isStopped = true;
      await running;
    },
  };
}

/** The value below which `share` (0 to 1) of the sorted numbers lie; 0 of none. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
