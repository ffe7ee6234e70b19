/** A transaction as `eth_getTransactionByHash` shows it: geth's fields in geth's order. */
import { TX, TX_TYPE_CALL, txCreates, txGasLimit, txNonce, txRaw, txType } from "@meridian/core";
import { bigNumber, hexData, hexNumber, hexQuantity } from "./hex.ts";
import { rlpBytes, rlpList, rlpNested } from "./rlp.ts";
import type { RlpItem } from "./rlp.ts";

/** Where a transaction stands; null while its block is not sealed. */
export interface Place {
  blockHash: Uint8Array;
  blockNumber: number;
  blockTimestamp: number;
  index: number;
}

/** Position of the fields inside the signed list, by transaction type. */
const FIELDS = {
  0: { gasPrice: 1, value: 4, data: 5, v: 6 },
  1: { gasPrice: 2, value: 5, data: 6, accessList: 7, v: 8 },
  2: { tip: 2, feeCap: 3, value: 6, data: 7, accessList: 8, v: 9 },
} as const;
/** The same in the raw bytes of a call of a signed batch. */
const CALL_FIELDS = { value: 4, data: 5, batchHash: 6, callIndex: 7, signature: 8 } as const;

const EIP155_V = 35n; // v = 35 + 2 * chain id + parity

/** The signed list of a raw transaction, behind the type byte of a typed one. */
const signedFields = (raw: Uint8Array, type: number): RlpItem[] => rlpList(type === 0 ? raw : raw.subarray(1));

const fieldsOf = (type: number) => FIELDS[type as keyof typeof FIELDS];
const contentOf = (type: number): { value: number; data: number } => (type === TX_TYPE_CALL ? CALL_FIELDS : fieldsOf(type));

/**
 * The transaction record at `at` of a packed buffer. What depends on fees: a type 2 transaction in a block shows `gasPrice` 0,
 * which is what it paid; before that, as geth does, its fee cap. Signed fields stand as they were signed.
 */
export function formatTransaction(records: Uint8Array, at: number, place: Place | null): Record<string, unknown> {
  const type = txType(records, at);
  const items = signedFields(txRaw(records, at), type);
  const bytes = (index: number) => rlpBytes(items, index) ?? new Uint8Array(0);
  const { value, data } = contentOf(type);
  const common = {
    blockHash: place === null ? null : hexData(place.blockHash),
    blockNumber: place === null ? null : hexNumber(place.blockNumber),
    blockTimestamp: place === null ? null : hexNumber(place.blockTimestamp),
    from: hexData(records, at + TX.sender, at + TX.sender + 20),
    gas: hexNumber(txGasLimit(records, at)),
    ...(type === TX_TYPE_CALL ? { gasPrice: "0x0" } : fees(type, bytes, place !== null)),
    hash: hexData(records, at + TX.hash, at + TX.hash + 32),
    input: hexData(bytes(data)),
    nonce: hexNumber(txNonce(records, at)),
    to: txCreates(records, at) ? null : hexData(records, at + TX.to, at + TX.to + 20),
    transactionIndex: place === null ? null : hexNumber(place.index),
    value: hexQuantity(bytes(value)),
    type: hexNumber(type),
  };
  if (type === TX_TYPE_CALL) return { ...common, chainId: hexQuantity(bytes(0)), ...callFields(items) };
  const fields = fieldsOf(type);
  const signature = { v: hexQuantity(bytes(fields.v)), r: hexQuantity(bytes(fields.v + 1)), s: hexQuantity(bytes(fields.v + 2)) };
  if (!("accessList" in fields)) return { ...common, ...legacyChainId(bytes(fields.v)), ...signature };
  const accessList = formatAccessList(rlpNested(items, fields.accessList));
  return { ...common, accessList, chainId: hexQuantity(bytes(0)), ...signature, yParity: signature.v };
}

/**
 * Where a call stands in its signed batch, with the batch's signature and number of calls at call 0; at the others there are
 * zeros, because libraries expect a signature on every transaction.
 */
function callFields(items: readonly RlpItem[]): Record<string, string> {
  const list = rlpNested(items, CALL_FIELDS.signature);
  const quantity = (index: number) => hexQuantity(rlpBytes(list, index) ?? new Uint8Array(0));
  const count = list.length === 0 ? {} : { callCount: quantity(0) };
  return { ...placeInBatch(items), ...count, v: quantity(1), r: quantity(2), s: quantity(3), yParity: quantity(1) };
}

function placeInBatch(items: readonly RlpItem[]): { batchHash: string; callIndex: string } {
  const bytes = (index: number) => rlpBytes(items, index) ?? new Uint8Array(0);
  return { batchHash: hexData(bytes(CALL_FIELDS.batchHash)), callIndex: hexQuantity(bytes(CALL_FIELDS.callIndex)) };
}

/** The batch and the number of a call, for its receipt; nothing for a single transaction. */
export function batchPlace(records: Uint8Array, at: number): { batchHash: string; callIndex: string } | null {
  return txType(records, at) === TX_TYPE_CALL ? placeInBatch(signedFields(txRaw(records, at), TX_TYPE_CALL)) : null;
}

function fees(type: number, bytes: (index: number) => Uint8Array, isInBlock: boolean): Record<string, string> {
  const fields = fieldsOf(type);
  if (!("feeCap" in fields)) return { gasPrice: hexQuantity(bytes(fields.gasPrice)) };
  const feeCap = hexQuantity(bytes(fields.feeCap));
  return { gasPrice: isInBlock ? "0x0" : feeCap, maxFeePerGas: feeCap, maxPriorityFeePerGas: hexQuantity(bytes(fields.tip)) };
}

function legacyChainId(v: Uint8Array): Record<string, string> {
  const number = bigNumber(v);
  return number < EIP155_V ? {} : { chainId: `0x${((number - EIP155_V) / 2n).toString(16)}` };
}

function formatAccessList(list: readonly RlpItem[]): { address: string; storageKeys: string[] }[] {
  return list.map((_, index) => {
    const entry = rlpNested(list, index);
    const keys = rlpNested(entry, 1);
    return {
      address: hexData(rlpBytes(entry, 0) ?? new Uint8Array(0)),
      storageKeys: keys.map((_key, key) => hexData(rlpBytes(keys, key) ?? new Uint8Array(0))),
    };
  });
}
