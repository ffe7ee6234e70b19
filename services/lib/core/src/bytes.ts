/** Little-endian access to packed buffers. One place, so that every packed layout reads its numbers the same way. */

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
/** Digits of short texts on their way into a string, by bytes: addresses and hashes are keys of tables everywhere. */
const HEX_BYTES_MAX = 32;
const DIGITS = Array.from({ length: 16 }, (_, digit) => digit.toString(16).charCodeAt(0));
const hexDigits = Array.from({ length: HEX_BYTES_MAX + 1 }, (_, bytes) => new Array<number>(bytes * 2).fill(0));

/** Unsigned 16-bit number at `offset`. */
export function readU16(bytes: Uint8Array, offset: number): number {
  return bytes[offset]! | (bytes[offset + 1]! << 8);
}

export function writeU16(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value;
  bytes[offset + 1] = value >>> 8;
}

/** Unsigned 32-bit number at `offset`. */
export function readU32(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! | (bytes[offset + 1]! << 8) | (bytes[offset + 2]! << 16) | (bytes[offset + 3]! << 24)) >>> 0;
}

export function writeU32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value;
  bytes[offset + 1] = value >>> 8;
  bytes[offset + 2] = value >>> 16;
  bytes[offset + 3] = value >>> 24;
}

/** Unsigned 64-bit number at `offset` as a JavaScript number. Writers keep these below 2^53, so nothing is lost. */
export function readU64(bytes: Uint8Array, offset: number): number {
  return readU32(bytes, offset) + readU32(bytes, offset + 4) * 0x1_0000_0000;
}

export function writeU64(bytes: Uint8Array, offset: number, value: number): void {
  writeU32(bytes, offset, value % 0x1_0000_0000);
  writeU32(bytes, offset + 4, Math.floor(value / 0x1_0000_0000));
}

/** Lower-case hex of a slice, without "0x". */
export function hexOf(bytes: Uint8Array, start = 0, end = bytes.length): string {
  const digits = hexDigits[end - start];
  if (digits === undefined) {
    let text = "";
    for (let offset = start; offset < end; offset++) text += HEX[bytes[offset]!]!;
    return text;
  }
  for (let offset = start, digit = 0; offset < end; offset++) {
    const byte = bytes[offset]!;
    digits[digit++] = DIGITS[byte >>> 4]!;
    digits[digit++] = DIGITS[byte & 15]!;
  }
  return String.fromCharCode.apply(null, digits);
}

/** Bytes of a hex text, with or without "0x". The caller has checked that it is hex of even length. */
export function bytesOfHex(text: string): Uint8Array {
  const start = text.startsWith("0x") ? 2 : 0;
  const bytes = new Uint8Array((text.length - start) / 2);
  for (let index = 0; index < bytes.length; index++) {
    bytes[index] = Number.parseInt(text.slice(start + index * 2, start + index * 2 + 2), 16);
  }
  return bytes;
}

/** True if both slices hold the same `length` bytes. */
export function sameBytes(left: Uint8Array, leftOffset: number, right: Uint8Array, rightOffset: number, length: number): boolean {
  for (let index = 0; index < length; index++) {
    if (left[leftOffset + index] !== right[rightOffset + index]) return false;
  }
  return true;
}

/** One buffer with all parts behind each other. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
