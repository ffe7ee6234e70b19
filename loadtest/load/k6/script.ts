/**
 * What k6 runs: posts prepared bodies at their times. One line on the console for each request tells how it went; everything else
 * is worked out afterwards.
 */
import exec from "k6/execution";
import { SeekMode, open as openFile } from "k6/experimental/fs";
import http from "k6/http";
import { type Reply, readBinaryReply, readJsonReply } from "./reply.ts";

/** Written by run-k6.ts. */
interface K6Order {
  url: string;
  file: string;
  slotBytes: number;
  isJson: boolean;
  requests: number;
  timeoutMs: number;
  summaryFile: string;
  /** k6's own options: one scenario. */
  options: object;
}

declare const __ENV: Record<string, string>;
declare function open(path: string): string;

const order = JSON.parse(open(__ENV["MERIDIAN_LOAD_ORDER"] ?? "")) as K6Order;
const LENGTH_BYTES = 4;

export const options = order.options;

// One copy for all virtual users; `open` would keep one for each.
const opening = openFile(order.file);
const slot = new Uint8Array(order.slotBytes);
const type = order.isJson ? "application/json" : "application/msgpack";
const parameters = {
  headers: { "content-type": type },
  responseType: order.isJson ? ("text" as const) : ("binary" as const),
  timeout: order.timeoutMs,
};

export default async function post(): Promise<void> {
  const request = exec.scenario.iterationInTest;
  if (request >= order.requests) return; // A rate may begin one more than it should.
  const file = await opening;
  await file.seek(request * order.slotBytes, SeekMode.Start);
  await file.read(slot);
  const bytes = new DataView(slot.buffer).getUint32(0, true);
  const sentAt = Date.now();
  const response = http.post(order.url, slot.buffer.slice(LENGTH_BYTES, LENGTH_BYTES + bytes), parameters);
  const { duration } = response.timings;
  const { accepted, refused, receipts, isEnded, why } = replyOf(response.status, response.body, response.error);
  const told = [request, sentAt, duration, response.status, accepted, refused, receipts, isEnded ? 1 : 0, why];
  console.log(`sent ${JSON.stringify(told)}`);
}

function replyOf(status: number, body: unknown, error: string): Reply {
  const nothing = { accepted: 0, refused: 0, receipts: 0, isEnded: false };
  if (status !== 200 || body === null) return { ...nothing, why: error === "" ? `HTTP ${status}` : error };
  return order.isJson ? readJsonReply(body as string) : readBinaryReply(body as ArrayBuffer);
}

export function handleSummary(summary: object): Record<string, string> {
  return { [order.summaryFile]: JSON.stringify(summary) };
}
