/**
 * The part of MessagePack that the binary API speaks: nil, booleans, numbers, text, bytes and arrays of these.
 * Source: https://github.com/msgpack/msgpack/blob/master/spec.md
 */
import { PostError } from "./errors.ts";

export type Value = null | boolean | number | string | Uint8Array | readonly Value[];

/** Bytes of the head, and how many values or bytes stand behind it. */
interface Head {
  kind: "nil" | "false" | "true" | "number" | "text" | "bytes" | "array";
  bytes: number;
  length: number;
  value: number;
}

const BAD = { status: 200, code: -32603, retryAfterMs: null };

/** A value as bytes. */
export function pack(value: Value): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  packInto(parts, value);
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function packInto(parts: Uint8Array[], value: Value): void {
  if (value === null) parts.push(Uint8Array.of(0xc0));
  else if (typeof value === "boolean") parts.push(Uint8Array.of(value ? 0xc3 : 0xc2));
  else if (typeof value === "number") parts.push(packNumber(value));
  else if (typeof value === "string") {
    const text = new TextEncoder().encode(value);
    parts.push(head(text.length, { 1: 0xd9, 2: 0xda, 4: 0xdb }), text);
  } else if (value instanceof Uint8Array) parts.push(head(value.length, { 1: 0xc4, 2: 0xc5, 4: 0xc6 }), value);
  else {
    parts.push(head(value.length, { 1: 0xdc, 2: 0xdc, 4: 0xdd }));
    for (const item of value) packInto(parts, item);
  }
}

/** A code for each number of bytes of the length; arrays have none for one byte. */
function head(length: number, codes: Record<1 | 2 | 4, number>): Uint8Array {
  const width = length < 0x100 && codes[1] !== codes[2] ? 1 : length < 0x1_0000 ? 2 : 4;
  const bytes = new Uint8Array(1 + width);
  bytes[0] = codes[width];
  for (let at = width, rest = length; at > 0; at--, rest = Math.floor(rest / 256)) bytes[at] = rest;
  return bytes;
}

function packNumber(value: number): Uint8Array {
  if (Number.isInteger(value) && value >= 0 && value < 0x80) return Uint8Array.of(value);
  const bytes = new Uint8Array(9);
  bytes[0] = 0xcb;
  new DataView(bytes.buffer).setFloat64(1, value);
  return bytes;
}

/** What the byte at `at` begins; null if the head is not all there. @throws PostError for what the binary API never says */
function headAt(view: DataView, at: number): Head | null {
  if (at >= view.byteLength) return null;
  const code = view.getUint8(at);
  const of = (kind: Head["kind"], bytes: number, length = 0, value = 0): Head => ({ kind, bytes, length, value });
  if (code < 0x80) return of("number", 1, 0, code);
  if (code >= 0xe0) return of("number", 1, 0, code - 256);
  if (code >>> 4 === 9) return of("array", 1, code & 15);
  if (code >>> 5 === 5) return of("text", 1, code & 31);
  const wide = WIDE[code];
  if (wide === undefined) throw new PostError(`MessagePack of kind ${code} is not expected here.`, BAD);
  const [kind, width, read] = wide;
  if (at + 1 + width > view.byteLength) return null;
  const value = read(view, at + 1);
  return kind === "number" ? of(kind, 1 + width, 0, value) : of(kind, 1 + width, value);
}

type Read = (view: DataView, at: number) => number;
const none: Read = () => 0;
const u8: Read = (view, at) => view.getUint8(at);
const u16: Read = (view, at) => view.getUint16(at);
const u32: Read = (view, at) => view.getUint32(at);
/** By code: kind, bytes of the number behind it, and the number. */
const WIDE: Record<number, readonly [kind: Head["kind"], width: number, read: Read]> = {
  0xc0: ["nil", 0, none],
  0xc2: ["false", 0, none],
  0xc3: ["true", 0, none],
  0xc4: ["bytes", 1, u8],
  0xc5: ["bytes", 2, u16],
  0xc6: ["bytes", 4, u32],
  0xca: ["number", 4, (view, at) => view.getFloat32(at)],
  0xcb: ["number", 8, (view, at) => view.getFloat64(at)],
  0xcc: ["number", 1, u8],
  0xcd: ["number", 2, u16],
  0xce: ["number", 4, u32],
  0xcf: ["number", 8, (view, at) => Number(view.getBigUint64(at))],
  0xd0: ["number", 1, (view, at) => view.getInt8(at)],
  0xd1: ["number", 2, (view, at) => view.getInt16(at)],
  0xd2: ["number", 4, (view, at) => view.getInt32(at)],
  0xd3: ["number", 8, (view, at) => Number(view.getBigInt64(at))],
  0xd9: ["text", 1, u8],
  0xda: ["text", 2, u16],
  0xdb: ["text", 4, u32],
  0xdc: ["array", 2, u16],
  0xdd: ["array", 4, u32],
};

/** The value at `at` and where it ends; null if it is not all there. Bytes are views. @throws PostError */
export function valueAt(bytes: Uint8Array, at: number): { value: Value; end: number } | null {
  return readValue(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), at);
}

function readValue(bytes: Uint8Array, view: DataView, at: number): { value: Value; end: number } | null {
  const found = headAt(view, at);
  if (found === null) return null;
  const start = at + found.bytes;
  const end = start + found.length;
  switch (found.kind) {
    case "nil":
      return { value: null, end };
    case "false":
    case "true":
      return { value: found.kind === "true", end };
    case "number":
      return { value: found.value, end };
    case "array":
      return readArray(bytes, view, start, found.length);
    case "text":
      return end > bytes.length ? null : { value: new TextDecoder().decode(bytes.subarray(start, end)), end };
    case "bytes":
      return end > bytes.length ? null : { value: bytes.subarray(start, end), end };
  }
}

function readArray(bytes: Uint8Array, view: DataView, start: number, length: number): { value: Value; end: number } | null {
  const items: Value[] = [];
  let end = start;
  while (items.length < length) {
    const item = readValue(bytes, view, end);
    if (item === null) return null;
    items.push(item.value);
    end = item.end;
  }
  return { value: items, end };
}
