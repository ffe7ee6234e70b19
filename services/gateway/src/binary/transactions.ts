/**
 * POST /v1/transactions: from the bytes of a body to its answer (docs/BINARY-API.md). Between the workers and the scheduler's
 * answer transactions are packed records; nothing is done for a single one unless it is refused.
 *
 * T1. Either nothing of a body was sent and the whole answer is one error, or the answer says of every input what became of it.
 * T2. An input that cannot be decoded, or has a call whose sender has not the value, is kept back as a whole; the others go on.
 */
import type { EngineModule, Headers, Span, Telemetry } from "@meridian/core";
import { isIoError, SUBMIT } from "@meridian/core";
import type { ChainView } from "../chain/view.ts";
import type { RateLimit } from "../http/rate-limit.ts";
import type { Ingest } from "../ingest/worker-pool.ts";
import type { Backend } from "../methods/method.ts";
import { CODE, internalError, invalidRequest, limitExceeded, refused } from "../rpc/errors.ts";
import type { RpcError } from "../rpc/errors.ts";
import type { CountCalls } from "../rpc/run-calls.ts";
import type { Recent } from "../submit/recent.ts";
import { selectRecords } from "../submit/records.ts";
import type { Submitter } from "../submit/submitter.ts";
import { checkValues } from "../submit/value-check.ts";
import { acceptedValue, errorValue } from "./answer.ts";
import type { Refusal } from "./answer.ts";
import { readBinaryBody, WANT } from "./body.ts";
import type { Body } from "./body.ts";
import type { Part, PartRequest } from "./decode-part.ts";
import { selectCalls } from "./keys.ts";
import type { CallKeys } from "./keys.ts";
import type { ReceiptStreams, Sink } from "./streams.ts";
import { keepBack, refusalsOf, takenBefore } from "./verdicts.ts";

export const TRANSACTIONS_PATH = "/v1/transactions";

export interface BinaryResponse {
  status: 200 | 400 | 413 | 415 | 429 | 500 | 503;
  body: Uint8Array;
  /** Goes on with the response behind `body`; null if there is no more. */
  follow: ((sink: Sink) => void) | null;
}

export interface BinaryPorts {
  backendOf: (headers: Headers) => Backend;
  view: ChainView;
  engine: EngineModule;
  ingest: Ingest;
  submitter: Submitter;
  recent: Recent;
  streams: ReceiptStreams;
  rate: RateLimit;
  telemetry: Telemetry;
  countCalls: CountCalls;
}

export interface BinaryLimits {
  /** Of one body: inputs, and calls of all inputs. */
  binaryCallsMax: number;
  /** A worker gets so many inputs at once. */
  partInputs: number;
}

/** What a body's transactions came to. */
interface Outcome {
  accepted: CallKeys;
  refusals: Refusal[];
  /** No earlier block can have any of the accepted ones. */
  fromBlock: number;
}

export interface Binary {
  /** Null if a body may be read now. */
  overload(): BinaryResponse | null;
  /** @param body  handed over: it may go to another thread */
  answer(body: Uint8Array<ArrayBuffer>, client: string, headers: Headers): Promise<BinaryResponse>;
}

export function makeBinary(ports: BinaryPorts, limits: BinaryLimits): Binary {
  const { telemetry } = ports;
  const measureMs = telemetry.histogram("meridian.gateway.binary.duration", "ms", "From the whole body to the first value");
  const countCallsOf = telemetry.histogram("meridian.gateway.binary.calls", "{call}", "Calls of one binary body");
  const server = { ...ports, limits, countCallsOf };
  return {
    overload: () => overloadOf(ports),
    answer: async (body, client, incoming) => {
      const startedAt = performance.now();
      const span = telemetry.span("transactions", { kind: "server", parent: incoming });
      const response = await answerSafely(body, client, span, server);
      if (telemetry.on) span.set({ "http.response.status_code": response.status });
      span.end();
      measureMs(performance.now() - startedAt);
      return response;
    },
  };
}

type Server = BinaryPorts & { limits: BinaryLimits; countCallsOf: (calls: number) => void };

async function answerSafely(body: Uint8Array<ArrayBuffer>, client: string, span: Span, server: Server): Promise<BinaryResponse> {
  try {
    return await answerBody(body, client, span, server);
  } catch (error) {
    const { log } = server.telemetry;
    log.error({ error: String(error), stack: error instanceof Error ? error.stack : undefined }, "A binary body failed.");
    return isIoError(error, "WORKER_LOST")
      ? failed(503, refused("the transactions were not sent: send them again"))
      : failed(500, internalError);
  }
}

