/** Signed transactions, records and genesis cells for tests and benchmarks. */
import { RLP } from "@ethereumjs/rlp";
import {
  CELL,
  DECLARED_BYTES,
  DECODE,
  MODE,
  NONCE,
  NONCE_BYTES,
  TX,
  TX_HAS_VALUE,
  TX_HEADER_BYTES,
  assert,
  concatBytes,
  setTxIndex,
  txOffsets,
  writeU32,
  writeU64,
} from "@meridian/core";
import type { DecodeLimits, EngineModule, ProposalRules, RunRules } from "@meridian/core";
import { keccak_256 } from "@noble/hashes/sha3.js";
import secp256k1 from "secp256k1";
import { Writer } from "../src/writer.ts";

export const CHAIN_ID = 4242;
export const LIMITS: DecodeLimits = { chainId: CHAIN_ID, gasLimitMax: 16_777_216, transactionBytesMax: 131_072 };
export const GAS_LIMIT = 200_000;
export const EMPTY_CODE_HASH = keccak_256(new Uint8Array(0));

const NONE: Uint8Array = new Uint8Array(0);
/** Nothing is locked and nothing has missed. */
export const FREE_RUN: RunRules = { flush: 1, strict: false, barred: NONE, missed: NONE };
/** Everything is locked for the group. */
export const WHOLE: ProposalRules = { flush: 1, allowed: NONE, whole: true, missed: NONE };

export interface Key {
  secret: Uint8Array;
  address: Uint8Array;
}

/** The key of a number: the same in every run. */
export function key(number: number): Key {
  const secret = keccak_256(new TextEncoder().encode(`key ${number}`));
  const point = secp256k1.publicKeyCreate(secret, false);
  return { secret, address: keccak_256(point.subarray(1)).subarray(12) };
}

/** What a transaction says; everything has a default. */
export interface TxFields {
  type?: 0 | 1 | 2;
  chainId?: number;
  nonce?: number | bigint | Uint8Array;
  price?: bigint;
  tip?: bigint;
  gasLimit?: number;
  to?: Uint8Array | null;
  value?: bigint;
  data?: Uint8Array;
  accessList?: [Uint8Array, Uint8Array[]][];
}

type Field = Uint8Array | bigint | number | Field[];

/** Number as RLP wants it: big-endian without leading zeros. */
export function quantity(value: number | bigint): Uint8Array {
  const hex = BigInt(value).toString(16);
  return value === 0 || value === 0n ? new Uint8Array(0) : Uint8Array.from(Buffer.from(hex.length % 2 ? `0${hex}` : hex, "hex"));
}

export const rlpOf = (fields: Field[]): Uint8Array =>
  RLP.encode(fields.map((field) => (typeof field === "number" || typeof field === "bigint" ? quantity(field) : field)));

/** The fields that are signed, in their order. */
export function unsignedFields(tx: TxFields): Field[] {
  const { type = 2, chainId = CHAIN_ID, nonce = 0, price = 0n, tip = 0n, gasLimit = GAS_LIMIT, to = null, value = 0n } = tx;
  const call = [gasLimit, to ?? new Uint8Array(0), value, tx.data ?? new Uint8Array(0)];
  const list = (tx.accessList ?? []) as unknown as Field[];
  if (type === 0) return [nonce, price, ...call];
  if (type === 1) return [chainId, nonce, price, ...call, list];
  return [chainId, nonce, tip, price, ...call, list];
}

/** Where a creation puts its contract. */
export const created = (creator: Uint8Array, nonce: number): Uint8Array => keccak_256(rlpOf([creator, nonce])).slice(12);

/** Signs and encodes. */
export function sign(tx: TxFields, signer: Key): Uint8Array {
  const { type = 2, chainId = CHAIN_ID } = tx;
  const fields = unsignedFields(tx);
  const head = type === 0 ? new Uint8Array(0) : Uint8Array.of(type);
  const message = concatBytes([head, rlpOf(type === 0 ? [...fields, chainId, 0, 0] : fields)]);
  const { signature, recid } = secp256k1.ecdsaSign(keccak_256(message), signer.secret);
  const v = type === 0 ? chainId * 2 + 35 + recid : recid;
  return encode(tx, v, BigInt(`0x${hex(signature.subarray(0, 32))}`), BigInt(`0x${hex(signature.subarray(32))}`));
}

