/**
 * Signed batches as bytes (docs/SIGNED-BATCH.md): `0x4d || rlp([chainId, nonce, calls, yParity, r, s])`, a call in it
 * `[to, value, gas, data]`. The functions are a viem serializer and its way back.
 */
import {
  concatHex,
  fromRlp,
  hexToBigInt,
  keccak256,
  numberToHex,
  pad,
  serializeTransaction,
  size,
  slice,
  toRlp,
  trim,
} from "viem";
import type { Address, Hash, Hex, Signature, TransactionSerializable } from "viem";
import { SignedBatchError } from "./errors.ts";

/** EIP-2718 type of a signed batch. */
export const BATCH_TYPE = "0x4d";
export const CALLS_MAX = 1_024;
export const BATCH_BYTES_MAX = 512 * 1_024;
/** The largest nonce of a transaction. */
const NONCE_MAX = Number.MAX_SAFE_INTEGER;

export interface BatchCall {
  /** null or nothing creates a contract. */
  to?: Address | null | undefined;
  value?: bigint | undefined;
  /** Gas limit of this call. */
  gas: bigint;
  data?: Hex | undefined;
}

/** Calls of one account; call i has nonce + i. */
export interface Batch {
  chainId: number;
  nonce: number;
  calls: readonly BatchCall[];
}

export type SerializedBatch = `0x4d${string}`;

const quantity = (value: bigint | number): Hex => (BigInt(value) === 0n ? "0x" : numberToHex(value));
const word = (value: Hex): Hex => (trim(value) === "0x00" ? "0x" : trim(value));

/** @returns the bytes to be signed, or with a signature those to be sent. @throws SignedBatchError */
export function serializeBatch({ chainId, nonce, calls }: Batch, signature?: Signature): SerializedBatch {
  if (calls.length === 0 || calls.length > CALLS_MAX) {
    throw new SignedBatchError(`A signed batch has 1 to ${CALLS_MAX} calls, not ${calls.length}.`);
  }
  if (nonce > NONCE_MAX - (calls.length - 1))
    throw new SignedBatchError(`Nonce ${nonce} leaves no room for ${calls.length} calls.`);
  const list = calls.map(({ to, value, gas, data }) => [to ?? "0x", quantity(value ?? 0n), quantity(gas), data ?? "0x"] as const);
  const signed = signature === undefined ? [] : [quantity(parityOf(signature)), word(signature.r), word(signature.s)];
  const serialized = concatHex([BATCH_TYPE, toRlp([quantity(chainId), quantity(nonce), list, ...signed])]) as SerializedBatch;
  if (size(serialized) > BATCH_BYTES_MAX) {
    throw new SignedBatchError(`A signed batch has at most ${BATCH_BYTES_MAX} bytes, not ${size(serialized)}.`);
  }
  return serialized;
}

function parityOf({ yParity, v }: Signature): number {
  if (yParity === undefined && v === undefined) throw new SignedBatchError("The signature has no parity.");
  return yParity ?? (v === 27n || v === 0n ? 0 : 1);
}

/** A serializer for a viem chain: batches by the rules of this chain, all other transactions as viem does it. */
export function serializeMeridian(transaction: TransactionSerializable | Batch, signature?: Signature): Hex {
  return "calls" in transaction ? serializeBatch(transaction, signature) : serializeTransaction(transaction, signature);
}

/** Takes a signed batch apart. @throws SignedBatchError */
export function parseBatch(serialized: Hex): Batch & { signature: Signature } {
  const fields = slice(serialized, 0, 1) === BATCH_TYPE ? fromRlp(slice(serialized, 1), "hex") : null;
  if (!Array.isArray(fields) || fields.length !== 6) throw new SignedBatchError("These bytes are no signed batch.");
  const [chainId, nonce, calls, yParity, r, s] = fields as readonly RlpField[];
  if (!Array.isArray(calls)) throw new SignedBatchError("The calls of a batch are a list.");
  return {
    chainId: Number(number(chainId)),
    nonce: Number(number(nonce)),
    calls: calls.map(parseCall),
    signature: { yParity: Number(number(yParity)), r: pad(bytes(r)), s: pad(bytes(s)) },
  };
}

type RlpField = Hex | readonly RlpField[];

function parseCall(call: RlpField): BatchCall {
  if (!Array.isArray(call) || call.length !== 4) throw new SignedBatchError("A call of a batch is [to, value, gas, data].");
  const [to, value, gas, data] = call as readonly RlpField[];
  const target = bytes(to);
  return {
    to: target === "0x" ? null : target,
    value: number(value),
    gas: number(gas),
    data: bytes(data),
  };
}

function bytes(field: RlpField | undefined): Hex {
  if (typeof field !== "string") throw new SignedBatchError("A field of a batch is missing or a list.");
  return field;
}

const number = (field: RlpField | undefined): bigint => (field === "0x" ? 0n : hexToBigInt(bytes(field)));

/** The batch's id: the hash of its signed bytes. */
export const batchId = (serialized: SerializedBatch): Hash => keccak256(serialized);

/** Hash of call `call` of a batch: its receipt and its transaction are found under it. */
export const callHash = (id: Hash, call: number): Hash => concatHex([slice(id, 0, 30), numberToHex(call, { size: 2 })]);

/** Hashes of all calls of a batch. */
export function callHashes(serialized: SerializedBatch, calls: number): Hash[] {
  const id = batchId(serialized);
  return Array.from({ length: calls }, (_, call) => callHash(id, call));
}
