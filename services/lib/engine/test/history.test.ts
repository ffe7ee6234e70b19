import type { EngineModule } from "@meridian/core";
import { PENDING, concatBytes } from "@meridian/core";
import { describe, expect, test } from "vitest";
import * as chain from "./chain.ts";
import { CONTRACTS, place } from "./contracts.ts";
import * as node from "./node.ts";

const [alice, bob] = [chain.key(1), chain.key(2)];
const counter = place(0xc0);

/** One count and one wei a block, up to `blocks`. */
function build(module: EngineModule, blocks: number): node.Opened {
  const opened = node.open(module, [chain.accountCell(alice.address, 1000n), chain.contractCells(counter, CONTRACTS.counter)]);
  for (let block = 1; block <= blocks; block++) {
    const nonce = 2 * (block - 1);
    node.run(opened, [
      { from: alice, tx: { to: bob.address, value: 1n, nonce } },
      { from: alice, tx: { to: counter, nonce: nonce + 1 } },
    ]);
    node.nextBlock(opened, block);
  }
  return opened;
}

describe.each(node.BUILDS)("history, %s build", (_build, module) => {
  test("every kept block reads as it was at its end", () => {
    const { engine } = build(module, 10);
    for (let block = 0; block <= 10; block++) {
      expect(node.balance(engine, alice.address, block)).toBe(1000n - BigInt(block));
      expect(node.balance(engine, bob.address, block)).toBe(BigInt(block));
      expect(node.nonce(engine, alice.address, block)).toBe(2 * block);
      expect(node.slot(engine, counter, 0, block)).toBe(BigInt(block));
    }
  });

  test("64 blocks before the last seal are kept", () => {
    const { engine } = build(module, 70);
    expect(engine.read(5, node.accountKey(alice.address))).toEqual({ pruned: 6 });
    expect(node.slot(engine, counter, 0, 6)).toBe(6n);
    expect(engine.read(71, node.accountKey(alice.address))).toEqual({ unknownBlock: 70 });
  });

  test("closed blocks that are not sealed are kept too", () => {
    const opened = build(module, 70);
    for (const block of [71, 72, 73]) {
      opened.engine.closeBlock();
      opened.engine.openBlock(chain.context(block + 1));
    }
    expect(node.slot(opened.engine, counter, 0, 6)).toBe(6n);
    expect(node.slot(opened.engine, counter, 0, 73)).toBe(70n);
  });

  test("the present is neither the last block nor a block", () => {
    const opened = build(module, 1);
    node.run(opened, [{ from: alice, tx: { to: counter, nonce: 2 } }]);
    expect([PENDING, 1, 0].map((block) => node.slot(opened.engine, counter, 0, block))).toEqual([2n, 1n, 0n]);
  });

  test("cells in the order of the request, empty ones too", () => {
    const { engine } = build(module, 1);
    const nobody = place(0x999);
    const request = concatBytes([
      node.slotKey(counter, 0),
      node.codeKey(counter),
      node.accountKey(nobody),
      node.nonceKey(alice.address),
    ]);
    const { cells } = engine.read(1, request) as { cells: Uint8Array };
    const [atCode, atNobody] = [85, 85 + 25 + CONTRACTS.counter.length];
    expect(chain.hex(cells.subarray(53, 85))).toBe(chain.hex(chain.word(1)));
    expect(chain.hex(cells.subarray(atCode + 25, atNobody))).toBe(chain.hex(CONTRACTS.counter));
    expect(chain.hex(cells.subarray(atNobody, atNobody + 85))).toBe(chain.hex(chain.accountCell(nobody, 0n)));
    expect(cells[atNobody + 85 + 21]).toBe(2);
  });

  test("an account that is not here does not read as empty", () => {
    const { engine } = node.open(module, [], node.without(bob.address));
    expect(() => engine.read(0, node.accountKey(bob.address))).toThrow("does not own");
    expect(() => engine.nonces(bob.address)).toThrow("does not own");
    expect(node.balance(engine, alice.address, 0)).toBe(0n);
  });
});
