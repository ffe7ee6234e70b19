import { DECLARED_BYTES, MODE, TX, TX_HEADER_BYTES } from "../transactions.ts";
import { sameWords } from "./shape.ts";

/** Runs of a submit: neighbours with one sender and consecutive nonces. Used again for every submit. */
export interface RunList {
  count: number;
  /** How many records each one has. */
  records: Int32Array;
}

export const openRunList = (): RunList => ({ count: 0, records: new Int32Array(1_024) });

/**
 * Checks the form of a submit: records stand behind each other without rest, and every offset stays inside its record. What the
 * records say is the gateway's to check; their form is checked here too, because a broken one would stop every partition.
 * @param gasMax a record that declares more is a run of its own
 * @param runs takes the runs that are found
 * @returns the number of records, or -1
 */
export function checkRecords(records: Uint8Array, recordBytesMax: number, gasMax: number, runs: RunList): number {
  const view = new DataView(records.buffer, records.byteOffset, records.length);
  let [count, previous, nonce, run] = [0, -1, 0, -1];
  runs.count = 0;
  for (let at = 0; at < records.length; count++) {
    const left = records.length - at;
    if (left <= TX_HEADER_BYTES) return -1;
    const bytes = view.getUint32(at, true);
    if (bytes > left || bytes > recordBytesMax) return -1;
    const rawOffset = view.getUint32(at + TX.rawOffset, true);
    if (rawOffset !== TX_HEADER_BYTES + DECLARED_BYTES * view.getUint16(at + TX.declared, true) || rawOffset >= bytes) return -1;
    if (!isDeclaredSet(records, at + TX.declaredSet, at + rawOffset)) return -1;
    // Upper halves of nonce and gas limit: both are below 2^53.
    const [nonceHigh, gasHigh] = [view.getUint32(at + TX.nonce + 4, true), view.getUint32(at + TX.gasLimit + 4, true)];
    if (nonceHigh >= 0x20_0000 || gasHigh >= 0x20_0000) return -1;
    const own = nonceHigh * 0x1_0000_0000 + view.getUint32(at + TX.nonce, true);
    const isOver = gasHigh * 0x1_0000_0000 + view.getUint32(at + TX.gasLimit, true) > gasMax;
    if (previous >= 0 && own === nonce + 1 && !isOver && sameWords(view, previous + TX.sender, at + TX.sender, 20)) {
      runs.records[run]!++;
    } else {
      run = addRun(runs);
    }
    nonce = own;
    previous = isOver ? -1 : at;
    at += bytes;
  }
  return count;
}

function addRun(runs: RunList): number {
  if (runs.count === runs.records.length) {
    const larger = new Int32Array(runs.count * 2);
    larger.set(runs.records);
    runs.records = larger;
  }
  runs.records[runs.count] = 1;
  return runs.count++;
}

/** True if accounts ascend, modes are known, and there is one that says where the transaction runs: not all in mode `code`. */
function isDeclaredSet(records: Uint8Array, from: number, to: number): boolean {
  let hasPlace = false;
  for (let at = from; at < to; at += DECLARED_BYTES) {
    const mode = records[at]!;
    if (mode > MODE.code) return false;
    if (mode !== MODE.code) hasPlace = true;
    if (at > from && compareAccounts(records, at - DECLARED_BYTES + 1, at + 1) >= 0) return false;
  }
  return hasPlace;
}

function compareAccounts(records: Uint8Array, one: number, other: number): number {
  for (let byte = 0; byte < 20; byte++) {
    const difference = records[one + byte]! - records[other + byte]!;
    if (difference !== 0) return difference;
  }
  return 0;
}
