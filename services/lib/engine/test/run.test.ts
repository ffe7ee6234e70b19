import type { EngineModule } from "@meridian/core";
import { REASON, RESULT, concatBytes, readU64, resultLogs } from "@meridian/core";
import { describe, expect, test } from "vitest";
import * as chain from "./chain.ts";
import { CONTRACTS, initCode, place, wordOf } from "./contracts.ts";
import * as node from "./node.ts";

const [alice, bob] = [chain.key(1), chain.key(2)];
/** Owned by another partition, like `elsewhere`, `nested` and `identity`. */
const stranger = chain.key(9);
const elsewhere = place(0xeeee);
const contract = place(0xc0de);
const identity = place(4);
/** What `contract` creates first and second. */
const nested = [1, 2].map((nonce) => chain.created(contract, nonce));
const rich = chain.accountCell(alice.address, 1000n);

/** Genesis, what is owned, what is sent; and what is expected of each result. */
type Row = [what: string, genesis: Uint8Array[], sent: node.Sent[], want: node.Outcome[]];

const call = (data: Uint8Array, tx: Partial<chain.TxFields> = {}): node.Sent => ({
  from: alice,
  tx: { to: contract, data, ...tx },
});
const with_ = (code: Uint8Array, balance = 0n): Uint8Array => chain.contractCells(contract, code, balance);
const [ok, foreign, voided] = [
  { status: 1, reason: REASON.none },
  { why: "outside" },
  { status: 0, reason: REASON.void, gasUsed: chain.GAS_LIMIT },
];

const ROWS: Row[] = [
  ["a transfer", [rich], [{ from: alice, tx: { to: bob.address, value: 7n } }], [{ ...ok, gasUsed: 21_000 }]],
  ["a transfer of all", [rich], [{ from: alice, tx: { to: bob.address, value: 1000n } }], [ok]],
  ["a transfer of more", [rich], [{ from: alice, tx: { to: bob.address, value: 1001n } }], [voided]],
  ["value of an account that never was", [], [{ from: bob, tx: { to: alice.address, value: 1n } }], [voided]],
  ["a call without value of a sender elsewhere", [with_(CONTRACTS.counter)], [{ from: stranger, tx: { to: contract } }], [ok]],
  ["value of a sender elsewhere", [], [{ from: stranger, tx: { to: bob.address, value: 1n } }], [foreign]],
  ["a call of an account elsewhere", [], [{ from: alice, tx: { to: elsewhere } }], [foreign]],
  ["a look at a balance elsewhere", [with_(CONTRACTS.balanceOf)], [call(wordOf(elsewhere))], [foreign]],
  [
    "a look at the sender's code elsewhere",
    [with_(CONTRACTS.codeHashOf)],
    [{ ...call(wordOf(stranger.address)), from: stranger }],
    [foreign],
  ],
  ["a nested call elsewhere", [with_(CONTRACTS.forward)], [call(wordOf(elsewhere))], [foreign]],
  [
    "nested creations, the second elsewhere",
    [with_(CONTRACTS.factory)],
    [call(initCode(CONTRACTS.counter)), call(initCode(CONTRACTS.counter), { nonce: 1 })],
    [ok, foreign],
  ],
  ["a precompile elsewhere without value", [with_(CONTRACTS.forward)], [call(wordOf(identity))], [ok]],
  [
    "a precompile elsewhere with value",
    [with_(CONTRACTS.forward, 5n)],
    [call(concatBytes([wordOf(identity), chain.word(5)]))],
    [foreign],
  ],
  ["the balance of a precompile elsewhere", [with_(CONTRACTS.balanceOf)], [call(wordOf(identity))], [foreign]],
  ["the code hash of a precompile elsewhere", [with_(CONTRACTS.codeHashOf)], [call(wordOf(identity))], [foreign]],
  ["a transfer to a precompile elsewhere", [rich], [{ from: alice, tx: { to: identity, value: 1n } }], [foreign]],
  [
    "a revert",
    [with_(CONTRACTS.reverter)],
    [call(chain.bytes("0badc0de"))],
    [{ status: 0, reason: REASON.revert, output: "0badc0de" }],
  ],
  [
    "an invalid opcode",
    [with_(CONTRACTS.invalid)],
    [call(new Uint8Array(0))],
    [{ reason: REASON.halt, gasUsed: chain.GAS_LIMIT }],
  ],
  ["the hash of a sealed block", [with_(CONTRACTS.blockHash)], [call(chain.word(0))], [ok]],
  ["the hash of this block", [with_(CONTRACTS.blockHash)], [call(chain.word(1))], [ok]],
  [
    "a miss spoils nothing after it",
    [rich],
    [
      { from: alice, tx: { to: elsewhere, value: 1n } },
      { from: alice, tx: { to: bob.address, value: 1000n, nonce: 1 } },
    ],
    [foreign, ok],
  ],
];

