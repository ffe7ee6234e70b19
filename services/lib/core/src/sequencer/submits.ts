/**
 * Submits that are not answered yet: one slot for each, with the codes of its records. A submit is answered when all of its
 * records are decided. Slots are used again; the payload stays until then, and waiting records point into it.
 */
import { assert } from "../assert.ts";

export interface Submits {
  readonly submitsMax: number;
  payloads: (Uint8Array | undefined)[];
  views: (DataView | undefined)[]; // of the payloads
  codes: Uint8Array[];
  details: Float64Array[];
  undecided: number[];
  refusesGaps: boolean[];
  free: number[];
  open: number; //  submits not answered
  records: number; // records not decided
  bytes: number; //   payload bytes held
  decided: number[]; // slots whose records are all decided, not taken yet
}

const UNDECIDED = 255;

export function openSubmits(submitsMax: number): Submits {
  return {
    submitsMax,
    payloads: [],
    views: [],
    codes: [],
    details: [],
    undecided: [],
    refusesGaps: [],
    free: [],
    open: 0,
    records: 0,
    bytes: 0,
    decided: [],
  };
}

/** Takes a submit of `count` records in; returns its slot. */
export function openSubmit(submits: Submits, payload: Uint8Array, count: number, refusesGaps: boolean): number {
  const slot = submits.free.pop() ?? submits.payloads.length;
  submits.payloads[slot] = payload;
  submits.views[slot] = new DataView(payload.buffer, payload.byteOffset, payload.length);
  submits.codes[slot] = new Uint8Array(count).fill(UNDECIDED);
  submits.details[slot] = new Float64Array(count);
  submits.undecided[slot] = count;
  submits.refusesGaps[slot] = refusesGaps;
  submits.open++;
  submits.records += count;
  submits.bytes += payload.length;
  if (count === 0) submits.decided.push(slot);
  return slot;
}

/** Decides `count` records from `record` on. Each record is decided once. */
export function decide(submits: Submits, slot: number, record: number, count: number, code: number, detail: number): void {
  const codes = submits.codes[slot]!;
  for (let index = record; index < record + count; index++) {
    if (codes[index] !== UNDECIDED) assert(false, "a record is decided twice");
    codes[index] = code;
  }
  if (detail !== 0) submits.details[slot]!.fill(detail, record, record + count);
  submits.records -= count;
  const left = submits.undecided[slot]! - count;
  submits.undecided[slot] = left;
  if (left === 0) submits.decided.push(slot);
}

/** True for a record that `decide` was not called for. */
export const isUndecided = (submits: Submits, slot: number, record: number): boolean =>
  submits.codes[slot]![record] === UNDECIDED;

/** Gives the answer of a decided submit out and frees its slot. */
export function closeSubmit(submits: Submits, slot: number): { codes: Uint8Array; details: Float64Array } {
  const answer = { codes: submits.codes[slot]!, details: submits.details[slot]! };
  submits.open--;
  submits.bytes -= submits.payloads[slot]!.length;
  submits.payloads[slot] = undefined;
  submits.views[slot] = undefined;
  submits.free.push(slot);
  return answer;
}
