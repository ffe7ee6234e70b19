/** Packed transaction records as a whole: cut some out, look one up. */
import { concatBytes, sameBytes, TX, txBytes } from "@meridian/core";

/** Records behind each other, and how many. */
export interface Records {
  records: Uint8Array;
  count: number;
}

/** The same records in pieces of at most `bytesMax`, unless one alone is longer. */
export function cutRecords({ records, count }: Records, bytesMax: number): Records[] {
  if (records.length <= bytesMax) return [{ records, count }];
  const pieces: Records[] = [];
  let [start, held] = [0, 0];
  for (let at = 0; at < records.length;) {
    const end = at + txBytes(records, at);
    if (end - start > bytesMax && held > 0) {
      pieces.push({ records: records.subarray(start, at), count: held });
      [start, held] = [at, 0];
    }
    held++;
    at = end;
  }
  pieces.push({ records: records.subarray(start), count: held });
  return pieces;
}

/** The records whose number is wanted, packed again in the same order. */
export function selectRecords(records: Uint8Array, isWanted: (number: number) => boolean): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let at = 0, number = 0; at < records.length; at += txBytes(records, at), number++) {
    if (isWanted(number)) parts.push(records.subarray(at, at + txBytes(records, at)));
  }
  return concatBytes(parts);
}

/** Where the record with this hash starts; undefined if it is not there. */
export function findRecord(records: Uint8Array, hash: Uint8Array): number | undefined {
  for (let at = 0; at < records.length; at += txBytes(records, at)) {
    if (sameBytes(records, at + TX.hash, hash, 0, 32)) return at;
  }
  return undefined;
}
