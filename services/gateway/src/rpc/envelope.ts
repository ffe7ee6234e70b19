/** JSON-RPC 2.0 around the calls: bodies taken apart, answers put together, with geth's refusals. */
import { batchTooLarge, invalidRequest, parseError } from "./errors.ts";
import type { Answer, RpcError } from "./errors.ts";

export interface Call {
  /** The id as JSON text; null for a notification, which gets no answer. */
  idText: string | null;
  method: string;
  params: unknown;
}
/** One element of a body: a call, or what its answer says instead. */
export type Item = { call: Call } | { error: RpcError; idText: string };

/** A body that was read: its items in order, or one answer to all of it. */
export type Body = { isBatch: boolean; items: Item[] } | { answer: string };

/** geth answers an empty body with an empty answer: load balancers ask so whether somebody listens. */
const NO_ANSWER: Body = { answer: "" };

export function readBody(bytes: Uint8Array, batchMax: number): Body {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8");
  const parsed = parseJson(text);
  if (parsed === undefined) return text.trim() === "" ? NO_ANSWER : { answer: errorText("null", parseError("parse error")) };
  const hasLargeId = Array.isArray(parsed) ? parsed.some(hasInexactId) : hasInexactId(parsed);
  const json: unknown = hasLargeId ? JSON.parse(text, keepExactId) : parsed;
  if (!Array.isArray(json)) return { isBatch: false, items: [readItem(json)] };
  if (json.length === 0) return { answer: errorText("null", invalidRequest("empty batch")) };
  if (json.length <= batchMax) return { isBatch: true, items: json.map(readItem) };
  const first = json.map(readItem).find((item) => "call" in item && item.call.idText !== null);
  const idText = first !== undefined && "call" in first ? first.call.idText : null;
  return { answer: `[${errorText(idText ?? "null", batchTooLarge)}]` };
}

/** Undefined if this is no JSON; JSON itself has no undefined. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function readItem(message: unknown): Item {
  if (typeof message !== "object" || message === null || Array.isArray(message)) {
    return { error: invalidRequest(), idText: "null" };
  }
  const { jsonrpc, id, method, params } = message as Record<string, unknown>;
  const idText = readId(id);
  if (jsonrpc !== "2.0" || typeof method !== "string" || method === "" || (id !== undefined && idText === null)) {
    return { error: invalidRequest(), idText: idText ?? "null" };
  }
  return { call: { idText, method, params } };
}

/** An id as ASCII JSON text, so that answers can be cut by bytes; null if there is none or it is a list or an object. */
function readId(id: unknown): string | null {
  if (id instanceof ExactId) return id.source;
  if (id !== null && typeof id !== "string" && typeof id !== "number" && typeof id !== "boolean") return null;
  return JSON.stringify(id).replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** A number that a double does not hold exactly, or writes in another way; an answer repeats it as it came. */
class ExactId {
  readonly source: string;
  constructor(source: string) {
    this.source = source;
  }
}

function hasInexactId(message: unknown): boolean {
  if (typeof message !== "object" || message === null) return false;
  const { id } = message as { id?: unknown };
  return typeof id === "number" && !Number.isSafeInteger(id);
}

function keepExactId(this: unknown, key: string, value: unknown, context?: { source?: string }): unknown {
  const isInexact = key === "id" && typeof value === "number" && !Number.isSafeInteger(value);
  return isInexact && context?.source !== undefined ? new ExactId(context.source) : value;
}

/** Text before and after the id of every answer; the worker's prepared answers are cut along these lengths. */
export const ANSWER_START = '{"jsonrpc":"2.0","id":';

export const errorText = (idText: string, error: RpcError): string =>
  `${ANSWER_START}${idText},"error":${JSON.stringify(error)}}`;
export const resultText = (idText: string, result: unknown): string =>
  `${ANSWER_START}${idText},"result":${JSON.stringify(result)}}`;
export const answerText = (idText: string, answer: Answer): string =>
  "error" in answer ? errorText(idText, answer.error) : resultText(idText, answer.result);

/** The body of a response: the answers of a batch in a list, nothing if there are none. */
export function bodyText(isBatch: boolean, answers: readonly string[]): string {
  if (answers.length === 0) return "";
  return isBatch ? `[${answers.join(",")}]` : (answers[0] ?? "");
}
