/**
 * What an answer says, as far as the load needs it: how many were taken, what was refused first, whether all receipts came.
 * Runs in k6 and in Node; reads MessagePack only by its lengths.
 */

export interface Reply {
  accepted: number;
  refused: number;
  /** Receipts that the answer promised and ended with; 0 if it does not wait. */
  receipts: number;
  isEnded: boolean;
  /** Words of the first refusal. */
  why: string;
}

interface Cursor {
  bytes: Uint8Array;
  view: DataView;
  at: number;
}

/** A sequence of MessagePack values: docs/BINARY-API.md. */
export function readBinaryReply(buffer: ArrayBuffer): Reply {
  const reply: Reply = { accepted: 0, refused: 0, receipts: 0, isEnded: false, why: "" };
  const cursor: Cursor = { bytes: new Uint8Array(buffer), view: new DataView(buffer), at: 0 };
  while (cursor.at < cursor.bytes.length) {
    const end = endOf(cursor.bytes, cursor.view, cursor.at);
    cursor.at++; // The header of a small array.
    const name = readText(cursor);
    if (name === "accepted") readAccepted(cursor, reply);
    else if (name === "end") {
      reply.isEnded = true;
      reply.receipts = readNumber(cursor);
    } else if (name === "error") reply.why = "error"; // What else it says stands in the status.
    cursor.at = end;
  }
  return reply;
}

function readAccepted(cursor: Cursor, reply: Reply): void {
  reply.accepted = readNumber(cursor);
  cursor.at = endOf(cursor.bytes, cursor.view, cursor.at); // hashes
  reply.refused = arrayLength(cursor);
  if (reply.refused === 0) return;
  cursor.at++;
  for (let skip = 0; skip < 3; skip++) cursor.at = endOf(cursor.bytes, cursor.view, cursor.at);
  reply.why = readText(cursor);
}

function arrayLength(cursor: Cursor): number {
  const head = cursor.bytes[cursor.at++] ?? 0xc0;
  if (head >= 0x90 && head <= 0x9f) return head & 0x0f;
  if (head === 0xdc) cursor.at += 2;
  else if (head === 0xdd) cursor.at += 4;
  else return 0;
  return head === 0xdc ? cursor.view.getUint16(cursor.at - 2) : cursor.view.getUint32(cursor.at - 4);
}

function readNumber(cursor: Cursor): number {
  const { view, at } = cursor;
  const head = cursor.bytes[at] ?? 0;
  cursor.at = endOf(cursor.bytes, view, at);
  if (head < 0x80) return head;
  if (head === 0xcc) return view.getUint8(at + 1);
  if (head === 0xcd) return view.getUint16(at + 1);
  if (head === 0xce) return view.getUint32(at + 1);
  if (head === 0xcb) return view.getFloat64(at + 1);
  return NaN;
}

function readText(cursor: Cursor): string {
  const { bytes, view, at } = cursor;
  const end = endOf(bytes, view, at);
  const head = bytes[at] ?? 0;
  const start = at + (head >= 0xa0 && head <= 0xbf ? 1 : head === 0xd9 ? 2 : head === 0xda ? 3 : 5);
  cursor.at = end;
  return String.fromCharCode(...bytes.subarray(start, end));
}

/** Where the value at `at` ends. */
function endOf(bytes: Uint8Array, view: DataView, at: number): number {
  const head = bytes[at] ?? 0xc0;
  if (head < 0x80 || head >= 0xe0 || (head >= 0xc0 && head <= 0xc3)) return at + 1;
  if (head <= 0x8f) return skip(bytes, view, at + 1, 2 * (head & 0x0f));
  if (head <= 0x9f) return skip(bytes, view, at + 1, head & 0x0f);
  if (head <= 0xbf) return at + 1 + (head & 0x1f);
  const fixed = FIXED[head];
  if (fixed !== undefined) return at + 1 + fixed;
  if (head === 0xc4 || head === 0xd9) return at + 2 + view.getUint8(at + 1);
  if (head === 0xc5 || head === 0xda) return at + 3 + view.getUint16(at + 1);
  if (head === 0xc6 || head === 0xdb) return at + 5 + view.getUint32(at + 1);
  if (head === 0xdc) return skip(bytes, view, at + 3, view.getUint16(at + 1));
  if (head === 0xdd) return skip(bytes, view, at + 5, view.getUint32(at + 1));
  return bytes.length; // Maps and extensions of other lengths do not occur.
}

/** Bytes behind the head of numbers. */
const FIXED: Readonly<Record<number, number>> = {
  ...{ 0xca: 4, 0xcb: 8, 0xcc: 1, 0xcd: 2, 0xce: 4, 0xcf: 8, 0xd0: 1, 0xd1: 2, 0xd2: 4, 0xd3: 8 },
};

function skip(bytes: Uint8Array, view: DataView, start: number, count: number): number {
  let at = start;
  for (let left = count; left > 0; left--) at = endOf(bytes, view, at);
  return at;
}

interface JsonAnswer {
  result?: unknown;
  error?: { code: number; message: string };
}

/** The answer to a JSON-RPC batch. */
export function readJsonReply(text: string): Reply {
  // Counting is a tenth of the price of parsing, and enough where nothing is refused.
  if (!text.includes('"error"')) {
    const accepted = text.split('"result"').length - 1;
    return { accepted, refused: 0, receipts: 0, isEnded: false, why: accepted === 0 ? text.slice(0, 200) : "" };
  }
  const parsed = JSON.parse(text) as JsonAnswer | JsonAnswer[];
  const answers = Array.isArray(parsed) ? parsed : [parsed];
  const refusals = answers.flatMap(({ error }) => (error === undefined ? [] : [error]));
  const why = refusals[0] === undefined ? "" : `${refusals[0].code} ${refusals[0].message}`;
  return { accepted: answers.length - refusals.length, refused: refusals.length, receipts: 0, isEnded: false, why };
}
