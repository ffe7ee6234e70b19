/** From the body of a request to the body of its response: which path it takes, and what counts against whom. */
import type { Headers, Span, Telemetry } from "@meridian/core";
import { isIoError } from "@meridian/core";
import { ITEM_NUMBERS, isSend, SEND } from "./ingest/ingest.ts";
import type { Ingest } from "./ingest/worker-pool.ts";
import { bodyText, errorText, readBody } from "./rpc/envelope.ts";
import type { Item } from "./rpc/envelope.ts";
import { internalError, limitExceeded, refused } from "./rpc/errors.ts";
import type { CallRunner } from "./rpc/run-calls.ts";
import { answerSends } from "./submit/send.ts";
import type { SendLimits, SendPorts } from "./submit/send.ts";
import type { RateLimit } from "./http/rate-limit.ts";

export interface RpcResponse {
  status: 200 | 429;
  body: Uint8Array | string;
}

export interface GatewayPorts {
  ingest: Ingest;
  calls: CallRunner;
  sends: SendPorts;
  rate: RateLimit;
  telemetry: Telemetry;
}

export interface Gateway {
  /** @param body  handed over: it may go to another thread */
  answer(body: Uint8Array<ArrayBuffer>, client: string, headers: Headers): Promise<RpcResponse>;
}

export function makeGateway(ports: GatewayPorts, limits: SendLimits & { batchMax: number }): Gateway {
  const { telemetry, rate } = ports;
  const countCallsOf = telemetry.histogram("meridian.gateway.batch.calls", "{call}", "Calls of one request");
  const measureMs = telemetry.histogram("meridian.gateway.request.duration", "ms", "From the whole body to the whole answer");

  const answerWithRecords = async (body: Uint8Array<ArrayBuffer>, client: string, span: Span): Promise<RpcResponse> => {
    if (ports.sends.submitter.isFull()) return tooMany("too many transactions are waiting: send again later");
    const running = ports.ingest.run(body);
    if (running === null) return tooMany("the gateway has too many transactions to decode: send again later");
    try {
      const ingested = await running;
      const calls = ingested.items.length / ITEM_NUMBERS;
      countCallsOf(calls);
      if (telemetry.on) span.set({ "rpc.method": SEND, "meridian.transactions": ingested.recordCount });
      if (!(await rate.take(client, calls))) return tooMany(rate.text);
      return { status: 200, body: await answerSends(ingested, span.headers(), ports.sends, limits) };
    } catch (error) {
      telemetry.log.error({ error: String(error), stack: error instanceof Error ? error.stack : undefined }, "A send failed.");
      const what = isIoError(error, "WORKER_LOST") ? refused("the transaction was not sent: send again") : internalError;
      return { status: 200, body: errorText("null", what) };
    }
  };

  const answerCalls = async (body: Uint8Array<ArrayBuffer>, client: string, span: Span): Promise<RpcResponse> => {
    const read = readBody(body, limits.batchMax);
    if ("answer" in read) return { status: 200, body: read.answer };
    // The name of a method may be written with escapes.
    if (read.items.some((item) => isSend(methodOf(item)))) return answerWithRecords(body, client, span);
    if (telemetry.on && !read.isBatch) span.set({ "rpc.method": methodOf(read.items[0]) });
    countCallsOf(read.items.length);
    if (!(await rate.take(client, read.items.length))) return tooMany(rate.text);
    const texts = await ports.calls.run(read.items, span.headers());
    return {
      status: 200,
      body: bodyText(
        read.isBatch,
        texts.filter((text) => text !== ""),
      ),
    };
  };

  return {
    answer: async (body, client, incoming) => {
      const startedAt = performance.now();
      const span = telemetry.span("rpc", { kind: "server", parent: incoming, attributes: { "rpc.system": "jsonrpc" } });
      const sends = Buffer.from(body.buffer, body.byteOffset, body.length).includes(SEND);
      const response = await (sends ? answerWithRecords : answerCalls)(body, client, span);
      if (telemetry.on) span.set({ "http.response.status_code": response.status });
      span.end();
      measureMs(performance.now() - startedAt, { path: sends ? "send" : "read" });
      return response;
    },
  };
}

const methodOf = (item: Item | undefined): string => (item !== undefined && "call" in item ? item.call.method : "");

const tooMany = (text: string): RpcResponse => ({ status: 429, body: errorText("null", limitExceeded(text)) });
