import { expect, test } from "vitest";
import type { SnapshotManifest } from "../messages.ts";
import { manifestOf, emptyState } from "./state.ts";
import { chunkObject, isExportable, isNewer, keptWith, restartOrder, strayChunks, truncatableN } from "./snapshots.ts";
import { applyMessage } from "./apply.ts";
import { FakeEngine, TEST_CHAIN_ID, genesisEntry, logMessage } from "./testing/index.ts";

/** A manifest of block `block` at position n = 10 * block with one chunk. */
function manifest(block: number): SnapshotManifest {
  const state = emptyState(0, TEST_CHAIN_ID);
  const { message, position } = logMessage(1, [genesisEntry()]);
  applyMessage(state, message, position, new FakeEngine(), new Uint8Array(0));
  const taken = manifestOf(state, new Uint8Array(2_048));
  const chunk = { first: "", last: "", object: chunkObject(0, block, 0), sha256: "", bytes: 0 };
  return { ...taken, block, position: { ...taken.position, n: block * 10 }, chunks: [chunk] };
}
const blocks = (manifests: SnapshotManifest[]): number[] => manifests.map(({ block }) => block);

test.each<[kept: number[], outN: number, order: number[]]>([
  [[], 100, []],
  [[3, 5], 100, [5, 3]],
  [[5, 3], 49, [3]],
  [[5, 3], 29, []],
])("of %j with OUT at %d a restart tries %j", (kept, outN, order) => {
  expect(blocks(restartOrder(kept.map(manifest), outN))).toEqual(order);
});

test.each<[kept: number[], added: number, want: number[], truncate: number | null]>([
  [[], 1, [1], null],
  [[1], 4, [4, 1], 10],
  [[4, 1], 6, [6, 4], 40],
  [[6, 4], 6, [6, 4], 40],
])("kept %j and block %d", (kept, added, want, truncate) => {
  const next = keptWith(kept.map(manifest), manifest(added));
  expect(blocks(next)).toEqual(want);
  expect(truncatableN(next)).toBe(truncate);
});

test("chunks older than all kept snapshots go, newer ones stay", () => {
  const objects = [chunkObject(0, 2, 0), chunkObject(0, 4, 0), chunkObject(0, 4, 1), chunkObject(0, 7, 0)];
  expect(strayChunks(objects, [manifest(6), manifest(4)])).toEqual([chunkObject(0, 2, 0)]);
});

test("a replayed block is no news", () => {
  expect([isNewer(4, [manifest(4)]), isNewer(5, [manifest(4)]), isNewer(1, [])]).toEqual([false, true, true]);
});

test("an export ends before its versions do", () => {
  expect([isExportable(10, 9), isExportable(10, 70), isExportable(10, 71)]).toEqual([true, true, false]);
});
