import { readU16, readU32 } from "../bytes.ts";
import { DECLARED_BYTES, TX, TX_HEADER_BYTES } from "../transactions.ts";

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
    // Upper halves of nonce and gas limit: both are below 2^53.
    if (readU32(records, at + TX.nonce + 4) >= 0x20_0000 || readU32(records, at + TX.gasLimit + 4) >= 0x20_0000) return -1;
    at += bytes;
  }
  return count;
}
