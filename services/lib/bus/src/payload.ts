import { assert } from "@meridian/core";
import { PAYLOAD_BYTES_MAX } from "./limits.ts";

/** A sender that makes a larger message has a bug: whoever gathers records knows the bound. */
export function checkPayload(what: string, payload: Uint8Array): void {
  assert(payload.length <= PAYLOAD_BYTES_MAX, `${what}: payload of ${payload.length} bytes, at most ${PAYLOAD_BYTES_MAX}`);
}

/** The same bytes as a plain view: a Buffer's `slice` does not copy, so none is handed out. */
export function plainBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
