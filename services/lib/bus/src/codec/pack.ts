import { IoError } from "@meridian/core";
import { Packr, RESET_BUFFER_MODE } from "msgpackr";
import { plainBytes } from "../payload.ts";
import type { Shape } from "./shapes.ts";
import { arrayOf, malformed } from "./shapes.ts";

// Plain MessagePack without msgpackr's own extensions, so that any implementation can read it. Bytes come out as views.
const packr = new Packr({
  useRecords: false,
  mapsAsObjects: true,
  copyBuffers: false,
  int64AsType: "number",
  encodeUndefinedAsNil: true,
});

/** MessagePack of plain values: nil, booleans, numbers, texts, bytes and lists of these. */
export function pack(value: unknown): Uint8Array {
  return plainBytes(packr.pack(value));
}

/**
 * The same, in bytes that are good until something else is packed: for what is compressed at once. Fresh memory for each large
 * value would cost more than packing it.
 */
export function packBriefly(value: unknown): Uint8Array {
  return plainBytes(packr.pack(value, RESET_BUFFER_MODE));
}

/** @throws IoError MALFORMED if this is not exactly one MessagePack value */
export function unpack(payload: Uint8Array, what: string): unknown {
  try {
    // A view of its own: msgpackr hangs a DataView on the array that it reads.
    return packr.unpack(plainBytes(payload)) as unknown;
  } catch (error) {
    throw new IoError({ code: "MALFORMED", field: what, want: "one MessagePack value" }, "never", error);
  }
}

/** A message that starts with the number of its format. */
export interface Codec<T> {
  encode(value: T): Uint8Array;
  /** @throws IoError MALFORMED | FORMAT_UNKNOWN */
  decode(payload: Uint8Array): T;
}

/** [format, value]. A reader that meets a higher format stops: it would misread what it does not know. */
export function codec<T>(what: string, format: number, shape: Shape<T>): Codec<T> {
  return {
    encode: (value) => pack([format, shape.write(value)]),
    decode: (payload) => {
      const parts = arrayOf(unpack(payload, what), what);
      checkFormat(parts[0], what, format);
      if (parts.length !== 2) malformed(what, "a format and a value");
      return shape.read(parts[1], what);
    },
  };
}

/** @throws IoError MALFORMED if this is no format number; FORMAT_UNKNOWN if it is not the one this code knows */
export function checkFormat(got: unknown, what: string, known: number): void {
  if (!Number.isSafeInteger(got) || (got as number) < 1) malformed(`${what}.format`, "a format number");
  if (got !== known) throw new IoError({ code: "FORMAT_UNKNOWN", what, got: got as number, known }, "never");
}
