/**
 * The packed transaction record: what the gateway's worker makes of a raw signed transaction, and what stays the same from
 * there through scheduler, LOG, partition and OUT to the archive. Records stand behind each other in one buffer.
 *
 * | offset | type | field |
 * |---|---|---|
 * | 0 | u32 | bytes: length of the whole record |
 * | 4 | u32 | index inside the flush; written by the scheduler, 0 before |
 * | 8 | u8 | type: 0 legacy, 1 EIP-2930, 2 EIP-1559, 0x4d call of a signed batch (docs/SIGNED-BATCH.md) |
 * | 9 | u8 | flags: 1 creates (no `to`), 2 carries value |
 * | 10 | u16 | declared: number of declared accounts |
 * | 12 | u32 | rawOffset: where the raw signed transaction starts in this record (= 120 + 21 * declared) |
 * | 16 | u64 | nonce, below 2^53 |
 * | 24 | u64 | gasLimit, below 2^53 |
 * | 32 | b32 | hash |
 * | 64 | b20 | sender |
 * | 84 | b20 | to; the address to be created if `creates` |
 * | 104 | u64 | afterFlush: flush of the sender's transaction before this one, if it stands in the open block; else 0 |
 * | 112 | u32 | afterIndex: its index there |
 * | 116 | u8 | attempt: how often this transaction has missed, 0 to 3 |
 * | 117 | 3 bytes | reserved, 0 |
 * | 120 | (u8 mode, b20 address) * declared | the declared set, ascending by address, each account once |
 * | rawOffset | bytes | the raw signed transaction (EIP-2718 envelope), to the end; of a call all of it and of its batch |
 *
 * `afterFlush`, `afterIndex`, `attempt` and the declared set are written by the scheduler when it sequences the record; a gateway
 * leaves 0 and declares what the transaction itself tells: `to`, the sender if value moves, the access list.
 * All numbers little-endian.
 */
import { readU16, readU32, readU64, writeU32 } from "./bytes.ts";

export const TX = {
  bytes: 0,
  index: 4,
  type: 8,
  flags: 9,
  declared: 10,
  rawOffset: 12,
  nonce: 16,
  gasLimit: 24,
  hash: 32,
  sender: 64,
  to: 84,
  afterFlush: 104,
  afterIndex: 112,
  attempt: 116,
  declaredSet: 120,
} as const;
export const TX_HEADER_BYTES = 120;
export const DECLARED_BYTES = 21;
/** Type of a signed batch, and of the records of its calls. */
export const TX_TYPE_CALL = 0x4d;
export const TX_CREATES = 1;
export const TX_HAS_VALUE = 2;

/**
 * Modes of a declared or touched account. `write` waits for all, `read` is shared, `code` never waits: only the code of a
 * contract that stood there at the last block boundary, which no transaction can change any more (EIP-6780).
 */
export const MODE = { read: 0, write: 1, code: 2 } as const;
/** A transaction that missed so often runs in the whole-system group at the end of its block. */
export const ATTEMPTS_MAX = 3;

export const txBytes = (records: Uint8Array, at: number): number => readU32(records, at + TX.bytes);
export const txIndex = (records: Uint8Array, at: number): number => readU32(records, at + TX.index);
export const setTxIndex = (records: Uint8Array, at: number, index: number): void => writeU32(records, at + TX.index, index);
export const txType = (records: Uint8Array, at: number): number => records[at + TX.type]!;
export const txCreates = (records: Uint8Array, at: number): boolean => (records[at + TX.flags]! & TX_CREATES) !== 0;
export const txHasValue = (records: Uint8Array, at: number): boolean => (records[at + TX.flags]! & TX_HAS_VALUE) !== 0;
export const txDeclared = (records: Uint8Array, at: number): number => readU16(records, at + TX.declared);
export const txNonce = (records: Uint8Array, at: number): number => readU64(records, at + TX.nonce);
export const txGasLimit = (records: Uint8Array, at: number): number => readU64(records, at + TX.gasLimit);
export const txAfterFlush = (records: Uint8Array, at: number): number => readU64(records, at + TX.afterFlush);
export const txAfterIndex = (records: Uint8Array, at: number): number => readU32(records, at + TX.afterIndex);
export const txAttempt = (records: Uint8Array, at: number): number => records[at + TX.attempt]!;
/** The raw signed transaction as a view, not a copy. */
export const txRaw = (records: Uint8Array, at: number): Uint8Array =>
  records.subarray(at + readU32(records, at + TX.rawOffset), at + txBytes(records, at));

/** Number of records in a packed buffer. */
export function txCount(records: Uint8Array): number {
  let count = 0;
  for (let at = 0; at < records.length; at += txBytes(records, at)) count++;
  return count;
}

/** Start offsets of all records of a packed buffer. */
export function txOffsets(records: Uint8Array): Uint32Array {
  const offsets = new Uint32Array(txCount(records));
  for (let at = 0, number = 0; at < records.length; at += txBytes(records, at)) offsets[number++] = at;
  return offsets;
}

/**
 * The nonce record: stands in the log of the partition that owns the sender, in the same flush as the transaction; one for a run
 * of transactions of one sender. Layout (68 bytes): u32 index (the first transaction's), b20 sender, u64 nonce (the first one's),
 * b32 hash (the last one's), u32 following: how many stand behind the first. The cell becomes nonce + following + 1.
 */
export const NONCE = { index: 0, sender: 4, nonce: 24, hash: 32, following: 64 } as const;
export const NONCE_BYTES = 68;
