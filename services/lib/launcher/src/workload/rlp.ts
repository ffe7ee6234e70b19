/** RLP (Yellow Paper, appendix B), as far as transactions need it. */

/** A list of encoded items. */
export function rlpList(items: readonly Uint8Array[]): Uint8Array {
  const length = items.reduce((sum, item) => sum + item.length, 0);
  const header = rlpHeader(0xc0, length);
  const bytes = new Uint8Array(header.length + length);
  bytes.set(header);
  let offset = header.length;
  for (const item of items) {
    bytes.set(item, offset);
    offset += item.length;
  }
  return bytes;
}

/** What stands before `length` bytes: 0x80 of a string, 0xc0 of a list. */
export function rlpHeader(base: number, length: number): Uint8Array {
  if (length < 56) return Uint8Array.of(base + length);
  const digits = bytesOfNumber(length);
  return Uint8Array.of(base + 55 + digits.length, ...digits);
}

export function rlpBytes(bytes: Uint8Array): Uint8Array {
  const first = bytes[0];
  if (bytes.length === 1 && first !== undefined && first < 0x80) return bytes;
  const header = rlpHeader(0x80, bytes.length);
  const result = new Uint8Array(header.length + bytes.length);
  result.set(header);
  result.set(bytes, header.length);
  return result;
}

export const rlpNumber = (value: number): Uint8Array => rlpBytes(bytesOfNumber(value));

export function rlpBig(value: bigint): Uint8Array {
  const bytes: number[] = [];
  for (let rest = value; rest > 0n; rest >>= 8n) bytes.unshift(Number(rest & 255n));
  return rlpBytes(Uint8Array.from(bytes));
}

function bytesOfNumber(value: number): Uint8Array {
  const bytes: number[] = [];
  for (let rest = value; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return Uint8Array.from(bytes);
}

/** A number of fixed length as RLP wants it. */
export function withoutZeros(bytes: Uint8Array): Uint8Array {
  let start = 0;
  while (bytes[start] === 0) start++;
  return bytes.subarray(start);
}
