/** What members of a group may touch at their home, what is missing, and what guesses are good for. */
import type { EngineModule, Proposal } from "@meridian/core";
import { TX, concatBytes, writeU32 } from "@meridian/core";
import { describe, expect, test } from "vitest";
import * as chain from "./chain.ts";
import { CONTRACTS, initCode, place, wordOf } from "./contracts.ts";
import * as node from "./node.ts";

const [alice, bob] = [chain.key(1), chain.key(2)];
const [relay, store, far, farther] = [place(0xc0), place(0xd0), place(0xf0), place(0xf1)];
const NONE: Uint8Array = new Uint8Array(0);
const hex = (bytes: Uint8Array): string => chain.hex(bytes);
const through = (target: Uint8Array, inner = NONE, value = 0n): Uint8Array =>
  concatBytes([wordOf(target), chain.word(value), inner]);
const call = (to: Uint8Array, data = NONE, nonce = 0): node.Sent => ({ from: alice, tx: { to, data, nonce, gasLimit: 900_000 } });

const GENESIS = [
  chain.contractCells(relay, CONTRACTS.relay, 5n),
  chain.contractCells(store, CONTRACTS.counter),
  chain.accountCell(alice.address, 100n),
];
const created = [1, 2].map((nonce) => chain.created(relay, nonce));
const open = (module: EngineModule, ...genesis: Uint8Array[]): node.Opened =>
  node.open(module, [...GENESIS, ...genesis], node.without(far, farther, ...created));

function propose(opened: node.Opened, sent: node.Sent[], allowed: string[], given = NONE): Proposal {
  const rules = { ...chain.WHOLE, whole: false, allowed: node.packModes(allowed) };
  return opened.engine.propose(node.recordsOf(opened, sent), given, rules);
}

const [w, r, c] = ["write", "read", "code"].map((mode) => (address: Uint8Array) => `${mode} ${hex(address)}`) as [
  (address: Uint8Array) => string,
  (address: Uint8Array) => string,
  (address: Uint8Array) => string,
];
const whys = ({ touches }: Proposal): string[] => node.touchesOf(touches).map(({ why }) => why);
const keysOf = (address: Uint8Array): Uint8Array =>
  concatBytes([node.accountKey, node.nonceKey, node.codeKey].map((key) => key(address)));

/** Code of `store` and `far`, the mode of `far`; what is missing in each round, and how it ends. */
const REMOTE: [what: string, relayed: Uint8Array, code: Uint8Array, mode: string, missing: Uint8Array[], end: string][] = [
  ["a call", CONTRACTS.relay, CONTRACTS.counter, "write", [keysOf(far), node.slotKey(far, 0)], "complete"],
  ["a delegate call", CONTRACTS.delegate, CONTRACTS.counter, "code", [node.codeKey(far)], "complete"],
  ["a static call", CONTRACTS.look, CONTRACTS.slotZero, "read", [keysOf(far), node.slotKey(far, 0)], "complete"],
  ["a static call of code that reads", CONTRACTS.look, CONTRACTS.slotZero, "code", [node.codeKey(far)], "outside"],
  ["a call in mode code", CONTRACTS.relay, CONTRACTS.block, "code", [node.codeKey(far)], "complete"],
  ["a call that writes in mode read", CONTRACTS.relay, CONTRACTS.counter, "read", [keysOf(far), node.slotKey(far, 0)], "outside"],
  ["a look at a balance", CONTRACTS.balanceStored, CONTRACTS.counter, "read", [keysOf(far)], "complete"],
  ["a look at a balance in mode code", CONTRACTS.balanceStored, CONTRACTS.counter, "code", [node.codeKey(far)], "outside"],
  ["a look at the size", CONTRACTS.sizeStored, CONTRACTS.counter, "code", [node.codeKey(far)], "complete"],
  ["code of nobody", CONTRACTS.sizeStored, NONE, "code", [node.codeKey(far)], "outside"],
  ["nested reverts", CONTRACTS.undo, CONTRACTS.counter, "read", [keysOf(far), node.slotKey(far, 0)], "complete"],
  ["transient storage", CONTRACTS.delegate, CONTRACTS.transient, "code", [node.codeKey(far)], "complete"],
  ["a sweep into it", CONTRACTS.sweep, NONE, "write", [keysOf(far)], "complete"],
  ["a sweep into code", CONTRACTS.sweep, CONTRACTS.counter, "code", [node.codeKey(far)], "outside"],
];

