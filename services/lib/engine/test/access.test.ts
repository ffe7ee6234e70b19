/** What a transaction may touch: declared modes, accounts that something stands on, and what is told of a miss. */
import type { EngineModule, RunRules } from "@meridian/core";
import { RESULT, TX, WHY, concatBytes, touchWhy, writeU32, writeU64 } from "@meridian/core";
import { describe, expect, test } from "vitest";
import * as chain from "./chain.ts";
import { CONTRACTS, initCode, place, wordOf } from "./contracts.ts";
import * as node from "./node.ts";

const alice = chain.key(1);
const bob = chain.key(2);
const stranger = chain.key(9);
const [contract, other, code, elsewhere] = [place(0xc0), place(0xd0), place(0xe0), place(0xf0)];
const NONE: Uint8Array = new Uint8Array(0);
const zero = chain.word(0);

const is = (mode: string, address: Uint8Array): string => `${mode} ${chain.hex(address)}`;
const [w, r, c] = ["write", "read", "code"].map((mode) => (address: Uint8Array) => is(mode, address)) as [
  (address: Uint8Array) => string,
  (address: Uint8Array) => string,
  (address: Uint8Array) => string,
];
const inAddressOrder = (touched: string[]): string[] =>
  [...touched].sort((left, right) => (left.slice(-40) < right.slice(-40) ? -1 : 1));

const to = (target: Uint8Array, data = NONE, value = 0n): chain.TxFields => ({ to: target, data, value, gasLimit: 500_000 });
/** Input of a relay: target, value, input for the target. */
const through = (target: Uint8Array, inner = NONE, value = 0n): Uint8Array =>
  concatBytes([wordOf(target), chain.word(value), inner]);

/** Cells of `contract` (with a balance of 5) and of `other`, both with these codes. */
const both = (first: Uint8Array, second: Uint8Array = CONTRACTS.counter): Uint8Array[] => [
  chain.contractCells(contract, first, 5n),
  chain.contractCells(other, second, 5n),
  chain.accountCell(alice.address, 100n),
  chain.contractCells(code, CONTRACTS.counter),
];

type Row = [what: string, genesis: Uint8Array[], tx: chain.TxFields, declared: string[], want: "ends" | string[]];

/** Of a strict run: it ends, or what it touched. Behind the miss an attempt to write counts, whatever comes of it. */
const STRICT: Row[] = [
  ["all declared", both(CONTRACTS.relay), to(contract, through(other)), [w(contract), w(other)], "ends"],
  ["a callee that is not", both(CONTRACTS.relay), to(contract, through(other)), [w(contract)], [w(contract), w(other)]],
  ["more declared than touched", both(CONTRACTS.counter), to(contract), [w(contract), w(other), r(code)], "ends"],
  [
    "a write where reading is declared",
    both(CONTRACTS.relay),
    to(contract, through(other)),
    [w(contract), r(other)],
    [w(contract), w(other)],
  ],
  [
    "reading where reading is declared",
    both(CONTRACTS.look, CONTRACTS.slotZero),
    to(contract, through(other)),
    [w(contract), r(other)],
    "ends",
  ],
  ["a write that a revert takes back", both(CONTRACTS.undo), to(contract, through(other)), [r(contract), r(other)], "ends"],
  [
    "a balance where reading is declared",
    both(CONTRACTS.balanceStored),
    to(contract, wordOf(other)),
    [w(contract), r(other)],
    "ends",
  ],
  [
    "storage where code is declared",
    both(CONTRACTS.look, CONTRACTS.slotZero),
    to(contract, through(other)),
    [w(contract), c(other)],
    [w(contract), r(other)],
  ],
  [
    "a balance where code is declared",
    both(CONTRACTS.balanceStored),
    to(contract, wordOf(other)),
    [w(contract), c(other)],
    [w(contract), r(other)],
  ],
  [
    "its own balance where code is declared",
    both(CONTRACTS.undo, CONTRACTS.selfStored),
    to(contract, through(other)),
    [r(contract), c(other)],
    [c(contract), w(other)],
  ],
  ["a delegate call of code", both(CONTRACTS.delegate), to(contract, through(other)), [w(contract), c(other)], "ends"],
  [
    "a static call of code without storage",
    both(CONTRACTS.look, CONTRACTS.block),
    to(contract, through(other)),
    [w(contract), c(other)],
    "ends",
  ],
  ["the hash of code", both(CONTRACTS.codeHashStored), to(contract, wordOf(other)), [w(contract), c(other)], "ends"],
  ["the size of code", both(CONTRACTS.sizeStored), to(contract, wordOf(other)), [w(contract), c(other)], "ends"],
  [
    "code that is not there",
    both(CONTRACTS.codeHashStored),
    to(contract, wordOf(elsewhere)),
    [w(contract), c(elsewhere)],
    [w(contract), r(elsewhere)],
  ],
  [
    "transient storage of code",
    both(CONTRACTS.undo, CONTRACTS.transient),
    to(contract, through(other)),
    [c(contract), c(other)],
    [c(contract), r(other)],
  ],
  [
    "value from an account that is read",
    both(CONTRACTS.relay),
    to(contract, through(bob.address, NONE, 2n)),
    [r(contract), w(bob.address)],
    [w(bob.address), w(contract)],
  ],
  [
    "value to an account that is read",
    both(CONTRACTS.relay),
    to(contract, through(bob.address, NONE, 2n)),
    [w(contract), r(bob.address)],
    [w(bob.address), w(contract)],
  ],
  [
    "value of a sender that is not declared",
    both(CONTRACTS.relay),
    to(bob.address, NONE, 2n),
    [w(bob.address)],
    [w(alice.address), w(bob.address)],
  ],
  [
    "a creation that is not declared",
    both(CONTRACTS.factory),
    to(contract, initCode(CONTRACTS.counter)),
    [w(contract)],
    [w(contract), w(chain.created(contract, 1))],
  ],
  ["a precompile", both(CONTRACTS.relay), to(contract, through(place(4))), [w(contract)], "ends"],
  [
    "the balance of a precompile",
    both(CONTRACTS.balanceStored),
    to(contract, wordOf(place(4))),
    [w(contract)],
    [r(place(4)), w(contract)],
  ],
  ["the caller's balance", both(CONTRACTS.callerStored), to(contract), [w(contract)], [r(alice.address), w(contract)]],
  ["a sweep", both(CONTRACTS.sweep), to(contract, wordOf(other)), [w(contract), c(other)], [w(contract), w(other)]],
];

