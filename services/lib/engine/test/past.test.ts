/** The account of EIP-2935: what its slots say at which block, and who waits. */
import type { EngineModule } from "@meridian/core";
import {
  HISTORY_ADDRESS,
  HISTORY_CODE,
  PENDING,
  cellsBehind,
  cellsOfClose,
  concatBytes,
  historyCell,
  historyKey,
  hexOf,
  withHistoryAccount,
  writtenBlock,
} from "@meridian/core";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { describe, expect, test } from "vitest";
import * as chain from "./chain.ts";
import { place } from "./contracts.ts";
import * as node from "./node.ts";

const NONE: Uint8Array = new Uint8Array(0);
const alice = chain.key(1);
/** Stores at slot 0 what the account says of the block in the call's word, and at slot 1 BLOCKHASH of it. */
const READER = chain.bytes(`5f355f5260205f60205f73${hexOf(HISTORY_ADDRESS)}5afa505f515f555f354060015500`);
const reader = place(0xc0);
const hashOf = (module: EngineModule, block: number): Uint8Array => module.keccak256(chain.number64(block));
const genesis = (): Uint8Array[] => [
  withHistoryAccount(NONE),
  chain.contractCells(reader, READER),
  chain.accountCell(alice.address, 100n),
];

/** As partition and leader do it, with a seal that comes `late` blocks after its block; block `blocks` + 1 is open. */
function build(module: EngineModule, blocks: number, late = 0, owned = chain.EVERYTHING): node.Opened {
  const engine = module.open({ chainId: chain.CHAIN_ID });
  engine.setOwned(owned);
  engine.openBlock(chain.context(0));
  engine.importCells(concatBytes(genesis()));
  engine.closeBlock();
  for (let block = 1; block <= blocks; block++) {
    engine.openBlock(chain.context(block));
    if (block - 1 - late >= 0) engine.seal(block - 1 - late, hashOf(module, block - 1 - late));
    const written = writtenBlock(block);
    engine.applyWrites(cellsOfClose(block, written < 0 ? null : hashOf(module, written)));
    engine.closeBlock();
  }
  for (let block = Math.max(0, blocks - late); block < blocks; block++) engine.seal(block, hashOf(module, block));
  engine.openBlock(chain.context(blocks + 1));
  return { module, engine };
}

const ask = (block: number, nonce = 0): node.Sent => ({
  from: alice,
  tx: { to: reader, data: chain.word(block), nonce, gasLimit: 200_000 },
});
const outcome = (opened: node.Opened, sent: node.Sent, strict = false, declared?: string[]): node.Outcome | undefined => {
  const [record] = [node.recordsOf(opened, [sent])];
  const transactions = declared === undefined ? record : node.declaring(record, declared);
  return node.outcomesOf(opened.engine.run(transactions, chain.nonceRecords(transactions), { ...chain.FREE_RUN, strict }))[0];
};
const valueAt = ({ engine }: node.Opened, block: number, key: Uint8Array): string => {
  const found = engine.read(block, key);
  return "cells" in found ? hexOf(found.cells, 53, 85) : JSON.stringify(found);
};

test("the code is that of the EIP", () => {
  const cells = withHistoryAccount(NONE);
  expect(hexOf(cells, 53, 85)).toBe(hexOf(keccak_256(HISTORY_CODE)));
});

