import { hexOf } from "@meridian/core";
import { getContractAddress, parseTransaction, recoverTransactionAddress } from "viem";
import { expect, test } from "vitest";
import { testAccounts } from "../accounts.ts";
import { type Unsigned, sign } from "./sign.ts";
import { createdAddress, transferData } from "./token.ts";

const [first, second] = testAccounts(2) as [ReturnType<typeof testAccounts>[number], ReturnType<typeof testAccounts>[number]];

test("the mnemonic's accounts are those of every developer tool", () => {
  expect(first.address).toBe("0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266");
  expect(second.address).toBe("0x70997970c51812dc3a010c7d01b50e0d17dc79c8");
});

test.each<[what: string, transaction: Unsigned]>([
  ["first nonce, no value", { nonce: 0, to: second.addressBytes, data: new Uint8Array(0), valueWei: 0n, gasLimit: 21_000 }],
  [
    "value and call data",
    { nonce: 300, to: second.addressBytes, data: transferData(first.addressBytes, 7), valueWei: 10n ** 18n, gasLimit: 1 },
  ],
  ["creation with long code", { nonce: 127, to: null, data: new Uint8Array(70_000).fill(9), valueWei: 0n, gasLimit: 128 }],
  ["one byte of data", { nonce: 128, to: second.addressBytes, data: Uint8Array.of(5), valueWei: 255n, gasLimit: 16_777_216 }],
])("%s: other libraries read what was signed", async (_what, transaction) => {
  for (let nonce = transaction.nonce; nonce < transaction.nonce + 20; nonce++) {
    const { raw, hash } = sign(31_337, first, { ...transaction, nonce });
    const serializedTransaction = raw as `0x02${string}`;
    const parsed = parseTransaction(serializedTransaction);
    expect(parsed).toMatchObject({ chainId: 31_337, gas: BigInt(transaction.gasLimit) });
    expect([parsed.nonce ?? 0, parsed.value ?? 0n, parsed.data ?? "0x"]).toEqual([
      nonce,
      transaction.valueWei,
      `0x${hexOf(transaction.data)}`,
    ]);
    expect((await recoverTransactionAddress({ serializedTransaction })).toLowerCase()).toBe(first.address);
    expect(hash).toMatch(/^0x[0-9a-f]{64}$/);
  }
});

test("created addresses are Ethereum's", () => {
  for (const nonce of [0, 1, 127, 128, 255, 256, 70_000]) {
    const expected = getContractAddress({ from: first.address, nonce: BigInt(nonce) }).toLowerCase();
    expect(`0x${hexOf(createdAddress(first, nonce))}`).toBe(expected);
  }
});
