/** Senders that were nobody: they read as new until their first transaction has come to an end, here or in a group. */
import type { Engine, EngineModule } from "@meridian/core";
import { concatBytes, readU64 } from "@meridian/core";
import { describe, expect, test } from "vitest";
import * as chain from "./chain.ts";
import { CONTRACTS, place, wordOf } from "./contracts.ts";
import * as node from "./node.ts";

const [alice, bob, rich] = [chain.key(1), chain.key(2), chain.key(3)];
const [watcher, counter, elsewhere] = [place(0xc0), place(0xd0), place(0xf0)];
const NONE: Uint8Array = new Uint8Array(0);
const GENESIS = [
  chain.contractCells(watcher, CONTRACTS.codeHashStored),
  chain.contractCells(counter, CONTRACTS.counter),
  chain.accountCell(rich.address, 10n),
];

/** What a contract sees of the account: the hash of no code if it exists, else 0. */
function seen(opened: node.Opened, account: Uint8Array, nonce: number): boolean {
  const records = node.recordsOf(opened, [{ from: bob, tx: { to: watcher, data: wordOf(account), nonce } }]);
  const { results } = opened.engine.run(records, NONE, chain.FREE_RUN);
  expect(node.resultsOf(results)).toMatchObject([{ status: 1 }]);
  return node.slot(opened.engine, watcher, 6) !== 0n;
}

const realNonce = (engine: Engine, { address }: chain.Key): number => readU64(engine.nonces(address), 0);
const grantedNonce = (engine: Engine, { address }: chain.Key): number => readU64(engine.grant(node.nonceKey(address)), 21);

function begin(module: EngineModule, from: chain.Key, to = counter): { opened: node.Opened; record: Uint8Array } {
  const opened = node.open(module, GENESIS, node.without(elsewhere));
  const record = node.recordsOf(opened, [{ from, tx: { to } }]);
  opened.engine.run(NONE, chain.nonceRecords(record), chain.FREE_RUN);
  return { opened, record };
}

describe.each(node.BUILDS)("senders, %s build", (_build, module) => {
  test("new until the first transaction ends here", () => {
    const { opened, record } = begin(module, alice);
    const { engine } = opened;
    expect([seen(opened, alice.address, 0), realNonce(engine, alice), grantedNonce(engine, alice)]).toEqual([false, 1, 0]);
    engine.run(record, NONE, chain.FREE_RUN);
    expect([seen(opened, alice.address, 1), realNonce(engine, alice), grantedNonce(engine, alice)]).toEqual([true, 1, 1]);
  });

  test("still new after a miss", () => {
    const { opened, record } = begin(module, alice, elsewhere);
    expect(node.outcomesOf(opened.engine.run(record, NONE, chain.FREE_RUN))).toMatchObject([{ why: "outside" }]);
    expect(seen(opened, alice.address, 0)).toBe(false);
  });

  test("its own transaction sees it with the nonce counted", () => {
    const { opened } = begin(module, alice);
    const record = node.recordsOf(opened, [{ from: alice, tx: { to: watcher, data: wordOf(alice.address) } }]);
    opened.engine.run(record, NONE, chain.FREE_RUN);
    expect(node.slot(opened.engine, watcher, 6)).not.toBe(0n);
  });

  test("a write set takes it out and leaves the nonce that nonce records wrote", () => {
    const { opened, record } = begin(module, alice);
    const { engine } = opened;
    const next = node.recordsOf(opened, [{ from: alice, tx: { to: counter, nonce: 1 } }]);
    engine.run(NONE, chain.nonceRecords(next), chain.FREE_RUN);
    const { writes } = engine.propose(record, NONE, chain.WHOLE);
    engine.applyWrites(writes);
    expect([seen(opened, alice.address, 0), realNonce(engine, alice), grantedNonce(engine, alice)]).toEqual([true, 2, 2]);
    expect(chain.hex(engine.nonces(alice.address).subarray(9))).toBe(chain.hex(next.subarray(32, 64)));
  });

  test("a sender with balance exists before; a void first transaction is an end", () => {
    const { opened } = begin(module, rich);
    expect([seen(opened, rich.address, 0), grantedNonce(opened.engine, rich)]).toEqual([true, 1]);
    const { opened: other } = begin(module, alice);
    const record = node.recordsOf(other, [{ from: alice, tx: { to: counter, value: 1n } }]);
    expect(node.outcomesOf(other.engine.run(record, NONE, chain.FREE_RUN))).toMatchObject([{ reason: 4 }]);
    expect(seen(other, alice.address, 0)).toBe(true);
  });

  test("value that it gets before does not touch its nonce", () => {
    const { opened } = begin(module, alice);
    node.run(opened, [{ from: rich, tx: { to: alice.address, value: 1n } }]);
    const { engine } = opened;
    expect([node.balance(engine, alice.address), realNonce(engine, alice), grantedNonce(engine, alice)]).toEqual([1n, 1, 0]);
    const { writes } = engine.propose(
      node.recordsOf(opened, [{ from: rich, tx: { to: alice.address, value: 1n, nonce: 1 } }]),
      NONE,
      chain.WHOLE,
    );
    engine.applyWrites(writes);
    expect([node.balance(engine, alice.address), realNonce(engine, alice), grantedNonce(engine, alice)]).toEqual([2n, 1, 0]);
  });

  test("the end of a block is the end of all", () => {
    const { opened } = begin(module, alice);
    node.nextBlock(opened, 1);
    expect([seen(opened, alice.address, 0), grantedNonce(opened.engine, alice)]).toEqual([true, 1]);
  });

  test("nonces say who has a balance", () => {
    const { opened } = begin(module, alice);
    const states = opened.engine.nonces(concatBytes([alice.address, rich.address, bob.address]));
    expect([0, 41, 82].map((at) => [readU64(states, at), states[at + 8]])).toEqual([
      [1, 0],
      [0, 1],
      [0, 0],
    ]);
  });

  test("a grant of an account that is not owned is refused", () => {
    const { opened } = begin(module, alice);
    expect(() => opened.engine.grant(node.nonceKey(elsewhere))).toThrow("does not own");
  });

  test("members of a group see a sender from its first member on", () => checkGroup(module));
});

/** The sender's account is elsewhere and nobody yet; first a member looks at it, then comes its own, then one looks again. */
function checkGroup(module: EngineModule): void {
  const opened = node.open(module, GENESIS, node.without(alice.address));
  const sent: node.Sent[] = [
    { from: bob, tx: { to: watcher, data: wordOf(alice.address) } },
    { from: alice, tx: { to: counter } },
    { from: bob, tx: { to: watcher, data: wordOf(alice.address), nonce: 1 } },
  ];
  const given = concatBytes([chain.accountCell(alice.address, 0n), chain.nonceCell(alice.address, 0)]);
  const seenAfter = (count: number): bigint => {
    const { writes, missing } = opened.engine.propose(node.recordsOf(opened, sent.slice(0, count)), given, chain.WHOLE);
    expect(missing.length).toBe(0);
    const { engine } = node.open(module, GENESIS);
    engine.applyWrites(writes);
    return node.slot(engine, watcher, 6);
  };
  expect(seenAfter(1)).toBe(0n);
  expect(seenAfter(3)).not.toBe(0n);
}