describe.each(node.BUILDS)("hashes of past blocks, %s build", (_build, module) => {
  test.each([0, 3, 8])("a block's state has the hashes before it, seals %i blocks late", (late) => {
    const opened = build(module, 20, late);
    opened.engine.seal(20, hashOf(module, 20));
    for (const [block, asked] of [
      [20, 19],
      [20, 12],
      [20, 3],
      [15, 14],
      [1, 0],
      [PENDING, 20],
    ] as const) {
      expect(valueAt(opened, block, historyKey(asked))).toBe(hexOf(hashOf(module, asked)));
    }
    // As on any chain, a block's own hash is not in its state.
    expect([valueAt(opened, 20, historyKey(20)), valueAt(opened, 14, historyKey(14))]).toEqual(["0".repeat(64), "0".repeat(64)]);
    for (const asked of [20, 13, 2]) {
      expect(outcome(opened, ask(asked, 20 - asked))).toMatchObject({ status: 1 });
      expect([node.slot(opened.engine, reader, 0), node.slot(opened.engine, reader, 1)]).toEqual(
        Array.from({ length: 2 }, () => BigInt(`0x${hexOf(hashOf(module, asked))}`)),
      );
    }
  });

  test("who asks for a hash without a seal waits for that seal; older ones are there", () => {
    const opened = build(module, 20);
    expect(outcome(opened, ask(20))).toMatchObject({ why: "unsealed", value: 20 });
    expect(outcome(opened, ask(19))).toMatchObject({ status: 1 });
    opened.engine.seal(20, hashOf(module, 20));
    expect(outcome(opened, ask(20, 1))).toMatchObject({ status: 1 });
  });

  test("hashes further back than BLOCKHASH's stand in the cells", () => {
    const opened = build(module, 300);
    opened.engine.seal(300, hashOf(module, 300));
    expect(outcome(opened, ask(7))).toMatchObject({ status: 1 });
    expect([node.slot(opened.engine, reader, 0), node.slot(opened.engine, reader, 1)]).toEqual([
      BigInt(`0x${hexOf(hashOf(module, 7))}`),
      0n,
    ]);
  });

  test("who does not own the account is told by the seals, in mode `code`; of older blocks it has to ask", () => {
    const opened = build(module, 300, 0, node.without(HISTORY_ADDRESS));
    opened.engine.seal(300, hashOf(module, 300));
    const rules = { flush: 1, whole: false, missed: NONE };
    const propose = (block: number, mode: string) => {
      const allowed = node.packModes([`${mode} ${hexOf(HISTORY_ADDRESS)}`, `write ${hexOf(reader)}`]);
      const given = concatBytes([withHistoryAccount(NONE)]);
      return opened.engine.propose(node.recordsOf(opened, [ask(block)]), given, { ...rules, allowed });
    };
    const recent = propose(300, "code");
    expect(recent.missing.length).toBe(0);
    expect(node.touchesOf(recent.touches)[0]).toMatchObject({
      why: "complete",
      touched: [`write ${hexOf(reader)}`, `code ${hexOf(HISTORY_ADDRESS)}`],
    });
    expect(node.touchesOf(propose(7, "code").touches)[0]).toMatchObject({ why: "outside" });
    expect(hexOf(propose(7, "read").missing)).toBe(hexOf(historyKey(7)));
  });

  test("an entry that waited needs it declared, `code` is enough", () => {
    const opened = build(module, 20);
    opened.engine.seal(20, hashOf(module, 20));
    const own = `write ${hexOf(reader)}`;
    expect(outcome(opened, ask(20), true, [own])).toMatchObject({ why: "outside" });
    expect(outcome(opened, ask(20), true, [`code ${hexOf(HISTORY_ADDRESS)}`, own])).toMatchObject({ status: 1 });
  });

  test("the digest is that of a state with all hashes, whenever seals came", () => {
    const hashes = Array.from({ length: 20 }, (_, block) => hashOf(module, block));
    const digest = (late: number): string => {
      const { engine } = build(module, 19, late);
      engine.applyWrites(cellsOfClose(20, hashOf(module, writtenBlock(20))));
      return hexOf(module.foldDigest(concatBytes([engine.closeBlock(), module.latticeOf(cellsBehind(20, hashes))])));
    };
    const whole = concatBytes([...genesis(), ...hashes.map((hash, block) => historyCell(block, hash))]);
    const want = hexOf(module.foldDigest(module.latticeOf(whole)));
    expect([0, 5, 8].map(digest)).toEqual([want, want, want]);
  });
});