describe.each(node.BUILDS)("groups, %s build", (_build, module) => {
  test.each(REMOTE)("%s", (_what, relayed, code, mode, missing, end) => {
    const opened = open(module, chain.contractCells(store, relayed, 7n));
    const theirs = node.open(module, [code.length > 0 ? chain.contractCells(far, code, 3n) : chain.accountCell(far, 3n)]);
    const allowed = [w(store), `${mode} ${hex(far)}`];
    const given: Uint8Array[] = [];
    for (const expected of missing) {
      const proposal = propose(opened, [call(store, through(far))], allowed, concatBytes(given));
      expect(hex(proposal.missing)).toBe(hex(expected));
      given.push(theirs.engine.grant(proposal.missing));
    }
    const proposal = propose(opened, [call(store, through(far))], allowed, concatBytes(given));
    expect([hex(proposal.missing), whys(proposal)]).toEqual(["", [end]]);
    expect(node.resultsOf(proposal.results).length).toBe(end === "complete" ? 1 : 0);
    if (end !== "complete") expect(proposal.writes.length).toBe(0);
  });

  test("nothing outside of what is allowed, also where the home owns it", () => {
    const opened = open(module);
    const proposal = propose(opened, [call(relay, through(store))], [w(relay)]);
    expect(node.touchesOf(proposal.touches)).toMatchObject([{ why: "outside", touched: [w(relay), w(store)] }]);
    expect([proposal.results.length, proposal.writes.length]).toEqual([0, 0]);
  });

  test("a member that follows a missed one misses, the others end", () => {
    const opened = open(module);
    const sent = [call(far), call(store, NONE, 1), { ...call(store), from: bob }];
    const records = sent.map((one, index) => {
      const record = node.recordsOf(opened, [one]);
      writeU32(record, TX.index, index + 7);
      return node.declaring(record, [], index === 1 ? [1, 7] : [0, 0]);
    });
    const rules = { ...chain.WHOLE, whole: false, allowed: node.packModes([w(store), w(alice.address)]) };
    const proposal = opened.engine.propose(concatBytes(records), NONE, rules);
    expect(whys(proposal)).toEqual(["outside", "follows", "complete"]);
    const nonce = chain.nonceCell(bob.address, 1, records[2]!.slice(TX.hash, TX.hash + 32));
    expect(hex(proposal.writes)).toBe(hex(concatBytes([chain.slotCell(store, chain.word(0), chain.word(1)), nonce])));
  });

  test.each<[what: string, kind: Uint8Array, at: (code: Uint8Array) => Uint8Array]>([
    ["CREATE", CONTRACTS.factory, () => created[0]!],
    ["CREATE2", CONTRACTS.factory2, (code) => create2(module, relay, code)],
  ])("%s into another range, used by the next member", (_what, kind, at) => checkCreation(module, kind, at));

  test("what was given once is guessed, so that one round finds all", () => checkGuess(module));
  test("code is known by its hash, and a contract's code for good", () => checkKnownCode(module));
  test("a member that the block's hash is not there for", () => {
    const opened = open(module, chain.contractCells(store, CONTRACTS.blockHashStored));
    opened.engine.closeBlock();
    opened.engine.openBlock(chain.context(2));
    const proposal = propose(opened, [call(store, chain.word(1))], [w(store)]);
    expect(node.touchesOf(proposal.touches)).toMatchObject([{ why: "unsealed", value: 1 }]);
  });
});

