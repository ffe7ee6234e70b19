/**
 * Signs many transactions fast: EIP-1559 envelopes written directly, two keccaks and one libsecp256k1 signature each (0.07 ms;
 * wallets' libraries take 1 to 3 ms). Fees are 0 unless asked for: gas is free on this chain.
 */
import { hexOf } from "@meridian/core";
import { keccak_256 } from "@noble/hashes/sha3.js";
import secp256k1 from "secp256k1";
import type { TestAccount } from "../accounts.ts";
import { rlpBig, rlpBytes, rlpHeader, rlpList, rlpNumber, withoutZeros } from "./rlp.ts";

export interface Unsigned {
  nonce: number;
  to: Uint8Array | null; // null creates
  data: Uint8Array;
  valueWei: bigint;
  gasLimit: number;
}

export interface Signed {
  raw: string; // 0x
  hash: string; // 0x
  sender: TestAccount;
  nonce: number;
}

/** What a node that is not Meridian wants to be paid for a unit of gas. */
export interface Fees {
  tipWei: bigint;
  capWei: bigint;
}

const TYPE_1559 = 2;
/** Type of a signed batch: docs/SIGNED-BATCH.md. */
const TYPE_BATCH = 0x4d;
const EMPTY_LIST = Uint8Array.of(0xc0);
const FREE: Fees = { tipWei: 0n, capWei: 0n };

export function sign(chainId: number, sender: TestAccount, transaction: Unsigned, fees?: Fees): Signed {
  const { raw, hash } = signBytes(chainId, sender, transaction, fees);
  return { raw: `0x${hexOf(raw)}`, hash: `0x${hexOf(hash)}`, sender, nonce: transaction.nonce };
}

/** The raw transaction and its hash as bytes. */
export function signBytes(
  chainId: number,
  sender: TestAccount,
  { nonce, to, data, valueWei, gasLimit }: Unsigned,
  { tipWei, capWei }: Fees = FREE,
): { raw: Uint8Array; hash: Uint8Array } {
  const fields = [
    rlpNumber(chainId),
    rlpNumber(nonce),
    rlpBig(tipWei),
    rlpBig(capWei),
    rlpNumber(gasLimit),
    rlpBytes(to ?? new Uint8Array(0)),
    rlpBig(valueWei),
    rlpBytes(data),
    EMPTY_LIST, // access list
  ];
  const raw = envelope(TYPE_1559, [...fields, ...signature(keccak_256(envelope(TYPE_1559, fields)), sender)]);
  return { raw, hash: keccak_256(raw) };
}

/**
 * A signed batch: many calls of one sender under one signature.
 * @param nonce of the first call
 * @param calls RLP of each call, `[to, value, gas, data]`, one behind the other
 * @returns the raw batch and its id
 */
export function signBatch(
  chainId: number,
  sender: TestAccount,
  nonce: number,
  calls: Uint8Array,
): { raw: Uint8Array; id: Uint8Array } {
  const fields = [rlpNumber(chainId), rlpNumber(nonce), rlpHeader(0xc0, calls.length), calls];
  const raw = envelope(TYPE_BATCH, [...fields, ...signature(keccak_256(envelope(TYPE_BATCH, fields)), sender)]);
  return { raw, id: keccak_256(raw) };
}

function envelope(type: number, fields: readonly Uint8Array[]): Uint8Array {
  const list = rlpList(fields);
  const bytes = new Uint8Array(1 + list.length);
  bytes[0] = type;
  bytes.set(list, 1);
  return bytes;
}

function signature(digest: Uint8Array, { privateKey }: TestAccount): Uint8Array[] {
  const { signature: both, recid } = secp256k1.ecdsaSign(digest, privateKey);
  const numbers = [both.subarray(0, 32), both.subarray(32, 64)];
  return [rlpNumber(recid), ...numbers.map((bytes) => rlpBytes(withoutZeros(bytes)))];
}
