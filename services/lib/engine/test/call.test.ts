import type { CallRequest, EngineModule } from "@meridian/core";
import { PENDING, concatBytes } from "@meridian/core";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { describe, expect, test } from "vitest";
import { CALLS_MAX } from "../src/index.ts";
import * as chain from "./chain.ts";
import { CONTRACTS, countOrSpin, initCode, place, wordOf } from "./contracts.ts";
import * as node from "./node.ts";

const [alice, bob] = [chain.key(1), chain.key(2)];
const at = (number: number): Uint8Array => place(0xc000 + number);
const [reader, reverter, invalid, underflow] = [at(0), at(1), at(2), at(3)];
const [balances, hashes, block, counting, relay] = [at(4), at(5), at(6), at(7), at(8)];
const elsewhere = place(0xeeee);

const GENESIS = [
  chain.accountCell(alice.address, 1000n),
  chain.contractCells(reader, CONTRACTS.slotZero),
  chain.slotCell(reader, chain.word(0), chain.word(5)),
  chain.contractCells(reverter, CONTRACTS.reverter),
  chain.contractCells(invalid, CONTRACTS.invalid),
  chain.contractCells(underflow, Uint8Array.of(0x01)),
  chain.contractCells(balances, CONTRACTS.balanceOf),
  chain.contractCells(hashes, CONTRACTS.blockHash),
  chain.contractCells(block, CONTRACTS.block),
  chain.contractCells(counting, countOrSpin()),
  chain.contractCells(relay, CONTRACTS.relay),
];

const hex = (number: number | bigint): string => chain.hex(chain.word(number));
const [account, nonce, code] = [node.accountKey, node.nonceKey, node.codeKey].map((key) => chain.hex(key(elsewhere)));

const ROWS: [what: string, request: CallRequest, want: string][] = [
  ["a read", node.callOf(reader), `success ${hex(5)}`],
  ["a call of no contract", node.callOf(bob.address), "success "],
  ["a revert", node.callOf(reverter, chain.bytes("c0ffee")), "revert c0ffee"],
  ["the invalid opcode", node.callOf(invalid), "halt invalid opcode: INVALID"],
  ["a stack underflow", node.callOf(underflow), "halt stack underflow (0 <=> 2)"],
  ["an opcode that is none", node.callOf(null, Uint8Array.of(0x0c)), "halt invalid opcode: opcode 0xc not defined"],
  ["a jump to nowhere", node.callOf(null, chain.bytes("600456")), "halt invalid jump destination"],
  ["too little gas", node.callOf(reader, undefined, { gasLimit: 22_000 }), "halt out of gas"],
  [
    "less than intrinsic gas",
    node.callOf(reader, undefined, { gasLimit: 20_000 }),
    "halt intrinsic gas too low: have 20000, want 21000",
  ],
  ["value that is there", node.callOf(bob.address, undefined, { from: alice.address, value: chain.word(1000) }), "success "],
  ["value that is not there", node.callOf(bob.address, undefined, { from: alice.address, value: chain.word(1001) }), "funds"],
  ["a creation", node.callOf(null, initCode(CONTRACTS.counter)), `success ${chain.hex(CONTRACTS.counter)}`],
  [
    "number, time and prevrandao",
    node.callOf(block),
    `success ${hex(0)}${hex(1_700_000_000)}${chain.hex(keccak_256(chain.number64(0)))}`,
  ],
  ["an account elsewhere", node.callOf(balances, wordOf(elsewhere)), `missing ${account}${nonce}${code}`],
  ["a contract elsewhere", node.callOf(elsewhere), `missing ${account}${nonce}${code}`],
  [
    "an account elsewhere that is given",
    node.callOf(balances, wordOf(elsewhere), {
      given: concatBytes([chain.accountCell(elsewhere, 77n), chain.nonceCell(elsewhere, 0)]),
    }),
    `success ${hex(77)}`,
  ],
  [
    "a given contract without its slot",
    node.callOf(elsewhere, undefined, { given: chain.contractCells(elsewhere, CONTRACTS.slotZero) }),
    `missing ${chain.hex(node.slotKey(elsewhere, 0))}`,
  ],
  [
    "a given contract without its code",
    node.callOf(elsewhere, undefined, { given: chain.contractCells(elsewhere, CONTRACTS.store).subarray(0, 85 + 61) }),
    `missing ${code}`,
  ],
  [
    "a given contract whose code is known by its hash",
    node.callOf(elsewhere, undefined, { given: chain.contractCells(elsewhere, CONTRACTS.slotZero).subarray(0, 85 + 61) }),
    `missing ${chain.hex(node.slotKey(elsewhere, 0))}`,
  ],
  [
    "all that one run can find",
    node.callOf(relay, concatBytes([wordOf(elsewhere), chain.word(0)]), {
      given: concatBytes([chain.contractCells(elsewhere, CONTRACTS.twoSlots)]),
    }),
    `missing ${chain.hex(node.slotKey(elsewhere, 1))}${chain.hex(node.slotKey(elsewhere, 2))}`,
  ],
  [
    "value of a sender elsewhere",
    node.callOf(bob.address, undefined, { from: elsewhere, value: chain.word(1) }),
    `missing ${account}${nonce}${code}`,
  ],
  [
    "a given contract with its slot",
    node.callOf(elsewhere, undefined, {
      given: concatBytes([
        chain.contractCells(elsewhere, CONTRACTS.slotZero),
        chain.slotCell(elsewhere, chain.word(0), chain.word(9)),
      ]),
    }),
    `success ${hex(9)}`,
  ],
];

