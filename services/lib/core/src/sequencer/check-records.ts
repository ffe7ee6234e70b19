import { readU16, readU32 } from "../bytes.ts";
import { DECLARED_BYTES, MODE, TX, TX_HEADER_BYTES } from "../transactions.ts";

/**
 * Checks the form of a submit: records stand behind each other without rest, and every offset stays inside its record. What the
 * records say is the gateway's to check; their form is checked here too, because a broken one would stop every partition.
 * @returns the number of records, or -1
 */
export function checkRecords(records: Uint8Array, recordBytesMax: number): number {
  let count = 0;
  for (let at = 0; at < records.length; count++) {
    const left = records.length - at;
    if (left <= TX_HEADER_BYTES) return -1;
    const bytes = readU32(records, at);
    if (bytes > left || bytes > recordBytesMax) return -1;
    const rawOffset = readU32(records, at + TX.rawOffset);
    if (rawOffset !== TX_HEADER_BYTES + DECLARED_BYTES * readU16(records, at + TX.declared) || rawOffset >= bytes) return -1;
    if (!isDeclaredSet(records, at + TX.declaredSet, at + rawOffset)) return -1;
    // Upper halves of nonce and gas limit: both are below 2^53.
    if (readU32(records, at + TX.nonce + 4) >= 0x20_0000 || readU32(records, at + TX.gasLimit + 4) >= 0x20_0000) return -1;
    at += bytes;
  }
  return count;
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
