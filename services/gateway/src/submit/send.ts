/**
 * Answers requests that send transactions, once a worker has made records of them: balances of senders that send value, the
 * scheduler, for synchronous sends the sealed block. If everything is accepted the worker's prepared answer goes out as it is.
 */
import type { EngineModule, Headers } from "@meridian/core";
import { concatBytes, isIoError, SUBMIT, TX, txOffsets } from "@meridian/core";
import type { ChainView } from "../chain/view.ts";
import { hexData } from "../format/hex.ts";
import { ACCEPTED_TAIL, ITEM, ITEM_NUMBERS } from "../ingest/ingest.ts";
import type { Ingested } from "../ingest/ingest.ts";
import { refusedFor, submitRefusal, syncNonceGap } from "../ingest/refusals.ts";
import { receiptAnswer } from "../methods/transactions.ts";
import type { Backend } from "../methods/method.ts";
import { ANSWER_START, answerText, bodyText, errorText } from "../rpc/envelope.ts";
import { CODE, responseTooLarge } from "../rpc/errors.ts";
import type { Answer, RpcError } from "../rpc/errors.ts";
import type { CallRunner, CountCalls } from "../rpc/run-calls.ts";
import type { ReceiptWaits } from "./receipt-waits.ts";
import type { Recent } from "./recent.ts";
import { selectRecords } from "./records.ts";
import type { Submitter } from "./submitter.ts";
import { checkValues } from "./value-check.ts";

export interface SendPorts {
  /** What asks with this trace context. */
  backendOf: (headers: Headers) => Backend;
  view: ChainView;
  engine: EngineModule;
  submitter: Submitter;
  recent: Recent;
  waits: ReceiptWaits;
  calls: CallRunner;
  countCalls: CountCalls;
}

export interface SendLimits {
  responseBytesMax: number;
  syncMs: number;
  syncMsMax: number;
}

/** By the record's number: why it is refused. */
type Refusals = Map<number, RpcError>;

/** @returns the response's body */
export async function answerSends(
  ingested: Ingested,
  headers: Headers,
  ports: SendPorts,
  limits: SendLimits,
): Promise<Uint8Array | string> {
  // Calls before the first transaction of a batch see the chain without it, those behind it with it.
  const early = earlyCalls(ingested);
  const earlyTexts = await ports.calls.run(
    ingested.others.slice(0, early).map((call) => ({ call })),
    headers,
  );
  const refusals = await submitAll(ingested, headers, ports);
  countSends(ingested, refusals, ports.countCalls);
  const isPlain = refusals.size === 0 && ingested.others.length === 0 && ingested.syncMs.length === 0;
  if (isPlain) return ingested.answer;
  const [lateTexts, synced] = await Promise.all([
    ports.calls.run(
      ingested.others.slice(early).map((call) => ({ call })),
      headers,
    ),
    waitForReceipts(ingested, refusals, ports, limits),
  ]);
  return assemble(ingested, refusals, [...earlyTexts, ...lateTexts], synced, limits.responseBytesMax);
}

/** Number of other calls that stand before the first transaction. */
function earlyCalls({ items }: Ingested): number {
  let count = 0;
  for (let at = 0; at < items.length && items[at] !== ITEM.send && items[at] !== ITEM.sync; at += ITEM_NUMBERS) {
    if (items[at] === ITEM.other) count++;
  }
  return count;
}

async function submitAll(ingested: Ingested, headers: Headers, ports: SendPorts): Promise<Refusals> {
  const { records, recordCount } = ingested;
  const refusals = refuseWholeBatches(ingested, await checkValues(ingested, ports.backendOf(headers).state, ports.engine));
  const isWhole = refusals.size === 0;
  const sent = isWhole ? records : selectRecords(records, (number) => !refusals.has(number));
  const count = recordCount - refusals.size;
  const { codes, details } = await ports.submitter.submit({ records: sent, count, headers });
  if (codes.every((code) => code <= SUBMIT.known)) {
    ports.recent.add(sent);
    return refusals;
  }
  const offsets = txOffsets(sent);
  const settled = await settleLostAcknowledgements(sent, offsets, codes, ports.backendOf(headers));
  const numbers = Array.from({ length: recordCount }, (_, number) => number).filter((number) => !refusals.has(number));
  const isSync = syncRecords(ingested);
  codes.forEach((code, index) => {
    const error = settled.has(index) ? null : submitRefusal(code, details[index] ?? 0, sent, offsets[index] ?? 0);
    const number = numbers[index] ?? 0;
    if (error === null) return;
    const isSyncGap = code === SUBMIT.nonceTooHigh && isSync.has(number);
    refusals.set(number, isSyncGap ? syncNonceGap(error, details[index] ?? 0) : error);
  });
  ports.recent.add(selectRecords(sent, (index) => (codes[index] ?? 0) <= SUBMIT.known));
  return refuseWholeBatches(ingested, refusals);
}

/**
 * A signed batch with a call that is refused is refused itself, with the first such call's words: nothing of it is sent, or, if
 * the scheduler refused, not all of it was taken and the client sends it again.
 */
