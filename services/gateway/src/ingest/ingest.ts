/**
 * From the bytes of a request to packed transaction records, in one pass inside a worker: JSON, hex, signatures. What goes back
 * is packed too: the records, and the answer as it will read if everything is accepted, so that the main thread does nothing
 * for a single transaction unless it is refused.
 */
import type { Decoded, EngineModule } from "@meridian/core";
import { DECODE, DECODE_NO_CALL, TX, txOffsets, writeU32 } from "@meridian/core";
import type { PartLimits } from "../binary/decode-part.ts";
import { hexData } from "../format/hex.ts";
import { ANSWER_START, errorText, readBody } from "../rpc/envelope.ts";
import type { Call, Item } from "../rpc/envelope.ts";
import type { RpcError } from "../rpc/errors.ts";
import { data, looseCount, optional, parseParams, required } from "../rpc/params.ts";
import { decodeRefusal, refusedFor } from "./refusals.ts";
import { findValues } from "./values.ts";
import type { Values } from "./values.ts";

export const SEND = "eth_sendRawTransaction";
export const SEND_SYNC = "eth_sendRawTransactionSync";
export const isSend = (method: string): boolean => method === SEND || method === SEND_SYNC;

/** What an item of the body is: finished text, a transaction or one to wait for (by its record), another call (by its number). */
export const ITEM = { text: 0, send: 1, sync: 2, other: 3 } as const;
/**
 * Numbers of one item in `Ingested.items`: kind, start and end of its text in `answer`, number of its first record or of its
 * other call, number of its records (one for each call of a signed batch).
 */
export const ITEM_NUMBERS = 5;

export interface Ingested extends Values {
  isBatch: boolean;
  /** Packed transaction records, in the order of the calls. */
  records: Uint8Array;
  recordCount: number;
  /** The whole answer if every transaction is accepted and there are no other calls. ASCII. */
  answer: Uint8Array;
  items: Uint32Array;
  /** Calls of other methods, for the main thread; their items have no text yet. */
  others: Call[];
  /** Milliseconds that each synchronous send whose transaction is valid wants to wait, in order; null for the default. */
  syncMs: (number | null)[];
}

export interface IngestLimits extends PartLimits {
  batchMax: number;
}

const SEND_PARAMS = [required(data)] as const;
const SYNC_PARAMS = [required(data), optional(looseCount)] as const;

/** Length of an answer's text behind its id if the transaction is accepted: `,"result":"0x<64 digits>"}`. */
export const ACCEPTED_TAIL = ',"result":"0x"}'.length + 64;

export function ingest(body: Uint8Array, engine: Pick<EngineModule, "decode">, limits: IngestLimits): Ingested {
  const read = readBody(body, limits.batchMax);
  if ("answer" in read) return finished(read.answer);
  const { isBatch, items } = read;
  const sends = collectSends(items, body.length);
  const decoded = engine.decode(sends.packed, limits.decode);
  const records = decoded.records.slice(); // The engine's own buffer may not leave this thread.
  const offsets = txOffsets(records);
  const writer = new AnswerWriter(isBatch, items.length);
  const others: Call[] = [];
  const syncMs: Ingested["syncMs"] = [];
  let [input, record] = [0, 0];
  for (const [index, item] of items.entries()) {
    const error = "error" in item ? item.error : sends.errors[index];
    const idText = "error" in item ? item.idText : item.call.idText;
    if (error !== undefined) {
      writer.error(idText, error);
    } else if ("call" in item && !isSend(item.call.method)) {
      writer.other(others.push(item.call) - 1);
    } else if ("call" in item) {
      const refusal = refusalOf(decoded, sends, input);
      const waitMs = sends.waitMs[input] ?? null;
      const count = decoded.recordCounts[input++] ?? 0;
      if (refusal !== null) {
        writer.error(idText, refusal);
        continue;
      }
      if (item.call.method === SEND_SYNC) syncMs.push(waitMs);
      writer.send(item.call, records, offsets[record] ?? 0, record, count);
      record += count;
    }
  }
  return {
    isBatch,
    records,
    recordCount: record,
    ...writer.done(),
    others,
    syncMs,
    ...findValues(records),
  };
}

/** An answer to the whole body that needs no transaction. */
function finished(answer: string): Ingested {
  const writer = new AnswerWriter(false, 1);
  writer.text(answer);
  const nothing = new Uint8Array(0);
  const noValues = { valued: new Uint32Array(0), values: nothing, spenders: nothing };
  return { isBatch: false, records: nothing, recordCount: 0, ...writer.done(), others: [], syncMs: [], ...noValues };
}

