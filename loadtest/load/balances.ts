/** Balances at the last sealed block, by eth_call in batches. */
import { IoError } from "@meridian/core";
import type { RpcClient } from "@meridian/launcher";
import type { BalanceReader } from "./scenarios/scenario.ts";

const BATCH = 500;
const TRIES_MAX = 5;
/** balanceOf(address) */
const SELECTOR = "0x70a08231";

export function balanceReader(rpc: RpcClient): BalanceReader {
  const part = async (contract: string, holders: readonly string[]): Promise<bigint[]> => {
    const calls = holders.map((holder) => ({
      method: "eth_call",
      params: [{ to: contract, data: `${SELECTOR}${holder.slice(2).padStart(64, "0")}` }, "latest"],
    }));
    for (let tries = 1; ; tries++) {
      const answers = await rpc.batch(calls);
      const failed = answers.find((answer) => "error" in answer);
      if (failed === undefined) return answers.map((answer) => BigInt("result" in answer ? (answer.result as string) : 0));
      if (tries === TRIES_MAX && "error" in failed)
        throw new IoError({ code: "RPC_ERROR", method: "eth_call", message: failed.error.message }, "later");
    }
  };
  return {
    async balances(contract, holders) {
      const balances: bigint[] = [];
      for (let first = 0; first < holders.length; first += BATCH) {
        balances.push(...(await part(contract, holders.slice(first, first + BATCH))));
      }
      return balances;
    },
  };
}