/** The access list ("address slot,slot") and the touched accounts. */
const TRACED: [what: string, request: CallRequest, list: string[], touched: string[]][] = [
  ["slots of the callee", node.callOf(reader), [`${chain.hex(reader)} 0`], [`read ${chain.hex(reader)}`]],
  ["code alone", node.callOf(block), [], [`code ${chain.hex(block)}`]],
  [
    "a nested call",
    node.callOf(relay, concatBytes([wordOf(counting), chain.word(0)])),
    [`${chain.hex(counting)} 0`, `${chain.hex(relay)} 1`],
    [`write ${chain.hex(counting)}`, `write ${chain.hex(relay)}`],
  ],
  [
    "a balance",
    node.callOf(balances, wordOf(bob.address)),
    [`${chain.hex(bob.address)} `],
    [`code ${chain.hex(balances)}`, `read ${chain.hex(bob.address)}`],
  ],
  ["a precompile", node.callOf(place(4)), [], []],
  [
    "value",
    node.callOf(bob.address, undefined, { from: alice.address, value: chain.word(1) }),
    [],
    [`write ${chain.hex(bob.address)}`, `write ${chain.hex(alice.address)}`],
  ],
  ["a revert", node.callOf(reverter), [`${chain.hex(reverter)} 0`], [`read ${chain.hex(reverter)}`]],
  ["a halt", node.callOf(invalid), [], [`code ${chain.hex(invalid)}`]],
];

describe.each(node.BUILDS)("call, %s build", (_build, module) => {
  test.each(ROWS)("%s", async (_what, request, want) => {
    const { engine } = node.open(module, GENESIS, node.without(elsewhere));
    expect(node.said(await engine.call(0, request))).toBe(want);
    await engine.close();
  });

  test.each(TRACED)("what was touched: %s", async (_what, request, slots, touched) => {
    const { engine } = node.open(module, GENESIS, node.without(elsewhere));
    const result = await engine.call(PENDING, { ...request, traced: true });
    const access = "access" in result ? result.access : null;
    expect(node.accessListOf(access!.accessList)).toEqual(slots);
    expect(node.modesOf(access!.touches)).toEqual(touched);
    const untraced = await engine.call(PENDING, request);
    expect("access" in untraced ? untraced.access : undefined).toBeNull();
    await engine.close();
  });

  test("a creation stands where the given nonce says", async () => {
    const { engine } = node.open(module, GENESIS);
    const given = chain.nonceCell(alice.address, 7);
    const result = await engine.call(
      PENDING,
      node.callOf(null, initCode(CONTRACTS.counter), { from: alice.address, given, traced: true }),
    );
    const access = "access" in result ? result.access : null;
    expect(node.modesOf(access!.touches)).toEqual([`write ${chain.hex(chain.created(alice.address, 7))}`]);
    await engine.close();
  });

  test("calls in line are done when the call returns", async () => {
    const engine = module.open({ chainId: chain.CHAIN_ID, callsInline: true });
    engine.setOwned(chain.EVERYTHING);
    engine.openBlock(chain.context(0));
    engine.importCells(concatBytes(GENESIS));
    const request = node.callOf(reader);
    const calls = Array.from({ length: 2 * CALLS_MAX }, () => engine.call(PENDING, request));
    engine.importCells(chain.slotCell(reader, chain.word(0), chain.word(6)));
    expect(new Set((await Promise.all(calls)).map(node.said))).toEqual(new Set([`success ${hex(5)}`]));
    expect(node.said(await engine.call(9, request))).toBe("unknown 0");
    await engine.close();
  });

  test("blocks that are gone or not there yet", () => checkBlocks(module));
  test("each block has its own state, number and hashes", () => checkVersions(module));
  test("a pending call sees one state while transactions run beside it", () => checkBeside(module));
  test("at most as many calls wait as there is room for", () => checkRoom(module));
});

