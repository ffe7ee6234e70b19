import { expect, test } from "vitest";
import { FORMAT_VERSION, applyMessage, bytesOfHex, emptyState, manifestOf } from "@meridian/core";
import type { Objects, Settings, SnapshotManifest } from "@meridian/core";
import { FakeEngine, TEST_CHAIN_ID, genesisEntry, logMessage, sealHash } from "@meridian/core/actor/testing";
import { openSnapshots } from "./snapshots.ts";

/** Objects and records in two maps that a test may damage. */
function memory() {
  const chunks = new Map<string, Uint8Array>();
  const records = new Map<string, Uint8Array>();
  const revisions = new Map<string, number>();
  const objects: Objects = {
    put: async (name, bytes) => void chunks.set(name, bytes),
    get: async (name) => chunks.get(name),
    delete: async (name) => void chunks.delete(name),
    list: async (prefix) => [...chunks.keys()].filter((name) => name.startsWith(prefix)),
  };
  const settings: Settings = {
    get: async () => undefined,
    create: async (given) => given,
    putMap: async () => undefined,
    getMap: async () => undefined,
    putRecord: async (key, value, revision) => {
      const isSame = (revisions.get(key) ?? 0) === revision;
      if (isSame) records.set(key, value);
      if (isSame) revisions.set(key, revision + 1);
      return isSame;
    },
    getRecord: async (key) => {
      const value = records.get(key);
      return value === undefined ? undefined : { value, revision: revisions.get(key) ?? 0 };
    },
  };
  return { chunks, records, store: openSnapshots({ objects, settings }, 3) };
}

function manifestAt(block: number): SnapshotManifest {
  const state = emptyState(3, TEST_CHAIN_ID);
  const { message, position } = logMessage(1, [genesisEntry()]);
  applyMessage(state, message, position, new FakeEngine(), new Uint8Array(0));
  state.seals.push({ number: 0, hash: sealHash(0) });
  return { ...manifestOf(state, new Uint8Array(2_048).fill(7)), block };
}

const slice = (account: string, cells: number[]) => ({
  cells: new Uint8Array(cells),
  first: bytesOfHex(account.padEnd(40, "0")),
  last: bytesOfHex(account.padEnd(40, "f")),
});

async function take(store: ReturnType<typeof memory>["store"], block: number): Promise<void> {
  const manifest = manifestAt(block);
  await store.write(manifest, slice("01", [1, 2, 3]));
  await store.write(manifest, slice("02", [4]));
  await store.finish(manifest);
}

test("a snapshot is read as it was written, and the newest two are kept", async () => {
  const { chunks, store } = memory();
  expect(await store.read()).toEqual({ kept: [], damaged: [] });
  for (const block of [4, 7, 9]) await take(store, block);
  const { kept, damaged } = await store.read();
  expect(damaged).toEqual([]);
  expect(kept.map(({ block }) => block)).toEqual([9, 7]);
  expect(kept[0]).toEqual({ ...manifestAt(9), chunks: kept[0]?.chunks });
  expect(kept[0]?.chunks.map(({ object, first, bytes }) => `${object} ${first.slice(0, 4)} ${bytes}`)).toEqual([
    "snapshot/3/9/000000 0100 3",
    "snapshot/3/9/000001 0200 1",
  ]);
  expect([...chunks.keys()].map((name) => name.split("/")[2])).toEqual(["7", "7", "9", "9"]);
  const chunks7 = kept[1]?.chunks ?? [];
  expect(await store.chunk(chunks7[0]!)).toEqual(new Uint8Array([1, 2, 3]));
});

test("a process that is long behind changes nothing", async () => {
  const { chunks, store } = memory();
  const late = manifestAt(6);
  await store.write(late, slice("01", [1]));
  for (const block of [4, 7, 9]) await take(store, block);
  expect((await store.finish(late)).map(({ block }) => block)).toEqual([9, 7]);
  expect((await store.read()).kept.map(({ block }) => block)).toEqual([9, 7]);
  expect([...chunks.keys()].map((name) => name.split("/")[2])).toEqual(["7", "7", "9", "9"]);
});

test("what another process has written meanwhile is kept", async () => {
  const { store } = memory();
  for (const block of [4, 9]) await take(store, block);
  await take(store, 7);
  expect((await store.read()).kept.map(({ block }) => block)).toEqual([9, 7]);
});

test("a damaged snapshot is not one of the two", async () => {
  const { store } = memory();
  for (const block of [4, 7]) await take(store, block);
  const manifest = manifestAt(9);
  expect((await store.finish(manifest, new Set([7]))).map(({ block }) => block)).toEqual([9, 4]);
});

test("a flipped byte and a lost chunk are found", async () => {
  const { chunks, store } = memory();
  await take(store, 4);
  const written = (await store.read()).kept[0]?.chunks ?? [];
  chunks.set("snapshot/3/4/000000", new Uint8Array([1, 2, 2]));
  chunks.delete("snapshot/3/4/000001");
  expect(await store.chunk(written[0]!)).toMatchObject({ code: "SNAPSHOT_DAMAGED", object: "snapshot/3/4/000000" });
  expect(await store.chunk(written[1]!)).toMatchObject({ code: "SNAPSHOT_DAMAGED", text: "the object is not there" });
});

test.each<[what: string, from: string, to: string, kept: number[]]>([
  ["a flipped digit in one manifest leaves the other", '\\"block\\":7', '\\"block\\":8', [4]],
  ["a broken record leaves none", '{"format"', '{"forma', []],
])("%s", async (_what, from, to, want) => {
  const { records, store } = memory();
  await take(store, 4);
  await take(store, 7);
  const text = new TextDecoder().decode(records.get("snapshot.3"));
  expect(text).toContain(from);
  records.set("snapshot.3", new TextEncoder().encode(text.replace(from, to)));
  const { kept, damaged } = await store.read();
  expect(kept.map(({ block }) => block)).toEqual(want);
  expect(damaged).toHaveLength(1);
});

test("a record of a later version is refused", async () => {
  const { records, store } = memory();
  records.set("snapshot.3", new TextEncoder().encode(JSON.stringify({ format: FORMAT_VERSION + 1, snapshots: [] })));
  await expect(store.read()).rejects.toMatchObject({ detail: { code: "FORMAT_UNKNOWN" }, retry: "never" });
});
