/** Signing of batches by viem's local accounts, and whose signature one has. */
import { keccak256, recoverAddress } from "viem";
import type { Address, Hash, Hex, LocalAccount } from "viem";
import { SignedBatchError } from "./errors.ts";
import { parseBatch, serializeBatch } from "./serialize.ts";
import type { Batch, SerializedBatch } from "./serialize.ts";
import { parseSignature } from "viem";

/** An account that signs hashes, as `privateKeyToAccount` and `mnemonicToAccount` make them. */
export type BatchAccount = Pick<LocalAccount, "address"> & { sign?: LocalAccount["sign"] };

/** The hash that is signed. */
export const hashBatch = ({ chainId, nonce, calls }: Batch): Hash => keccak256(serializeBatch({ chainId, nonce, calls }));

/** @returns the bytes to send. @throws SignedBatchError if the account cannot sign hashes */
export async function signBatch(account: BatchAccount, batch: Batch): Promise<SerializedBatch> {
  if (account.sign === undefined) throw new SignedBatchError(`Account ${account.address} cannot sign a hash.`);
  return serializeBatch(batch, parseSignature(await account.sign({ hash: hashBatch(batch) })));
}

/** Whose signature a batch has. */
export async function recoverBatchSender(serialized: Hex): Promise<Address> {
  const { signature, ...batch } = parseBatch(serialized);
  return recoverAddress({ hash: hashBatch(batch), signature });
}
