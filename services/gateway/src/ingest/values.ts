/** The values that transactions carry: the record itself only says that there is one. */
import { TX, TX_HAS_VALUE, txBytes, txRaw, txType } from "@meridian/core";
import { valueOf } from "../format/transaction.ts";

export interface Values {
  /** Numbers of the records that carry value, and the value of each (b32, big-endian). */
  valued: Uint32Array;
  values: Uint8Array;
}

export function findValues(records: Uint8Array): Values {
  const numbers: number[] = [];
  const places: number[] = [];
  for (let at = 0, number = 0; at < records.length; at += txBytes(records, at), number++) {
    if ((records[at + TX.flags]! & TX_HAS_VALUE) === 0) continue;
    numbers.push(number);
    places.push(at);
  }
  const values = new Uint8Array(numbers.length * 32);
  places.forEach((at, index) => {
    const value = valueOf(txRaw(records, at), txType(records, at));
    values.set(value, index * 32 + 32 - value.length);
  });
  return { valued: Uint32Array.from(numbers), values };
}
