/** Packed transaction records without signatures: engines take the sender from the record, so none has to be recovered. */
import { RLP } from "@ethereumjs/rlp";
import {
  DECLARED_BYTES,
  MODE,
  TX,
  TX_CREATES,
  TX_HAS_VALUE,
  TX_HEADER_BYTES,
  concatBytes,
  hexOf,
  writeU16,
  writeU32,
  writeU64,
} from "@meridian/core";
import type { EngineModule } from "@meridian/core";

export interface TransactionFields {
  chainId: number;
  sender: Uint8Array;
  nonce: number;
  /** Null creates. */
  to: Uint8Array | null;
  value: number;
  gasLimit: number;
  input: Uint8Array;
  accessList: Uint8Array[];
  /** A toy program, in place of everything that would be signed. */
  program?: Uint8Array;
}

export interface PackedTransaction {
  record: Uint8Array;
  /** Lower-case hex. */
  hash: string;
  /** What `to` is, or where the contract will be. */
  to: Uint8Array;
}

type Hashes = Pick<EngineModule, "keccak256">;

/** Where a contract that `sender` creates with this nonce will stand. */
export const createdAddress = (hashes: Hashes, sender: Uint8Array, nonce: number): Uint8Array =>
  hashes.keccak256(RLP.encode([sender, nonce])).slice(12);

/** Where CREATE2 puts it. */
export function create2Address(hashes: Hashes, creator: Uint8Array, salt: number, init: Uint8Array): Uint8Array {
  const word = new Uint8Array(32);
  word[31] = salt;
  return hashes.keccak256(concatBytes([Uint8Array.of(0xff), creator, word, hashes.keccak256(init)])).slice(12);
}

/** The record as a gateway makes it: it declares what the transaction itself tells. */
export function packTransaction(hashes: Hashes, fields: TransactionFields): PackedTransaction {
  const { sender, nonce, value, gasLimit } = fields;
  const raw = fields.program ?? rawOf(fields);
  const hash = hashes.keccak256(raw);
  const to = fields.to ?? createdAddress(hashes, sender, nonce);
  const declared = sortedOnce([to, ...(value > 0 ? [sender] : []), ...fields.accessList]);
  const rawOffset = TX_HEADER_BYTES + DECLARED_BYTES * declared.length;
  const record = new Uint8Array(rawOffset + raw.length);
  writeU32(record, TX.bytes, record.length);
  record[TX.type] = fields.accessList.length > 0 ? 2 : 0;
  record[TX.flags] = (fields.to === null ? TX_CREATES : 0) | (value > 0 ? TX_HAS_VALUE : 0);
  writeU16(record, TX.declared, declared.length);
  writeU32(record, TX.rawOffset, rawOffset);
  writeU64(record, TX.nonce, nonce);
  writeU64(record, TX.gasLimit, gasLimit);
  record.set(hash, TX.hash);
  record.set(sender, TX.sender);
  record.set(to, TX.to);
  declared.forEach((address, index) => {
    const at = TX.declaredSet + index * DECLARED_BYTES;
    record[at] = MODE.write;
    record.set(address, at + 1);
  });
  record.set(raw, rawOffset);
  return { record, hash: hexOf(hash), to };
}

/** With an access list EIP-1559, else legacy. The sender stands in place of a signature, so that no two have one hash. */
function rawOf({ chainId, sender, nonce, to, value, gasLimit, input, accessList }: TransactionFields): Uint8Array {
  const recipient = to ?? new Uint8Array(0);
  const word = concatBytes([Uint8Array.of(1), sender]); // Without a leading zero.
  if (accessList.length === 0) return RLP.encode([nonce, 0, gasLimit, recipient, value, input, chainId * 2 + 35, word, 1]);
  const list = accessList.map((address) => [address, []]);
  return concatBytes([Uint8Array.of(2), RLP.encode([chainId, nonce, 0, 0, gasLimit, recipient, value, input, list, 0, word, 1])]);
}

function sortedOnce(addresses: readonly Uint8Array[]): Uint8Array[] {
  const sorted = [...addresses].sort((left, right) => Buffer.compare(left, right));
  return sorted.filter((address, index) => index === 0 || Buffer.compare(address, sorted[index - 1]!) !== 0);
}
