import { assert } from "@meridian/core";
import { PAYLOAD_BYTES_MAX } from "./limits.ts";

/** A sender that makes a larger message has a bug: whoever gathers records knows the bound. */
export function checkPayload(what: string, payload: Uint8Array): void {
  assert(payload.length <= PAYLOAD_BYTES_MAX, `${what}: payload of ${payload.length} bytes, at most ${PAYLOAD_BYTES_MAX}`);
}
