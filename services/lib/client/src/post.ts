/** `POST /v1/transactions` (docs/BINARY-API.md): raw transactions and signed batches in one body, receipts streamed back. */
import { bytesToHex, hexToBytes } from "viem";
import type { Hash, Hex } from "viem";
import { PostError } from "./errors.ts";
import { pack } from "./msgpack.ts";
import type { Value } from "./msgpack.ts";
import { valuesOf } from "./values.ts";

const VERSION = 1;
const WANT_RECEIPTS = 1;
const WANT_HASHES = 2;
const RECEIPT_BYTES = 24;
const NO_ANSWER = { status: 0, code: -32000, retryAfterMs: 0 };

export interface PostOptions {
  /** Stream receipts; else the answer ends with what was accepted. */
  receipts?: boolean;
  /** Answer a hash for each input, of a signed batch that of call 0. */
  hashes?: boolean;
  signal?: AbortSignal;
}

/** Calls of an input that have no effect, and why. */
export interface Refused {
  input: number;
  /** The first of them, or the one because of which the whole input was refused. */
  call: number;
  code: number;
  text: string;
  details: number[];
  /** How many, from `call` on; 0: the whole input. */
  calls: number;
}

/** Receipts of one sealed block. */
export interface BlockReceipts {
  number: number;
  hash: Hash;
  timestamp: number;
  /** 24 bytes each; `unpackReceipts` reads them. */
  packed: Uint8Array;
}

export interface CallReceipt {
  input: number;
  call: number;
  index: number;
  status: "success" | "reverted";
  reason: "none" | "revert" | "halt" | "void" | "exceeded";
  gasUsed: bigint;
}

export interface Posted {
  /** Calls that are durably in the log. */
  count: number;
  hashes: Hash[] | null;
  refused: Refused[];
  /**
   * Block after block as they are sealed; the generator returns how many accepted calls have no receipt (0 in the usual case).
   * Nothing if receipts were not asked for. @throws PostError if the response is cut off
   */
  receipts: AsyncGenerator<BlockReceipts, number>;
}

/**
 * Sends raw transactions and signed batches.
 * @param url   of the gateway, without a path
 * @param raws  in nonce order for each sender
 * @throws PostError if nothing was accepted as a whole: overload (`retryAfterMs`), limits, no gateway
 */
export async function postTransactions(
  url: string,
  raws: readonly (Hex | Uint8Array)[],
  options: PostOptions = {},
): Promise<Posted> {
  const want = (options.receipts === true ? WANT_RECEIPTS : 0) + (options.hashes === true ? WANT_HASHES : 0);
  const body = pack([VERSION, want, raws.map((raw) => (typeof raw === "string" ? hexToBytes(raw) : raw))]);
  const response = await fetchOnce(new URL("/v1/transactions", url), body, options.signal);
  const values = valuesOf(response.body ?? new Blob([]).stream());
  const first = await values.next();
  if (first.done === true || !Array.isArray(first.value))
    throw new PostError("The gateway's answer is none.", factsOf(response, -32603));
  const answer = first.value as unknown[];
  if (answer[0] === "error") throw new PostError(String(answer[2]), factsOf(response, Number(answer[1])));
  const [, count, hashes, refused] = answer as [string, number, Uint8Array | null, RefusedFields[]];
  return {
    count,
    hashes: hashes === null ? null : hashesOf(hashes),
    refused: refused.map(refusedOf),
    receipts: receiptsOf(values, options.receipts === true),
  };
}

async function fetchOnce(url: URL, body: Uint8Array<ArrayBuffer>, signal: AbortSignal | undefined): Promise<Response> {
  const request = { method: "POST", headers: { "content-type": "application/msgpack" }, body };
  try {
    return await fetch(url, signal === undefined ? request : { ...request, signal });
  } catch (error) {
    const cause = error instanceof Error ? error : new PostError(String(error), NO_ANSWER);
    throw new PostError(`No answer from ${url.origin}.`, { ...NO_ANSWER, cause });
  }
}

function factsOf(response: Response, code: number): { status: number; code: number; retryAfterMs: number | null } {
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  return { status: response.status, code, retryAfterMs: Number.isNaN(seconds) ? null : seconds * 1_000 };
}

const hashesOf = (packed: Uint8Array): Hash[] =>
  Array.from({ length: packed.length / 32 }, (_, number) => bytesToHex(packed.subarray(number * 32, number * 32 + 32)));

type RefusedFields = [input: number, call: number, code: number, text: string, details: number[], calls: number];
const refusedOf = ([input, call, code, text, details, calls]: RefusedFields): Refused => ({
  input,
  call,
  code,
  text,
  details,
  calls,
});

async function* receiptsOf(values: AsyncGenerator<Value, boolean>, isWanted: boolean): AsyncGenerator<BlockReceipts, number> {
  let missing = isWanted ? null : 0;
  for (;;) {
    const next = await values.next();
    if (next.done === true) {
      if (missing !== null && next.value) return missing;
      throw new PostError("The gateway's answer is cut off: send the body again.", NO_ANSWER);
    }
    const [kind, ...fields] = next.value as [string, ...unknown[]];
    if (kind === "end") missing = 0;
    if (kind === "late") missing = Number(fields[0]);
    if (kind !== "receipts") continue;
    const [[number, hash, timestamp], packed] = fields as [[number, Uint8Array, number], Uint8Array];
    yield { number, hash: bytesToHex(hash), timestamp, packed };
  }
}

const REASONS = ["none", "revert", "halt", "none", "void", "exceeded"] as const;

/** The packed receipts of a block. */
export function unpackReceipts(packed: Uint8Array): CallReceipt[] {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  return Array.from({ length: packed.length / RECEIPT_BYTES }, (_, number) => {
    const at = number * RECEIPT_BYTES;
    return {
      input: view.getUint16(at, true),
      call: view.getUint16(at + 2, true),
      index: view.getUint32(at + 4, true),
      status: view.getUint8(at + 8) === 1 ? ("success" as const) : ("reverted" as const),
      reason: REASONS[view.getUint8(at + 9)] ?? "none",
      gasUsed: view.getBigUint64(at + 16, true),
    };
  });
}
