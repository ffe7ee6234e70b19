/**
 * A call of a signed batch (docs/SIGNED-BATCH.md) as a published record has it:
 * `0x4d || rlp([chainId, nonce, gas, to, value, data, batchId, i, signature])`.
 */
import { createLegacyTx } from "@ethereumjs/tx";
import type { LegacyTx } from "@ethereumjs/tx";
import type { Common } from "@ethereumjs/common";
import { bytesToBigInt, bytesToInt, concatBytes, createAddressFromString } from "@ethereumjs/util";
import { RLP } from "@ethereumjs/rlp";
import { TX_TYPE_CALL, assert } from "@meridian/core";

const FIELDS = 9;
const ID_BYTES_IN_HASH = 30;
const ID_BYTES = 32;
const SIGNATURE_FIELDS = 4;

export interface PublishedCall {
  chainId: Uint8Array;
  nonce: bigint;
  /** As they stand in the batch: [to, value, gas, data]. */
  fields: [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  batchId: Uint8Array;
  number: number;
  /** [count, yParity, r, s] of call 0; null of the others. */
  signature: Uint8Array[] | null;
}

const isBytes = (item: unknown): item is Uint8Array => item instanceof Uint8Array;

/** @throws an error of EthereumJS or an assertion if these are no bytes of a call */
export function parseCall(raw: Uint8Array): PublishedCall {
  assert(raw[0] === TX_TYPE_CALL, "the type of a call");
  const items = RLP.decode(raw.subarray(1));
  assert(Array.isArray(items) && items.length === FIELDS, `a call has ${FIELDS} fields`);
  const signature = items[FIELDS - 1];
  const fields = items.slice(0, FIELDS - 1);
  assert(fields.every(isBytes) && Array.isArray(signature) && signature.every(isBytes), "fields of a call are bytes");
  const [chainId, nonce, gas, to, value, data, batchId, number] = fields as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  assert(batchId.length === ID_BYTES && number.length <= 2, "a batch's id and a number");
  assert([0, SIGNATURE_FIELDS].includes(signature.length), "a signature or none");
  const place = number.length === 0 ? 0 : bytesToInt(number);
  assert((signature.length === 0) === place > 0, "call 0 has the signature and no other has one");
  return {
    chainId,
    nonce: nonce.length === 0 ? 0n : bytesToBigInt(nonce),
    fields: [to, value, gas, data],
    batchId,
    number: place,
    signature: place === 0 ? signature : null,
  };
}

export const callHash = ({ batchId, number }: PublishedCall): Uint8Array =>
  concatBytes(batchId.subarray(0, ID_BYTES_IN_HASH), Uint8Array.of(number >> 8, number & 0xff));

/** What EthereumJS can run: a transaction whose sender and hash are told, because no signature of its own says so. */
export function replayableCall(call: PublishedCall, sender: string, common: Common): LegacyTx {
  const [to, value, gasLimit, data] = call.fields;
  const fields = { nonce: call.nonce, gasPrice: 0n, gasLimit, value, data, ...(to.length === 0 ? {} : { to }) };
  const transaction = createLegacyTx(fields, { common });
  const address = createAddressFromString(sender);
  return Object.create(transaction, {
    getSenderAddress: { value: () => address },
    hash: { value: () => callHash(call) },
  }) as LegacyTx;
}
