/** The digest again, independent of the crate: from exported cells, with another BLAKE3 and another keccak. */
import { CELL, readU32 } from "@meridian/core";
import { blake3 } from "@noble/hashes/blake3.js";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { concatBytes } from "@meridian/core";

const LANES = 1024;

/** Lattice of packed cells, as 1,024 lanes. */
export function latticeOf(cells: Uint8Array): Uint16Array {
  const lanes = new Uint16Array(LANES);
  for (let at = 0; at < cells.length;) {
    const address = cells.subarray(at + 1, at + 21);
    switch (cells[at]) {
      case CELL.account:
        add(lanes, [Uint8Array.of(1), address, cells.subarray(at + 21, at + 85)]);
        at += 85;
        break;
      case CELL.nonce:
        add(lanes, [Uint8Array.of(2), address, cells.subarray(at + 21, at + 29)]); // Not the hash that follows.
        at += 61;
        break;
      case CELL.slot:
        add(lanes, [Uint8Array.of(3), address, cells.subarray(at + 21, at + 85)]);
        at += 85;
        break;
      default:
        at += 25 + readU32(cells, at + 21); // Code is in its account's hash.
    }
  }
  return lanes;
}

function add(lanes: Uint16Array, parts: Uint8Array[]): void {
  const element = blake3(concatBytes(parts), { dkLen: LANES * 2 });
  for (let lane = 0; lane < LANES; lane++) lanes[lane] = lanes[lane]! + (element[2 * lane]! | (element[2 * lane + 1]! << 8));
}

export function digestOf(cells: Uint8Array): Uint8Array {
  return keccak_256(bytesOf(latticeOf(cells)));
}

export function bytesOf(lanes: Uint16Array): Uint8Array {
  const bytes = new Uint8Array(LANES * 2);
  lanes.forEach((value, lane) => {
    bytes[2 * lane] = value;
    bytes[2 * lane + 1] = value >>> 8;
  });
  return bytes;
}
