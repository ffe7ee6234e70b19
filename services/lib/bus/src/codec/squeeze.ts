/**
 * Bulk contents, compressed: records of neighbours repeat each other, and what a server stores and sends costs more than making
 * it small. u8 0xc1 (which begins no MessagePack), u32 length of what it was (little-endian), a zstd frame (RFC 8878).
 */
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { IoError, concatBytes, readU32, writeU32 } from "@meridian/core";
import { plainBytes } from "../payload.ts";
import { malformed } from "./shapes.ts";

/** Less than this is left as it is. */
export const SQUEEZE_BYTES_MIN = 16 * 1024;
const SQUEEZED = 0xc1;
const HEADER_BYTES = 5;
/** The fastest level that finds repeated records: a tenth is left of calls, for 2 ns a byte. */
const PARAMS = { [constants.ZSTD_c_compressionLevel]: 1 };

/** The contents compressed, or themselves if they are small. */
export function squeeze(contents: Uint8Array): Uint8Array {
  if (contents.length < SQUEEZE_BYTES_MIN) return contents;
  const header = new Uint8Array(HEADER_BYTES);
  header[0] = SQUEEZED;
  writeU32(header, 1, contents.length);
  return concatBytes([header, zstdCompressSync(contents, { params: PARAMS, chunkSize: 256 * 1024 })]);
}

/** @throws IoError MALFORMED, also if they would be more than `bytesMax` */
export function unsqueeze(squeezed: Uint8Array, bytesMax: number, path: string): Uint8Array {
  if (squeezed[0] !== SQUEEZED) return squeezed;
  const length = squeezed.length < HEADER_BYTES ? 0 : readU32(squeezed, 1);
  if (length === 0 || length > bytesMax) return malformed(path, `compressed bytes, at most ${bytesMax}`);
  try {
    // One buffer of the right size; a frame that gives more is refused when it does.
    const contents = zstdDecompressSync(squeezed.subarray(HEADER_BYTES), {
      chunkSize: Math.max(64, length),
      maxOutputLength: length,
    });
    if (contents.length === length) return plainBytes(contents);
  } catch (error) {
    throw new IoError({ code: "MALFORMED", field: path, want: "a zstd frame" }, "never", error);
  }
  return malformed(path, `${length} bytes`);
}
