import {
  DECODE,
  TX,
  TX_CREATES,
  TX_HAS_VALUE,
  readU16,
  txCreates,
  txDeclared,
  txHasValue,
  txNonce,
  txOffsets,
  txRaw,
  txType,
} from "@meridian/core";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { describe, expect, test } from "vitest";
import * as chain from "./chain.ts";
import { place } from "./contracts.ts";
import { BUILDS } from "./node.ts";

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const signer = chain.key(1);
const to = place(0x1234);
const listed: [Uint8Array, Uint8Array[]][] = [[place(0x99), [chain.word(1), chain.word(2)]]];

/** Signature parts of a valid transaction, to be spoilt. */
function flipped(tx: chain.TxFields): Uint8Array {
  const raw = chain.sign(tx, signer);
  const s = BigInt(`0x${chain.hex(raw.subarray(-32))}`);
  const r = BigInt(`0x${chain.hex(raw.subarray(-65, -33))}`);
  const parity = raw.at(-67)! === 0x80 ? 1 : 0;
  return chain.encode(tx, parity, r, ORDER - s);
}

const zeros = (length: number): Uint8Array => new Uint8Array(length);
const ones = (length: number): Uint8Array => new Uint8Array(length).fill(1);

const ROWS: [what: string, raw: Uint8Array, status: number, details?: [number, number]][] = [
  ["a legacy transaction", chain.sign({ type: 0, to }, signer), DECODE.ok],
  ["an EIP-2930 transaction", chain.sign({ type: 1, to, accessList: listed }, signer), DECODE.ok],
  ["an EIP-1559 transaction", chain.sign({ to, accessList: listed }, signer), DECODE.ok],
  ["a creation", chain.sign({ data: chain.bytes("00") }, signer), DECODE.ok],
  ["nothing", zeros(0), DECODE.malformed],
  ["a string, not a list", chain.bytes("820102"), DECODE.malformed],
  ["bytes after the end", Uint8Array.from([...chain.sign({ to }, signer), 0]), DECODE.malformed],
  ["bytes after the end of a legacy one", Uint8Array.from([...chain.sign({ type: 0, to }, signer), 0x80]), DECODE.malformed],
  ["an end too early", chain.sign({ to }, signer).subarray(0, -1), DECODE.malformed],
  ["an address of 19 bytes", chain.sign({ to: zeros(19) }, signer), DECODE.malformed],
  ["a number with a leading zero", chain.sign({ to, nonce: Uint8Array.of(0) }, signer), DECODE.malformed],
  ["a number of more than 32 bytes", chain.sign({ to, price: 2n ** 256n }, signer), DECODE.malformed],
  ["a blob transaction", Uint8Array.of(3, 0xc0), DECODE.typeNotSupported, [3, 0]],
  ["a set-code transaction", Uint8Array.of(4, 0xc0), DECODE.typeNotSupported, [4, 0]],
  ["an unknown type", Uint8Array.of(0x7f, 0xc0), DECODE.typeNotSupported, [0x7f, 0]],
  ["another chain", chain.sign({ to, chainId: 5 }, signer), DECODE.chainId, [5, chain.CHAIN_ID]],
  ["another chain in v", chain.sign({ type: 0, to, chainId: 5 }, signer), DECODE.chainId, [5, chain.CHAIN_ID]],
  ["no replay protection", chain.encode({ type: 0, to }, 27, 1n, 1n), DECODE.unprotected],
  ["v out of range", chain.encode({ type: 0, to }, 30, 1n, 1n), DECODE.signature],
  ["parity out of range", chain.encode({ to }, 2, 1n, 1n), DECODE.signature],
  ["r of 0", chain.encode({ to }, 0, 0n, 1n), DECODE.signature],
  ["r of the order", chain.encode({ to }, 0, ORDER, 1n), DECODE.signature],
  ["s of 0", chain.encode({ to }, 0, 1n, 0n), DECODE.signature],
  ["s in the upper half", flipped({ to }), DECODE.signature],
  ["a signature of no key", chain.encode({ to }, 0, 5n, 1n), DECODE.signature],
  ["a nonce of 2^53", chain.sign({ to, nonce: 2n ** 53n }, signer), DECODE.nonceMax],
  ["a nonce below 2^53", chain.sign({ to, nonce: 2n ** 53n - 1n }, signer), DECODE.ok],
  ["a gas limit above the cap", chain.sign({ to, gasLimit: 16_777_217 }, signer), DECODE.gasLimitCap, [16_777_217, 16_777_216]],
  ["less than intrinsic gas", chain.sign({ to, gasLimit: 20_999 }, signer), DECODE.intrinsicGas, [20_999, 21_000]],
  [
    "intrinsic gas of an access list",
    chain.sign({ to, gasLimit: 27_199, accessList: listed }, signer),
    DECODE.intrinsicGas,
    [27_199, 21_000 + 2400 + 2 * 1900],
  ],
  [
    "intrinsic gas of init code words",
    chain.sign({ data: zeros(33), gasLimit: 53_000 }, signer),
    DECODE.intrinsicGas,
    [53_000, 53_000 + 33 * 4 + 2 * 2],
  ],
  ["less than the floor", chain.sign({ to, data: ones(1000), gasLimit: 60_999 }, signer), DECODE.floorGas, [60_999, 61_000]],
  ["init code too long", chain.sign({ data: zeros(49_153), gasLimit: 5_000_000 }, signer), DECODE.initCodeSize, [49_153, 49_152]],
  ["a tip above the fee cap", chain.sign({ to, tip: 2n, price: 1n }, signer), DECODE.tipAboveFeeCap],
  [
    "too many bytes",
    chain.sign({ to, data: zeros(131_072), gasLimit: 5_000_000 }, signer),
    DECODE.tooLarge,
    [chain.sign({ to, data: zeros(131_072), gasLimit: 5_000_000 }, signer).length, 131_072],
  ],
];

