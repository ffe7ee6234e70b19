import { isIoError } from "@meridian/core";
import type { ArchiveBlock, ArchiveTransaction, CallRequest, IoError } from "@meridian/core";
import { describe, expect, test } from "vitest";
import * as codecs from "./messages.ts";
import { pack } from "./pack.ts";

const LARGE = 2 ** 53 - 1;
const hash = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);
const address = new Uint8Array(20).fill(3);
const bytes = Uint8Array.of(1, 2, 3);
const head = { number: LARGE, hash: hash(1), timestamp: 2 ** 33 };
const call: CallRequest = {
  from: address,
  to: null,
  data: bytes,
  value: hash(2),
  gasLimit: LARGE,
  accessList: bytes,
  given: bytes,
};
const block: ArchiveBlock = {
  number: 1,
  hash: hash(1),
  header: bytes,
  timestamp: 5,
  gasUsed: LARGE,
  transactionCount: 2,
  sizeBytes: 9,
  transactionHashes: bytes,
  transactions: bytes,
  results: new Uint8Array(),
};
const transaction: ArchiveTransaction = {
  hash: hash(4),
  block: null,
  index: 1,
  cumulativeGasUsed: 2,
  firstLogIndex: 3,
  transaction: bytes,
  result: bytes,
};
const log = {
  block: head,
  transactionHash: hash(5),
  transactionIndex: 1,
  logIndex: 2,
  address,
  topics: [hash(6), hash(7)],
  data: bytes,
};
const report = {
  partition: 1,
  host: "host-1",
  n: 5,
  flush: 6,
  closedBlock: 7,
  memoryBytes: LARGE,
  memoryBytesMax: LARGE,
  accounts: 1,
  slots: 2,
  transactions: 3,
  busyMs: 1.5,
};

/** Every codec with values that use each of its variants. */
const VALUES = {
  SubmitReply: [
    {
      term: 1,
      codes: bytes,
      details: Float64Array.of(LARGE, 0.5),
      positions: [[0, 1] as [number, number], [7, LARGE] as [number, number]],
    },
  ],
  Beat: [{ term: 1, leader: "a", flush: LARGE, latest: head, open: { number: 2, timestamp: 3 }, mapVersion: 1, positions: [] }],
  Report: [
    { ...report, stopped: null },
    { ...report, stopped: "gap" },
  ],
  Built: [{ archive: "a", ...head }],
  ReadRequest: [
    { op: "nonces", atN: 1, addresses: address },
    { op: "cells", block: -1, atN: 0, request: bytes },
    { op: "call", block: 5, atN: 0, call },
    { op: "estimate", block: -1, atN: LARGE, call: { ...call, to: address } },
  ],
  ReadReply: [
    { op: "nonces", nonces: bytes },
    { op: "cells", cells: bytes },
    ...[
      { status: "success", gasUsed: 1, output: bytes },
      { status: "revert", gasUsed: LARGE, output: bytes },
      { status: "halt", gasUsed: 1, why: "out of gas" },
      { status: "funds" },
      { status: "missing", cells: bytes },
      { status: "pruned", oldest: 1 },
      { status: "unknownBlock", newest: 1 },
    ].map((result) => ({ op: "call", result })),
    { op: "estimate", gas: LARGE },
    ...[
      { code: "PRUNED", oldest: 1 },
      { code: "BEHIND", newest: 1 },
      { code: "BUSY", limit: 1 },
      { code: "STOPPED", text: "why" },
      { code: "FOREIGN", account: address },
      { code: "CALL", result: { status: "funds" } },
    ].map((failure) => ({ op: "failed", failure })),
  ],
  ArchiveQuery: [
    { op: "head" },
    { op: "block", by: 5, atLeast: 0, body: true },
    { op: "block", by: hash(1), atLeast: 0, body: false, from: 10, count: 20 },
    { op: "headers", first: 1, count: 2, atLeast: 3 },
    { op: "transactions", hashes: hash(1), atLeast: 3 },
    { op: "transactionAt", block: LARGE, index: 1, atLeast: 0 },
    { op: "logs", filter: { first: 1, last: 2, blockHash: null, addresses: address, topics: [hash(1)] }, atLeast: 1 },
    { op: "logs", filter: { first: 0, last: 0, blockHash: hash(2), addresses: new Uint8Array(), topics: [] }, atLeast: 1 },
  ],
  ArchiveReply: [
    { op: "head", number: 1, hash: hash(1), oldest: 0 },
    { op: "block", block },
    { op: "block", block: null },
    { op: "headers", blocks: [block, block] },
    { op: "transactions", transactions: [null, transaction, { ...transaction, block: head }] },
    { op: "transactionAt", transaction },
    { op: "logs", logs: [log] },
    ...[
      { code: "BEHIND", newest: 1 },
      { code: "PRUNED", oldest: 1 },
      { code: "TOO_MANY_LOGS", limit: 1 },
      { code: "RANGE_TOO_LARGE", limit: 1 },
      { code: "UNKNOWN_BLOCK" },
      { code: "BUSY", limit: 1 },
      { code: "STOPPED", text: "why" },
    ].map((failure) => ({ op: "failed", failure })),
  ],
};

