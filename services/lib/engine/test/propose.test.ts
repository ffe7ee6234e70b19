import type { EngineModule } from "@meridian/core";
import { REASON, concatBytes } from "@meridian/core";
import { describe, expect, test } from "vitest";
import * as chain from "./chain.ts";
import { CONTRACTS, initCode, place } from "./contracts.ts";
import * as node from "./node.ts";
import * as workload from "./workload.ts";

const [alice, bob, carol] = [chain.key(1), chain.key(2), chain.key(3)];
const NONE: Uint8Array = new Uint8Array(0);
const store = place(0x57);
const elsewhere = place(0xeeee);

function propose(
  { module, engine }: node.Opened,
  sent: node.Sent[],
  given = NONE,
): { reasons: number[]; touches: node.TouchFacts[]; writes: string; missing: string } {
  const records = chain.records(
    module,
    sent.map(({ from, tx }) => chain.sign(tx, from)),
  );
  const { results, touches, writes, missing } = engine.propose(records, given, chain.WHOLE);
  const reasons = node.resultsOf(results).map(({ reason }) => reason);
  return { reasons, touches: node.touchesOf(touches), writes: chain.hex(writes), missing: chain.hex(missing) };
}

const pay = (from: chain.Key, to: Uint8Array, value: bigint): node.Sent => ({ from, tx: { to, value } });
const account = (address: Uint8Array): string =>
  [node.accountKey, node.nonceKey, node.codeKey].map((key) => chain.hex(key(address))).join("");

describe.each(node.BUILDS)("propose, %s build", (_build, module) => {
  test("what was proposed and applied is what is run", () => checkSameAsRun(module));

  test("nothing is committed", () => {
    const opened = node.open(module, [chain.accountCell(alice.address, 10n)]);
    const before = node.balance(opened.engine, alice.address);
    const hash = module.keccak256(chain.sign({ to: bob.address, value: 4n }, alice));
    const cells = [
      chain.accountCell(alice.address, 6n),
      chain.nonceCell(alice.address, 1, hash),
      chain.accountCell(bob.address, 4n),
    ];
    expect(propose(opened, [pay(alice, bob.address, 4n)]).writes).toBe(chain.hex(concatBytes(sorted(cells))));
    expect(node.balance(opened.engine, alice.address)).toBe(before);
  });

  test("a member sees the writes of those before it", () => {
    const opened = node.open(module, [chain.accountCell(alice.address, 10n)]);
    const chained = [pay(alice, bob.address, 10n), pay(bob, carol.address, 10n), pay(carol, alice.address, 11n)];
    expect(propose(opened, chained).reasons).toEqual([REASON.none, REASON.none, REASON.void]);
  });

  test("missing cells are collected over all members, which go on with guesses", () => {
    const opened = node.open(module, [chain.accountCell(alice.address, 10n)], node.without(bob.address, elsewhere));
    const sent = [pay(alice, elsewhere, 1n), pay(bob, alice.address, 1n), pay(alice, carol.address, 10n)];
    const proposed = propose(opened, sent);
    expect(proposed.missing).toBe([elsewhere, bob.address].map(account).sort(byAddress).join(""));
    expect(proposed.touches.map(({ why }) => why)).toEqual(["complete", "complete", "complete"]);
  });

  test("with the given cells the members complete, slot by slot", () => {
    const owned = node.without(store, bob.address);
    const opened = node.open(module, [chain.accountCell(alice.address, 10n)], owned);
    const sent = [
      { from: alice, tx: { to: store, data: concatBytes([chain.word(3), chain.word(4)]) } },
      pay(bob, alice.address, 2n),
    ];
    const accounts = concatBytes([
      chain.contractCells(store, CONTRACTS.store),
      chain.accountCell(bob.address, 2n),
      chain.nonceCell(bob.address, 1),
    ]);
    const second = propose(opened, sent, accounts);
    expect(second.missing).toBe(chain.hex(node.slotKey(store, 3)));
    const third = propose(opened, sent, concatBytes([accounts, chain.slotCell(store, chain.word(3), chain.word(1))]));
    expect(third).toMatchObject({ reasons: [REASON.none, REASON.none], missing: "" });
    // The given accounts' new values go to whoever owns them.
    const theirs = node.open(module, [accounts, chain.slotCell(store, chain.word(3), chain.word(1))]);
    theirs.engine.applyWrites(chain.bytes(third.writes));
    expect(node.slot(theirs.engine, store, 3)).toBe(4n);
    expect(node.balance(theirs.engine, bob.address)).toBe(0n);
    // Cells outside what an engine owns are passed over.
    opened.engine.applyWrites(chain.bytes(third.writes));
    expect(node.balance(opened.engine, alice.address)).toBe(12n);
    expect(() => node.balance(opened.engine, bob.address)).toThrow("does not own");
  });

  test("a contract created and used in one group, and one that is gone again", () => {
    const opened = node.open(module, [chain.accountCell(alice.address, 10n)]);
    const created = chain.created(alice.address, 0);
    const sent: node.Sent[] = [
      { from: alice, tx: { data: initCode(CONTRACTS.counter) } },
      { from: bob, tx: { to: created } },
      { from: alice, tx: { data: CONTRACTS.destroyed, nonce: 1, value: 1n } },
    ];
    const proposed = propose(opened, sent);
    expect(proposed.reasons).toEqual([REASON.none, REASON.none, REASON.none]);
    opened.engine.applyWrites(chain.bytes(proposed.writes));
    expect(node.slot(opened.engine, created, 0)).toBe(1n);
    expect(node.nonce(opened.engine, created)).toBe(1);
    expect(node.nonce(opened.engine, chain.created(alice.address, 1))).toBe(0);
  });
});

const byAddress = (left: string, right: string): number => (left.slice(2) < right.slice(2) ? -1 : 1);

/** Cells in the order of their addresses. */
function sorted(cells: Uint8Array[]): Uint8Array[] {
  return [...cells].sort((left, right) => Buffer.compare(left.subarray(1, 21), right.subarray(1, 21)));
}

function checkSameAsRun(module: EngineModule): void {
  const [one, other] = [node.open(module, workload.genesis()), node.open(module, workload.genesis())];
  const roll = workload.dice(7);
  const nonces: number[] = [];
  for (let block = 1; block <= 3; block++) {
    const records = workload.batch(module, roll, nonces, 80);
    const proposed = other.engine.propose(records, NONE, chain.WHOLE);
    other.engine.applyWrites(proposed.writes);
    // The nonces of senders are no part of a proposal; their own records carry them.
    other.engine.run(NONE, chain.nonceRecords(records), chain.FREE_RUN);
    const results = one.engine.run(records, chain.nonceRecords(records), chain.FREE_RUN).results;
    expect(chain.hex(proposed.results)).toBe(chain.hex(results));
    expect(chain.hex(node.nextBlock(other, block))).toBe(chain.hex(node.nextBlock(one, block)));
  }
}
