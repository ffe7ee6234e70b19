import { bytesOfHex } from "@meridian/core";
import { expect, test } from "vitest";
import { revertError } from "./revert.ts";

const word = (value: number) => value.toString(16).padStart(64, "0");
const errorOf = (text: string) => `08c379a0${word(32)}${word(text.length)}${Buffer.from(text).toString("hex").padEnd(64, "0")}`;

test.each<[what: string, output: string, message: string]>([
  ["nothing", "", "execution reverted"],
  ["Error(string)", errorOf("user error"), "execution reverted: user error"],
  ["an empty text", errorOf(""), "execution reverted: "],
  ["Panic(1)", `4e487b71${word(1)}`, "execution reverted: assert(false)"],
  ["Panic(0x11)", `4e487b71${word(0x11)}`, "execution reverted: arithmetic underflow or overflow"],
  ["an unknown panic", `4e487b71${word(0x99)}`, "execution reverted: unknown panic code: 0x99"],
  ["a cut panic", "4e487b7100", "execution reverted"],
  ["a custom error", "deadbeef00", "execution reverted"],
  ["an offset beyond the end", `08c379a0${word(4_096)}${word(1)}`, "execution reverted"],
  ["a length beyond the end", `08c379a0${word(32)}${word(4_096)}`, "execution reverted"],
  ["an offset of 2^256 - 1", `08c379a0${"f".repeat(64)}${word(1)}`, "execution reverted"],
])("%s", (_what, output, message) => expect(revertError(bytesOfHex(output))).toEqual({ code: 3, message, data: `0x${output}` }));