function refuseWholeBatches({ items }: Ingested, refusals: Refusals): Refusals {
  for (let at = 0; refusals.size > 0 && at < items.length; at += ITEM_NUMBERS) {
    const [first, count] = [items[at + 3]!, items[at + 4]!];
    const numbers = Array.from({ length: count }, (_, call) => first + call);
    const call = numbers.findIndex((number) => refusals.has(number));
    const error = call < 0 ? undefined : refusals.get(first + call);
    if (count < 2 || error === undefined || numbers.every((number) => refusals.get(number) === refusals.get(first))) continue;
    const named = refusedFor(call, error);
    for (const number of numbers) refusals.set(number, named);
  }
  return refusals;
}

/**
 * A nonce that is too low may be this very transaction's own: the client sends it again because the first answer was lost, so
 * long ago that the scheduler has forgotten. The archive has not.
 * @returns indexes of those the archive has
 */
async function settleLostAcknowledgements(
  records: Uint8Array,
  offsets: Uint32Array,
  codes: Uint8Array,
  { archive, view }: Backend,
): Promise<Set<number>> {
  const settled = new Set<number>();
  const indexes = [...codes.keys()].filter((index) => codes[index] === SUBMIT.nonceTooLow);
  if (indexes.length === 0) return settled;
  const hashAt = (index: number): Uint8Array =>
    records.subarray((offsets[index] ?? 0) + TX.hash, (offsets[index] ?? 0) + TX.hash + 32);
  try {
    const found = await archive.transactions(concatBytes(indexes.map(hashAt)), view.latest()?.number ?? 0);
    if ("value" in found) indexes.forEach((index, place) => (found.value[place] ?? null) !== null && settled.add(index));
  } catch (error) {
    if (!isIoError(error)) throw error; // Without an archive the scheduler's answer stands.
  }
  return settled;
}

/** Numbers of the records that are sent synchronously. */
function syncRecords({ items }: Ingested): Set<number> {
  const numbers = new Set<number>();
  for (let at = 0; at < items.length; at += ITEM_NUMBERS) {
    if (items[at] === ITEM.sync) numbers.add(items[at + 3]!);
  }
  return numbers;
}

/** Receipts of synchronous sends, or why there is none, by the record's number. */
async function waitForReceipts(
  ingested: Ingested,
  refusals: Refusals,
  { waits, backendOf, view }: SendPorts,
  limits: SendLimits,
): Promise<Map<number, Answer>> {
  const answers = new Map<number, Answer>();
  const offsets = txOffsets(ingested.records);
  const waiting = [...syncRecords(ingested)].map(async (number, index) => {
    if (refusals.has(number)) return;
    const at = (offsets[number] ?? 0) + TX.hash;
    const hash = ingested.records.subarray(at, at + 32);
    const wanted = ingested.syncMs[index] ?? 0;
    const msMax = Math.min(wanted > 0 ? wanted : limits.syncMs, limits.syncMsMax);
    const found = await waits.wait(hash, msMax);
    const latest = view.latest();
    const receipt = latest === null ? null : receiptAnswer(found, { ...backendOf({}), latest });
    answers.set(number, receipt === null ? { error: syncTimeout(hash, msMax) } : { result: receipt });
  });
  await Promise.all(waiting);
  return answers;
}

const syncTimeout = (hash: Uint8Array, msMax: number): RpcError => ({
  code: CODE.syncTimeout,
  message: `The transaction was added to the log but its block was not sealed within ${msMax} ms`,
  data: hexData(hash),
});

/** Puts the response together where the prepared answer does not fit. */
function assemble(
  { answer, items, isBatch }: Ingested,
  refusals: Refusals,
  otherTexts: readonly string[],
  synced: Map<number, Answer>,
  bytesMax: number,
): string {
  const prepared = Buffer.from(answer.buffer, answer.byteOffset, answer.length).toString("latin1");
  const texts: string[] = [];
  let bytes = 0;
  for (let at = 0; at < items.length; at += ITEM_NUMBERS) {
    const [kind, start, end, number] = [items[at], items[at + 1]!, items[at + 2]!, items[at + 3]!];
    let text = kind === ITEM.other ? (otherTexts[number] ?? "") : prepared.slice(start, end);
    if (text !== "" && (kind === ITEM.send || kind === ITEM.sync)) {
      const idText = text.slice(ANSWER_START.length, text.length - ACCEPTED_TAIL);
      const refusal = refusals.get(number);
      const receipt = synced.get(number);
      if (refusal !== undefined) text = errorText(idText, refusal);
      else if (receipt !== undefined) text = answerText(idText, receipt);
      if (bytes + text.length > bytesMax) text = errorText(idText, responseTooLarge);
    }
    bytes += text.length;
    if (text !== "") texts.push(text);
  }
  return bodyText(isBatch, texts);
}

function countSends({ items, recordCount }: Ingested, refusals: Refusals, countCalls: CountCalls): void {
  const codes = new Map<number, number>();
  for (const { code } of refusals.values()) codes.set(code, (codes.get(code) ?? 0) + 1);
  if (recordCount > refusals.size) countCalls("eth_sendRawTransaction", 0, recordCount - refusals.size);
  for (const [code, count] of codes) countCalls("eth_sendRawTransaction", code, count);
  const undecoded = countKind(items, ITEM.text);
  if (undecoded > 0) countCalls("eth_sendRawTransaction", CODE.refused, undecoded);
}

function countKind(items: Uint32Array, kind: number): number {
  let count = 0;
  for (let at = 0; at < items.length; at += ITEM_NUMBERS) if (items[at] === kind) count++;
  return count;
}
