/** The values that transactions carry, read where they stand: the record itself only says that there is one. */
import { assert, hexOf, readU32, sameBytes, TX, TX_HAS_VALUE, TX_TYPE_CALL, txBytes, txType } from "@meridian/core";

export interface Values {
  /** Numbers of the records that carry value, and the value of each (b32, big-endian). */
  valued: Uint32Array;
  values: Uint8Array;
  /** What each sender spends in all of them: packed (b20 sender, b32 sum), the sum at most what 32 bytes hold. */
  spenders: Uint8Array;
}

export const SPENDER = { sender: 0, sum: 20 } as const;
export const SPENDER_BYTES = 52;
const VALUE_BYTES = 32;

export function findValues(records: Uint8Array): Values {
  const numbers: number[] = [];
  const places: number[] = [];
  for (let at = 0, number = 0; at < records.length; at += txBytes(records, at), number++) {
    if ((records[at + TX.flags]! & TX_HAS_VALUE) === 0) continue;
    numbers.push(number);
    places.push(at);
  }
  const values = new Uint8Array(numbers.length * VALUE_BYTES);
  const sums = new Sums();
  places.forEach((at, index) => {
    copyValue(records, at, values, index * VALUE_BYTES);
    sums.add(records, at + TX.sender, values, index * VALUE_BYTES);
  });
  return { valued: Uint32Array.from(numbers), values, spenders: sums.done() };
}

/** Fields that stand before the value in the list of a raw transaction, by its type. */
const FIELDS_BEFORE: Readonly<Record<number, number>> = { 0: 4, 1: 5, 2: 6, [TX_TYPE_CALL]: 4 };

/** Copies the value of the record at `at`; the engine has checked the raw transaction. */
function copyValue(records: Uint8Array, at: number, values: Uint8Array, to: number): void {
  const type = txType(records, at);
  const list = at + readU32(records, at + TX.rawOffset) + (type === 0 ? 0 : 1);
  let field = list + (records[list]! <= 0xf7 ? 1 : records[list]! - 0xf7 + 1);
  for (let before = FIELDS_BEFORE[type]!; before > 0; before--) field = itemEnd(records, field);
  const end = itemEnd(records, field);
  const start = records[field]! < 0x80 ? field : field + 1;
  for (let byte = start; byte < end; byte++) values[to + VALUE_BYTES - (end - byte)] = records[byte]!;
}

/** End of the RLP item at `at`. */
function itemEnd(bytes: Uint8Array, at: number): number {
  const prefix = bytes[at]!;
  if (prefix < 0x80) return at + 1;
  assert(prefix < 0xc0, "a list stands before the value of a transaction");
  if (prefix <= 0xb7) return at + 1 + prefix - 0x80;
  let length = 0;
  for (let digit = 1; digit <= prefix - 0xb7; digit++) length = length * 256 + bytes[at + digit]!;
  return at + 1 + prefix - 0xb7 + length;
}

/** Adds up by sender; neighbours mostly have the same one. */
class Sums {
  #packed = new Uint8Array(4 * SPENDER_BYTES);
  #end = 0;
  #last = -1;
  readonly #places = new Map<string, number>();

  add(records: Uint8Array, senderAt: number, values: Uint8Array, valueAt: number): void {
    const place = this.#placeOf(records, senderAt);
    const sum = place + SPENDER.sum;
    let carry = 0;
    for (let byte = VALUE_BYTES - 1; byte >= 0; byte--) {
      carry += this.#packed[sum + byte]! + values[valueAt + byte]!;
      this.#packed[sum + byte] = carry;
      carry >>>= 8;
    }
    if (carry > 0) this.#packed.fill(0xff, sum, sum + VALUE_BYTES);
  }

  done(): Uint8Array {
    return this.#packed.slice(0, this.#end);
  }

  #placeOf(records: Uint8Array, senderAt: number): number {
    if (this.#last >= 0 && sameBytes(this.#packed, this.#last, records, senderAt, 20)) return this.#last;
    const key = hexOf(records, senderAt, senderAt + 20);
    const known = this.#places.get(key);
    this.#last = known ?? this.#end;
    if (known !== undefined) return known;
    if (this.#end === this.#packed.length) {
      const larger = new Uint8Array(this.#end * 2);
      larger.set(this.#packed);
      this.#packed = larger;
    }
    this.#packed.set(records.subarray(senderAt, senderAt + 20), this.#end);
    this.#places.set(key, this.#end);
    this.#end += SPENDER_BYTES;
    return this.#last;
  }
}

/** Values of several buffers of records behind each other. @param counts records of each */
export function joinValues(parts: readonly Values[], counts: readonly number[]): Values {
  const valued: number[] = [];
  let first = 0;
  parts.forEach((part, index) => {
    for (const number of part.valued) valued.push(first + number);
    first += counts[index]!;
  });
  const sums = new Sums();
  for (const { spenders } of parts) {
    for (let at = 0; at < spenders.length; at += SPENDER_BYTES) sums.add(spenders, at, spenders, at + SPENDER.sum);
  }
  const values = new Uint8Array(valued.length * VALUE_BYTES);
  parts.reduce((at, part) => (values.set(part.values, at), at + part.values.length), 0);
  return { valued: Uint32Array.from(valued), values, spenders: sums.done() };
}
