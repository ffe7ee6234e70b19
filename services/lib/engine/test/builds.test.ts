import type { EngineModule } from "@meridian/core";
import { BugError, NONCE_BYTES, assert, concatBytes } from "@meridian/core";
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { staleParts } from "../build/check.ts";
import { compareBuilds, withResult } from "../conformance/builds.ts";
import { loadEngine } from "../src/index.ts";
import * as chain from "./chain.ts";
import * as node from "./node.ts";
import * as workload from "./workload.ts";
import { CONTRACT_PLACES } from "./workload.ts";

const SEED = 2026;
const BLOCKS = 10;
const BATCHES = 3;
const BATCH = 100;
/** The conformance command does it with 100,000. */
const RANDOM = 3_000;
/**
 * SHA-256 over what the workload gives by rule. What an old entry does never changes: a change of this line is a change of
 * rules and needs a new rules version (docs/STYLE.md), unless the workload itself was changed.
 */
const GOLDEN = "9766a688aca5b1dce24370e33169fffabfb667e7bb52255a549c1a9d1b110b90";

/** The same of singles, calls of signed batches and broken transactions. */
const GOLDEN_CALLS = "b69ec0f40815c98d3ee3387c41e80a44a17b34aa88cfbac7c0103db99105117a";

interface Everything {
  /** Records, results, lattices, nonces, cells, blocks: all that is a function of the log. */
  ruled: Uint8Array[];
  /** What only helps the next prediction, and proposals of which cells are missing. */
  told: Uint8Array[];
}

function everything(module: EngineModule): Everything {
  const stranger = workload.senders[3]!;
  const here = workload.senders.filter((sender) => sender !== stranger);
  const owned = node.without(stranger.address);
  const opened = node.open(module, workload.genesis(), owned);
  const { engine } = opened;
  const roll = workload.dice(SEED);
  const nonces: number[] = [];
  const ruled: Uint8Array[] = [];
  const told: Uint8Array[] = [];
  for (let block = 1; block <= BLOCKS; block++) {
    for (let batch = 0; batch < BATCHES; batch++) {
      const records = workload.batch(module, roll, nonces, BATCH);
      const proposal = engine.propose(records, new Uint8Array(0), {
        ...chain.WHOLE,
        allowed: allowed(records),
        whole: batch === 0,
      });
      const barred = batch === 1 ? CONTRACT_PLACES.counter : new Uint8Array(0);
      const rules = { ...chain.FREE_RUN, strict: batch === 2, barred };
      const { results, misses } = engine.run(records, nonceRecordsHere(records), rules);
      const built = module.buildBlock(
        { ...chain.context(block), parentHash: records.slice(32, 64), digest: records.slice(32, 64) },
        withResult(records, results),
        results,
      );
      ruled.push(records, results, built.hash, built.header, built.logsBloom);
      told.push(misses, proposal.touches, proposal.missing);
      (proposal.missing.length === 0 ? ruled : told).push(proposal.results, proposal.writes);
    }
    ruled.push(node.nextBlock(opened, block), engine.nonces(concatBytes(here.map(({ address }) => address))));
  }
  ruled.push(engine.exportCells(BLOCKS - 2, new Uint8Array(20), new Uint8Array(20).fill(0xff), 1_000_000_000).cells);
  return { ruled, told };
}

/** All contracts of the workload and some of the senders. */
function allowed(records: Uint8Array): Uint8Array {
  const contracts = Object.values(CONTRACT_PLACES).map((address, number) => Uint8Array.of(number % 3, ...address));
  const senders = workload.senders.slice(records.length % 7).map(({ address }) => Uint8Array.of(1, ...address));
  return concatBytes([...contracts, ...senders].sort((left, right) => Buffer.compare(left.subarray(1), right.subarray(1))));
}

/** Without those of the one sender that another partition owns. */
function nonceRecordsHere(records: Uint8Array): Uint8Array {
  const all = chain.nonceRecords(records);
  const stranger = chain.hex(workload.senders[3]!.address);
  const here: Uint8Array[] = [];
  for (let at = 0; at < all.length; at += NONCE_BYTES) {
    if (chain.hex(all.subarray(at + 4, at + 24)) !== stranger) here.push(all.subarray(at, at + NONCE_BYTES));
  }
  return concatBytes(here);
}

const names = node.BUILDS.map(([build]) => build);
const what =
  names.length === 2 ? "native and wasm give the same bytes" : "wasm gives the known bytes (the native addon is not built)";

test(`${BLOCKS * BATCHES * BATCH} seeded transactions: ${what}`, () => {
  const all = node.BUILDS.map(([, module]) => everything(module));
  for (const of of ["ruled", "told"] as const) {
    for (const [number, part] of all[0]![of].entries()) {
      for (const other of all) expect(chain.hex(other[of][number]!), `${of} ${number}`).toBe(chain.hex(part));
    }
  }
  const hash = createHash("sha256");
  for (const part of all[0]!.ruled) hash.update(part);
  expect(hash.digest("hex")).toBe(GOLDEN);
});

test(`${RANDOM} random transactions, calls of signed batches and broken ones: ${what}`, () => {
  const [first, second = first] = node.BUILDS.map(([, module]) => module);
  assert(first !== undefined && second !== undefined, "there is a build");
  expect(compareBuilds([first, second], { seed: Date.now() % 1_000_000, count: RANDOM })).toBeNull();
});

test.each(node.BUILDS)("calls of signed batches come to the known bytes, %s build", (_build, module) => {
  const { engine } = node.open(module, workload.genesis());
  const raws = workload.mixedRaws(workload.dice(SEED), [], RANDOM);
  const decoded = module.decode(chain.packRaw([...raws, ...raws.map((raw) => raw.subarray(0, -1))]), chain.LIMITS);
  const records = chain.records(module, raws);
  const { results } = engine.run(records, chain.nonceRecords(records), chain.FREE_RUN);
  const header = { ...chain.context(1), parentHash: new Uint8Array(32), digest: new Uint8Array(32) };
  const hash = createHash("sha256");
  for (const part of [decoded.records, decoded.statuses, results, engine.closeBlock()]) hash.update(part);
  expect(hash.update(module.buildBlock(header, withResult(records, results), results).header).digest("hex")).toBe(GOLDEN_CALLS);
});

test.each(node.BUILDS)("after a bug an engine of the %s build refuses further work, others go on", async (_build, module) => {
  const { engine } = node.open(module, workload.genesis());
  const other = node.open(module, workload.genesis());
  expect(() => {
    engine.openBlock(chain.context(2));
  }).toThrow(/^bug: engine: .*a block is already open/s);
  expect(() => engine.closeBlock()).toThrow(BugError);
  expect(() => engine.memory()).toThrow(BugError);
  await engine.close();
  expect(other.engine.memory().accounts).toBeGreaterThan(0);
  expect(module.keccak256(new Uint8Array(0)).length).toBe(32);
  await other.engine.close();
  expect(() => other.engine.memory()).toThrow("the engine is closed");
});

test("a choice is kept, and auto takes the best that is there", () => {
  expect(loadEngine("wasm").build).toBe("wasm");
  expect(loadEngine().build).toBe(names[0]);
  expect(loadEngine("auto").build).toBe(names[0]);
});

test("the committed wasm belongs to the sources", () => {
  expect(staleParts()).toEqual([]);
});