/** Without waiting: only what something stands on has to be declared. `other` and `code` are barred. */
const BARRED: Row[] = [
  ["what nobody stands on", both(CONTRACTS.relay), to(contract, through(bob.address)), [], "ends"],
  ["a lock", both(CONTRACTS.relay), to(contract, through(other)), [w(contract)], [w(contract), w(other)]],
  ["a lock, declared", both(CONTRACTS.relay), to(contract, through(other)), [w(other)], "ends"],
  ["a lock, only declared for reading", both(CONTRACTS.relay), to(contract, through(other)), [r(other)], [w(contract), w(other)]],
  ["a lock, code", both(CONTRACTS.delegate), to(contract, through(code)), [c(code)], "ends"],
];

describe.each(node.BUILDS)("access, %s build", (_build, module) => {
  test("a contract created in the open block is not seen in mode code", () => checkYoungCode(module));
  test.each(STRICT)("strict: %s", (_what, genesis, tx, declared, want) =>
    check(module, { genesis, tx, declared, strict: true }, want),
  );
  test.each(BARRED)("barred: %s", (_what, genesis, tx, declared, want) =>
    check(module, { genesis, tx, declared, strict: false }, want),
  );
  test("one that follows a missed one misses too", () => checkFollows(module));
  test("what misses is told as far as it goes on guesses", () => checkGuesses(module));
  test("one that was void is not missed", () => checkVoid(module));
  test("revert data in a result has a bound", () => checkCap(module));
});

interface Case {
  genesis: Uint8Array[];
  tx: chain.TxFields;
  declared: string[];
  strict: boolean;
}

function check(module: EngineModule, { genesis, tx, declared, strict }: Case, want: "ends" | string[]): void {
  const opened = node.open(module, genesis);
  const before = opened.engine.memory();
  const record = node.declaring(node.recordsOf(opened, [{ from: alice, tx }]), declared);
  const rules = { ...chain.FREE_RUN, strict, barred: strict ? NONE : concatBytes([other, code]) };
  const ran = opened.engine.run(record, chain.nonceRecords(record), rules);
  const [outcome] = node.outcomesOf(ran);
  if (want === "ends") {
    expect(outcome).toMatchObject({ index: 0, gasUsed: expect.any(Number) as number });
    return;
  }
  expect(outcome).toEqual({ index: 0, why: "outside", value: 0, touched: inAddressOrder(want) });
  expect(opened.engine.memory().slots).toBe(before.slots);
  expect(node.nonce(opened.engine, alice.address)).toBe(1);
}

