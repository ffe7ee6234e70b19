import { assert } from "@meridian/core";
import type { Headers } from "@meridian/core";
import { headers } from "@nats-io/nats-core";
import type { MsgHdrs } from "@nats-io/nats-core";
import { HEADERS_BYTES_MAX } from "../limits.ts";

/** Headers as the connection wants them; undefined for none, which saves their encoding. */
export function toNatsHeaders(plain: Headers, more?: Headers): MsgHdrs | undefined {
  const entries = [...Object.entries(plain), ...Object.entries(more ?? {})];
  if (entries.length === 0) return undefined;
  const result = headers();
  let bytes = 0;
  for (const [name, value] of entries) {
    bytes += name.length + value.length + 4;
    result.set(name, value);
  }
  assert(bytes < HEADERS_BYTES_MAX, `headers of ${bytes} bytes, at most ${HEADERS_BYTES_MAX}`);
  return result;
}

/** Headers without those that the server or the batch protocol put there ("Nats-..."). */
export function fromNatsHeaders(from: MsgHdrs | undefined): Headers {
  const plain: Headers = {};
  if (from === undefined) return plain;
  for (const [name, values] of from) {
    const value = values[0];
    if (value !== undefined && !name.startsWith("Nats-")) plain[name] = value;
  }
  return plain;
}
