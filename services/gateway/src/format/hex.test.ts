import { bytesOfHex } from "@meridian/core";
import { loadEngine } from "@meridian/engine";
import { expect, test } from "vitest";
import { checksumAddress } from "./address.ts";
import { bigNumber, hexData, hexNumber, hexQuantity } from "./hex.ts";

test.each<[hex: string, quantity: string]>([
  ["", "0x0"],
  ["00", "0x0"],
  ["01", "0x1"],
  ["0010", "0x10"],
  ["00ff00", "0xff00"],
])("quantity of %j", (hex, quantity) => {
  expect(hexQuantity(bytesOfHex(hex))).toBe(quantity);
  expect(bigNumber(bytesOfHex(hex))).toBe(BigInt(quantity));
});

test("data keeps its zeros, also of a part", () => {
  expect(hexData(bytesOfHex("00ff"))).toBe("0x00ff");
  expect(hexData(bytesOfHex("00ff11"), 1, 2)).toBe("0xff");
  expect(hexNumber(0)).toBe("0x0");
});

test("addresses with the checksum of EIP-55", () =>
  expect(checksumAddress(bytesOfHex("5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"), loadEngine("auto"))).toBe(
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
  ));
