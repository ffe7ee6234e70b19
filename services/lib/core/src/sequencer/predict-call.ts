/** What a packed record says about the call it makes, without a copy: the hot path asks this for every learned contract. */
import { TX, txBytes, txType } from "../transactions.ts";
import { readU32, sameBytes } from "../bytes.ts";

/** Items before the calldata in the raw list, by transaction type (legacy, EIP-2930, EIP-1559); 5 too in that of a call. */
const ITEMS_BEFORE_INPUT = [5, 6, 7];
const ITEMS_BEFORE_CALL_INPUT = 5;

/**
 * Offset of the RLP item that holds the calldata of the record at `at`; -1 if the raw transaction cannot be read. Nothing here is
 * checked twice: the engine has decoded the transaction, and a wrong answer costs a wrong prediction only.
 */
export function inputItem(records: Uint8Array, at: number): number {
  const type = txType(records, at);
  const end = at + txBytes(records, at);
  let place = at + readU32(records, at + TX.rawOffset) + (type === 0 ? 0 : 1);
  if (place >= end || records[place]! < 0xc0) return -1;
  place = payloadAt(records, place);
  for (let left = ITEMS_BEFORE_INPUT[type] ?? ITEMS_BEFORE_CALL_INPUT; left > 0 && place < end; left--) {
    place = payloadAt(records, place) + payloadBytes(records, place);
  }
  return place < end && payloadAt(records, place) + payloadBytes(records, place) <= end ? place : -1;
}

/** Where the payload of the RLP item at `place` starts, and its length in bytes. */
export function payloadAt(bytes: Uint8Array, place: number): number {
  const first = bytes[place]!;
  if (first < 0x80) return place;
  if (first < 0xc0) return place + 1 + Math.max(first - 0xb7, 0);
  return place + 1 + Math.max(first - 0xf7, 0);
}
export function payloadBytes(bytes: Uint8Array, place: number): number {
  const first = bytes[place]!;
  if (first < 0x80) return 1;
  const short = first < 0xc0 ? 0x80 : 0xc0;
  if (first - short <= 55) return first - short;
  let length = 0;
  for (let digits = first - short - 55, next = place + 1; digits > 0; digits--, next++) length = length * 256 + bytes[next]!;
  return length;
}

/** Words of calldata that are looked at, from behind the selector on. */
export const WORDS_MAX = 32;
export const SELECTOR_BYTES = 4;

/** A call as its prediction needs it. Offsets point into the records. */
export interface Call {
  readonly records: Uint8Array;
  readonly to: number;
  readonly sender: number;
  /** Of the calldata; and how many bytes. */
  readonly input: number;
  readonly inputBytes: number;
  /** By word of the calldata: offset of its last 20 bytes if it looks like an address, else 0. */
  readonly words: readonly number[];
}

/** @returns null for a record whose raw transaction cannot be read */
export function callAt(records: Uint8Array, at: number): Call | null {
  const item = inputItem(records, at);
  if (item < 0) return null;
  const input = payloadAt(records, item);
  const inputBytes = payloadBytes(records, item);
  const words: number[] = [];
  const count = Math.min(WORDS_MAX, Math.floor((inputBytes - SELECTOR_BYTES) / 32));
  for (let word = 0; word < count; word++) {
    const place = input + SELECTOR_BYTES + word * 32;
    words.push(isAddressWord(records, place) ? place + 12 : 0);
  }
  return { records, to: at + TX.to, sender: at + TX.sender, input, inputBytes, words };
}

/**
 * True for 12 zero bytes and an address behind them. Amounts below 2^96 and offsets are none: an address made by keccak-256 has
 * something in its first 8 bytes.
 */
function isAddressWord(bytes: Uint8Array, place: number): boolean {
  for (let index = 0; index < 12; index++) if (bytes[place + index] !== 0) return false;
  for (let index = 12; index < 20; index++) if (bytes[place + index] !== 0) return true;
  return false;
}

/** Key of (contract, selector). A call with less than a selector has an empty one. */
export function methodKey({ records, to, input, inputBytes }: Call): string {
  const selector = inputBytes < SELECTOR_BYTES ? "" : latin(records, input, SELECTOR_BYTES);
  return latin(records, to, 20) + selector;
}

/**
 * Key of (contract, selector, address words in order without the sender's own); null if there are no such words: then the list
 * would say no more than the method.
 */
export function callKey(method: string, { records, sender, words }: Call): string | null {
  let key = method;
  for (const word of words) if (word !== 0 && !sameBytes(records, word, records, sender, 20)) key += latin(records, word, 20);
  return key === method ? null : key;
}

/** Of an address and of a selector: the only lengths there are. */
const characters = [new Array<number>(SELECTOR_BYTES).fill(0), new Array<number>(20).fill(0)] as const;

/** One character a byte, made at once: a text that grows by one is ten times as slow as a key. */
function latin(bytes: Uint8Array, start: number, length: typeof SELECTOR_BYTES | 20): string {
  const codes = length === 20 ? characters[1] : characters[0];
  for (let index = 0; index < length; index++) codes[index] = bytes[start + index]!;
  return String.fromCharCode.apply(null, codes);
}
