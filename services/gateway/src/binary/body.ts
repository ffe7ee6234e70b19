/**
 * The body of POST /v1/transactions: the MessagePack value `[version, want, raws]` (docs/BINARY-API.md). It is walked where it
 * stands: nothing in it makes an object, and a length that somebody invents takes no memory.
 */
import { writeU32 } from "@meridian/core";
import { CODE, invalidParams, invalidRequest } from "../rpc/errors.ts";
import type { RpcError } from "../rpc/errors.ts";

export const VERSION = 1;
/** What a body may ask for; a sum of these. */
export const WANT = { receipts: 1, hashes: 2 } as const;
const WANT_MAX = WANT.receipts + WANT.hashes;

/** Raw transactions that stand behind each other, each a MessagePack bin. */
export interface Inputs {
  /** Where the first one starts. */
  start: number;
  count: number;
}
export interface Body extends Inputs {
  want: number;
  /** Where each stretch of at most `partInputs` inputs starts, and at last the end of the body. */
  cuts: number[];
}
export type BodyProblem = { status: 400 | 413; error: RpcError };

/** @param partInputs  a worker gets so many inputs at once */
export function readBinaryBody(body: Uint8Array, inputsMax: number, partInputs: number): Body | BodyProblem {
  const head = readHead(body);
  if ("status" in head) return head;
  const { start, count, want } = head;
  if (count > inputsMax) {
    return { status: 413, error: invalidRequest(`too many transactions: ${count} in one body, limit ${inputsMax}`) };
  }
  const cuts = [start];
  let at = start;
  for (let input = 0; input < count; input++) {
    if (input > 0 && input % partInputs === 0) cuts.push(at);
    const head = binHead(body, at);
    if (head === 0)
      return at < body.length ? wrongKind(`raws[${input}]`, "bin", body, at) : cutShort(`in front of raws[${input}]`);
    const end = at + head + binLength(body, at);
    if (!(end <= body.length)) return cutShort(`inside raws[${input}]`);
    at = end;
  }
  if (at < body.length) return notOne(`${body.length - at} bytes behind the value`);
  cuts.push(at);
  return { want, start, count, cuts };
}

/** Packs raw transactions as the engine takes them, (u32 bytes, raw)*. */
export class RawReader {
  readonly #body: Buffer;
  readonly #packed: Buffer;
  #at: number;
  #left: number;

  /** @param body  checked by `readBinaryBody` */
  constructor(body: Uint8Array, { start, count }: Inputs) {
    this.#body = Buffer.from(body.buffer, body.byteOffset, body.length);
    // A bin takes a byte more before its content than its head has here, at most two.
    this.#packed = Buffer.allocUnsafeSlow(body.length - start + 2 * count);
    this.#at = start;
    this.#left = count;
  }

