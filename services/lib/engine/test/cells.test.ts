import type { Engine, EngineModule } from "@meridian/core";
import { concatBytes } from "@meridian/core";
import { describe, expect, test } from "vitest";
import * as chain from "./chain.ts";
import { place } from "./contracts.ts";
import { bytesOf, digestOf, latticeOf } from "./digest.ts";
import * as node from "./node.ts";
import * as workload from "./workload.ts";

const FIRST: Uint8Array = new Uint8Array(20);
const LAST: Uint8Array = new Uint8Array(20).fill(0xff);
const CHUNK_BYTES = 2000;

/** Everything of a range, in as many chunks as it takes. */
function exportAll(engine: Engine, block: number, first = FIRST, last = LAST): { cells: Uint8Array; chunks: number } {
  const parts: Uint8Array[] = [];
  for (let from: Uint8Array | null = first; from !== null;) {
    const chunk = engine.exportCells(block, from, last, CHUNK_BYTES);
    parts.push(chunk.cells);
    from = chunk.next;
  }
  return { cells: concatBytes(parts), chunks: parts.length };
}

/** Blocks of the seeded workload on one engine that owns everything. */
function build(module: EngineModule, seed: number, blocks: number): { opened: node.Opened; lattices: Uint8Array[] } {
  const opened = node.open(module, workload.genesis());
  const roll = workload.dice(seed);
  const nonces: number[] = [];
  const lattices: Uint8Array[] = [];
  for (let block = 1; block <= blocks; block++) {
    const records = workload.batch(module, roll, nonces, 60);
    opened.engine.run(records, chain.nonceRecords(records), chain.FREE_RUN);
    lattices.push(node.nextBlock(opened, block));
  }
  return { opened, lattices };
}

describe.each(node.BUILDS)("cells, %s build", (_build, module) => {
  test("the lattice is that of the exported cells, by another implementation", () => {
    const { opened, lattices } = build(module, 1, 5);
    for (const block of [1, 3, 5]) {
      const { cells, chunks } = exportAll(opened.engine, block);
      expect(chunks).toBeGreaterThan(2);
      expect(chain.hex(lattices[block - 1]!)).toBe(chain.hex(bytesOf(latticeOf(cells))));
      expect(chain.hex(module.foldDigest(lattices[block - 1]!))).toBe(chain.hex(digestOf(cells)));
    }
  });

  test("what was exported and imported is the same state", () => {
    const { opened, lattices } = build(module, 2, 4);
    const { cells } = exportAll(opened.engine, 3);
    const copy = module.open({ chainId: chain.CHAIN_ID });
    copy.setOwned(chain.EVERYTHING);
    copy.openBlock(chain.context(3));
    copy.importCells(cells);
    expect(chain.hex(copy.closeBlock())).toBe(chain.hex(lattices[2]!));
    expect(chain.hex(exportAll(copy, 3).cells)).toBe(chain.hex(cells));
    expect(copy.memory()).toMatchObject({ slots: expect.any(Number) as number });
  });

  test("an import over cells that are there, or written in the open block, counts once", () => {
    const { engine } = node.open(module, workload.genesis());
    const [alice, bob] = [workload.senders[0]!, workload.senders[1]!];
    node.run({ module, engine }, [{ from: alice, tx: { to: bob.address, value: 5n } }]);
    engine.importCells(concatBytes([chain.accountCell(alice.address, 3n), chain.nonceCell(alice.address, 9)]));
    engine.importCells(chain.slotCell(place(0x77), chain.word(1), chain.word(2)));
    engine.importCells(chain.slotCell(place(0x77), chain.word(1), chain.word(0)));
    const lattice = engine.closeBlock();
    expect(chain.hex(lattice)).toBe(chain.hex(bytesOf(latticeOf(exportAll(engine, 1).cells))));
  });

  test("a range that is dropped leaves the lattice, even with writes that are not folded yet", () => {
    const { opened } = build(module, 3, 2);
    const { engine } = opened;
    const middle = place(0).fill(0x80, 0, 1);
    const records = workload.batch(module, workload.dice(9), [], 40);
    engine.run(records, chain.nonceRecords(records), chain.FREE_RUN);
    const before = engine.memory();
    engine.dropRange(middle, LAST);
    const lattice = engine.closeBlock();
    expect(chain.hex(lattice)).toBe(chain.hex(bytesOf(latticeOf(exportAll(engine, 3).cells))));
    expect(exportAll(engine, 3, middle, LAST).cells.length).toBe(0);
    expect(engine.memory().accounts).toBeLessThan(before.accounts);
  });

  test("the digest does not depend on the cut", () => checkCut(module));
});

/** Four engines own a quarter each; what one of them wrote as a whole, they take over as write sets. */
function checkCut(module: EngineModule): void {
  const whole = node.open(module, workload.genesis());
  const parts = [0, 1, 2, 3].map((part) => {
    const [first, last] = [new Uint8Array(20), new Uint8Array(20).fill(0xff)];
    [first[0], last[0]] = [part * 64, part * 64 + 63];
    const engine = module.open({ chainId: chain.CHAIN_ID });
    engine.setOwned({ ranges: [{ first, last }], pinsIn: [], pinsOut: [] });
    engine.openBlock(chain.context(0));
    engine.importCells(exportAll(whole.engine, 0, first, last).cells);
    return engine;
  });
  const digest = (): Uint8Array => module.foldDigest(concatBytes(parts.map((engine) => engine.closeBlock())));
  const roll = workload.dice(4);
  const nonces: number[] = [];
  digest();
  for (let block = 1; block <= 4; block++) {
    const records = workload.batch(module, roll, nonces, 50);
    parts.forEach((engine) => engine.openBlock(chain.context(block)));
    const { writes } = whole.engine.propose(records, new Uint8Array(0), chain.WHOLE);
    parts.forEach((engine) => engine.applyWrites(writes));
    whole.engine.applyWrites(writes);
    expect(chain.hex(digest())).toBe(chain.hex(module.foldDigest(node.nextBlock(whole, block))));
  }
}
