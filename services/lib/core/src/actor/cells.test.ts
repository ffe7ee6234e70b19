import { expect, test } from "vitest";
import { bytesOfHex, concatBytes, hexOf, writeU32 } from "../bytes.ts";
import { CELL } from "../cells.ts";
import { answers, cellsOwnedBy, cutBySlice, keyCount, requestByOwner } from "./cells.ts";
import { addressOf, fakeSlotCell, fakeSlotKey } from "./testing/index.ts";

const code = (account: string, bytes: number): Uint8Array => {
  const cell = new Uint8Array(25 + bytes);
  cell[0] = CELL.code;
  cell.set(addressOf(account), 1);
  writeU32(cell, 21, bytes);
  return cell;
};
const codeKey = (account: string): Uint8Array => code(account, 0).slice(0, 21);

test("cells are filtered by their account, code among them", () => {
  const cells = concatBytes([fakeSlotCell(addressOf("01"), 1), code("01", 33), code("f1", 7), fakeSlotCell(addressOf("02"), 2)]);
  const kept = cellsOwnedBy(cells, (bytes, offset) => bytes[offset]! < 0x80);
  expect(kept.length).toBe(cells.length - code("f1", 7).length);
  expect(cellsOwnedBy(cells, () => true)).toEqual(cells);
});

test.each<[accounts: string[], slices: string[]]>([
  [[], []],
  [["01"], ["01 01"]],
  [
    ["0101", "0102", "02aa", "ff00"],
    ["0101 0102", "02aa 02aa", "ff00 ff00"],
  ],
])("%j is cut into %j", (accounts, slices) => {
  const cells = concatBytes(accounts.map((account) => fakeSlotCell(bytesOfHex(account.padEnd(40, "0")), 1)));
  const cut = cutBySlice(cells);
  const digits = accounts[0]?.length ?? 0;
  expect(cut.map(({ first, last }) => `${hexOf(first).slice(0, digits)} ${hexOf(last).slice(0, digits)}`)).toEqual(slices);
  expect(concatBytes(cut.map((slice) => slice.cells))).toEqual(cells);
});

test("a request is cut by owner, with a bound on codes", () => {
  const request = concatBytes([fakeSlotKey(addressOf("01")), codeKey("f1"), codeKey("f2"), fakeSlotKey(addressOf("f3"))]);
  const pieces = requestByOwner(request, (bytes, offset) => (bytes[offset]! < 0x80 ? 0 : 1), 1);
  expect(pieces.get(0)).toEqual(fakeSlotKey(addressOf("01")));
  expect(pieces.get(1)).toEqual(concatBytes([codeKey("f1"), fakeSlotKey(addressOf("f3"))]));
});

test.each<[what: string, request: Uint8Array, count: number | null]>([
  ["an empty request", new Uint8Array(0), 0],
  ["two keys", concatBytes([fakeSlotKey(addressOf("01")), codeKey("02")]), 2],
  ["a key cut off", fakeSlotKey(addressOf("01")).subarray(0, 52), null],
  ["a kind that cannot be read", new Uint8Array(21).fill(5), null],
])("%s has %s keys", (_what, request, count) => expect(keyCount(request)).toBe(count));

test("an answer has to fit its request", () => {
  const request = concatBytes([fakeSlotKey(addressOf("01")), codeKey("02")]);
  const answer = concatBytes([fakeSlotCell(addressOf("01"), 5), code("02", 3)]);
  expect(answers(answer, request)).toBe(true);
  expect(answers(answer, codeKey("02"))).toBe(false);
  expect(answers(answer.subarray(0, 85), request)).toBe(false);
});
