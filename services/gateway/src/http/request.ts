/** What comes in with a request. */
import type { IncomingMessage } from "node:http";
import type { Headers } from "@meridian/core";

/** The media type without parameters; undefined if there is none. */
export const mediaType = ({ headers }: IncomingMessage): string | undefined =>
  headers["content-type"]?.split(";")[0]?.trim().toLowerCase();

/** The whole body in a buffer of its own, or why it is refused. @throws if the client goes away before its end */
export async function readBytes(request: IncomingMessage, bytesMax: number): Promise<Uint8Array<ArrayBuffer> | string> {
  const declared = request.headers["content-length"];
  const length = declared === undefined ? 0 : Number(declared);
  if (length > bytesMax) return `content length too large (${length}>${bytesMax})`;
  let buffer = new Uint8Array(length);
  let end = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    if (end + chunk.length > bytesMax) return `content length too large (more than ${bytesMax})`;
    if (end + chunk.length > buffer.length) {
      const larger = new Uint8Array(Math.max(end + chunk.length, Math.min(buffer.length * 2, bytesMax)));
      larger.set(buffer.subarray(0, end));
      buffer = larger;
    }
    buffer.set(chunk, end);
    end += chunk.length;
  }
  return end === buffer.length ? buffer : buffer.slice(0, end);
}

/** W3C trace context, so that a client's trace goes on here. */
export function traceHeaders({ headers }: IncomingMessage): Headers {
  const trace: Headers = {};
  for (const name of ["traceparent", "tracestate"]) {
    const value = headers[name];
    if (typeof value === "string") trace[name] = value;
  }
  return trace;
}
