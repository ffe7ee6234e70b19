/** Sending a batch by a viem wallet client: `client.extend(batchActions)`. */
import type { Account, Address, Chain, Client, Hash, Transport } from "viem";
import { getChainId, getTransactionCount, sendRawTransaction } from "viem/actions";
import { SignedBatchError } from "./errors.ts";
import { batchId, callHashes } from "./serialize.ts";
import type { BatchCall, SerializedBatch } from "./serialize.ts";
import { signBatch } from "./sign.ts";
import type { BatchAccount } from "./sign.ts";

export interface SendBatch {
  calls: readonly BatchCall[];
  /** Instead of the client's own. */
  account?: BatchAccount;
  /** Nonce of call 0; the account's next one if nothing is given. */
  nonce?: number;
}

export interface SentBatch {
  id: Hash;
  /** One for each call: `waitForTransactionReceipt` and all else take them. */
  hashes: Hash[];
  /** The signed bytes: sending them again is safe. */
  serialized: SerializedBatch;
}

// A type, because viem's `extend` takes no interface.
export type BatchActions = {
  /** Signs and sends. @throws viem's errors of `eth_sendRawTransaction`: one call that is refused refuses the batch */
  sendBatch(batch: SendBatch): Promise<SentBatch>;
};

export function batchActions(client: Client<Transport, Chain | undefined, Account | undefined>): BatchActions {
  return {
    async sendBatch({ calls, account, nonce }) {
      const signer = account ?? localAccount(client.account);
      const chainId = client.chain?.id ?? (await getChainId(client));
      const serialized = await signBatch(signer, { chainId, calls, nonce: nonce ?? (await nextNonce(client, signer.address)) });
      await sendRawTransaction(client, { serializedTransaction: serialized });
      return { id: batchId(serialized), hashes: callHashes(serialized, calls.length), serialized };
    },
  };
}

const nextNonce = (client: Client, address: Address): Promise<number> =>
  getTransactionCount(client, { address, blockTag: "pending" });

function localAccount(account: Account | undefined): BatchAccount {
  if (account?.type !== "local") throw new SignedBatchError("A batch is signed by a local account.");
  return account;
}