describe.each(node.BUILDS)("run, %s build", (_build, module) => {
  test.each(ROWS)("%s", (_what, genesis, sent, want) => {
    const opened = node.open(module, genesis, node.without(elsewhere, stranger.address, identity, nested[1]!));
    // The nonce of a sender elsewhere stands in its own partition's log.
    const records = node.recordsOf(opened, sent);
    const nonces = sent.some(({ from }) => from === stranger) ? new Uint8Array(0) : chain.nonceRecords(records);
    expect(node.outcomesOf(opened.engine.run(records, nonces, chain.FREE_RUN))).toMatchObject(want);
  });

  test("a failed transaction changes nothing but the nonce", () => checkNothingChanged(module));
  test("a miss names the account", () => checkMissNames(module));
  test("a block not sealed yet", () => checkUnsealed(module));
  test("nonce records apply before the transaction of their index", () => checkNonces(module));
  test("a creation", () => checkCreation(module));
  test("free gas", () => checkFreeGas(module));
  test("logs and output", () => checkLogs(module));
  test("a contract created and destroyed in one transaction leaves nothing", () => checkDestroyed(module));
});

const byAddress = (left: string, right: string): number => (left.slice(-40) < right.slice(-40) ? -1 : 1);

function checkNothingChanged(module: EngineModule): void {
  const opened = node.open(module, [rich, with_(CONTRACTS.reverter)]);
  node.run(opened, [call(chain.bytes("01"), { value: 10n }), { from: alice, tx: { to: bob.address, value: 5000n, nonce: 1 } }]);
  const { engine } = opened;
  expect(node.balance(engine, alice.address)).toBe(1000n);
  expect(node.balance(engine, contract)).toBe(0n);
  expect(node.slot(engine, contract, 0)).toBe(0n);
  expect(node.nonce(engine, alice.address)).toBe(2);
}

function checkMissNames(module: EngineModule): void {
  const opened = node.open(module, [rich], node.without(elsewhere));
  const records = node.recordsOf(opened, [{ from: alice, tx: { to: elsewhere, value: 1n } }]);
  const { results, misses } = opened.engine.run(records, chain.nonceRecords(records), chain.FREE_RUN);
  const touched = [`write ${chain.hex(alice.address)}`, `write ${chain.hex(elsewhere)}`].sort(byAddress);
  expect([results.length, node.touchesOf(misses)]).toEqual([0, [{ index: 0, why: "outside", value: 0, touched }]]);
}

function checkUnsealed(module: EngineModule): void {
  const opened = node.open(module, [with_(CONTRACTS.blockHashStored)]);
  opened.engine.closeBlock();
  opened.engine.openBlock(chain.context(2));
  const records = node.recordsOf(opened, [call(chain.word(1))]);
  const asked = opened.engine.run(records, chain.nonceRecords(records), chain.FREE_RUN);
  expect(node.outcomesOf(asked)).toEqual([{ index: 0, why: "unsealed", value: 1, touched: [`write ${chain.hex(contract)}`] }]);
  opened.engine.seal(1, new Uint8Array(32).fill(0xb1));
  expect(node.resultsOf(node.run(opened, [call(chain.word(1), { nonce: 1 })]))).toMatchObject([ok]);
  expect(node.slot(opened.engine, contract, 0).toString(16)).toBe("b1".repeat(32));
}