/** Encodes with a given signature. */
export function encode(tx: TxFields, v: number | bigint, r: bigint, s: bigint): Uint8Array {
  const { type = 2 } = tx;
  const head = type === 0 ? new Uint8Array(0) : Uint8Array.of(type);
  return concatBytes([head, rlpOf([...unsignedFields(tx), v, r, s])]);
}

/** What a call of a signed batch says; everything has a default. */
export interface CallFields {
  to?: Uint8Array | null;
  value?: bigint;
  gas?: number;
  data?: Uint8Array;
}

export interface BatchFields {
  chainId?: number;
  nonce?: number | bigint;
  calls: CallFields[];
}

const BATCH_TYPE = Uint8Array.of(0x4d);
const NO_BYTES: Uint8Array = new Uint8Array(0);

export const unsignedBatch = ({ chainId = CHAIN_ID, nonce = 0, calls }: BatchFields): Field[] => [
  chainId,
  nonce,
  calls.map(({ to = null, value = 0n, gas = GAS_LIMIT, data = NO_BYTES }): Field[] => [
    to ?? NO_BYTES,
    quantity(value),
    quantity(gas),
    data,
  ]),
];

/** Parity, r and s of a signature over a batch. */
export function batchSignature(batch: BatchFields, signer: Key): [parity: number, r: bigint, s: bigint] {
  const message = concatBytes([BATCH_TYPE, rlpOf(unsignedBatch(batch))]);
  const { signature, recid } = secp256k1.ecdsaSign(keccak_256(message), signer.secret);
  return [recid, BigInt(`0x${hex(signature.subarray(0, 32))}`), BigInt(`0x${hex(signature.subarray(32))}`)];
}

export const encodeBatch = (batch: BatchFields, signature: [number, bigint, bigint]): Uint8Array =>
  concatBytes([BATCH_TYPE, rlpOf([...unsignedBatch(batch), ...signature])]);

export const signBatch = (batch: BatchFields, signer: Key): Uint8Array => encodeBatch(batch, batchSignature(batch, signer));

/** Hash of a call of the batch with these signed bytes. */
export function callHash(batch: Uint8Array, call: number): Uint8Array {
  const hash = keccak_256(batch);
  return Uint8Array.from([...hash.subarray(0, 30), call >> 8, call & 0xff]);
}

/** The raw bytes of a call's record, and so the leaf of the transactions root. */
export function callRaw(batch: BatchFields, signature: [number, bigint, bigint], number: number): Uint8Array {
  const { chainId = CHAIN_ID, nonce = 0, calls } = batch;
  const { to = null, value = 0n, gas = GAS_LIMIT, data = NO_BYTES } = calls[number] ?? {};
  const id = keccak_256(encodeBatch(batch, signature));
  const signed: Field[] = number === 0 ? [calls.length, ...signature].map(quantity) : [];
  return concatBytes([
    BATCH_TYPE,
    rlpOf([chainId, BigInt(nonce) + BigInt(number), gas, to ?? NO_BYTES, value, data, id, number, signed]),
  ]);
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
export const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replace(/^0x/, ""), "hex"));

export function word(value: number | bigint): Uint8Array {
  return bytes(BigInt(value).toString(16).padStart(64, "0"));
}

export const packRaw = (raws: Uint8Array[]): Uint8Array => {
  const writer = new Writer(1024);
  for (const raw of raws) writer.part(raw);
  return writer.done();
};

/** Decodes signed transactions to records with indexes from `first` on. */
export function records(module: EngineModule, raws: Uint8Array[], first = 0): Uint8Array {
  const decoded = module.decode(packRaw(raws), LIMITS);
  const refused = decoded.statuses.findIndex((status) => status !== DECODE.ok);
  assert(refused < 0, `transaction ${refused} refused: ${decoded.statuses[refused]}`);
  txOffsets(decoded.records).forEach((at, number) => setTxIndex(decoded.records, at, first + number));
  return decoded.records;
}

