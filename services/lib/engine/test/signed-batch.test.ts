/** Signed batches: what the decoder makes of them, what it refuses, and their leaves in a block. */
import {
  DECODE,
  DECODE_NO_CALL,
  MODE,
  TX,
  TX_TYPE_CALL,
  concatBytes,
  txCreates,
  txDeclared,
  txGasLimit,
  txHasValue,
  txNonce,
  txOffsets,
  txRaw,
  txType,
} from "@meridian/core";
import type { Decoded } from "@meridian/core";
import { RLP } from "@ethereumjs/rlp";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { describe, expect, test } from "vitest";
import * as chain from "./chain.ts";
import type { BatchFields } from "./chain.ts";
import { place } from "./contracts.ts";
import { BUILDS } from "./node.ts";
import * as workload from "./workload.ts";

const signer = chain.key(7);
const to = place(0x1234);
const zeros = (length: number): Uint8Array => new Uint8Array(length);
const none = zeros(0);

/** A batch of what is in no way right as fields. */
function encodeOdd(fields: Parameters<typeof chain.rlpOf>[0]): Uint8Array {
  return concatBytes([Uint8Array.of(TX_TYPE_CALL), chain.rlpOf(fields)]);
}

const good: BatchFields = { calls: [{ to }, { to }] };
const signature = chain.batchSignature(good, signer);
const [, r, s] = signature;
const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
/** Two calls, the second of them as given. */
const second = (call: chain.CallFields): Uint8Array => chain.signBatch({ calls: [{ to }, call] }, signer);
const largeData = zeros(131_072);
const manyZeros: chain.CallFields = { to, data: zeros(110_000), gas: 5_000_000 };
const tooLarge = chain.signBatch({ calls: new Array<chain.CallFields>(5).fill(manyZeros) }, signer);

const REFUSED: [what: string, raw: Uint8Array, status: number, call: number, details?: [number, number]][] = [
  ["no calls", chain.signBatch({ calls: [] }, signer), DECODE.callCount, DECODE_NO_CALL, [0, 1_024]],
  [
    "1,025 calls",
    chain.signBatch({ calls: new Array<chain.CallFields>(1_025).fill({ to }) }, signer),
    DECODE.callCount,
    DECODE_NO_CALL,
    [1_025, 1_024],
  ],
  ["the type alone", Uint8Array.of(TX_TYPE_CALL), DECODE.malformed, DECODE_NO_CALL],
  ["bytes after the end", concatBytes([chain.signBatch(good, signer), zeros(1)]), DECODE.malformed, DECODE_NO_CALL],
  ["an end too early", chain.signBatch(good, signer).subarray(0, -1), DECODE.malformed, DECODE_NO_CALL],
  ["no signature", encodeOdd(chain.unsignedBatch(good)), DECODE.malformed, DECODE_NO_CALL],
  ["a field too many", encodeOdd([...chain.unsignedBatch(good), ...signature, 1]), DECODE.malformed, DECODE_NO_CALL],
  ["calls that are no list", encodeOdd([chain.CHAIN_ID, 0, to, ...signature]), DECODE.malformed, DECODE_NO_CALL],
  ["no chain id", encodeOdd([none, 0, [], ...signature]), DECODE.chainId, DECODE_NO_CALL, [0, chain.CHAIN_ID]],
  ["another chain", chain.signBatch({ ...good, chainId: 5 }, signer), DECODE.chainId, DECODE_NO_CALL, [5, chain.CHAIN_ID]],
  ["parity out of range", chain.encodeBatch(good, [2, r, s]), DECODE.signature, DECODE_NO_CALL],
  ["r of 0", chain.encodeBatch(good, [0, 0n, s]), DECODE.signature, DECODE_NO_CALL],
  ["s in the upper half", chain.encodeBatch(good, [0, r, ORDER - s]), DECODE.signature, DECODE_NO_CALL],
  ["a signature of no key", chain.encodeBatch(good, [0, 5n, 1n]), DECODE.signature, DECODE_NO_CALL],
  ["a call that is no list", encodeOdd([chain.CHAIN_ID, 0, [[to, none, 30_000, none], to], ...signature]), DECODE.malformed, 1],
  ["a call of three fields", encodeOdd([chain.CHAIN_ID, 0, [[to, none, 30_000]], ...signature]), DECODE.malformed, 0],
  ["a call of five fields", encodeOdd([chain.CHAIN_ID, 0, [[to, 0, 30_000, none, none]], ...signature]), DECODE.malformed, 0],
  ["a call to 19 bytes", second({ to: zeros(19) }), DECODE.malformed, 1],
  [
    "a value with a leading zero",
    encodeOdd([chain.CHAIN_ID, 0, [[to, zeros(1), 30_000, none]], ...signature]),
    DECODE.malformed,
    0,
  ],
  ["nonces up to 2^53", chain.signBatch({ ...good, nonce: 2n ** 53n - 1n }, signer), DECODE.nonceMax, 1],
  ["a nonce of 2^64 - 1", chain.signBatch({ ...good, nonce: 2n ** 64n - 1n }, signer), DECODE.nonceMax, 0],
  ["gas above the cap", second({ to, gas: 16_777_217 }), DECODE.gasLimitCap, 1, [16_777_217, 16_777_216]],
  ["less than intrinsic gas", second({ to, gas: 20_999 }), DECODE.intrinsicGas, 1, [20_999, 21_000]],
  ["less than the floor", second({ to, data: zeros(1000).fill(1), gas: 60_999 }), DECODE.floorGas, 1, [60_999, 61_000]],
  ["init code too long", second({ data: zeros(49_153), gas: 5_000_000 }), DECODE.initCodeSize, 1, [49_153, 49_152]],
  ["a call too large", second({ to, data: largeData, gas: 5_000_000 }), DECODE.tooLarge, 1, [131_072 + 4 + 21 + 1 + 4, 131_072]],
  ["a batch too large", tooLarge, DECODE.tooLarge, DECODE_NO_CALL, [tooLarge.length, 524_288]],
];