/** Positions are (flush, index); what missed in an earlier run is said by the caller. */
/** Nothing orders a look at code against a creation, so only what stood at the last block boundary is seen in mode `code`. */
function checkYoungCode(module: EngineModule): void {
  const opened = node.open(module, [chain.contractCells(contract, CONTRACTS.sizeStored)]);
  const { engine } = opened;
  node.nextBlock(opened, 1);
  const deployed = node.run(opened, [{ from: bob, tx: { to: null, data: initCode(CONTRACTS.counter), gasLimit: 500_000 } }]);
  const young = deployed.slice(RESULT.address, RESULT.address + 20);
  const look = (nonce: number): node.Outcome[] => {
    const sent = node.recordsOf(opened, [{ from: alice, tx: { ...to(contract, wordOf(young)), nonce } }]);
    const records = node.declaring(sent, inAddressOrder([w(contract), c(young)]));
    return node.outcomesOf(engine.run(records, chain.nonceRecords(records), { ...chain.FREE_RUN, strict: true }));
  };
  expect(look(0)).toMatchObject([{ why: "outside", touched: inAddressOrder([w(contract), r(young)]) }]);
  node.nextBlock(opened, 2);
  expect(look(1)).toMatchObject([{ status: 1 }]);
}

function checkFollows(module: EngineModule): void {
  const opened = node.open(module, both(CONTRACTS.counter), node.without(elsewhere));
  const sent: node.Sent[] = [
    { from: alice, tx: to(elsewhere) },
    { from: alice, tx: { ...to(contract), nonce: 1 } },
    { from: alice, tx: { ...to(contract), nonce: 2 } },
    { from: bob, tx: to(contract) },
  ];
  const single = sent.map((one, index) => {
    const record = node.recordsOf(opened, [one]);
    writeU32(record, TX.index, index + 3);
    return node.declaring(record, [w(contract)], index === 1 ? [9, 3] : index === 2 ? [9, 4] : [0, 0]);
  });
  const rules = { ...chain.FREE_RUN, flush: 9 };
  const first = opened.engine.run(concatBytes(single.slice(0, 2)), NONE, rules);
  expect(node.outcomesOf(first).map(({ why }) => why)).toEqual(["outside", "follows"]);
  const missed = new Uint8Array(12);
  writeU64(missed, 0, 9);
  writeU32(missed, 8, 4);
  const later = opened.engine.run(concatBytes(single.slice(2)), NONE, { ...rules, missed } satisfies RunRules);
  expect(node.outcomesOf(later)).toMatchObject([
    { index: 5, why: "follows", touched: [] },
    { index: 6, status: 1 },
  ]);
  const free = opened.engine.run(single[2]!, NONE, rules);
  expect(node.outcomesOf(free)).toMatchObject([{ status: 1 }]);
  expect(touchWhy(first.misses, 0)).toBe(WHY.outside);
}

/** Nothing is known of `elsewhere`, but what was given once is. */
function checkGuesses(module: EngineModule): void {
  const opened = node.open(module, both(CONTRACTS.relay), node.without(elsewhere, stranger.address));
  const relayed = to(contract, through(elsewhere, through(bob.address)));
  const run = (nonce: number): string[] => {
    const record = node.recordsOf(opened, [{ from: alice, tx: { ...relayed, nonce } }]);
    return node.outcomesOf(opened.engine.run(record, NONE, chain.FREE_RUN))[0]!.touched ?? [];
  };
  expect(run(0)).toEqual(inAddressOrder([w(contract), r(elsewhere)]));
  const given = concatBytes([chain.contractCells(elsewhere, CONTRACTS.relay), chain.slotCell(elsewhere, chain.word(1), zero)]);
  opened.engine.propose(NONE, given, chain.WHOLE);
  expect(run(1)).toEqual(inAddressOrder([w(contract), w(elsewhere), r(bob.address)]));
  // A sender elsewhere with value: it goes on as if it could pay.
  const paid = node.recordsOf(opened, [{ from: stranger, tx: to(other, NONE, 3n) }]);
  const [missed] = node.outcomesOf(opened.engine.run(paid, NONE, chain.FREE_RUN));
  expect(missed).toMatchObject({ why: "outside", touched: inAddressOrder([w(stranger.address), w(other)]) });
}

function checkVoid(module: EngineModule): void {
  const opened = node.open(module, both(CONTRACTS.codeHashStored));
  const records = concatBytes([
    node.recordsOf(opened, [{ from: bob, tx: to(contract, NONE, 1n) }]),
    node.recordsOf(opened, [{ from: alice, tx: to(contract, wordOf(bob.address)) }]),
  ]);
  const results = node.outcomesOf(opened.engine.run(records, chain.nonceRecords(records), chain.FREE_RUN));
  expect(results).toMatchObject([{ status: 0, reason: 4, gasUsed: 500_000 }, { status: 1 }]);
  expect(chain.hex(chain.word(node.slot(opened.engine, contract, 6)))).toBe(chain.hex(chain.EMPTY_CODE_HASH));
}

function checkCap(module: EngineModule): void {
  const opened = node.open(module, both(CONTRACTS.reverter));
  const data = new Uint8Array(6_000).fill(7);
  const [only] = node.resultsOf(node.run(opened, [{ from: alice, tx: { ...to(contract, data), gasLimit: 1_000_000 } }]));
  expect(only?.output).toBe("07".repeat(4_096));
}
