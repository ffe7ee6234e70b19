import { describe, expect, test } from "vitest";
import { applyMessage } from "../actor/apply.ts";
import { manifestOf, stateOfManifest } from "../actor/state.ts";
import { fakeLattice } from "../actor/testing/fake-cells.ts";
import {
  FakeEngine,
  TEST_CHAIN_ID,
  blockEntry,
  fakeAccountCell,
  logMessage,
  sealEntry,
  sealHash,
} from "../actor/testing/index.ts";
import { TestPartition } from "../actor/testing/test-partition.ts";
import { fakeBlockEngine } from "../blocks/testing.ts";
import { bytesOfHex, concatBytes, hexOf } from "../bytes.ts";
import { evenRangeMap, ownedBy } from "../ranges.ts";
import { HISTORY_ADDRESS, UNSEALED_MAX, cellsBehind, historyCell, historyKey, withHistoryAccount } from "./history-account.ts";

const BLOCKS = 25;
const { foldDigest, latticeOf } = fakeBlockEngine();
const sealed = (first: number, end: number) => Array.from({ length: Math.max(0, end - first) }, (_, at) => sealEntry(first + at));

/** The entries with which a block closes: seals come `late` blocks after their own, but those that have to be there. */
function closing(block: number, late: (block: number) => number, next: { seal: number }) {
  const end = Math.max(block - UNSEALED_MAX, block - late(block));
  const seals = sealed(next.seal, end);
  next.seal = Math.max(next.seal, end);
  return [...seals, blockEntry(block)];
}

/** Digest after each block, of what the partition published and what the archive adds. */
function digestsOf(late: (block: number) => number): string[] {
  const partition = new TestPartition({ map: evenRangeMap(1) });
  const next = { seal: 0 };
  for (let block = 1; block <= BLOCKS; block++) partition.take(closing(block, late, next));
  return partition.applied.map(({ record }) => digestOf(record.block?.entry.number ?? -1, record.block?.lattice));
}

const hashesBefore = (block: number) => Array.from({ length: block }, (_, number) => sealHash(number));
const digestOf = (block: number, lattice: Uint8Array = new Uint8Array(0)): string =>
  hexOf(foldDigest(concatBytes([lattice, latticeOf(cellsBehind(block, hashesBefore(block)))])));

describe("whenever seals come, a block's digest has the hash of every block before it", () => {
  const want = Array.from({ length: BLOCKS }, (_, index) =>
    hexOf(foldDigest(fakeLattice(hashesBefore(index + 1).map((hash, block) => historyCell(block, hash))))),
  );
  test.each<[what: string, late: (block: number) => number]>([
    ["at once", () => 0],
    ["one block late", () => 1],
    ["as late as can be", () => UNSEALED_MAX],
    ["now and then", (block) => (block * 7) % 9],
  ])("%s", (_what, late) => expect(digestsOf(late)).toEqual(want));
});

test("a partition that begins with a snapshot in between goes on with the same", () => {
  const whole = new TestPartition({ map: evenRangeMap(1) });
  const next = { seal: 0 };
  const messages = Array.from({ length: BLOCKS }, (_, index) => closing(index + 1, () => 5, next));
  for (const entries of messages.slice(0, 14)) whole.take(entries);
  const state = stateOfManifest(manifestOf(whole.state, new Uint8Array(0)), TEST_CHAIN_ID);
  const engine = new FakeEngine();
  engine.setOwned(ownedBy(evenRangeMap(1), 0));
  engine.openBlock(whole.state.block ?? blockEntry(1).opens);
  engine.importCells(whole.engine.exportCells(14, new Uint8Array(20), new Uint8Array(20).fill(255), 1e9).cells);
  for (const [index, entries] of messages.slice(14).entries()) {
    whole.take(entries);
    const { message, position } = logMessage(index + 16, entries);
    const applied = applyMessage(state, message, position, engine);
    expect(hexOf(applied?.record.block?.lattice ?? new Uint8Array(0))).toBe(
      hexOf(whole.applied.at(-1)?.record.block?.lattice ?? new Uint8Array(1)),
    );
  }
});

test("a block does not close without the seal that its cells need", () => {
  const partition = new TestPartition();
  for (let block = 1; block <= UNSEALED_MAX; block++) partition.take([blockEntry(block)]);
  expect(partition.take([blockEntry(9)])).toBe("10 refused LOG_INVALID block 9 closes, block 0 has no seal");
  expect(partition.take([sealEntry(0), blockEntry(9)])).toBe("10 block 9");
});

test("only who owns the account writes its cells", () => {
  const [owner, other] = [0, 1].map((partition) => new TestPartition({ partition }));
  for (const partition of [owner, other]) partition?.take([blockEntry(1)]);
  expect([owner, other].map((partition) => partition?.engine.calls.includes("apply 1"))).toEqual([true, false]);
});

test("the slot of a block goes round after 8,191 of them", () => {
  expect(hexOf(historyKey(8_192))).toBe(hexOf(historyKey(1)));
  expect(hexOf(historyKey(8_190)).slice(-4)).toBe("1ffe");
});

describe("genesis has the account in its place", () => {
  const at = (first: string) => fakeAccountCell(bytesOfHex(first.padEnd(40, "0")), 5);
  const history = withHistoryAccount(new Uint8Array(0));
  test.each<[what: string, genesis: Uint8Array[], want: Uint8Array[]]>([
    ["alone", [], [history]],
    ["behind lower addresses", [at("0000f8"), at("0000f909")], [at("0000f8"), history, at("0000f909")]],
    ["at the end", [at("0000f8")], [at("0000f8"), history]],
    ["as given", [fakeAccountCell(HISTORY_ADDRESS, 7), at("ff")], [fakeAccountCell(HISTORY_ADDRESS, 7), at("ff")]],
  ])("%s", (_what, genesis, want) => expect(hexOf(withHistoryAccount(concatBytes(genesis)))).toBe(hexOf(concatBytes(want))));
});
