/** Transactions in MessagePack over HTTP: the body comes whole, the answer may go on for as long as receipts are waited for. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { errorValue } from "../binary/answer.ts";
import type { Sink } from "../binary/streams.ts";
import type { Binary, BinaryResponse } from "../binary/transactions.ts";
import { invalidRequest } from "../rpc/errors.ts";
import { mediaType, readBytes, traceHeaders } from "./request.ts";

const CONTENT_TYPE = "application/msgpack";
const CONTENT_TYPES = [CONTENT_TYPE, "application/vnd.msgpack", "application/x-msgpack"];

export async function answerBinary(
  request: IncomingMessage,
  response: ServerResponse,
  binary: Binary,
  bytesMax: number,
): Promise<void> {
  const type = mediaType(request);
  if (type === undefined || !CONTENT_TYPES.includes(type)) {
    return refuse(response, 415, `invalid content type, only ${CONTENT_TYPE} is supported here`);
  }
  // Without having read the body: Node takes what still comes in away, and the connection can be used again.
  const overload = binary.overload();
  if (overload !== null) return send(response, overload);
  const body = await readBytes(request, bytesMax);
  if (typeof body === "string") return refuse(response, 413, body);
  send(response, await binary.answer(body, request.socket.remoteAddress ?? "unknown", traceHeaders(request)));
}

function refuse(response: ServerResponse, status: 413 | 415, text: string): void {
  response.setHeader("connection", "close"); // Whoever is so far off the form gets no second request read.
  send(response, { status, body: errorValue(invalidRequest(text)), follow: null });
}

function send(response: ServerResponse, { status, body, follow }: BinaryResponse): void {
  response.setHeader("content-type", CONTENT_TYPE);
  if (status === 429) response.setHeader("retry-after", "1");
  if (follow === null) {
    response.writeHead(status, { "content-length": body.length }).end(body);
    return;
  }
  response.writeHead(status).write(body);
  follow(sinkOf(response));
}

const sinkOf = (response: ServerResponse): Sink => ({
  write: (bytes) => void (response.destroyed || response.write(bytes)),
  end: (bytes) => void (response.destroyed || response.end(bytes)),
  destroy: () => void response.destroy(),
  onOver: (forget) => void (response.closed ? forget() : response.once("close", forget)),
});
