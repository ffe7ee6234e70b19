/** Walking packed cells and read requests (layouts: ../cells.ts): filter, cut, and count. */
import { assert } from "../assert.ts";
import { readU32, sameBytes } from "../bytes.ts";
import { ACCOUNT_CELL_BYTES, CELL, CODE_CELL_HEADER_BYTES, NONCE_CELL_BYTES, SLOT_CELL_BYTES } from "../cells.ts";
import type { PartitionId } from "../ranges.ts";

const KEY_BYTES = 21;
const SLOT_KEY_BYTES = 53;
const ERASED_BYTES = 21;

/** Length of the packed cell at `at`. Throws BugError if its kind is unknown or it is cut off. */
export function cellBytes(cells: Uint8Array, at: number): number {
  const length = cellBytesOf(cells, at);
  assert(at + length <= cells.length, `packed cell at ${at} is cut off`);
  return length;
}

function cellBytesOf(cells: Uint8Array, at: number): number {
  switch (cells[at]) {
    case CELL.account:
      return ACCOUNT_CELL_BYTES;
    case CELL.nonce:
      return NONCE_CELL_BYTES;
    case CELL.slot:
      return SLOT_CELL_BYTES;
    case CELL.code:
      return CODE_CELL_HEADER_BYTES + readU32(cells, at + KEY_BYTES);
    case CELL.erased:
      return ERASED_BYTES;
    default:
      assert(false, `packed cell at ${at} has kind ${cells[at] ?? "none"}`);
  }
}

/** Length of one key of a read request, or 0 if the bytes there are no key: requests come from outside. */
export function keyBytes(request: Uint8Array, at: number): number {
  const kind = request[at];
  const length =
    kind === CELL.slot ? SLOT_KEY_BYTES : kind === CELL.account || kind === CELL.nonce || kind === CELL.code ? KEY_BYTES : 0;
  return at + length <= request.length ? length : 0;
}

/** Number of keys in a read request, or null if it is malformed. */
export function keyCount(request: Uint8Array): number | null {
  let count = 0;
  for (let at = 0; at < request.length; count++) {
    const length = keyBytes(request, at);
    if (length === 0) return null;
    at += length;
  }
  return count;
}

/** The cells whose address `isOwned` accepts, in the same order; copies runs of neighbours at once. */
export function cellsOwnedBy(cells: Uint8Array, isOwned: (bytes: Uint8Array, addressAt: number) => boolean): Uint8Array {
  const kept = new Uint8Array(cells.length);
  let length = 0;
  for (let at = 0; at < cells.length;) {
    const bytes = cellBytes(cells, at);
    if (isOwned(cells, at + 1)) {
      kept.set(cells.subarray(at, at + bytes), length);
      length += bytes;
    }
    at += bytes;
  }
  return kept.subarray(0, length);
}

/** Cells of one slice, and the first and last address among them. */
export interface CellSlice {
  cells: Uint8Array; // a view
  first: Uint8Array; // 20 bytes
  last: Uint8Array; // 20 bytes
}

/**
 * Cuts cells in address order where the first byte of the address changes: a piece never spans two of the 256 slices of the
 * address space, so that ranges cut at slice bounds are handed over as whole pieces.
 */
export function cutBySlice(cells: Uint8Array): CellSlice[] {
  const slices: CellSlice[] = [];
  let start = 0;
  let last = 0;
  for (let at = 0; at < cells.length;) {
    if (cells[at + 1] !== cells[start + 1]) {
      slices.push(sliceOf(cells, start, at, last));
      start = at;
    }
    last = at;
    at += cellBytes(cells, at);
  }
  if (cells.length > 0) slices.push(sliceOf(cells, start, cells.length, last));
  return slices;
}

function sliceOf(cells: Uint8Array, start: number, end: number, lastAt: number): CellSlice {
  return {
    cells: cells.subarray(start, end),
    first: cells.slice(start + 1, start + KEY_BYTES),
    last: cells.slice(lastAt + 1, lastAt + KEY_BYTES),
  };
}

/**
 * Cuts a read request by the partition that owns each cell.
 * @param request  well-formed keys (from the engine)
 * @param codesMax code cells of one owner in one piece: a code has up to 24 KiB, and an answer has to fit one message; the
 *                 others are left out, a later round asks for them again
 */
export function requestByOwner(
  request: Uint8Array,
  ownerOf: (bytes: Uint8Array, offset: number) => PartitionId,
  codesMax: number,
): Map<PartitionId, Uint8Array> {
  const pieces = new Map<PartitionId, { bytes: Uint8Array; length: number; codes: number }>();
  for (let at = 0; at < request.length;) {
    const length = keyBytes(request, at);
    assert(length > 0, `read request is malformed at ${at}`);
    const owner = ownerOf(request, at + 1);
    const piece = pieces.get(owner) ?? { bytes: new Uint8Array(request.length), length: 0, codes: 0 };
    pieces.set(owner, piece);
    const isCode = request[at] === CELL.code;
    if (!isCode || piece.codes < codesMax) {
      piece.bytes.set(request.subarray(at, at + length), piece.length);
      piece.length += length;
      if (isCode) piece.codes++;
    }
    at += length;
  }
  return new Map([...pieces].map(([owner, { bytes, length }]) => [owner, bytes.slice(0, length)]));
}

/** True if the packed cells answer exactly the keys of the request, in its order. */
export function answers(cells: Uint8Array, request: Uint8Array): boolean {
  let at = 0;
  for (let key = 0; key < request.length;) {
    const length = keyBytes(request, key);
    if (length === 0 || at + length > cells.length || !sameBytes(cells, at, request, key, length)) return false;
    at += cellBytes(cells, at);
    key += length;
  }
  return at === cells.length;
}
