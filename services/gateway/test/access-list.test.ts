/** eth_createAccessList: geth's loop and errors. What partitions answer is planted, where the real engine is not asked. */
import type { CallAccess, CallResult } from "@meridian/core";
import { bytesOfHex, concatBytes, hexOf } from "@meridian/core";
import { numberToHex, padHex } from "viem";
import type { Hex } from "viem";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { alice, bob, carol, dave, sign, startRig, WEALTH } from "./client.ts";
import type { Rig } from "./client.ts";
import { initCode, LOOP, STORE } from "./contracts.ts";

let rig: Rig;
/** Access lists that partitions were asked with, as hex. */
let asked: string[];
const at: Record<string, Hex> = {};
const ONE = numberToHex(1, { size: 32 });
/** Reads slot 0, looks at the balance of the account in the call's first word, then reverts. */
const REFUSER = "5f54505f3531505f5ffd";
const TWO = numberToHex(2, { size: 32 });

beforeAll(async () => {
  rig = await startRig();
  const deploys = [STORE, LOOP, REFUSER].map((code, nonce) =>
    sign({ nonce, to: undefined, data: initCode(code), gas: 300_000n }),
  );
  const hashes = await rig.sendAll(await Promise.all(deploys));
  rig.chain.closeBlock();
  const receipts = await Promise.all(hashes.map((hash) => rig.result("eth_getTransactionReceipt", hash)));
  [at.store, at.loop, at.refuser] = receipts.map((receipt) => (receipt as { contractAddress: Hex }).contractAddress) as [
    Hex,
    Hex,
    Hex,
  ];
});
beforeEach(() => {
  rig.chain.onRead = () => undefined;
  asked = [];
});
afterAll(async () => {
  await rig.stop();
  expect(rig.errors).toEqual([]);
});

const fields = { from: alice.address, to: bob.address, data: "0x01" };
const create = (more: Record<string, unknown> = {}, ...rest: unknown[]) =>
  rig.call("eth_createAccessList", { ...fields, ...more }, ...rest);

/** A packed list of one account and its slots. */
const packed = (account: string, ...slots: string[]): Uint8Array =>
  concatBytes([bytesOfHex(account.toLowerCase()), Uint8Array.of(slots.length, 0), ...slots.map(bytesOfHex)]);
const accessOf = (...parts: Uint8Array[]): CallAccess => ({ accessList: concatBytes(parts), touches: new Uint8Array(0) });

/** Partitions answer traced calls with these, one after the other; the last one again and again. */
function plant(...results: CallResult[]): void {
  rig.chain.onRead = (request) => {
    if (request.op !== "call" || !request.call.traced) return undefined;
    const result = results[Math.min(asked.length, results.length - 1)]!;
    asked.push(hexOf(request.call.accessList));
    return { op: "call", result };
  };
}
const byAddress = (left: { address?: string | undefined }, right: { address?: string | undefined }) =>
  (left.address ?? "") < (right.address ?? "") ? -1 : 1;
const ran = (gasUsed: number, ...parts: Uint8Array[]): CallResult => ({
  status: "success",
  gasUsed,
  output: new Uint8Array(0),
  access: accessOf(...parts),
});