const create2 = (module: EngineModule, creator: Uint8Array, init: Uint8Array): Uint8Array =>
  module.keccak256(concatBytes([Uint8Array.of(0xff), creator, new Uint8Array(32), module.keccak256(init)])).slice(12);

function checkCreation(module: EngineModule, kind: Uint8Array, at: (init: Uint8Array) => Uint8Array): void {
  const init = initCode(CONTRACTS.counter);
  const place = at(init);
  const genesis = [chain.contractCells(relay, kind, 5n), chain.accountCell(alice.address, 100n)];
  const home = node.open(module, genesis, node.without(place));
  const theirs = node.open(module, []);
  const sent = [call(relay, init), call(place, NONE, 1)];
  const refused = propose(home, sent, [w(relay)]);
  expect(node.touchesOf(refused.touches)[0]).toMatchObject({ why: "outside", touched: [w(relay), w(place)].sort(byAddress) });
  const asked = propose(home, sent, [w(relay), w(place)]);
  expect(hex(asked.missing)).toBe(hex(keysOf(place)));
  const proposal = propose(home, sent, [w(relay), w(place)], theirs.engine.grant(asked.missing));
  // Slots of an account that a member has created are empty: nobody is asked for them.
  expect([hex(proposal.missing), whys(proposal)]).toEqual(["", ["complete", "complete"]]);
  for (const { engine } of [home, theirs]) engine.applyWrites(proposal.writes);
  expect([node.nonce(theirs.engine, place), node.slot(theirs.engine, place, 0)]).toEqual([1, 1n]);
  expect(node.nonce(home.engine, relay)).toBe(2);
}

const byAddress = (left: string, right: string): number => (left.slice(-40) < right.slice(-40) ? -1 : 1);

function checkGuess(module: EngineModule): void {
  const opened = open(module);
  const sent = [call(relay, through(far, through(farther, NONE)))];
  const allowed = [w(relay), w(far), w(farther)];
  const theirs = node.open(module, [chain.contractCells(far, CONTRACTS.relay), chain.contractCells(farther, CONTRACTS.counter)]);
  const rounds = (): number => {
    const given: Uint8Array[] = [];
    for (let round = 0; ; round++) {
      const { missing, writes } = propose(opened, sent, allowed, concatBytes(given));
      if (missing.length === 0) {
        theirs.engine.applyWrites(writes);
        return round;
      }
      given.push(theirs.engine.grant(missing));
    }
  };
  expect([rounds(), rounds()]).toEqual([2, 1]);
  expect(node.slot(theirs.engine, farther, 0)).toBe(2n);
}

function checkKnownCode(module: EngineModule): void {
  const opened = open(module, chain.contractCells(store, CONTRACTS.sizeStored));
  const cells = chain.contractCells(far, CONTRACTS.counter);
  const first = propose(opened, [call(store, wordOf(far))], [w(store), r(far)], cells);
  expect(first.missing.length).toBe(0);
  // The account is asked for, its code is not; for the code alone nothing is.
  const again = propose(opened, [call(store, wordOf(far))], [w(store), r(far)]);
  expect(hex(again.missing)).toBe(hex(concatBytes([node.accountKey(far), node.nonceKey(far)])));
  // As of the last block boundary it is another question, asked once: the contract may be younger than that.
  const byCode = (given?: Uint8Array): Uint8Array =>
    propose(opened, [call(store, wordOf(far))], [w(store), c(far)], given).missing;
  expect(hex(byCode())).toBe(hex(node.codeKey(far)));
  expect([byCode(cells.subarray(85 + 61)).length, byCode().length]).toEqual([0, 0]);
  // Another account with the same code.
  const twin = concatBytes([chain.contractCells(farther, CONTRACTS.counter).subarray(0, 85 + 61)]);
  expect(propose(opened, [call(store, wordOf(farther))], [w(store), r(farther)], twin).missing.length).toBe(0);
}
