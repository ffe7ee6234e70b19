/** Whether neighbours in a submit are alike: then what was found out about one is true of the other. */
import { DECLARED_BYTES, TX, TX_HEADER_BYTES } from "../transactions.ts";

/** True if the `bytes` at both offsets are the same; four at a time, `bytes` a multiple of that. */
export function sameWords(view: DataView, one: number, other: number, bytes: number): boolean {
  for (let index = 0; index < bytes; index += 4) {
    if (view.getUint32(one + index, true) !== view.getUint32(other + index, true)) return false;
  }
  return true;
}

/**
 * True if two records of one sender say the same of where they go: flags, callee and declared set. The record at `other` stands
 * behind the one at `one`, so that what is read of it is the submit's own.
 */
export function isAlike(view: DataView, one: number, other: number): boolean {
  if (view.getUint32(one + TX.type, true) !== view.getUint32(other + TX.type, true)) return false; // Type, flags, declared.
  if (!sameWords(view, one + TX.to, other + TX.to, 20)) return false;
  const set = DECLARED_BYTES * view.getUint16(one + TX.declared, true);
  const words = set - (set % 4);
  if (!sameWords(view, one + TX_HEADER_BYTES, other + TX_HEADER_BYTES, words)) return false;
  for (let index = TX_HEADER_BYTES + words; index < TX_HEADER_BYTES + set; index++) {
    if (view.getUint8(one + index) !== view.getUint8(other + index)) return false;
  }
  return true;
}