function checkNonces(module: EngineModule): void {
  // The sender's account has neither balance nor code: it exists for the contract only once its nonce is 1.
  const opened = node.open(module, [with_(CONTRACTS.codeHashOf)]);
  const transactions = chain.records(
    module,
    [chain.sign({ to: contract, data: wordOf(alice.address), gasLimit: 100_000 }, alice)],
    5,
  );
  const nonces = chain.nonceRecords(transactions);
  const later = nonces.slice();
  later[0] = 6;
  opened.engine.run(transactions, later, chain.FREE_RUN);
  expect(node.nonce(opened.engine, alice.address)).toBe(1);
  const packed = opened.engine.nonces(concatBytes([alice.address, bob.address]));
  expect([readU64(packed, 0), readU64(packed, 41)]).toEqual([1, 0]);
  expect(chain.hex(packed.subarray(9, 41))).toBe(chain.hex(nonces.subarray(32, 64)));
}

function checkCreation(module: EngineModule): void {
  const opened = node.open(module, [rich]);
  const { engine } = opened;
  const results = node.run(opened, [{ from: alice, tx: { data: initCode(CONTRACTS.counter), value: 3n, nonce: 0 } }]);
  const created = results.slice(RESULT.address, RESULT.address + 20);
  expect(results[RESULT.created]).toBe(1);
  expect([node.balance(engine, created), node.balance(engine, alice.address)]).toEqual([3n, 997n]);
  expect(node.nonce(engine, created)).toBe(1);
  expect(node.nonce(engine, alice.address)).toBe(1);
  node.run(opened, [
    { from: bob, tx: { to: created } },
    { from: bob, tx: { to: created, nonce: 1 } },
  ]);
  expect(node.slot(engine, created, 0)).toBe(2n);
  // The same nonce again: the address is taken.
  expect(node.resultsOf(node.run(opened, [{ from: alice, tx: { data: initCode(CONTRACTS.counter) } }]))).toMatchObject([
    { reason: REASON.halt },
  ]);
}

function checkFreeGas(module: EngineModule): void {
  const opened = node.open(module, [with_(CONTRACTS.environment)]);
  const results = node.run(opened, [{ from: bob, tx: { to: contract, price: 50n, tip: 7n } }]);
  expect(node.resultsOf(results)).toMatchObject([ok]);
  expect([1, 2, 3].map((slot) => node.slot(opened.engine, contract, slot))).toEqual([1n, 1n, 1n]);
  expect(node.balance(opened.engine, new Uint8Array(20))).toBe(0n);
}

function checkLogs(module: EngineModule): void {
  const opened = node.open(module, [with_(CONTRACTS.counter)]);
  const results = node.run(opened, [call(new Uint8Array(0)), call(new Uint8Array(0), { nonce: 1 })]);
  const second = node.resultsOf(results)[1]!.at;
  const [log] = resultLogs(results, second);
  expect(chain.hex(log!.address)).toBe(chain.hex(contract));
  expect(log!.topics.map((topic) => chain.hex(topic))).toEqual([chain.hex(chain.word(7))]);
  expect(chain.hex(log!.data)).toBe(chain.hex(chain.word(2)));
}

function checkDestroyed(module: EngineModule): void {
  const opened = node.open(module, [rich]);
  const results = node.run(opened, [{ from: alice, tx: { data: CONTRACTS.destroyed, value: 9n } }]);
  expect(node.resultsOf(results)).toMatchObject([ok]);
  const created = results.slice(RESULT.address, RESULT.address + 20);
  expect([node.balance(opened.engine, created), node.nonce(opened.engine, created)]).toEqual([0n, 0]);
  expect(node.balance(opened.engine, alice.address)).toBe(1000n);
}
