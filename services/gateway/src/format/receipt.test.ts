import { bytesOfHex, REASON, RESULT, TX, TX_HEADER_BYTES, writeU32 } from "@meridian/core";
import { loadEngine } from "@meridian/engine";
import { expect, test } from "vitest";
import { bloomOf, formatReceipt } from "./receipt.ts";

const keccak256 = (bytes: Uint8Array) => loadEngine("auto").keccak256(bytes);
const ACCOUNT = "11".repeat(20);

function resultOf(reason: number): Uint8Array {
  const result = new Uint8Array(64);
  writeU32(result, RESULT.bytes, 64);
  writeU32(result, RESULT.logsOffset, 64);
  result[RESULT.reason] = reason;
  return result;
}

test.each<[what: string, result: Uint8Array, reason: string | undefined]>([
  ["value that is not there", resultOf(REASON.void), "the sender's balance is below the value that the transaction carries"],
  [
    "too many rounds",
    resultOf(REASON.exceeded),
    "the transaction follows too long a chain of cells over several partitions for its gas limit",
  ],
  ["a revert", resultOf(REASON.revert), undefined],
  ["a halt", resultOf(REASON.halt), undefined],
])("%s", (_what, results, reason) => {
  const transactions = new Uint8Array(TX_HEADER_BYTES);
  writeU32(transactions, TX.bytes, TX_HEADER_BYTES);
  const place = { blockHash: new Uint8Array(32), blockNumber: 1, blockTimestamp: 2, index: 0 };
  const input = { transactions, transactionAt: 0, results, resultAt: 0, place, cumulativeGasUsed: 0, firstLogIndex: 0 };
  const receipt = formatReceipt(input, keccak256);
  expect(receipt).toMatchObject({ status: "0x0", contractAddress: null, effectiveGasPrice: "0x0" });
  expect(receipt.reason).toBe(reason);
});

test("bloom: three bits for each address and topic", () => {
  const bloom = bloomOf([{ address: bytesOfHex(ACCOUNT), topics: [new Uint8Array(32)], data: new Uint8Array(0) }], keccak256);
  const bits = [...bloom].reduce((sum, byte) => sum + byte.toString(2).replaceAll("0", "").length, 0);
  expect(bits).toBe(6);
  expect(bloomOf([], keccak256)).toEqual(new Uint8Array(256));
});