describe.each(BUILDS)("decode, %s build", (_build, module) => {
  test.each(ROWS)("%s", (_what, raw, status, details = [0, 0]) => {
    const decoded = module.decode(chain.packRaw([raw]), chain.LIMITS);
    expect([...decoded.statuses]).toEqual([status]);
    expect([...decoded.details]).toEqual(details);
    expect(decoded.records.length > 0).toBe(status === DECODE.ok);
  });

  test("records hold what was signed", () => {
    const creation = chain.sign({ type: 0, nonce: 3, value: 1n, data: chain.bytes("00") }, signer);
    const call = chain.sign({ nonce: 4, to, value: 9n, accessList: [...listed, [to, []], [signer.address, []]] }, signer);
    const { records, statuses } = module.decode(chain.packRaw([creation, Uint8Array.of(3), call]), chain.LIMITS);
    expect([...statuses]).toEqual([DECODE.ok, DECODE.typeNotSupported, DECODE.ok]);
    const second = txOffsets(records)[1]!;
    expect(describeRecord(records, 0)).toEqual({
      type: 0,
      creates: true,
      hasValue: true,
      nonce: 3,
      sender: chain.hex(signer.address),
      to: chain.hex(chain.created(signer.address, 3)),
      declared: [chain.hex(chain.created(signer.address, 3)), chain.hex(signer.address)].sort().map((address) => `01${address}`),
      raw: chain.hex(creation),
      hash: chain.hex(keccak_256(creation)),
    });
    expect(describeRecord(records, second)).toEqual({
      type: 2,
      creates: false,
      hasValue: true,
      nonce: 4,
      sender: chain.hex(signer.address),
      to: chain.hex(to),
      declared: [to, signer.address, place(0x99)].map((address) => `01${chain.hex(address)}`).sort(),
      raw: chain.hex(call),
      hash: chain.hex(keccak_256(call)),
    });
    expect([TX_CREATES, TX_HAS_VALUE, readU16(records, TX.declared)]).toEqual([1, 2, 2]);
  });
});

function describeRecord(records: Uint8Array, at: number): object {
  const count = txDeclared(records, at);
  return {
    type: txType(records, at),
    creates: txCreates(records, at),
    hasValue: txHasValue(records, at),
    nonce: txNonce(records, at),
    sender: chain.hex(records.subarray(at + TX.sender, at + TX.sender + 20)),
    to: chain.hex(records.subarray(at + TX.to, at + TX.to + 20)),
    declared: Array.from({ length: count }, (_, number) =>
      chain.hex(records.subarray(at + TX.declaredSet + number * 21, at + TX.declaredSet + number * 21 + 21)),
    ),
    raw: chain.hex(txRaw(records, at)),
    hash: chain.hex(records.subarray(at + TX.hash, at + TX.hash + 32)),
  };
}
