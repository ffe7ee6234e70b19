import { evenRangeMap } from "@meridian/core";
import type { Entry } from "@meridian/core";
import { expect, test } from "vitest";
import { ZERO_HASH, decodeLogMessage, encodeLogMessage, hashOf } from "./log-message.ts";
import { decodeOutMessage, decodeOutRecords, encodeOutMessage, encodeOutRecord, joinRecords } from "./out-message.ts";

const LARGE = 2 ** 53 - 1;
const hash = new Uint8Array(32).fill(1);
const opens = { number: 2, timestamp: 2 ** 33, prevrandao: hash, gasLimit: LARGE };
const entries: Entry[] = [
  { kind: "genesis", index: 0, chainId: LARGE, genesisHash: hash, map: evenRangeMap(3), opens },
  { kind: "term", index: 0, term: 3, leader: "leader-1" },
  { kind: "run", transactions: Uint8Array.of(1, 2), nonces: new Uint8Array(64) },
  { kind: "map", index: 5, map: evenRangeMap(1) },
  { kind: "block", index: 4, number: 1, opens, rules: 1, mapVersion: 2, partitions: [0, 2], snapshot: false },
  { kind: "seal", index: 6, number: 1, hash },
];

test("every kind of entry comes back as it was", () => {
  const message = { partition: 2, n: LARGE, term: 3, flush: LARGE, entries };
  expect(decodeLogMessage(encodeLogMessage({ message, previousHash: hash }))).toEqual({ message, previousHash: hash });
});

// The bytes of a message never change: its hash stands in the log of every chain there is.
test("the bytes of a message are what they always were", () => {
  const message = { partition: 1, n: 3, term: 2, flush: 300, entries: entries.slice(0, 6) };
  const payload = encodeLogMessage({ message, previousHash: ZERO_HASH });
  expect([payload.length, Buffer.from(hashOf(payload)).toString("hex")]).toMatchInlineSnapshot(`
    [
      557,
      "7ff4bf224c5e02465edaa7e06cfe4fa66411bab7b6828025efa8d743118a62ed",
    ]
  `);
});

test("records of OUT come back as they were, joined without packing them again", () => {
  const plain = {
    n: 7,
    flush: 9,
    transactions: Uint8Array.of(1),
    results: Uint8Array.of(2),
    block: null,
    genesis: null,
    map: null,
  };
  const block = entries[4];
  const lattice = new Uint8Array(2048).fill(3);
  const genesis = { chainId: 1, genesisHash: hash, lattice, map: evenRangeMap(1), opens };
  const closing = block?.kind === "block" ? { entry: block, context: opens, lattice } : null;
  const records = [plain, { ...plain, n: 8, block: closing, genesis, map: evenRangeMap(2) }];
  const body = joinRecords(records.map(encodeOutRecord));
  expect(decodeOutRecords(body)).toEqual(records);
  const message = { partition: 1, firstN: 7, lastN: 8, part: 0, parts: 1, body };
  expect(decodeOutMessage(encodeOutMessage(message))).toEqual(message);
});
