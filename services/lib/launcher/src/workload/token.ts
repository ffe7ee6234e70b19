/** The demo's ERC-20 tokens: deployed so that each partition gets one, and the calldata of their calls. */
import { keccak_256 } from "@noble/hashes/sha3.js";
import { IoError, type PartitionId, type RangeIndex, bytesOfHex, concatBytes, hexOf } from "@meridian/core";
import { encodeAbiParameters } from "viem";
import type { TestAccount } from "../accounts.ts";
import type { CompiledContract } from "./compile.ts";
import type { RpcClient } from "./rpc.ts";
import { type Signed, sign } from "./sign.ts";

export interface Token {
  address: `0x${string}`;
  addressBytes: Uint8Array;
  partition: PartitionId;
}

/** What a transfer to a new holder takes is about 52,000. */
export const TRANSFER_GAS_LIMIT = 100_000;
const DEPLOY_GAS_LIMIT = 16_777_216;
const RECEIPT_MS_MAX = 30_000;
const RECEIPT_POLL_MS = 50;
const NONCE_BATCH = 500;

/** transfer(to, amount) */
export function transferData(to: Uint8Array, amount: number): Uint8Array {
  const data = new Uint8Array(68);
  data.set([0xa9, 0x05, 0x9c, 0xbb]);
  data.set(to, 16);
  new DataView(data.buffer).setBigUint64(60, BigInt(amount));
  return data;
}

/** balanceOf(account), 0x hex */
export const balanceOfData = ({ address }: TestAccount): string => `0x70a08231${address.slice(2).padStart(64, "0")}`;

/** Address of the contract that a sender creates with this nonce. */
export function createdAddress(sender: TestAccount, nonce: number): Uint8Array {
  const digits: number[] = [];
  for (let rest = nonce; rest > 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256);
  const number = nonce > 0 && nonce < 128 ? [nonce] : [0x80 + digits.length, ...digits];
  return keccak_256(Uint8Array.of(0xc0 + 21 + number.length, 0x94, ...sender.addressBytes, ...number)).slice(12);
}

/** The next nonces of accounts, in order. */
export async function nextNonces(rpc: RpcClient, accounts: readonly TestAccount[]): Promise<number[]> {
  const nonces: number[] = [];
  for (let first = 0; first < accounts.length; first += NONCE_BATCH) {
    const calls = accounts
      .slice(first, first + NONCE_BATCH)
      .map(({ address }) => ({ method: "eth_getTransactionCount", params: [address, "pending"] }));
    for (const answer of await rpc.batch(calls)) {
      if ("error" in answer)
        throw new IoError({ code: "RPC_ERROR", method: "eth_getTransactionCount", message: answer.error.message }, "later");
      nonces.push(Number(answer.result));
    }
  }
  return nonces;
}

export interface Deployment {
  rpc: RpcClient;
  chainId: number;
  ranges: RangeIndex;
  token: CompiledContract;
  deployers: readonly TestAccount[];
  holders: readonly TestAccount[];
  each: number;
}

/** Deploys a token on each partition: by the deployer whose next created address falls there. @throws IoError DEPLOY */
export async function deployTokens({ rpc, chainId, ranges, token, deployers, holders, each }: Deployment): Promise<Token[]> {
  const nonces = await nextNonces(rpc, deployers);
  const free = new Set(deployers.keys());
  const planned = ranges.map.partitions.map(({ id }) => {
    const index = [...free].find((candidate) => {
      const deployer = deployers[candidate];
      return deployer !== undefined && ranges.ownerOf(createdAddress(deployer, nonces[candidate] ?? 0), 0) === id;
    });
    const deployer = index === undefined ? undefined : deployers[index];
    if (index === undefined || deployer === undefined) {
      throw new IoError(
        { code: "DEPLOY", text: `none of ${deployers.length} accounts creates its next contract on partition ${id}` },
        "never",
      );
    }
    free.delete(index);
    const nonce = nonces[index] ?? 0;
    const parameters = [{ type: "string" }, { type: "string" }, { type: "address[]" }, { type: "uint256" }] as const;
    const encoded = encodeAbiParameters(parameters, [
      `Demo ${id}`,
      `DEMO${id}`,
      holders.map(({ address }) => address),
      BigInt(each),
    ]);
    const data = concatBytes([token.initCode, bytesOfHex(encoded)]);
    const signed = sign(chainId, deployer, { nonce, to: null, data, valueWei: 0n, gasLimit: DEPLOY_GAS_LIMIT });
    const addressBytes = createdAddress(deployer, nonce);
    return { signed, token: { address: `0x${hexOf(addressBytes)}` as const, addressBytes, partition: id } };
  });
  await sendAndConfirm(
    rpc,
    planned.map(({ signed }) => signed),
  );
  return planned.map((plan) => plan.token);
}

/** Sends few transactions and waits for their receipts. @throws IoError DEPLOY if one fails */
export async function sendAndConfirm(rpc: RpcClient, transactions: readonly Signed[]): Promise<void> {
  const answers = await rpc.batch(transactions.map(({ raw }) => ({ method: "eth_sendRawTransaction", params: [raw] })));
  for (const answer of answers) if ("error" in answer) throw new IoError({ code: "DEPLOY", text: answer.error.message }, "never");
  const endsAt = Date.now() + RECEIPT_MS_MAX;
  for (const { hash } of transactions) {
    let receipt: { status: string } | null = null;
    while (receipt === null) {
      if (Date.now() > endsAt)
        throw new IoError({ code: "DEPLOY", text: `no receipt of ${hash} within ${RECEIPT_MS_MAX} ms` }, "later");
      receipt = await rpc.call<{ status: string } | null>("eth_getTransactionReceipt", hash);
      if (receipt === null) await new Promise((resolve) => setTimeout(resolve, RECEIPT_POLL_MS));
    }
    if (receipt.status !== "0x1")
      throw new IoError({ code: "DEPLOY", text: `${hash} failed: ${JSON.stringify(receipt)}` }, "never");
  }
}
