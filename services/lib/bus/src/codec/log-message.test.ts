import { FORMAT_VERSION, evenRangeMap, isIoError } from "@meridian/core";
import type { Entry, IoError } from "@meridian/core";
import { describe, expect, test } from "vitest";
import { ZERO_HASH, decodeLogMessage, encodeLogMessage, hashOf } from "./log-message.ts";
import { decodeOutMessage, decodeOutRecords, encodeOutBody, encodeOutMessage } from "./out-message.ts";
import { pack } from "./pack.ts";
import { squeeze } from "./squeeze.ts";

const LARGE = 2 ** 53 - 1;
const hash = new Uint8Array(32).fill(1);
const opens = { number: 2, timestamp: 2 ** 33, prevrandao: hash, gasLimit: LARGE };
const modes = new Uint8Array(42).fill(1);
const group = { flush: LARGE, index: 4 };
const moved = { from: 1, to: 0, first: "40".repeat(20), last: "4f".repeat(20) };
const entries: Entry[] = [
  { kind: "genesis", index: 0, chainId: LARGE, genesisHash: hash, map: evenRangeMap(3), opens },
  { kind: "term", index: 0, term: 3, leader: "leader-1" },
  { kind: "run", transactions: Uint8Array.of(1, 2), nonces: new Uint8Array(64) },
  {
    kind: "map",
    index: 5,
    map: evenRangeMap(1),
    handOvers: [{ ...moved, chunks: [{ object: "m", sha256: "ab", bytes: LARGE }] }],
  },
  {
    kind: "block",
    index: 4,
    number: 1,
    opens,
    rules: 1,
    mapVersion: 2,
    partitions: [0, 2],
    snapshot: false,
    moves: [moved, { ...moved, last: moved.first }],
  },
  { kind: "seal", index: 6, number: 1, hash },
  { kind: "group", index: 7, participants: [0, 2], accounts: modes, whole: false, transactions: Uint8Array.of(3) },
  { kind: "lock", index: 8, home: 2, accounts: modes, whole: true },
  { kind: "apply", index: 9, group, writes: Uint8Array.of(1), results: Uint8Array.of(2), misses: new Uint8Array(8).fill(4) },
  { kind: "abort", index: 10, group },
];

test("every kind of entry comes back as it was", () => {
  const message = { partition: 2, n: LARGE, term: 3, flush: LARGE, entries };
  expect(decodeLogMessage(encodeLogMessage({ message, previousHash: hash }))).toEqual({ message, previousHash: hash });
});

// The bytes of a format never change: their hash stands in the log of every chain that has it.
test("the bytes of a message are what they always were", () => {
  const message = { partition: 1, n: 3, term: 2, flush: 300, entries };
  const payload = encodeLogMessage({ message, previousHash: ZERO_HASH });
  expect([payload.length, Buffer.from(hashOf(payload)).toString("hex")]).toMatchInlineSnapshot(`
    [
      1002,
      "c70fed96576fc5a39686355ca296efbd1227089bd4c89f6e9106ccb50e5dd1f9",
    ]
  `);
});