async function checkBlocks(module: EngineModule): Promise<void> {
  const opened = node.open(module, GENESIS);
  for (let number = 1; number <= 70; number++) node.nextBlock(opened, number);
  expect(node.said(await opened.engine.call(5, node.callOf(reader)))).toBe("pruned 6");
  expect(node.said(await opened.engine.call(71, node.callOf(reader)))).toBe("unknown 70");
  expect(node.said(await opened.engine.call(6, node.callOf(reader)))).toBe(`success ${hex(5)}`);
  await opened.engine.close();
}

async function checkVersions(module: EngineModule): Promise<void> {
  const opened = node.open(module, GENESIS);
  const { engine } = opened;
  for (let number = 1; number <= 3; number++) {
    node.run(opened, [{ from: alice, tx: { to: bob.address, value: 1n, nonce: number - 1 } }]);
    node.nextBlock(opened, number);
  }
  const balance = (number: number): Promise<string> =>
    engine.call(number, node.callOf(balances, wordOf(bob.address))).then(node.said);
  expect(await Promise.all([0, 1, 2, 3, PENDING].map(balance))).toEqual([0, 1, 2, 3, 3].map((value) => `success ${hex(value)}`));
  const facts = node.said(await engine.call(PENDING, node.callOf(block)));
  expect(facts).toBe(`success ${hex(4)}${hex(1_700_000_004)}${chain.hex(chain.context(4).prevrandao)}`);
  const hashOf = (at: number, of: number): Promise<string> =>
    engine.call(at, node.callOf(hashes, chain.word(of))).then(node.said);
  expect(await hashOf(3, 2)).toBe(`success ${chain.hex(module.keccak256(chain.number64(2)))}`);
  expect(await hashOf(3, 3)).toBe(`success ${hex(0)}`);
  engine.closeBlock();
  engine.openBlock(chain.context(5));
  expect(await hashOf(PENDING, 4)).toBe("unsealed 4");
  await engine.close();
}

/** The loop reads slot 0 hundreds of thousands of times; if it saw a write of the log, first and last would differ. */
async function checkBeside(module: EngineModule): Promise<void> {
  const opened = node.open(module, GENESIS);
  const { engine } = opened;
  let calls = 0;
  let nonce = 0;
  const count = (): void => {
    node.run(opened, [{ from: alice, tx: { to: counting, nonce: nonce++ } }]);
  };
  count();
  const request = node.callOf(counting, chain.word(100_000), { gasLimit: 100_000_000 });
  const running: Promise<string>[] = [];
  for (let batch = 0; batch < 8; batch++) {
    running.push(engine.call(PENDING, request).then((result) => (calls++, node.said(result))));
    count();
  }
  const ranBeside = calls < running.length;
  while (calls < running.length) {
    count();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const seen = await Promise.all(running);
  expect(seen).toEqual(running.map((_, number) => `success ${hex(number + 1)}${hex(number + 1)}`));
  expect(ranBeside).toBe(true);
  expect(node.slot(engine, counting, 0)).toBe(BigInt(nonce));
  await engine.close();
}

async function checkRoom(module: EngineModule): Promise<void> {
  const { engine } = node.open(module, GENESIS);
  const request = node.callOf(counting, chain.word(100));
  const running = Array.from({ length: CALLS_MAX }, () => engine.call(0, request));
  await expect(engine.call(0, request)).rejects.toMatchObject({ detail: { code: "CALLS_MAX" }, retry: "later" });
  const seen = (await Promise.all(running)).map(node.said);
  expect(new Set(seen)).toEqual(new Set([`success ${hex(0)}${hex(0)}`]));
  expect(node.said(await engine.call(0, node.callOf(reader)))).toBe(`success ${hex(5)}`);
  await engine.close();
}