/** The nonce records that go with transaction records. */
export function nonceRecords(transactions: Uint8Array): Uint8Array {
  const offsets = txOffsets(transactions);
  const nonces = new Uint8Array(offsets.length * NONCE_BYTES);
  offsets.forEach((at, number) => {
    const record = nonces.subarray(number * NONCE_BYTES);
    record.set(transactions.subarray(at + TX.index, at + TX.index + 4), NONCE.index);
    record.set(transactions.subarray(at + TX.sender, at + TX.sender + 20), NONCE.sender);
    record.set(transactions.subarray(at + TX.nonce, at + TX.nonce + 8), NONCE.nonce);
    record.set(transactions.subarray(at + TX.hash, at + TX.hash + 32), NONCE.hash);
  });
  return nonces;
}

export const accountCell = (address: Uint8Array, balance: bigint, codeHash = EMPTY_CODE_HASH): Uint8Array =>
  new Writer(85).u8(CELL.account).bytes(address).bytes(word(balance)).bytes(codeHash).done();

export const nonceCell = (address: Uint8Array, nonce: number, hash: Uint8Array = new Uint8Array(32)): Uint8Array =>
  new Writer(61).u8(CELL.nonce).bytes(address).u64(nonce).bytes(hash).done();

export const slotCell = (address: Uint8Array, slot: Uint8Array, value: Uint8Array): Uint8Array =>
  new Writer(85).u8(CELL.slot).bytes(address).bytes(slot).bytes(value).done();

/** An account with code: its record and its code. */
export const contractCells = (address: Uint8Array, code: Uint8Array, balance = 0n): Uint8Array =>
  concatBytes([
    accountCell(address, balance, keccak_256(code)),
    nonceCell(address, 1),
    new Writer(25 + code.length).u8(CELL.code).bytes(address).part(code).done(),
  ]);

export function number32(value: number): Uint8Array {
  const out = new Uint8Array(4);
  writeU32(out, 0, value);
  return out;
}

export function number64(value: number): Uint8Array {
  const out = new Uint8Array(8);
  writeU64(out, 0, value);
  return out;
}

export const EVERYTHING = {
  ranges: [{ first: new Uint8Array(20), last: new Uint8Array(20).fill(0xff) }],
  pinsIn: [],
  pinsOut: [],
};

export const context = (number: number): { number: number; timestamp: number; prevrandao: Uint8Array; gasLimit: number } => ({
  number,
  timestamp: 1_700_000_000 + number,
  prevrandao: keccak_256(number64(number)),
  gasLimit: 1_000_000_000,
});

/** A transaction of a sender without a key. */
export interface Unsigned {
  sender: Uint8Array;
  fields: TxFields;
}

/** Records as `decode` would make them, with a signature that nothing checks any more. */
export function unsignedRecords(module: EngineModule, transactions: Unsigned[], first = 0): Uint8Array {
  const writer = new Writer(transactions.length * 256);
  transactions.forEach(({ sender, fields }, number) => {
    const raw = encode(fields, 0, 1n, 1n);
    const [value, to] = [fields.value ?? 0n, fields.to ?? new Uint8Array(20)];
    writer.u32(TX_HEADER_BYTES + DECLARED_BYTES + raw.length).u32(first + number);
    writer
      .u8(fields.type ?? 2)
      .u8(value > 0n ? TX_HAS_VALUE : 0)
      .u16(1)
      .u32(TX_HEADER_BYTES + DECLARED_BYTES);
    writer
      .u64(Number(fields.nonce ?? 0))
      .u64(fields.gasLimit ?? GAS_LIMIT)
      .bytes(module.keccak256(raw));
    writer.bytes(sender).bytes(to).bytes(new Uint8Array(16)).u8(MODE.write).bytes(to).bytes(raw);
  });
  return writer.done();
}
