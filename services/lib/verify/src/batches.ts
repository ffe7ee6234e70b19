/**
 * Puts signed batches together again from their published calls and checks id and signature.
 *
 * P1. Calls of a batch may stand in several blocks; what one of them says of sender and nonce holds for all.
 * P2. A batch is proved when its last call has come: its signed bytes have the id, and the signature is the sender's.
 * P3. Batches whose calls are not all there at the end are counted: their signature cannot be checked from the blocks alone.
 */
import { RLP } from "@ethereumjs/rlp";
import { bytesToBigInt, bytesToHex, bytesToInt, concatBytes, createAddressFromPublicKey, ecrecover } from "@ethereumjs/util";
import { TX_TYPE_CALL } from "@meridian/core";
import { keccak_256 } from "@noble/hashes/sha3.js";
import type { PublishedCall } from "./call.ts";

type Report = (field: string, published: unknown, replayed: unknown) => void;

interface Open {
  sender: string;
  /** Of call 0. */
  nonce: bigint;
  chainId: Uint8Array;
  calls: Map<number, PublishedCall>;
  signature: Uint8Array[] | null;
}

const CALLS_MAX = 1_024;
const BYTES_MAX = 512 * 1_024;
/** EIP-2. */
const HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n;
const TYPE = Uint8Array.of(TX_TYPE_CALL);

export class Batches {
  #open = new Map<string, Open>();
  /** Batches whose signature was checked. */
  proved = 0;

  /** Calls of batches that are not complete. */
  get unproved(): number {
    let calls = 0;
    for (const batch of this.#open.values()) calls += batch.calls.size;
    return calls;
  }

  /** @param sender as the record says */
  add(call: PublishedCall, sender: string, report: Report): void {
    const id = bytesToHex(call.batchId);
    const { chainId, signature } = call;
    const nonce = call.nonce - BigInt(call.number);
    const batch = this.#open.get(id) ?? { sender, nonce, chainId, calls: new Map<number, PublishedCall>(), signature };
    this.#open.set(id, batch);
    if (batch.sender !== sender) report("sender of the batch", sender, batch.sender);
    if (batch.nonce !== nonce) report("nonce of the batch", nonce, batch.nonce);
    if (batch.calls.has(call.number)) report("call of the batch", call.number, "there already");
    batch.calls.set(call.number, call);
    batch.signature ??= signature;
    const count = batch.signature?.[0];
    if (count === undefined || batch.calls.size < bytesToInt(count)) return;
    this.#open.delete(id);
    this.proved++;
    prove(batch, bytesToInt(count), id, report);
  }
}

/** P2. */
function prove({ sender, nonce, chainId, calls, signature }: Open, count: number, id: string, report: Report): void {
  if (count > CALLS_MAX || calls.size !== count) report("calls of the batch", count, `${calls.size}, at most ${CALLS_MAX}`);
  const ordered = Array.from(calls.values()).sort((left, right) => left.number - right.number);
  const [, yParity, r, s] = signature as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  const signed = [chainId, nonce, ordered.map(({ fields }) => fields)];
  const bytes = concatBytes(TYPE, RLP.encode([...signed, yParity, r, s]));
  if (bytes.length > BYTES_MAX) report("bytes of the batch", bytes.length, `at most ${BYTES_MAX}`);
  const rebuilt = bytesToHex(keccak_256(bytes));
  if (rebuilt !== id) report("id of the batch", id, rebuilt);
  if (bytesToBigInt(s) > HALF_ORDER) report("signature of the batch", "s in the upper half", "refused by EIP-2");
  const signer = signerOf(keccak_256(concatBytes(TYPE, RLP.encode(signed))), yParity, r, s);
  if (signer !== sender) report("signer of the batch", sender, signer);
}

function signerOf(hash: Uint8Array, yParity: Uint8Array, r: Uint8Array, s: Uint8Array): string {
  try {
    return createAddressFromPublicKey(ecrecover(hash, yParity.length === 0 ? 0n : bytesToBigInt(yParity), r, s)).toString();
  } catch (error) {
    return `none: ${error instanceof Error ? error.message : String(error)}`;
  }
}
