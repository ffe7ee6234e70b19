import { bytesOfHex, REASON, RESULT, TX, writeU32, writeU64 } from "@meridian/core";
import { loadEngine } from "@meridian/engine";
import { expect, test } from "vitest";
import { bloomOf, formatReceipt } from "./receipt.ts";

const keccak256 = (bytes: Uint8Array) => loadEngine("auto").keccak256(bytes);
const FOREIGN = "11".repeat(20);

function resultOf(reason: number, value = 0): Uint8Array {
  const result = new Uint8Array(64);
  writeU32(result, RESULT.bytes, 64);
  writeU32(result, RESULT.logsOffset, 64);
  result[RESULT.reason] = reason;
  result.set(bytesOfHex(FOREIGN), RESULT.address);
  writeU64(result, RESULT.value, value);
  return result;
}

test.each<[what: string, result: Uint8Array, reason: string | undefined]>([
  [
    "another partition's account",
    resultOf(REASON.foreign),
    `touches account 0x${FOREIGN} of another partition: transactions over several partitions are not possible yet`,
  ],
  ["value that is not there", resultOf(REASON.funds), "the sender's balance is below the value that the transaction carries"],
  ["a hash that is not known", resultOf(REASON.unsealed, 41), "asks for the hash of block 41, which was not sealed yet"],
  ["a revert", resultOf(REASON.revert), undefined],
  ["a halt", resultOf(REASON.halt), undefined],
])("%s", (_what, results, reason) => {
  const transactions = new Uint8Array(104);
  writeU32(transactions, TX.bytes, 104);
  const place = { blockHash: new Uint8Array(32), blockNumber: 1, blockTimestamp: 2, index: 0 };
  const input = { transactions, transactionAt: 0, results, resultAt: 0, place, cumulativeGasUsed: 0, firstLogIndex: 0 };
  const receipt = formatReceipt(input, keccak256);
  expect(receipt).toMatchObject({ status: "0x0", contractAddress: null, effectiveGasPrice: "0x0" });
  expect(receipt.reason).toBe(reason);
});

test("bloom: three bits for each address and topic", () => {
  const bloom = bloomOf([{ address: bytesOfHex(FOREIGN), topics: [new Uint8Array(32)], data: new Uint8Array(0) }], keccak256);
  const bits = [...bloom].reduce((sum, byte) => sum + byte.toString(2).replaceAll("0", "").length, 0);
  expect(bits).toBe(6);
  expect(bloomOf([], keccak256)).toEqual(new Uint8Array(256));
});
