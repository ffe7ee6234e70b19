import { concatBytes, evenRangeMap, isIoError, packOutcomeKeys, writeU16, writeU32 } from "@meridian/core";
import type { ArchiveBlock, ArchiveTransaction, CallRequest, GroupProposal, IoError } from "@meridian/core";
import { describe, expect, test } from "vitest";
import { PAYLOAD_BYTES_MAX } from "../limits.ts";
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
  traced: false,
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
  outFull: true,
  settledN: LARGE,
  misses: 2,
  groups: [],
  handOvers: null,
};
const group = { flush: LARGE, index: 7 };
const modes = new Uint8Array(42).fill(1);
const access = { accessList: bytes, touches: modes };
const handOver = {
  from: 0,
  to: 1,
  first: "00".repeat(20),
  last: "0f".repeat(20),
  chunks: [{ object: "move.1", sha256: "ab", bytes: LARGE }],
};
/** A packed record that tells its own length. */
function packedRecord(length: number): Uint8Array {
  const record = new Uint8Array(length);
  writeU32(record, 0, length);
  return record;
}
/** A packed touch record with `count` accounts. */
function touch(count: number): Uint8Array {
  const record = packedRecord(20 + 21 * count);
  writeU16(record, 10, count);
  return record;
}
/** A cell of each kind. */
const cells = concatBytes([
  Uint8Array.of(1, ...new Uint8Array(84)),
  Uint8Array.of(2, ...new Uint8Array(60)),
  Uint8Array.of(3, ...new Uint8Array(84)),
  Uint8Array.of(4, ...address, 3, 0, 0, 0, ...bytes),
  Uint8Array.of(5, ...address),
]);
const map = evenRangeMap(2);

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
  Beat: [
    {
      term: 1,
      leader: "a",
      flush: LARGE,
      latest: head,
      open: { number: 2, timestamp: 3 },
      draining: true,
      missesTaken: [[0, 1] as [number, number], [2, LARGE] as [number, number]],
      mapVersion: 1,
      positions: [],
    },
  ],
  Report: [
    { ...report, stopped: null },
    { ...report, stopped: "gap" },
    { ...report, stopped: null, groups: [{ group, held: true }], handOvers: { block: LARGE, ranges: [handOver, handOver] } },
  ],
  Misses: [
    { partition: 1, block: LARGE, first: 0, missed: [] },
    { partition: 1, block: 2, first: 7, missed: [{ flush: LARGE, record: packedRecord(121), touch: touch(2) }] },
  ],
  GroupProposal: [
    { home: 1, group, results: new Uint8Array(), touches: touch(0), writes: [] },
    {
      home: 1,
      group,
      results: concatBytes([packedRecord(64), packedRecord(100)]),
      touches: concatBytes([touch(1), touch(2)]),
      writes: [
        [0, cells],
        [2, new Uint8Array()],
      ],
    },
  ],
  AdminRequest: [{ op: "map" }, { op: "pin", address, partition: LARGE }, { op: "pin", address, partition: null }],
  AdminReply: [
    { op: "map", map, moving: true },
    { op: "moving", version: LARGE },
    { op: "failed", text: "why" },
  ],
  Built: [{ archive: "a", ...head }],
  ReadRequest: [
    { op: "nonces", atN: 1, addresses: address },
    { op: "cells", block: -1, atN: 0, request: bytes },
    { op: "grant", group, request: bytes },
    { op: "call", block: 5, atN: 0, call: { ...call, traced: true } },
    { op: "estimate", block: -1, atN: LARGE, call: { ...call, to: address } },
  ],
  ReadReply: [
    { op: "nonces", nonces: bytes },
    { op: "cells", cells: bytes },
    { op: "grant", cells: bytes },
    ...[
      { status: "success", gasUsed: 1, output: bytes, access: null },
      { status: "revert", gasUsed: LARGE, output: bytes, access },
      { status: "halt", gasUsed: 1, why: "out of gas", access },
      { status: "unsealed", block: LARGE },
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
      { code: "RESOLVED" },
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
    { op: "outcomes", keys: packOutcomeKeys([{ hash: hash(1), count: 1_024 }]), atLeast: 3 },
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
    { op: "outcomes", outcomes: new Uint8Array(2 * 24) },
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

const withLength = (record: Uint8Array, length: number): Uint8Array => {
  const changed = record.slice();
  writeU32(changed, 0, length);
  return changed;
};
const missed = (record: Uint8Array, touched: Uint8Array): unknown[] => [0, 1, 0, [[5, record, touched]]];
const proposal = (results: Uint8Array, touches: Uint8Array, written = cells): unknown[] => [
  0,
  [1, 2],
  results,
  touches,
  [[0, written]],
];
const none = new Uint8Array();
const whole = packedRecord(128);
test.each<[what: string, decode: (payload: Uint8Array) => unknown, packed: unknown[], field: string]>([
  ["a missed record of no length", codecs.decodeMisses, missed(none, touch(1)), "misses.missed[0].record"],
  [
    "a missed record that says it is shorter",
    codecs.decodeMisses,
    missed(withLength(whole, 120), touch(1)),
    "misses.missed[0].record",
  ],
  ["two missed records in one", codecs.decodeMisses, missed(concatBytes([whole, whole]), touch(1)), "misses.missed[0].record"],
  [
    "a touch record with too few accounts",
    codecs.decodeMisses,
    missed(whole, touch(1).subarray(0, 40)),
    "misses.missed[0].touch",
  ],
  ["results that never end", codecs.decodeGroupProposal, proposal(withLength(whole, 0), none), "group proposal.results"],
  ["a result that is cut off", codecs.decodeGroupProposal, proposal(whole.subarray(0, 127), none), "group proposal.results"],
  ["a result with less than its header", codecs.decodeGroupProposal, proposal(packedRecord(63), none), "group proposal.results"],
  ["a touch with another count", codecs.decodeGroupProposal, proposal(none, packedRecord(41)), "group proposal.touches"],
  ["a cell of unknown kind", codecs.decodeGroupProposal, proposal(none, none, Uint8Array.of(6)), "group proposal.writes[0][1]"],
  [
    "a cell that is cut off",
    codecs.decodeGroupProposal,
    proposal(none, none, cells.subarray(0, -1)),
    "group proposal.writes[0][1]",
  ],
  [
    "code that is cut off",
    codecs.decodeGroupProposal,
    proposal(none, none, cells.subarray(0, -22)),
    "group proposal.writes[0][1]",
  ],
  [
    "a code cell without length",
    codecs.decodeGroupProposal,
    proposal(none, none, Uint8Array.of(4, 0)),
    "group proposal.writes[0][1]",
  ],
  ["a pin of no account", codecs.decodeAdminRequest, ["pin", new Uint8Array(19), 1], "admin request.address"],
  ["a key without its count", codecs.decodeArchiveQuery, ["outcomes", hash(1), 0], "archive query.keys"],
  ["half an outcome", codecs.decodeArchiveReply, ["outcomes", new Uint8Array(12)], "archive reply.outcomes"],
  ["a pin to half a partition", codecs.decodeAdminRequest, ["pin", address, 0.5], "admin request.partition"],
])("%s: refused, and the field named", (_what, decode, packed, field) => {
  expect(errorOf(() => decode(pack([codecs.WIRE_FORMAT, packed])))?.detail).toMatchObject({ code: "MALFORMED", field });
});

test("a proposal of 6 MiB fits into one message", () => {
  const code = new Uint8Array(6 * 1024 * 1024);
  code.set([4, ...address]);
  writeU32(code, 21, code.length - 25);
  const large: GroupProposal = { home: 1, group, results: packedRecord(64), touches: touch(300), writes: [[0, code]] };
  const payload = codecs.encodeGroupProposal(large);
  expect(payload.length).toBeLessThan(PAYLOAD_BYTES_MAX);
  const read = codecs.decodeGroupProposal(payload);
  expect(Buffer.compare(read.writes[0]?.[1] ?? none, code)).toBe(0);
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
