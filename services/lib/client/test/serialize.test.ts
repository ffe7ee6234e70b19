/** Batches as viem signs them, against the engine's decoder in both builds. */
import {
  DECODE,
  TX,
  TX_TYPE_CALL,
  hexOf,
  txCreates,
  txGasLimit,
  txNonce,
  txOffsets,
  txRaw,
  txType,
  writeU32,
} from "@meridian/core";
import { loadEngine } from "@meridian/engine";
import { readFileSync } from "node:fs";
import { hexToBytes, keccak256 } from "viem";
import type { Hex } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { describe, expect, test } from "vitest";
import {
  CALLS_MAX,
  batchId,
  callHash,
  callHashes,
  hashBatch,
  parseBatch,
  recoverBatchSender,
  serializeBatch,
  serializeMeridian,
  signBatch,
} from "../src/index.ts";
import type { Batch, BatchCall } from "../src/index.ts";

const account = privateKeyToAccount(keccak256("0x01"));
const to = "0x00000000000000000000000000000000000000aa";
const LIMITS = { chainId: 4242, gasLimitMax: 16_777_216, transactionBytesMax: 131_072 };
const one: BatchCall = { to, gas: 21_000n };
const batch = (calls: readonly BatchCall[], more: Partial<Batch> = {}): Batch => ({ chainId: 4242, nonce: 0, calls, ...more });

const BUILDS = (["native", "wasm"] as const).map((build) => [build, loadEngine(build === "native" ? "auto" : build)] as const);

function packed(raw: Hex): Uint8Array {
  const bytes = hexToBytes(raw);
  const whole = new Uint8Array(4 + bytes.length);
  writeU32(whole, 0, bytes.length);
  whole.set(bytes, 4);
  return whole;
}

const ROWS: [what: string, batch: Batch][] = [
  ["one call", batch([one])],
  ["a creation", batch([{ gas: 100_000n, data: "0x00" }])],
  ["value, data, nonces over a byte's edge", batch([one, { to, value: 10n ** 18n, gas: 60_000n, data: "0x7f" }], { nonce: 127 })],
  [
    "data of one small byte and of many",
    batch([
      { ...one, data: "0x05", gas: 30_000n },
      { ...one, data: `0x${"ab".repeat(300)}`, gas: 40_000n },
    ]),
  ],
  ["as many calls as there may be", batch(new Array<BatchCall>(CALLS_MAX).fill(one), { nonce: 2 ** 40 })],
];

describe.each(BUILDS)("the decoder (%s build, or what there is)", (_build, engine) => {
  test.each(ROWS)("reads what viem signed: %s", async (_what, unsigned) => {
    const raw = await signBatch(account, unsigned);
    const { records, statuses, recordCounts } = engine.decode(packed(raw), LIMITS);
    expect([...statuses, ...recordCounts]).toEqual([DECODE.ok, unsigned.calls.length]);
    const seen = [...txOffsets(records)].map((at) => ({
      type: txType(records, at),
      nonce: txNonce(records, at),
      gas: txGasLimit(records, at),
      creates: txCreates(records, at),
      sender: `0x${hexOf(records, at + TX.sender, at + TX.sender + 20)}`,
      hash: `0x${hexOf(records, at + TX.hash, at + TX.hash + 32)}`,
    }));
    const hashes = callHashes(raw, unsigned.calls.length);
    expect(seen).toEqual(
      unsigned.calls.map(({ to: callee, gas }, call) => ({
        type: TX_TYPE_CALL,
        nonce: unsigned.nonce + call,
        gas: Number(gas),
        creates: callee === undefined,
        sender: account.address.toLowerCase(),
        hash: hashes[call],
      })),
    );
  });
});

test.each(ROWS)("there and back: %s", async (_what, unsigned) => {
  const raw = await signBatch(account, unsigned);
  const { signature, ...parsed } = parseBatch(raw);
  expect(serializeBatch(parsed, signature)).toBe(raw);
  expect(await recoverBatchSender(raw)).toBe(account.address);
  expect(hashBatch(parsed)).toBe(keccak256(serializeBatch(unsigned)));
});

test("viem's own accounts take it as a serializer", async () => {
  const unsigned = batch([one, { ...one, value: 1n }]);
  // viem's types know the transactions of Ethereum alone.
  const signed = await account.signTransaction(unsigned as never, { serializer: serializeMeridian as never });
  expect(signed).toBe(await signBatch(account, unsigned));
  const single = { type: "eip1559", chainId: 4242, nonce: 1, to, gas: 21_000n } as const;
  expect(serializeMeridian(single)).toMatch(/^0x02/);
});

test("the test vector of docs/SIGNED-BATCH.md", async () => {
  const transfer: Hex = `0xa9059cbb${"00".repeat(12)}${"22".repeat(20)}${"00".repeat(31)}05`;
  const signer = privateKeyToAccount(`0x${"46".repeat(32)}`);
  const unsigned: Batch = {
    chainId: 4242,
    nonce: 9,
    calls: [
      { to: `0x${"35".repeat(20)}`, value: 10n ** 18n, gas: 21_000n },
      { to: `0x${"11".repeat(20)}`, gas: 60_000n, data: transfer },
    ],
  };
  const raw = await signBatch(signer, unsigned);
  const text = readFileSync(new URL("../../../../docs/SIGNED-BATCH.md", import.meta.url), "utf8").replace(/\s+/g, "");
  const { records } = loadEngine("wasm").decode(packed(raw), LIMITS);
  const leaves = Array.from(txOffsets(records), (at) => `0x${hexOf(txRaw(records, at))}`);
  const said = [signer.address, hashBatch(unsigned), raw, batchId(raw), ...callHashes(raw, 2), ...leaves];
  for (const hex of said) expect(text, hex).toContain(`\`${hex}\``);
});

test("the number of a call stands in the last two bytes of its hash", () => {
  expect(callHash(`0x${"ab".repeat(32)}`, 258)).toBe(`0x${"ab".repeat(30)}0102`);
});

test.each<[what: string, make: () => unknown, says: RegExp]>([
  ["no calls", () => serializeBatch(batch([])), /1 to 1024 calls, not 0/],
  ["too many calls", () => serializeBatch(batch(new Array<BatchCall>(1_025).fill(one))), /not 1025/],
  ["nonces above 2^53", () => serializeBatch(batch([one, one], { nonce: Number.MAX_SAFE_INTEGER })), /leaves no room/],
  [
    "too many bytes",
    () => serializeBatch(batch(new Array<BatchCall>(6).fill({ ...one, data: `0x${"00".repeat(100_000)}` }))),
    /524288 bytes/,
  ],
  ["no parity", () => serializeBatch(batch([one]), { r: "0x01", s: "0x01" } as never), /no parity/],
  ["bytes of another type", () => parseBatch("0x02c0"), /no signed batch/],
  ["a list that is too short", () => parseBatch("0x4dc0"), /no signed batch/],
  ["an unsigned batch", () => parseBatch(serializeBatch(batch([one]))), /no signed batch/],
  ["calls that are no list", () => parseBatch("0x4dc6010101010101"), /a list/],
  ["a call that is no call", () => parseBatch("0x4dc70101c101010101"), /\[to, value, gas, data\]/],
])("refused: %s", (_what, make, says) => {
  expect(make).toThrow(says);
});