describe("entries and records of many transactions are compressed", () => {
  const transactions = new Uint8Array(300_000).map((_, at) => (at % 300 < 40 ? (at * 7919) >>> 3 : at % 300));
  const message = { partition: 1, n: 3, term: 2, flush: 300, entries: [{ kind: "run", transactions, nonces: hash }] as Entry[] };
  const payload = encodeLogMessage({ message, previousHash: ZERO_HASH });

  test("and come back", () => {
    expect(payload.length).toBeLessThan(150_000);
    expect(decodeLogMessage(payload)).toEqual({ message, previousHash: ZERO_HASH });
    const record = { n: 1, flush: 2, transactions, results: transactions, settled: [], block: null, genesis: null, map: null };
    const body = encodeOutBody([record]);
    expect(body.length).toBeLessThan(300_000);
    expect(decodeOutRecords(body)).toEqual([record]);
  });

  const squeezed = squeeze(pack([["run", transactions, hash]]));
  const changed = (at: number, byte: number): Uint8Array => squeezed.with(at, byte);
  test.each<[what: string, bytes: Uint8Array]>([
    ["nothing", new Uint8Array(0)],
    ["a header alone", squeezed.subarray(0, 5)],
    ["cut off", squeezed.subarray(0, squeezed.length - 9)],
    ["another first byte", changed(0, 0xc0)],
    ["longer than it says", changed(1, squeezed[1]! ^ 1)],
    ["more than may be", changed(4, 0xff)],
    ["no frame", changed(5, 0)],
    ["other contents", squeeze(pack(transactions))],
  ])("refused: %s", (_what, bytes) => {
    const refused = errorOf(() => decodeLogMessage(pack([FORMAT_VERSION, 0, 1, 1, 1, hash, bytes])));
    expect(refused?.detail.code).toBe("MALFORMED");
    expect(errorOf(() => decodeOutRecords(bytes))?.detail.code).toBe("MALFORMED");
  });
});

const opened = [2, 1, hash, 1];
const lower = "40".repeat(20);
const upper = "4f".repeat(20);
const block = (...moved: unknown[]): unknown[] => ["block", 0, 1, opened, 1, 1, [0], false, [moved]];
const map = (...chunk: unknown[]): unknown[] => ["map", 0, [1, [], [], []], [[1, 0, lower, upper, [chunk]]]];
test.each<[what: string, entry: unknown[], field: string]>([
  ["accounts that are no pairs of mode and address", ["group", 0, [0], new Uint8Array(41), false, hash], "accounts"],
  ["a lock's accounts", ["lock", 0, 1, new Uint8Array(20), false], "accounts"],
  ["misses that are no indexes", ["apply", 0, [1, 1], hash, hash, new Uint8Array(6)], "misses"],
  ["a group without index", ["abort", 0, [1]], "group"],
  ["a range that ends before it starts", block(1, 0, upper, lower), "moves[0]"],
  ["a range that stays where it is", block(1, 1, lower, upper), "moves[0]"],
  ["a bound that is no address", block(1, 0, lower, upper.toUpperCase()), "moves[0].last"],
  ["a chunk with a size that is none", map("object", "ab", 0.5), "handOvers[0].chunks[0].bytes"],
  ["a chunk without name", map(null, "ab", 1), "handOvers[0].chunks[0].object"],
])("%s: refused, and the field named", (_what, entry, field) => {
  const refused = errorOf(() => decodeLogMessage(pack([FORMAT_VERSION, 0, 1, 1, 1, hash, [entry]])));
  expect(refused?.detail).toMatchObject({ code: "MALFORMED", field: `log.entries[0].${field}` });
});

test("records of OUT come back as they were, joined without packing them again", () => {
  const plain = {
    n: 7,
    flush: 9,
    transactions: Uint8Array.of(1),
    results: Uint8Array.of(2),
    settled: [],
    block: null,
    genesis: null,
    map: null,
  };
  const closes = entries[4];
  const lattice = new Uint8Array(2048).fill(3);
  const genesis = { chainId: 1, genesisHash: hash, lattice, map: evenRangeMap(1), opens };
  const closing = closes?.kind === "block" ? { entry: closes, context: opens, lattice } : null;
  const settled = [
    { flush: 3, transactions: Uint8Array.of(5), results: Uint8Array.of(6, 7) },
    { flush: LARGE, transactions: new Uint8Array(), results: Uint8Array.of(8) },
  ];
  const records = [plain, { ...plain, n: 8, settled }, { ...plain, n: 9, block: closing, genesis, map: evenRangeMap(2) }];
  const body = encodeOutBody(records);
  expect(decodeOutRecords(body)).toEqual(records);
  const message = { partition: 1, firstN: 7, lastN: 9, part: 0, parts: 1, body };
  expect(decodeOutMessage(encodeOutMessage(message))).toEqual(message);
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
