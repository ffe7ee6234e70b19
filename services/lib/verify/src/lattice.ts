/**
 * The chain's state digest, written a second time from its description in the engine's README; it shares nothing with the engine.
 *
 * L1. The state is a set of elements. An element is expanded by BLAKE3 (as an extendable output) to 2,048 bytes, read as 1,024
 *     little-endian 16-bit lanes. The lattice of a state is the lane-wise sum of its elements modulo 2^16.
 * L2. account: 1 ‖ address ‖ balance (32, big-endian) ‖ codeHash (32); absent if the balance is 0 and there is no code.
 *     nonce: 2 ‖ address ‖ nonce (8, little-endian); absent if 0.   slot: 3 ‖ address ‖ slot (32) ‖ value (32); absent if 0.
 * L3. The digest is keccak-256 of the 2,048 bytes. Order and cut of the state into partitions make no difference.
 */
import { blake3 } from "@noble/hashes/blake3.js";
import { keccak_256 } from "@noble/hashes/sha3.js";

const LATTICE_BYTES = 2048;
const LANES = LATTICE_BYTES / 2;

/** Hash of empty code: keccak-256 of no bytes. */
export const EMPTY_CODE_HASH = keccak_256(new Uint8Array(0));

/** The sum of a state's elements; add what appears, remove what disappears. */
export class Lattice {
  readonly #lanes = new Uint16Array(LANES);

  add(element: Uint8Array): void {
    const view = expand(element);
    for (let lane = 0; lane < LANES; lane++) this.#lanes[lane] = this.#lanes[lane]! + view.getUint16(lane * 2, true);
  }

  remove(element: Uint8Array): void {
    const view = expand(element);
    for (let lane = 0; lane < LANES; lane++) this.#lanes[lane] = this.#lanes[lane]! - view.getUint16(lane * 2, true);
  }

  /** keccak-256 of the lanes: 32 bytes. */
  digest(): Uint8Array {
    const bytes = new Uint8Array(LATTICE_BYTES);
    const view = new DataView(bytes.buffer);
    for (let lane = 0; lane < LANES; lane++) view.setUint16(lane * 2, this.#lanes[lane]!, true);
    return keccak_256(bytes);
  }
}

function expand(element: Uint8Array): DataView {
  const output = blake3(element, { dkLen: LATTICE_BYTES });
  return new DataView(output.buffer, output.byteOffset, output.byteLength);
}

/** The account element, or null if it is absent by L2. */
export function accountElement(address: Uint8Array, balance: bigint, codeHash: Uint8Array): Uint8Array | null {
  if (balance === 0n && codeHash.every((byte, index) => byte === EMPTY_CODE_HASH[index])) return null;
  const element = new Uint8Array(85);
  element[0] = 1;
  element.set(address, 1);
  writeBig(element, 21, balance);
  element.set(codeHash, 53);
  return element;
}

/** The nonce element, or null if it is absent by L2. */
export function nonceElement(address: Uint8Array, nonce: bigint): Uint8Array | null {
  if (nonce === 0n) return null;
  const element = new Uint8Array(29);
  element[0] = 2;
  element.set(address, 1);
  new DataView(element.buffer).setBigUint64(21, nonce, true);
  return element;
}

/** The slot element of a value without leading zeros, or null if it is absent by L2. */
export function slotElement(address: Uint8Array, slot: Uint8Array, value: Uint8Array): Uint8Array | null {
  if (value.every((byte) => byte === 0)) return null;
  const element = new Uint8Array(85);
  element[0] = 3;
  element.set(address, 1);
  element.set(slot, 53 - slot.length);
  element.set(value, 85 - value.length);
  return element;
}

function writeBig(bytes: Uint8Array, offset: number, value: bigint): void {
  for (let index = 31, rest = value; rest > 0n; index--, rest >>= 8n) bytes[offset + index] = Number(rest & 255n);
}
