/** The genesis file that the schedulers read at the chain's first start, in geth's format. */
import { writeFile } from "node:fs/promises";

export interface GenesisAccount {
  address: string; // 0x
  balanceWei: bigint;
}

/** What transactions declare fills a block, not what they use: room for 100,000 of 100,000 gas each. */
const BLOCK_GAS_LIMIT = 10_000_000_000;

/** @param pins accounts placed on chosen partitions, by 0x address */
export async function writeGenesis(
  file: string,
  chainId: number,
  accounts: readonly GenesisAccount[],
  pins: Record<string, number> = {},
): Promise<void> {
  const alloc = Object.fromEntries(
    accounts.map(({ address, balanceWei }) => [address.toLowerCase(), { balance: `0x${balanceWei.toString(16)}` }]),
  );
  const genesis = {
    config: { chainId, ...(Object.keys(pins).length > 0 ? { meridian: { pins } } : {}) },
    timestamp: `0x${Math.floor(Date.now() / 1000).toString(16)}`,
    gasLimit: `0x${BLOCK_GAS_LIMIT.toString(16)}`,
    difficulty: "0x0",
    alloc,
  };
  await writeFile(file, `${JSON.stringify(genesis, null, 2)}\n`);
}
