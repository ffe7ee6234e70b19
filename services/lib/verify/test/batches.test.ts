import { RLP } from "@ethereumjs/rlp";
import { TX_TYPE_CALL, assert, concatBytes } from "@meridian/core";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { privateToAddress } from "@ethereumjs/util";
import { expect, test } from "vitest";
import { Batches } from "../src/batches.ts";
import { type PublishedCall, callHash, parseCall } from "../src/call.ts";
import { signHash } from "./chain.ts";

const TYPE = Uint8Array.of(TX_TYPE_CALL);
const secret = keccak_256(Uint8Array.of(1));
const sender = `0x${Buffer.from(privateToAddress(secret)).toString("hex")}`;
const to = new Uint8Array(20).fill(7);
const HALF = 2n ** 255n;

/** The raw bytes of the calls of a batch, with values 0, 1, 2 ...; `change` spoils what the records say. */
function rawsOf(
  count: number,
  change: (fields: (Uint8Array | number | bigint)[][], signature: unknown[]) => void = () => undefined,
) {
  const calls = Array.from({ length: count }, (_, number) => [to, number, 30_000, new Uint8Array(0)]);
  const signature = signHash(keccak_256(concatBytes([TYPE, RLP.encode([4242, 9, calls])])), secret);
  const id = keccak_256(concatBytes([TYPE, RLP.encode([4242, 9, calls, ...signature])]));
  const signed: (bigint | number)[] = [count, ...signature];
  change(calls, signed);
  return calls.map(([callee, value, gas, input], number) =>
    concatBytes([TYPE, RLP.encode([4242, 9 + number, gas, callee, value, input, id, number, number === 0 ? signed : []])]),
  );
}

function found(raws: Uint8Array[], from: string[] = []): { fields: string[]; proved: number; unproved: number } {
  const batches = new Batches();
  const fields: string[] = [];
  for (const [number, raw] of raws.entries()) batches.add(parseCall(raw), from[number] ?? sender, (field) => fields.push(field));
  return { fields, proved: batches.proved, unproved: batches.unproved };
}

test.each<[what: string, raws: Uint8Array[], from: string[], want: ReturnType<typeof found>]>([
  ["a whole batch", rawsOf(3), [], { fields: [], proved: 1, unproved: 0 }],
  ["calls in any order", rawsOf(3).reverse(), [], { fields: [], proved: 1, unproved: 0 }],
  ["a batch of which a call is missing", rawsOf(3).slice(0, 2), [], { fields: [], proved: 0, unproved: 2 }],
  ["a batch without its first call", rawsOf(3).slice(1), [], { fields: [], proved: 0, unproved: 2 }],
  [
    "a value that was not signed",
    rawsOf(3, ([, second]) => (second !== undefined ? (second[1] = 9) : assert(false, "there is a second call"))),
    [],
    { fields: ["id of the batch", "signer of the batch"], proved: 1, unproved: 0 },
  ],
  [
    "another signature",
    rawsOf(1, (_, signature) => (signature[2] = 5n)),
    [],
    { fields: ["id of the batch", "signer of the batch"], proved: 1, unproved: 0 },
  ],
  [
    "s in the upper half",
    rawsOf(1, (_, signature) => (signature[3] = HALF)),
    [],
    { fields: ["id of the batch", "signature of the batch", "signer of the batch"], proved: 1, unproved: 0 },
  ],
  [
    "another sender",
    rawsOf(1),
    ["0x0000000000000000000000000000000000000009"],
    { fields: ["signer of the batch"], proved: 1, unproved: 0 },
  ],
  [
    "another sender of one call",
    rawsOf(2),
    [sender, "0x0000000000000000000000000000000000000009"],
    { fields: ["sender of the batch"], proved: 1, unproved: 0 },
  ],
  [
    "a call twice",
    [...rawsOf(3).slice(0, 2), ...rawsOf(3).slice(1, 2)],
    [],
    { fields: ["call of the batch"], proved: 0, unproved: 2 },
  ],
])("%s", (_what, raws, from, want) => {
  expect(found(raws, from)).toEqual(want);
});

test("a call's hash is its batch's id with its number", () => {
  const call: PublishedCall = parseCall(rawsOf(300)[299] ?? TYPE);
  expect(Buffer.from(callHash(call)).toString("hex")).toBe(`${Buffer.from(call.batchId).toString("hex").slice(0, 60)}012b`);
});
