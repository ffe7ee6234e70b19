/** The packed boundary of the crate (rust/src/api.rs): both builds perform the same operations on the same bytes. */

import { readU32 } from "@meridian/core";

/** Operations; the numbers stand again in rust/src/api.rs. */
export const OP = {
  keccak256: 1,
  decode: 2,
  decodeBegin: 3,
  decodeFinish: 4,
  buildBlock: 5,
  foldDigest: 6,
  open: 7,
  close: 8,
  setOwned: 9,
  import: 10,
  export: 11,
  dropRange: 12,
  openBlock: 13,
  run: 14,
  propose: 15,
  applyWrites: 16,
  closeBlock: 17,
  seal: 18,
  nonces: 19,
  read: 20,
  callBegin: 21,
  callRun: 22,
  memory: 23,
  conformance: 24,
  grant: 25,
  latticeOf: 26,
} as const;

export type Operation = (typeof OP)[keyof typeof OP];

/** One instance of the crate. All its operations but `performBeside` belong to one thread. */
export interface Boundary {
  /**
   * Performs an operation at once. The answer is the caller's own, not a view.
   * @throws BugError if the crate met a bug; no operation on the same engine works after that
   */
  perform(operation: Operation, handle: number, number: number, a?: Uint8Array, b?: Uint8Array, c?: Uint8Array): Uint8Array;
  /** Performs an operation on another thread, beside those of this one. */
  performBeside(operation: Operation, handle: number, input: Uint8Array): Promise<Uint8Array>;
  /** Waits until nothing runs beside and frees what the instance holds. */
  close(): Promise<void>;
}

export const NOTHING: Uint8Array = new Uint8Array(0);

/** The parts of (u32 length, bytes)*, one after the other, as views. */
export function partsOf(packed: Uint8Array): () => Uint8Array {
  let at = 0;
  return () => {
    const start = at + 4;
    at = start + readU32(packed, at);
    return packed.subarray(start, at);
  };
}