const FUZZ_ROUNDS = 12;

/** The signed bytes, from the raw bytes of all calls. */
function rebuilt(raws: Uint8Array[]): Uint8Array {
  const calls = raws.map((raw) => RLP.decode(raw.subarray(1)) as Uint8Array[]);
  const [chainId = none, nonce = none] = calls[0] ?? [];
  const signed = (calls[0]?.[8] ?? []) as unknown as Uint8Array[];
  const list = calls.map(([, , gas = none, payee = none, value = none, data = none]) => [payee, value, gas, data]);
  return encodeOdd([chainId, nonce, list, ...signed.slice(1)]);
}

describe.each(BUILDS)("a signed batch, %s build", (_build, module) => {
  const decode = (...raws: Uint8Array[]): Decoded => module.decode(chain.packRaw(raws), chain.LIMITS);

  test.each(REFUSED)("refused: %s", (_what, raw, status, call, details) => {
    const decoded = decode(raw, chain.sign({ to }, signer));
    expect([...decoded.statuses]).toEqual([status, DECODE.ok]);
    expect([...decoded.calls]).toEqual([call, DECODE_NO_CALL]);
    expect([...decoded.recordCounts]).toEqual([0, 1]);
    if (details !== undefined) expect([...decoded.details]).toEqual([...details, 0, 0]);
  });

  test("each call becomes a record that tells it", () => {
    const batch: BatchFields = {
      nonce: 126,
      calls: [
        { to, value: 5n, gas: 21_000 },
        { data: chain.bytes("00"), gas: 100_000 },
        { to: signer.address, value: 1n, data: chain.bytes("7f") },
        { to, data: zeros(300), gas: 90_000 },
      ],
    };
    const parts = chain.batchSignature(batch, signer);
    const raw = chain.encodeBatch(batch, parts);
    const { records, recordCounts, statuses } = decode(chain.sign({ to }, signer), raw);
    expect([...statuses]).toEqual([DECODE.ok, DECODE.ok]);
    expect([...recordCounts]).toEqual([1, 4]);
    const offsets = [...txOffsets(records)].slice(1);
    const address = (at: number): string => chain.hex(records.subarray(at, at + 20));
    const contract = chain.hex(chain.created(signer.address, 127));
    const [payee, self] = [chain.hex(to), chain.hex(signer.address)];
    const declared = (at: number): string[] =>
      Array.from({ length: txDeclared(records, at) }, (_, number) => {
        expect(records[at + TX.declaredSet + number * 21]).toBe(MODE.write);
        return address(at + TX.declaredSet + number * 21 + 1);
      });
    const seen = offsets.map((at) => ({
      type: txType(records, at),
      nonce: txNonce(records, at),
      gas: txGasLimit(records, at),
      hash: chain.hex(records.subarray(at + TX.hash, at + TX.hash + 32)),
      sender: address(at + TX.sender),
      to: address(at + TX.to),
      creates: txCreates(records, at),
      hasValue: txHasValue(records, at),
      declared: declared(at),
      raw: chain.hex(txRaw(records, at)),
    }));
    const want = (number: number, of: string, facts: object) => ({
      type: 0x4d,
      nonce: 126 + number,
      gas: 200_000,
      hash: chain.hex(chain.callHash(raw, number)),
      sender: self,
      to: of,
      creates: false,
      hasValue: false,
      declared: [of],
      raw: chain.hex(chain.callRaw(batch, parts, number)),
      ...facts,
    });
    expect(seen).toEqual([
      want(0, payee, { gas: 21_000, hasValue: true, declared: [payee, self].sort() }),
      want(1, contract, { gas: 100_000, creates: true }),
      want(2, self, { hasValue: true }),
      want(3, payee, { gas: 90_000 }),
    ]);
  });

  test("random and broken batches: what is taken can be put together again to the very bytes, and nothing breaks", () => {
    const seed = Date.now() % 1_000_000;
    const roll = workload.dice(seed);
    let taken = 0;
    for (let round = 0; round < FUZZ_ROUNDS; round++) {
      const whole = workload.mixedRaws(roll, [], 40).filter((raw) => raw[0] === TX_TYPE_CALL);
      const raws = whole.flatMap((raw) => [raw, ...Array.from({ length: 8 }, () => workload.spoil(raw, roll))]);
      const { records, statuses, recordCounts } = decode(...raws);
      const offsets = [...txOffsets(records), records.length];
      let record = 0;
      raws.forEach((raw, input) => {
        const count = recordCounts[input] ?? 0;
        expect(count > 0, `seed ${seed}, round ${round}, input ${input}`).toBe(statuses[input] === DECODE.ok);
        const rawsOfCalls = offsets.slice(record, record + count).map((at) => txRaw(records, at));
        record += count;
        if (count === 0 || raw[0] !== TX_TYPE_CALL) return;
        taken++;
        expect(chain.hex(rebuilt(rawsOfCalls)), `seed ${seed}, round ${round}, input ${input}`).toBe(chain.hex(raw));
      });
      expect(record).toBe(offsets.length - 1);
    }
    expect(taken).toBeGreaterThan(FUZZ_ROUNDS);
  });

  test("1,024 calls make 1,024 records", () => {
    const raw = chain.signBatch({ calls: new Array<chain.CallFields>(1_024).fill({ to }) }, signer);
    const { records, recordCounts } = decode(raw);
    const offsets = txOffsets(records);
    expect([recordCounts[0], offsets.length]).toEqual([1_024, 1_024]);
    const last = offsets[1_023] ?? 0;
    expect(chain.hex(records.subarray(last + TX.hash + 30, last + TX.hash + 32))).toBe("03ff");
    expect(txNonce(records, last)).toBe(1_023);
  });
});

test("the id of a batch is the hash of its signed bytes", () => {
  const raw = chain.signBatch(good, signer);
  expect(chain.hex(chain.callHash(raw, 0).subarray(0, 30))).toBe(chain.hex(keccak_256(raw).subarray(0, 30)));
});
