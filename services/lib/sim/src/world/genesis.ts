/** The first state of a simulated chain, as packed cells. */
import { createHash } from "node:crypto";
import { ACCOUNT_CELL_BYTES, CELL, CODE_CELL_HEADER_BYTES, concatBytes, withHistoryAccount, writeU32 } from "@meridian/core";
import type { EngineModule } from "@meridian/core";
import type { Genesis } from "@meridian/scheduler";

export interface GenesisAccount {
  address: Uint8Array;
  balance: number;
  code: Uint8Array;
}

export const CHAIN_ID = 31_337;
const TIMESTAMP = 1_700_000_000;
const BLOCK_GAS_LIMIT = 1_000_000_000;

export function genesisOf(
  hashes: Pick<EngineModule, "keccak256">,
  accounts: readonly GenesisAccount[],
  pins: Genesis["pins"],
): Genesis {
  const sorted = [...accounts].sort((left, right) => Buffer.compare(left.address, right.address));
  const codeHashes = new Map<Uint8Array, Uint8Array>();
  const hashOf = (code: Uint8Array): Uint8Array => {
    const hash = codeHashes.get(code) ?? hashes.keccak256(code);
    codeHashes.set(code, hash);
    return hash;
  };
  const cells = withHistoryAccount(concatBytes(sorted.flatMap((account) => cellsOf(account, hashOf(account.code)))));
  const hash = new Uint8Array(createHash("sha256").update(cells).digest());
  return { chainId: CHAIN_ID, timestamp: TIMESTAMP, blockGasLimit: BLOCK_GAS_LIMIT, cells, hash, accounts: sorted.length, pins };
}

function cellsOf({ address, balance, code }: GenesisAccount, codeHash: Uint8Array): Uint8Array[] {
  const account = new Uint8Array(ACCOUNT_CELL_BYTES);
  account[0] = CELL.account;
  account.set(address, 1);
  new DataView(account.buffer).setUint32(49, balance);
  account.set(codeHash, 53);
  if (code.length === 0) return [account];
  const codeCell = new Uint8Array(CODE_CELL_HEADER_BYTES + code.length);
  codeCell[0] = CELL.code;
  codeCell.set(address, 1);
  writeU32(codeCell, 21, code.length);
  codeCell.set(code, CODE_CELL_HEADER_BYTES);
  return [account, codeCell];
}