interface AnyCodec {
  encode: (value: unknown) => Uint8Array;
  decode: (payload: Uint8Array) => unknown;
}
function codecOf(name: string): AnyCodec {
  const all = codecs as unknown as Record<string, unknown>;
  return { encode: all[`encode${name}`] as AnyCodec["encode"], decode: all[`decode${name}`] as AnyCodec["decode"] };
}
const CASES = Object.entries(VALUES).flatMap(([name, values]) =>
  values.map((value, index) => [`${name} ${index}`, name, value] as const),
);

describe("every message", () => {
  test.each(CASES)("%s comes back as it was", (_what, name, value) => {
    const { encode, decode } = codecOf(name);
    expect(decode(encode(value))).toEqual(value);
  });

  test.each(CASES)("%s is refused when cut, with another format, or with a field too few or too many", (_what, name, value) => {
    const { encode, decode } = codecOf(name);
    const payload = encode(value);
    expect(codeOf(() => decode(payload.subarray(0, payload.length - 1)))).toBe("MALFORMED");
    expect(codeOf(() => decode(Uint8Array.of(...payload, 0)))).toBe("MALFORMED");
    expect(codeOf(() => decode(pack([codecs.WIRE_FORMAT + 1, null])))).toBe("FORMAT_UNKNOWN");
    expect(codeOf(() => decode(pack([codecs.WIRE_FORMAT])))).toBe("MALFORMED");
    expect(codeOf(() => decode(pack([codecs.WIRE_FORMAT, "text"])))).toBe("MALFORMED");
    expect(codeOf(() => decode(pack([codecs.WIRE_FORMAT, ["unknown", 1]])))).toBe("MALFORMED");
  });

  test("every codec has a case here", () => {
    const names = Object.keys(codecs).flatMap((name) => (name.startsWith("encode") ? [name.slice("encode".length)] : []));
    expect(Object.keys(VALUES).sort()).toEqual(names.sort());
  });
});

test.each<[what: string, packed: unknown, field: string]>([
  ["a negative number", ["", -1, hash(1), 1], "built.number"],
  ["a number beyond 2^53", ["", 2 ** 60, hash(1), 1], "built.number"],
  ["a fraction", ["", 0.5, hash(1), 1], "built.number"],
  ["a text for a number", ["", "1", hash(1), 1], "built.number"],
  ["a number for a text", [1, 1, hash(1), 1], "built.archive"],
  ["bytes of another length", ["", 1, new Uint8Array(31), 1], "built.hash"],
  ["nil for bytes", ["", 1, null, 1], "built.hash"],
])("%s is refused, and the field named", (_what, packed, field) => {
  const refused = errorOf(() => codecs.decodeBuilt(pack([codecs.WIRE_FORMAT, packed])));
  expect(refused?.detail).toMatchObject({ code: "MALFORMED", field });
  expect(refused?.retry).toBe("never");
});

test("bytes come out as plain views into the message, numbers beyond 32 bits as numbers", () => {
  const payload = codecs.encodeReadReply({ op: "cells", cells: new Uint8Array(1000).fill(7) });
  const reply = codecs.decodeReadReply(payload);
  expect(reply.op === "cells" && reply.cells.constructor).toBe(Uint8Array);
  expect(reply.op === "cells" && reply.cells.buffer).toBe(payload.buffer);
});

function errorOf(run: () => unknown): IoError | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (isIoError(error)) return error;
    throw error;
  }
}
const codeOf = (run: () => unknown): string => errorOf(run)?.detail.code ?? "none";