describe("runs until the list stays the same", () => {
  test("each run has the list of the one before, the gas is the last one's", async () => {
    plant(ran(50, packed(carol.address, ONE)), ran(40, packed(carol.address, TWO)), ran(30, packed(carol.address, ONE, TWO)));
    const { result } = await create();
    const storageKeys = [ONE, TWO];
    expect(result).toEqual({ accessList: [{ address: carol.address.toLowerCase(), storageKeys }], gasUsed: "0x1e" });
    expect(asked).toEqual(
      [[], [ONE], [ONE, TWO]].map((slots) => (slots.length === 0 ? "" : hexOf(packed(carol.address, ...slots)))),
    );
  });

  test("a list that is given stays, but for accounts that cost nothing to name", async () => {
    plant(ran(1));
    const named = (address: string, ...storageKeys: Hex[]) => ({ address, storageKeys });
    const precompile = numberToHex(9, { size: 20 });
    const kept = [named(dave.address.toLowerCase()), named(bob.address.toLowerCase(), ONE)];
    const { result } = await create({
      accessList: [...kept, named(alice.address), named(precompile), named(dave.address)],
    });
    expect(result).toEqual({ accessList: kept.sort(byAddress), gasUsed: "0x1" });
    expect(asked).toHaveLength(1);
  });

  test("a call that fails has a list too", async () => {
    plant({ status: "revert", gasUsed: 7, output: bytesOfHex("0x01"), access: accessOf(packed(carol.address)) });
    const accessList = [{ address: carol.address.toLowerCase(), storageKeys: [] }];
    expect((await create()).result).toEqual({ accessList, error: "execution reverted", gasUsed: "0x7" });
    plant({ status: "halt", gasUsed: 8, why: "out of gas", access: accessOf() });
    expect((await create()).result).toEqual({ accessList: [], error: "out of gas", gasUsed: "0x8" });
  });

  test("a contract that never comes to rest is given up", async () => {
    let slot = 0;
    rig.chain.onRead = ({ op }) =>
      op === "call" ? { op, result: ran(1, packed(carol.address, numberToHex(++slot, { size: 32 }))) } : undefined;
    expect((await create()).error).toEqual({ code: -32_000, message: "the access list did not come to rest within 16 runs" });
    expect(slot).toBe(16);
  });
});

test.each<[what: string, result: CallResult, message: string]>([
  [
    "too little gas to start",
    { status: "halt", gasUsed: 1, why: "intrinsic gas too low: have 1, want 21000", access: accessOf() },
    "failed to apply transaction: intrinsic gas too low: have 1, want 21000",
  ],
  [
    "value that is not there",
    { status: "funds" },
    `failed to apply transaction: insufficient funds for gas * price + value: address ${alice.address} have ${WEALTH} want 0`,
  ],
])("%s is an error", async (_what, result, message) => {
  plant(result);
  expect((await create()).error).toEqual({ code: -32_000, message });
});

test.each<[what: string, params: unknown[], message: string]>([
  ["overrides", [fields, "latest", { [alice.address]: {} }], "invalid argument 2: overrides of state are not supported"],
  ["too many arguments", [fields, "latest", {}, {}], "too many arguments, want at most 3"],
  ["a block to come", [fields, "0x63"], "header not found"],
])("%s: refused", async (_what, params, message) =>
  expect((await rig.call("eth_createAccessList", ...params)).error?.message).toBe(message),
);

describe("by the engine", () => {
  test("a slot of the callee is in the list, and naming it makes it cheaper", async () => {
    const { result } = await create({ to: at.store, data: TWO }, "latest");
    expect(result).toEqual({
      accessList: [{ address: at.store, storageKeys: [numberToHex(0, { size: 32 })] }],
      gasUsed: expect.stringMatching(/^0x/) as string,
    });
  });
  test("what a call looked at before it reverted is in the list", async () => {
    const { result } = await create({ to: at.refuser, data: padHex(carol.address) }, "latest");
    const entries = [
      { address: at.refuser, storageKeys: [numberToHex(0, { size: 32 })] },
      { address: carol.address.toLowerCase(), storageKeys: [] },
    ].sort(byAddress);
    expect(result).toEqual({
      accessList: entries,
      error: "execution reverted",
      gasUsed: expect.stringMatching(/^0x/) as string,
    });
  });
  test("a transfer needs none", async () =>
    expect((await create({ value: "0x1", data: "0x" })).result).toEqual({ accessList: [], gasUsed: "0x5208" }));
  test("out of gas", async () =>
    expect((await create({ to: at.loop, gas: "0x186a0" })).result).toEqual({
      accessList: [],
      error: "out of gas",
      gasUsed: "0x186a0",
    }));
  test("less gas than a transaction needs", async () =>
    expect((await create({ gas: "0x10" })).error?.message).toBe(
      "failed to apply transaction: intrinsic gas too low: have 16, want 21016",
    ));
});
