import { expect, test } from "vitest";
import { pack, valueAt } from "../src/msgpack.ts";
import type { Value } from "../src/msgpack.ts";

const bytes = (length: number): Uint8Array => new Uint8Array(length).fill(7);

test.each<[what: string, value: Value]>([
  ["nil", null],
  ["booleans", [true, false]],
  ["numbers", [0, 127, 128, 65_536, 2 ** 40, -1, 0.5]],
  ["text", ["", "abc", "é".repeat(200), "x".repeat(70_000)]],
  ["bytes", [bytes(0), bytes(255), bytes(256), bytes(70_000)]],
  ["arrays", [[], [[1]], new Array<number>(70_000).fill(1)]],
])("there and back, and null as long as it is not whole: %s", (_what, value) => {
  const packed = pack(value);
  expect(valueAt(packed, 0)).toEqual({ value, end: packed.length });
  for (const cut of [1, 2, 3, 5, 9]) if (cut < packed.length) expect(valueAt(packed.subarray(0, -cut), 0)).toBeNull();
});

test.each<[hex: string, value: Value]>([
  ["cc80", 128],
  ["cd0100", 256],
  ["ce00010000", 65_536],
  ["cf0000010000000000", 2 ** 40],
  ["ca3f000000", 0.5],
  ["d0ff", -1],
  ["d1ff00", -256],
  ["d2ffff0000", -65_536],
  ["d3ffffffffffffffff", -1],
  ["ff", -1],
  ["a161", "a"],
  ["93c0c2c3", [null, false, true]],
])("what others write: %s", (hex, value) => {
  expect(valueAt(Buffer.from(hex, "hex"), 0)).toEqual({ value, end: hex.length / 2 });
});

test("what is never said", () => {
  expect(() => valueAt(Uint8Array.of(0x81), 0)).toThrow(/kind 129/);
});