  /** The next inputs, together about `bytesMax` long, at least one; none behind the last. The next call takes their place. */
  next(bytesMax: number): { packed: Uint8Array; count: number } {
    let [end, count] = [0, 0];
    for (; this.#left > 0 && end < bytesMax; count++, this.#left--) {
      const from = this.#at + binHead(this.#body, this.#at);
      const length = binLength(this.#body, this.#at);
      writeU32(this.#packed, end, length);
      this.#body.copy(this.#packed, end + 4, from, from + length);
      end += 4 + length;
      this.#at = from + length;
    }
    return { packed: this.#packed.subarray(0, end), count };
  }
}

interface Head extends Inputs {
  want: number;
}

function readHead(body: Uint8Array): Head | BodyProblem {
  if (body.length === 0) return cutShort("before it starts");
  if (arrayHead(body, 0) === 0) return wrongKind("the body", "an array", body, 0);
  if (arrayLength(body, 0) !== 3) return notShape(`the body has ${arrayLength(body, 0)} values instead of [version, want, raws]`);
  let at = arrayHead(body, 0);
  const version = wholeNumber(body, at);
  if (version === undefined)
    return at < body.length ? wrongKind("version", "a number", body, at) : cutShort("before the version");
  if (version !== VERSION) return notShape(`version ${version} is not known here, only ${VERSION}`);
  at += numberBytes(body, at);
  const want = wholeNumber(body, at);
  if (want === undefined)
    return at < body.length
      ? wrongKind("want", `a whole number from 0 to ${WANT_MAX}`, body, at)
      : cutShort("behind the version");
  if (want > WANT_MAX) return notShape(`want is ${want}; it is a sum of ${WANT.receipts} (receipts) and ${WANT.hashes} (hashes)`);
  at += numberBytes(body, at);
  const head = arrayHead(body, at);
  if (head === 0) return at < body.length ? wrongKind("raws", "an array of bin", body, at) : cutShort("in front of raws");
  return { want, start: at + head, count: arrayLength(body, at) };
}

const notOne = (text: string): BodyProblem => ({
  status: 400,
  error: { code: CODE.parse, message: `not one MessagePack value: ${text}` },
});
const cutShort = (where: string): BodyProblem => notOne(`it ends ${where}`);
const notShape = (text: string): BodyProblem => ({ status: 400, error: invalidParams(text) });
const wrongKind = (what: string, want: string, body: Uint8Array, at: number): BodyProblem =>
  notShape(`${what} is ${kindAt(body, at)} instead of ${want}`);

/** Bytes before the content of a bin; 0 if there is none at `at`. */
function binHead(bytes: Uint8Array, at: number): number {
  const kind = bytes[at];
  return kind === 0xc4 ? 2 : kind === 0xc5 ? 3 : kind === 0xc6 ? 5 : 0;
}

/** Length of the content; NaN if the bytes end before. */
function binLength(bytes: Uint8Array, at: number): number {
  return bigEndian(bytes, at + 1, binHead(bytes, at) - 1);
}

function arrayHead(bytes: Uint8Array, at: number): number {
  const kind = bytes[at] ?? 0;
  return kind >>> 4 === 9 ? 1 : kind === 0xdc ? 3 : kind === 0xdd ? 5 : 0;
}

function arrayLength(bytes: Uint8Array, at: number): number {
  const head = arrayHead(bytes, at);
  return head === 1 ? bytes[at]! & 15 : bigEndian(bytes, at + 1, head - 1);
}

/** A whole number of at most 32 bits; undefined if there is none at `at`. */
function wholeNumber(bytes: Uint8Array, at: number): number | undefined {
  const kind = bytes[at] ?? 0xc0;
  const length = numberBytes(bytes, at) - 1;
  if (length < 0) return undefined;
  const number = length === 0 ? kind : bigEndian(bytes, at + 1, length);
  return Number.isNaN(number) ? undefined : number;
}

function numberBytes(bytes: Uint8Array, at: number): number {
  const kind = bytes[at] ?? 0xc0;
  return kind < 0x80 ? 1 : kind === 0xcc ? 2 : kind === 0xcd ? 3 : kind === 0xce ? 5 : 0;
}

/** NaN if the bytes end before. */
function bigEndian(bytes: Uint8Array, at: number, length: number): number {
  let number = 0;
  for (let index = 0; index < length; index++) number = number * 256 + (bytes[at + index] ?? NaN);
  return number;
}

const KINDS: readonly [first: number, last: number, name: string][] = [
  [0x00, 0x7f, "a number"],
  [0x80, 0x8f, "a map"],
  [0x90, 0x9f, "an array"],
  [0xa0, 0xbf, "a text"],
  [0xc0, 0xc0, "nil"],
  [0xc2, 0xc3, "a boolean"],
  [0xc4, 0xc6, "bin"],
  [0xc7, 0xc9, "an extension"],
  [0xca, 0xd3, "a number"],
  [0xd4, 0xd8, "an extension"],
  [0xd9, 0xdb, "a text"],
  [0xdc, 0xdd, "an array"],
  [0xde, 0xdf, "a map"],
  [0xe0, 0xff, "a number"],
];

function kindAt(bytes: Uint8Array, at: number): string {
  const kind = bytes[at] ?? 0;
  return KINDS.find(([first, last]) => kind >= first && kind <= last)?.[2] ?? "no MessagePack";
}