async function answerBody(body: Uint8Array<ArrayBuffer>, client: string, span: Span, server: Server): Promise<BinaryResponse> {
  const { limits, ingest, rate, streams } = server;
  const read = readBinaryBody(body, limits.binaryCallsMax, limits.partInputs);
  if ("status" in read) return failed(read.status, read.error);
  if (!(await rate.take(client, Math.max(read.count, 1)))) return tooMany(rate.text);
  const running = ingest.runParts(cutParts(body, read, limits.partInputs));
  if (running === null) return tooMany(DECODING);
  const part = await running;
  const { recordCount } = part;
  server.countCallsOf(recordCount);
  span.set({ "meridian.transactions": recordCount });
  if (recordCount > limits.binaryCallsMax) {
    return failed(413, invalidRequest(`too many calls: more than ${limits.binaryCallsMax} in one body`));
  }
  if (recordCount > read.count && !(await rate.take(client, recordCount - read.count))) return tooMany(rate.text);
  const room = (read.want & WANT.receipts) === 0 ? undefined : streams.reserve(recordCount);
  if (room === null) return tooMany("too many transactions wait for their receipts: send again later");
  try {
    const outcome = await submitPart(part, span.headers(), server);
    countOutcome(outcome, server.countCalls);
    const overload = overloadIn(outcome);
    if (overload !== null) {
      room?.free();
      return overload;
    }
    const { accepted, refusals, fromBlock } = outcome;
    const first = acceptedValue(accepted.count, (read.want & WANT.hashes) === 0 ? null : part.hashes, refusals);
    const follow = room === undefined ? null : (sink: Sink) => room.open(accepted, fromBlock, sink);
    return { status: 200, body: first, follow };
  } catch (error) {
    room?.free();
    throw error;
  }
}

/** The body itself if it is one part, else copies: each goes to a thread of its own. */
function cutParts(body: Uint8Array<ArrayBuffer>, { cuts, count, want }: Body, partInputs: number): PartRequest[] {
  const hasHashes = (want & WANT.hashes) !== 0;
  if (cuts.length === 2) return [{ bins: body, start: cuts[0]!, count, first: 0, hasHashes }];
  return cuts.slice(1).map((end, part) => {
    const first = part * partInputs;
    return { bins: body.slice(cuts[part], end), start: 0, count: Math.min(partInputs, count - first), first, hasHashes };
  });
}

async function submitPart(part: Part, headers: Headers, ports: BinaryPorts): Promise<Outcome> {
  const { state } = ports.backendOf(headers);
  const { inputs } = part;
  const calls: CallKeys = { keys: part.keys, inputs, calls: new Uint32Array(inputs.length), count: part.recordCount };
  const poor = await checkValues(part, state, ports.engine);
  const sent = poor.size === 0 ? { ...part, calls, refusals: [] } : keepBack(part.records, calls, poor);
  const openBlock = ports.view.beat()?.open.number ?? 0;
  const { codes, details } = await ports.submitter.submit({
    records: sent.records,
    count: sent.calls.count,
    headers,
    refusesGaps: true,
  });
  // What was there before may stand in an earlier block.
  const fromBlock = codes.includes(SUBMIT.known) ? 0 : openBlock;
  const before = [...part.refusals, ...sent.refusals];
  if (codes.every((code) => code <= SUBMIT.known)) {
    ports.recent.add(sent.records);
    return { accepted: sent.calls, refusals: before, fromBlock };
  }
  const taken = await takenBefore(sent.calls, codes, ports.backendOf(headers));
  const isAccepted = (number: number) => codes[number]! <= SUBMIT.known || taken.has(number);
  ports.recent.add(selectRecords(sent.records, (number) => codes[number]! <= SUBMIT.known));
  const refusals = [...before, ...refusalsOf(sent, { codes, details }, isAccepted)];
  refusals.sort((one, other) => one.input - other.input || one.call - other.call);
  return { accepted: selectCalls(sent.calls, isAccepted), refusals, fromBlock: taken.size > 0 ? 0 : fromBlock };
}

/** Nothing was accepted, only because all have too much to do: the whole body may come again. */
function overloadIn({ accepted, refusals }: Outcome): BinaryResponse | null {
  const [first] = refusals;
  if (first === undefined || accepted.count > 0) return null;
  return refusals.every(({ error }) => error.code === CODE.limit) ? tooMany(first.error.message) : null;
}

function countOutcome({ accepted, refusals }: Outcome, countCalls: CountCalls): void {
  if (accepted.count > 0) countCalls(TRANSACTIONS_PATH, 0, accepted.count);
  const codes = new Map<number, number>();
  for (const { error, calls } of refusals) codes.set(error.code, (codes.get(error.code) ?? 0) + Math.max(calls, 1));
  for (const [code, count] of codes) countCalls(TRANSACTIONS_PATH, code, count);
}

const DECODING = "the gateway has too many transactions to decode: send again later";

function overloadOf({ ingest, submitter }: BinaryPorts): BinaryResponse | null {
  if (ingest.isFull()) return tooMany(DECODING);
  return submitter.isFull() ? tooMany("too many transactions are waiting: send again later") : null;
}

const failed = (status: BinaryResponse["status"], error: RpcError): BinaryResponse => ({
  status,
  body: errorValue(error),
  follow: null,
});
const tooMany = (text: string): BinaryResponse => failed(429, limitExceeded(text));
