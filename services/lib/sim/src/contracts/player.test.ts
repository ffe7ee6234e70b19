import {
  HISTORY_ADDRESS,
  bytesOfHex,
  evenRangeMap,
  hexOf,
  ownedBy,
  resultLogCount,
  resultReason,
  resultStatus,
} from "@meridian/core";
import type { Engine } from "@meridian/core";
import { loadEngine } from "@meridian/engine";
import { afterEach, beforeEach, expect, test } from "vitest";
import { CHAIN_ID, genesisOf } from "../world/genesis.ts";
import { create2Address, packTransaction } from "../world/transactions.ts";
import { PLAYER, deploying, packScript, proxyTo } from "./player.ts";
import type { Step } from "./player.ts";

const module = loadEngine("wasm");
const NOTHING = new Uint8Array(0);
const [sender, player, proxy, other] = ["aa", "b1", "b2", "cc"].map((short) => bytesOfHex(short.repeat(20))) as [
  Uint8Array,
  Uint8Array,
  Uint8Array,
  Uint8Array,
];
let engine: Engine;
let nonce: number;

beforeEach(() => {
  engine = module.open({ chainId: CHAIN_ID, callsInline: true });
  engine.setOwned(ownedBy(evenRangeMap(1), 0));
  const accounts = [
    { address: player, balance: 1_000, code: PLAYER },
    { address: proxy, balance: 0, code: proxyTo(player) },
    { address: sender, balance: 5_000, code: NOTHING },
  ];
  const context = { timestamp: 1, prevrandao: new Uint8Array(32), gasLimit: 1e9 };
  engine.openBlock({ ...context, number: 0 });
  engine.importCells(genesisOf(module, accounts, []).cells);
  engine.closeBlock();
  engine.seal(0, new Uint8Array(32).fill(5));
  engine.openBlock({ ...context, number: 1 });
  nonce = 0;
});
afterEach(() => engine.close());

/** Sends a script; gives the result record. */
function play(to: Uint8Array, script: Step[], value = 0): Uint8Array {
  const fields = { chainId: CHAIN_ID, sender, nonce: nonce++, to, value, gasLimit: 3_000_000, input: packScript(script) };
  const { record } = packTransaction(module, { ...fields, accessList: [] });
  return engine.run(record, NOTHING, { flush: 1, strict: false, barred: NOTHING, missed: NOTHING }).results;
}

function slot(account: Uint8Array, number: number): bigint {
  const key = new Uint8Array(53);
  key[0] = 3;
  key.set(account, 1);
  key[52] = number;
  const found = engine.read(-1, key);
  return "cells" in found ? BigInt(`0x${hexOf(found.cells, 53, 85)}`) : -1n;
}

function balance(account: Uint8Array): bigint {
  const key = new Uint8Array(21);
  key[0] = 1;
  key.set(account, 1);
  const found = engine.read(-1, key);
  return "cells" in found ? BigInt(`0x${hexOf(found.cells, 21, 53)}`) : -1n;
}

const write: Step = { op: "write", argument: 1, value: 7 };

test("writes take in what was there before", () => {
  expect(resultStatus(play(player, [write]), 0)).toBe(1);
  expect(slot(player, 1)).toBe(7n);
  play(player, [write, write]);
  expect(slot(player, 1)).toBe(7n * 1_000_003n + 14n + 7n);
});

test("a proxy plays in its own storage", () => {
  play(proxy, [write]);
  expect([slot(proxy, 1), slot(player, 1)]).toEqual([7n, 0n]);
});

test("a call moves value and what it answers is seen; a delegate call writes here", () => {
  play(player, [{ op: "call", address: proxy, value: 300, script: [write] }, write]);
  expect([balance(proxy), balance(player), slot(proxy, 1)]).toEqual([300n, 700n, 7n]);
  expect(slot(player, 1)).toBe(1_000_003n + 7n); // The callee's number is 0, its success 1.
  play(proxy, [{ op: "delegateCall", address: player, script: [{ op: "write", argument: 2, value: 3 }] }]);
  expect(slot(proxy, 2)).toBe(3n);
});

test("a static call may not write, a revert takes back, a log is a log", () => {
  play(player, [
    { op: "staticCall", address: proxy, script: [write] },
    { op: "call", address: proxy, script: [write, { op: "revert" }] },
  ]);
  expect(slot(proxy, 1)).toBe(0n);
  expect(resultReason(play(player, [write, { op: "revert" }]), 0)).toBe(1);
  expect(resultLogCount(play(player, [{ op: "log" }, { op: "log" }]), 0)).toBe(2);
});

test("what is created plays too", () => {
  const init = deploying(proxyTo(player));
  const made = create2Address(module, player, 5, init);
  play(player, [
    { op: "create2", argument: 5, init, value: 50 },
    { op: "call", address: made, script: [write] },
    { op: "create", init },
  ]);
  expect([balance(made), slot(made, 1)]).toEqual([50n, 7n]);
});

test("steps are passed over by what was seen", () => {
  play(player, [{ op: "unless", argument: 0, script: [write] }]);
  expect(slot(player, 1)).toBe(7n);
  play(player, [
    { op: "blockNumber" }, // (1 << 32) + 1: bit 0 is set
    { op: "unless", argument: 0, script: [{ op: "write", argument: 2 }] },
    { op: "write", argument: 3 },
  ]);
  expect([slot(player, 2), slot(player, 3) > 0n]).toEqual([0n, true]);
});

test("everything else is seen, and a destroyed contract's balance goes on", () => {
  const all: Step[] = [
    { op: "balance", address: sender },
    { op: "callerBalance" },
    { op: "selfBalance" },
    { op: "originBalance" },
    { op: "codeHash", address: proxy },
    { op: "blockHash", argument: 0 },
    { op: "pastHash", address: HISTORY_ADDRESS, argument: 0 },
    { op: "transient", argument: 1 },
    { op: "read", argument: 1 },
    { op: "write", argument: 2 },
  ];
  expect(resultStatus(play(player, all), 0)).toBe(1);
  expect(slot(player, 2)).toBeGreaterThan(2n ** 200n);
  play(player, [{ op: "destroy", address: other }]);
  expect([balance(other), balance(player)]).toEqual([1_000n, 0n]);
});
