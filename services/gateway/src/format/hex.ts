/** Hex as geth writes it: DATA with all digits, QUANTITY without leading zeros. */

/** "0x" and two digits for each byte of a slice. */
export function hexData(bytes: Uint8Array, start = 0, end = bytes.length): string {
  return `0x${Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("hex")}`;
}

/** A non-negative integer below 2^53. */
export const hexNumber = (value: number): string => `0x${value.toString(16)}`;

/** A big-endian number of any length. */
export function hexQuantity(bytes: Uint8Array): string {
  let start = 0;
  while (start < bytes.length && bytes[start] === 0) start++;
  if (start === bytes.length) return "0x0";
  const digits = Buffer.from(bytes.buffer, bytes.byteOffset + start, bytes.length - start).toString("hex");
  return `0x${digits.startsWith("0") ? digits.slice(1) : digits}`;
}

/** A big-endian number of any length; 0 for no bytes. */
export const bigNumber = (bytes: Uint8Array): bigint => (bytes.length === 0 ? 0n : BigInt(hexData(bytes)));
