/** The packed boundary of the crate (rust/src/api.rs): both builds perform the same operations on the same bytes. */

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

export const NOTHING = new Uint8Array(0);

/** The parts of (u32 length, bytes)*, as views. */
export function unpackParts(packed: Uint8Array): Uint8Array[] {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const parts: Uint8Array[] = [];
  for (let at = 0; at < packed.length; ) {
    const length = view.getUint32(at, true);
    parts.push(packed.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return parts;
}
