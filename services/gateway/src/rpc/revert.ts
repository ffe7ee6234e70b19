/** A revert as wallets expect it: code 3, the reason in the message, the whole output in `data`. */
import { CODE } from "./errors.ts";
import type { RpcError } from "./errors.ts";
import { hexData } from "../format/hex.ts";

const ERROR_SELECTOR = "08c379a0"; // Error(string)
const PANIC_SELECTOR = "4e487b71"; // Panic(uint256)

/** https://docs.soliditylang.org/en/latest/control-structures.html#panic-via-assert-and-error-via-require, in geth's words. */
const PANICS: Readonly<Record<number, string>> = {
  0x00: "generic panic",
  0x01: "assert(false)",
  0x11: "arithmetic underflow or overflow",
  0x12: "division or modulo by zero",
  0x21: "enum overflow",
  0x22: "invalid encoded storage byte array accessed",
  0x31: "out-of-bounds array access; popping on an empty array",
  0x32: "out-of-bounds access of an array or bytesN",
  0x41: "out of memory",
  0x51: "uninitialized function",
};

export function revertError(output: Uint8Array): RpcError {
  const reason = revertReason(output);
  return {
    code: CODE.revert,
    message: reason === null ? "execution reverted" : `execution reverted: ${reason}`,
    data: hexData(output),
  };
}

/** The text of Error(string) or the meaning of Panic(uint256); null for any other output. */
export function revertReason(output: Uint8Array): string | null {
  if (output.length < 4) return null;
  const selector = Buffer.from(output.subarray(0, 4)).toString("hex");
  if (selector === PANIC_SELECTOR && output.length >= 36) return panicText(word(output, 4));
  return selector === ERROR_SELECTOR ? errorText(output) : null;
}

function panicText(code: bigint): string {
  return (code <= 0xffn ? PANICS[Number(code)] : undefined) ?? `unknown panic code: 0x${code.toString(16)}`;
}

function errorText(output: Uint8Array): string | null {
  if (output.length < 68) return null;
  const start = 4n + word(output, 4);
  if (start + 32n > BigInt(output.length)) return null;
  const bytes = word(output, Number(start));
  const end = start + 32n + bytes;
  return end > BigInt(output.length) ? null : Buffer.from(output.subarray(Number(start) + 32, Number(end))).toString("utf8");
}

const word = (bytes: Uint8Array, at: number): bigint => BigInt(`0x${Buffer.from(bytes.subarray(at, at + 32)).toString("hex")}`);
