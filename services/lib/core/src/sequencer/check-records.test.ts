import { expect, test } from "vitest";
import { writeU16, writeU32 } from "../bytes.ts";
import { DECLARED_BYTES, MODE, TX, TX_HEADER_BYTES } from "../transactions.ts";
import { checkRecords, openRunList } from "./check-records.ts";

type Declared = [mode: number, account: number];

/** A record of the right form with this declared set. */
function record(declared: Declared[]): Uint8Array {
  const rawOffset = TX_HEADER_BYTES + DECLARED_BYTES * declared.length;
  const bytes = new Uint8Array(rawOffset + 10);
  writeU32(bytes, TX.bytes, bytes.length);
  writeU16(bytes, TX.declared, declared.length);
  writeU32(bytes, TX.rawOffset, rawOffset);
  for (const [index, [mode, account]] of declared.entries()) {
    bytes[TX.declaredSet + index * DECLARED_BYTES] = mode;
    bytes.fill(account, TX.declaredSet + index * DECLARED_BYTES + 1, TX.declaredSet + (index + 1) * DECLARED_BYTES);
  }
  return bytes;
}

test.each<[what: string, declared: Declared[], count: number]>([
  ["one account", [[MODE.write, 1]], 1],
  ["ascending accounts", [[MODE.code, 1], [MODE.read, 2], [MODE.write, 3]], 1], // prettier-ignore
  ["nothing declared", [], -1],
  ["only code declared: it would run nowhere", [[MODE.code, 1]], -1],
  ["a mode that is none", [[3, 1]], -1],
  ["accounts out of order", [[MODE.write, 2], [MODE.write, 1]], -1], // prettier-ignore
  ["one account twice", [[MODE.write, 1], [MODE.read, 1]], -1], // prettier-ignore
])("%s", (_what, declared, count) => {
  expect(checkRecords(record(declared), 10_000, 1_000_000, openRunList())).toBe(count);
});
