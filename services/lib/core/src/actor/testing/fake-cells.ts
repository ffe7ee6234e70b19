/** Packed cells as the fake engine uses them: slot 0, the balance below 2^48, the nonce, and code as bare bytes. */
import { assert } from "../../assert.ts";
import {
  bytesOfHex,
  concatBytes,
  hexOf,
  readU16,
  readU32,
  readU64,
  sameBytes,
  writeU16,
  writeU32,
  writeU64,
} from "../../bytes.ts";
import { ACCOUNT_CELL_BYTES, CELL, CODE_CELL_HEADER_BYTES, NONCE_CELL_BYTES, SLOT_CELL_BYTES } from "../../cells.ts";
import { cellBytes, keyBytes } from "../cells.ts";

/** Cells by the hex of their key (kind, address, slot); values are whole packed cells. */
export type Cells = Map<string, Uint8Array>;

const EMPTY_CODE_HASH = bytesOfHex("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
const BALANCE_AT = 21 + 24; // the low 8 bytes of the balance

/** Read key of slot 0 of an account. */
export function fakeSlotKey(address: Uint8Array): Uint8Array {
  const key = new Uint8Array(53);
  key[0] = CELL.slot;
  key.set(address, 1);
  return key;
}

/** Read key of an account's record, nonce or code. */
export function fakeKey(kind: number, address: Uint8Array): Uint8Array {
  const key = new Uint8Array(21);
  key[0] = kind;
  key.set(address, 1);
  return key;
}

/** Slot 0 of an account as a packed cell. */
export function fakeSlotCell(address: Uint8Array, value: number): Uint8Array {
  const cell = new Uint8Array(SLOT_CELL_BYTES);
  cell.set(fakeSlotKey(address));
  new DataView(cell.buffer).setUint32(SLOT_CELL_BYTES - 4, value);
  return cell;
}

/** An account's record without code; `balance` below 2^48. */
export function fakeAccountCell(address: Uint8Array, balance: number): Uint8Array {
  const cell = new Uint8Array(ACCOUNT_CELL_BYTES);
  cell.set(fakeKey(CELL.account, address));
  cell.set(EMPTY_CODE_HASH, 53);
  return withBalance(cell, balance);
}

export function fakeNonceCell(address: Uint8Array, nonce: number, hash: Uint8Array = new Uint8Array(32)): Uint8Array {
  const cell = new Uint8Array(NONCE_CELL_BYTES);
  cell.set(fakeKey(CELL.nonce, address));
  writeU64(cell, 21, nonce);
  cell.set(hash, 29);
  return cell;
}

export function fakeCodeCell(address: Uint8Array, code: Uint8Array): Uint8Array {
  const cell = new Uint8Array(CODE_CELL_HEADER_BYTES + code.length);
  cell.set(fakeKey(CELL.code, address));
  writeU32(cell, 21, code.length);
  cell.set(code, CODE_CELL_HEADER_BYTES);
  return cell;
}

export const slotOf = (cell: Uint8Array): number => new DataView(cell.buffer, cell.byteOffset).getUint32(SLOT_CELL_BYTES - 4);

export function balanceOf(cell: Uint8Array): number {
  const view = new DataView(cell.buffer, cell.byteOffset);
  return view.getUint32(BALANCE_AT) * 0x1_0000_0000 + view.getUint32(BALANCE_AT + 4);
}

/** A copy of the account's record with another balance. */
export function withBalance(cell: Uint8Array, balance: number): Uint8Array {
  assert(balance >= 0 && balance < 2 ** 48, `fake balance ${balance} is out of range`);
  const copy = cell.slice();
  const view = new DataView(copy.buffer);
  view.setUint32(BALANCE_AT, Math.floor(balance / 0x1_0000_0000));
  view.setUint32(BALANCE_AT + 4, balance % 0x1_0000_0000);
  return copy;
}

export const nonceOf = (cell: Uint8Array): number => readU64(cell, 21);

/** Code that stands at an account, as a number to compute with. */
export function codeNumber(cell: Uint8Array): number {
  let number = readU32(cell, 21);
  for (let at = CODE_CELL_HEADER_BYTES; at < cell.length; at++) number = (Math.imul(number, 31) + cell[at]!) >>> 0;
  return number;
}

/** What a cell that was never written reads as. */
export function absentCell(key: Uint8Array): Uint8Array {
  const address = key.subarray(1, 21);
  switch (key[0]) {
    case CELL.slot:
      return concatBytes([key, new Uint8Array(32)]);
    case CELL.account:
      return fakeAccountCell(address, 0);
    case CELL.nonce:
      return fakeNonceCell(address, 0);
    default:
      return fakeCodeCell(address, new Uint8Array(0));
  }
}

const LATTICE_BYTES = 2_048;

/** Lane-wise sum over cells, each spread over the lanes by a small generator; one that was never written counts for nothing. */
export function fakeLattice(cells: Iterable<Uint8Array>): Uint8Array {
  const sum = new Uint8Array(LATTICE_BYTES);
  for (const cell of cells) {
    if (isEmpty(cell)) continue;
    let seed = 2_166_136_261;
    for (const byte of cell) seed = Math.imul(seed ^ byte, 16_777_619) >>> 0;
    for (let lane = 0; lane < LATTICE_BYTES; lane += 2) {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      writeU16(sum, lane, (readU16(sum, lane) + (seed >>> 16)) & 0xffff);
    }
  }
  return sum;
}

/** A cell that reads as if it was never written. */
export function isEmpty(cell: Uint8Array): boolean {
  const absent = absentCell(cell.subarray(0, keyBytes(cell, 0)));
  return cell.length === absent.length && sameBytes(cell, 0, absent, 0, cell.length);
}

/** Packed cells by their keys; copies. */
export function cellsByKey(packed: Uint8Array): Cells {
  const cells: Cells = new Map();
  for (let at = 0; at < packed.length; at += cellBytes(packed, at)) {
    cells.set(cellKey(packed, at), packed.slice(at, at + cellBytes(packed, at)));
  }
  return cells;
}

/** Map key of the packed cell at `at`; of an `erased` one (which nobody asks for) as well. */
export const cellKey = (packed: Uint8Array, at = 0): string => hexOf(packed, at, at + (keyBytes(packed, at) || 21));

/** Accounts stay together, in the order account, nonce, slots, code. */
export const inAddressOrder = (left: string, right: string): number => (sortKey(left) < sortKey(right) ? -1 : 1);
const sortKey = (key: string): string => key.slice(2, 42) + key.slice(0, 2) + key.slice(42);
