import { concatBytes } from "@meridian/core";
import { loadEngine } from "@meridian/engine";
import { bytesToHex, hexToBytes, toHex } from "viem";
import type { Hex } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { expect, test } from "vitest";
import { findValues, joinValues } from "./values.ts";

const engine = loadEngine("auto");
const accountOf = (key: number) => privateKeyToAccount(toHex(key, { size: 32 }));
const [alice, bob] = [accountOf(1), accountOf(2)];
const LIMITS = { chainId: 31_337, gasLimitMax: 16_777_216, transactionBytesMax: 131_072 };
const MAX = 2n ** 256n - 1n;

/** Records of transactions of one account and another in turn, of all types, with long and short data before nothing. */
async function recordsOf(values: readonly bigint[]): Promise<Uint8Array> {
  const accessList = [{ address: `0x${"11".repeat(20)}`, storageKeys: [`0x${"22".repeat(32)}`] }];
  const forms = [{ type: "legacy" }, { type: "eip2930", accessList }, { type: "eip1559", data: `0x${"ff".repeat(300)}` }];
  const raws = values.map((value, index): Promise<Hex> => {
    const fields = { ...forms[index % 3], chainId: 31_337, nonce: index, gas: 100_000n, to: `0x${"33".repeat(20)}`, value };
    return (index % 2 === 0 ? alice : bob).signTransaction(fields as never);
  });
  const packed = (await Promise.all(raws)).map((raw) => {
    const bytes = hexToBytes(raw);
    return concatBytes([new Uint8Array(Uint32Array.of(bytes.length).buffer), bytes]);
  });
  return engine.decode(concatBytes(packed), LIMITS).records.slice();
}

const numbersOf = (packed: Uint8Array, start: number, step: number): bigint[] =>
  Array.from({ length: packed.length / step }, (_, index) =>
    BigInt(bytesToHex(packed.slice(index * step + start, index * step + start + 32))),
  );

test.each<[what: string, values: bigint[], valued: number[], sums: bigint[]]>([
  ["none", [0n, 0n], [], []],
  ["one byte", [1n, 0n, 127n], [0, 2], [128n]],
  ["more bytes", [128n, 10n ** 18n, 256n, 2n ** 64n], [0, 1, 2, 3], [384n, 10n ** 18n + 2n ** 64n]],
  ["all there is", [MAX, MAX, MAX, 1n], [0, 1, 2, 3], [MAX, MAX]],
])("%s", async (_what, values, valued, sums) => {
  const found = findValues(await recordsOf(values));
  expect([...found.valued]).toEqual(valued);
  expect(numbersOf(found.values, 0, 32)).toEqual(values.filter((value) => value > 0n));
  expect(numbersOf(found.spenders, 20, 52)).toEqual(sums);
  const senders = [alice, bob].slice(0, sums.length).map((account) => account.address.toLowerCase().slice(2));
  expect(sums.map((_, index) => bytesToHex(found.spenders.slice(index * 52, index * 52 + 20)).slice(2))).toEqual(senders);
});

test("joined", async () => {
  const values = [1n, 0n, 3n, 4n];
  const parts = await Promise.all([recordsOf(values), recordsOf(values)]);
  const joined = joinValues(parts.map(findValues), [4, 4]);
  expect([...joined.valued]).toEqual([0, 2, 3, 4, 6, 7]);
  expect(numbersOf(joined.values, 0, 32)).toEqual([1n, 3n, 4n, 1n, 3n, 4n]);
  expect(numbersOf(joined.spenders, 20, 52)).toEqual([8n, 8n]);
});
