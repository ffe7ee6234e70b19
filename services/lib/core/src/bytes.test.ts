import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytesOfHex, concatBytes, hexOf, readU16, readU32, readU64, sameBytes, writeU16, writeU32, writeU64 } from "./bytes.ts";

describe("numbers are little-endian, and stay where they are put", () => {
  test.each<
    [
      bits: number,
      read: (b: Uint8Array, at: number) => number,
      write: (b: Uint8Array, at: number, v: number) => void,
      max: number,
    ]
  >([
    [16, readU16, writeU16, 0xffff],
    [32, readU32, writeU32, 0xffff_ffff],
    [64, readU64, writeU64, Number.MAX_SAFE_INTEGER],
  ])("%i bits", (bits, read, write, max) => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max }), fc.nat(8), (value, offset) => {
        const bytes = new Uint8Array(24).fill(0xaa);
        write(bytes, offset, value);
        const want = new Uint8Array(24).fill(0xaa);
        new DataView(want.buffer).setBigUint64(offset, BigInt(value), true);
        want.fill(0xaa, offset + bits / 8);
        expect(bytes).toEqual(want);
        expect(read(bytes, offset)).toBe(value);
      }),
    );
  });

  test.each<[value: number, hex: string]>([
    [0, "0000000000000000"],
    [1, "0100000000000000"],
    [2 ** 32 - 1, "ffffffff00000000"],
    [2 ** 32, "0000000001000000"],
    [2 ** 53 - 1, "ffffffffffff1f00"],
  ])("64 bits: %d", (value, hex) => {
    const bytes = new Uint8Array(8);
    writeU64(bytes, 0, value);
    expect(hexOf(bytes)).toBe(hex);
    expect(readU64(bytes, 0)).toBe(value);
  });
});

describe("hex", () => {
  test("there and back, with and without 0x", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(hexOf(bytes)).toBe(Buffer.from(bytes).toString("hex"));
        expect(bytesOfHex(hexOf(bytes))).toEqual(bytes);
        expect(bytesOfHex(`0x${hexOf(bytes)}`)).toEqual(bytes);
      }),
    );
  });

  test("of a slice", () => {
    expect(hexOf(Uint8Array.of(1, 2, 3, 4), 1, 3)).toBe("0203");
  });

  test("reads capital letters", () => {
    expect(bytesOfHex("0xABcd")).toEqual(Uint8Array.of(0xab, 0xcd));
  });
});

test("sameBytes compares slices at their own offsets", () => {
  const left = Uint8Array.of(9, 1, 2, 3);
  const right = Uint8Array.of(1, 2, 3, 4);
  expect(sameBytes(left, 1, right, 0, 3)).toBe(true);
  expect(sameBytes(left, 1, right, 1, 2)).toBe(false);
  expect(sameBytes(left, 0, right, 0, 0)).toBe(true);
});

test("concatBytes puts all parts behind each other", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array()), (parts) => {
      expect(concatBytes(parts)).toEqual(new Uint8Array(Buffer.concat(parts)));
    }),
  );
});