/** Why input `input` of a decoded batch is no valid transaction; null if it is one. */
function refusalOf({ statuses, details, calls }: Decoded, { packed, starts }: Sends, input: number): RpcError | null {
  const status = statuses[input] ?? DECODE.malformed;
  if (status === DECODE.ok) return null;
  const raw = packed.subarray(starts[input], (starts[input + 1] ?? packed.length + 4) - 4);
  const error = decodeRefusal(status, details[input * 2] ?? 0, details[input * 2 + 1] ?? 0, raw);
  const call = calls[input] ?? DECODE_NO_CALL;
  return call === DECODE_NO_CALL ? error : refusedFor(call, error);
}

interface Sends {
  /** (u32 bytes, raw)* of the calls that send. */
  packed: Uint8Array;
  /** Where each raw transaction starts in `packed`, behind its length. */
  starts: number[];
  /** By the item's number: why a call that sends has no transaction. */
  errors: Record<number, RpcError>;
  /** By the number of the raw transaction: how long its call wants to wait, if it says so. */
  waitMs: (number | null)[];
}

/** @param bodyBytes length of the JSON text, which is longer than all transactions in it together */
function collectSends(items: readonly Item[], bodyBytes: number): Sends {
  const packed = Buffer.allocUnsafeSlow(bodyBytes + 4 * items.length);
  const sends: Omit<Sends, "packed"> = { starts: [], errors: {}, waitMs: [] };
  let end = 0;
  for (const [index, item] of items.entries()) {
    if (!("call" in item) || !isSend(item.call.method)) continue;
    const { method, params } = item.call;
    const parsed = parseSend(method, params, packed, end + 4);
    if ("error" in parsed) {
      sends.errors[index] = parsed.error;
      continue;
    }
    writeU32(packed, end, parsed.bytes);
    sends.starts.push(end + 4);
    end += 4 + parsed.bytes;
    sends.waitMs.push(parsed.waitMs);
  }
  return { packed: packed.subarray(0, end), ...sends };
}

/** Writes the raw transaction of a call to `packed` at `at`. */
function parseSend(
  method: string,
  params: unknown,
  packed: Buffer,
  at: number,
): { bytes: number; waitMs: number | null } | { error: RpcError } {
  const [input] = Array.isArray(params) ? (params as unknown[]) : [];
  if (method === SEND && Array.isArray(params) && params.length === 1 && typeof input === "string" && input.startsWith("0x")) {
    // The usual form: hex straight to its place. Anything odd goes the long way, which has the words for it.
    const bytes = packed.write(input.slice(2), at, "hex");
    if (bytes * 2 === input.length - 2) return { bytes, waitMs: null };
  }
  const parsed = method === SEND ? parseParams(params, SEND_PARAMS) : parseParams(params, SYNC_PARAMS);
  if ("error" in parsed) return parsed;
  const [raw, waitMs] = parsed.args as [Uint8Array, number | undefined];
  packed.set(raw, at);
  return { bytes: raw.length, waitMs: waitMs ?? null };
}

/** Writes the answer and notes where each item's text stands in it. */
class AnswerWriter {
  readonly #isBatch: boolean;
  readonly #items: Uint32Array;
  readonly #parts: string[] = [];
  #length: number;
  #item = 0;

  constructor(isBatch: boolean, itemCount: number) {
    this.#isBatch = isBatch;
    this.#items = new Uint32Array(itemCount * ITEM_NUMBERS);
    this.#length = isBatch ? 1 : 0; // The bracket before the first.
  }

  error(idText: string | null, error: RpcError): void {
    this.text(idText === null ? "" : errorText(idText, error));
  }

  text(text: string): void {
    this.#note(ITEM.text, text, 0);
  }

  /** @param at  where the first of its records starts: its hash is the answer */
  send({ idText, method }: Call, records: Uint8Array, at: number, record: number, count: number): void {
    const hash = () => hexData(records, at + TX.hash, at + TX.hash + 32);
    const text = idText === null ? "" : `${ANSWER_START}${idText},"result":"${hash()}"}`;
    this.#note(method === SEND_SYNC ? ITEM.sync : ITEM.send, text, record, count);
  }

  other(number: number): void {
    this.#note(ITEM.other, "", number);
  }

  done(): { answer: Uint8Array; items: Uint32Array } {
    const joined = this.#parts.join(",");
    const text = this.#isBatch && joined !== "" ? `[${joined}]` : joined;
    const answer = Buffer.allocUnsafeSlow(text.length); // Not from the pool: it leaves this thread.
    if (text !== "") answer.write(text, "latin1");
    return { answer, items: this.#items };
  }

  #note(kind: number, text: string, number: number, count = 0): void {
    const start = this.#length + (text !== "" && this.#parts.length > 0 ? 1 : 0);
    this.#length = start + text.length;
    this.#items.set([kind, start, this.#length, number, count], this.#item++ * ITEM_NUMBERS);
    if (text !== "") this.#parts.push(text);
  }
}
