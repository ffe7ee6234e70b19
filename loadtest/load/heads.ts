/** Follows the chain's head as a client sees it: when each block could first be read, and how many transactions it holds. */
import { setTimeout as delay } from "node:timers/promises";
import { IoError } from "@meridian/core";
import type { RpcClient } from "@meridian/launcher";

export interface Head {
  number: number;
  seenAt: number; // ms since 1970
  transactions: number;
}

export interface HeadFollower {
  readonly heads: readonly Head[];
  /** Transactions of all blocks seen. */
  readonly transactions: number;
  /** Resolves when `count` transactions were seen, or when nothing came for `stallMsMax`. @returns whether all were seen */
  until(count: number, stallMsMax: number): Promise<boolean>;
  stop(): Promise<void>;
}

const RETRY_MS = 250;
/** Blocks asked for at once. */
const BLOCKS = 50;

/** @param from last block that is not looked at */
export function followHeads(rpc: RpcClient, from: number, pollMs: number): HeadFollower {
  const heads: Head[] = [];
  let transactions = 0;
  let isStopped = false;
  let last = from;
  const look = async (): Promise<void> => {
    const latest = Number(await rpc.call<string>("eth_blockNumber"));
    const seenAt = Date.now();
    while (last < latest && !isStopped) {
      const numbers = Array.from({ length: Math.min(BLOCKS, latest - last) }, (_, index) => last + 1 + index);
      const calls = numbers.map((number) => ({
        method: "eth_getBlockTransactionCountByNumber",
        params: [`0x${number.toString(16)}`],
      }));
      for (const [index, answer] of (await rpc.batch(calls)).entries()) {
        const count = "result" in answer && answer.result !== null ? Number(answer.result) : undefined;
        if (count === undefined) return; // Not there yet: asked again.
        heads.push({ number: numbers[index] ?? 0, seenAt, transactions: count });
        transactions += count;
        last++;
      }
    }
  };
  const run = async (): Promise<void> => {
    while (!isStopped) {
      try {
        await look();
        await delay(pollMs);
      } catch (error) {
        if (!(error instanceof IoError)) throw error;
        await delay(RETRY_MS); // Too busy to answer: asked again.
      }
    }
  };
  const running = run();
  return {
    heads,
    get transactions() {
      return transactions;
    },
    async until(count, stallMsMax) {
      let [before, changedAt] = [transactions, Date.now()];
      while (transactions < count) {
        await delay(pollMs);
        if (transactions > before) [before, changedAt] = [transactions, Date.now()];
        if (Date.now() - changedAt > stallMsMax) return false;
      }
      return true;
    },
    async stop() {
      isStopped = true;
      await running;
    },
  };
}
