/** Sets of accounts with modes, packed (u8 mode, b20 address)*, ascending by address: as declared, as touched. */
import { DECLARED_BYTES, MODE } from "../transactions.ts";

/** `write` may do what `read` may, `read` what `code` may. */
const strength = (mode: number): number => (mode === MODE.write ? 2 : mode === MODE.read ? 1 : 0);

/**
 * Every account of either set, once; the stronger mode wins.
 * @param left, right  ascending by address, each account once
 * @returns ascending by address; new bytes
 */
export function unionModes(left: Uint8Array, right: Uint8Array): Uint8Array {
  const union = new Uint8Array(left.length + right.length);
  let length = 0;
  for (let l = 0, r = 0; l < left.length || r < right.length; length += DECLARED_BYTES) {
    const order = l === left.length ? 1 : r === right.length ? -1 : compareAddresses(left, l + 1, right, r + 1);
    const isRight = order > 0 || (order === 0 && strength(right[r]!) > strength(left[l]!));
    union.set(isRight ? right.subarray(r, r + DECLARED_BYTES) : left.subarray(l, l + DECLARED_BYTES), length);
    if (order <= 0) l += DECLARED_BYTES;
    if (order >= 0) r += DECLARED_BYTES;
  }
  return union.slice(0, length);
}

/** Below 0 if the 20-byte address in `left` stands before the one in `right`, 0 if it is the same. */
export function compareAddresses(left: Uint8Array, leftAt: number, right: Uint8Array, rightAt: number): number {
  for (let index = 0; index < 20; index++) {
    const difference = left[leftAt + index]! - right[rightAt + index]!;
    if (difference !== 0) return difference;
  }
  return 0;
}
