import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readFacts, resetFolder, takeFolder } from "./folder.ts";

let root: string;
let path: string;
const facts = { chainId: 1, partitions: 4, blockMs: 500 };

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "meridian-folder-"));
  path = join(root, "data");
});
afterEach(() => rm(root, { recursive: true, force: true }));

test("a folder is taken once, and free again after its release", async () => {
  const folder = await takeFolder(path, facts, "first");
  await expect(takeFolder(path, facts, "second")).rejects.toThrow(
    `process ${process.pid} runs a cluster on ${path} and answers at first`,
  );
  await expect(resetFolder(path)).rejects.toThrow("ALREADY_RUNNING");
  await folder.release();
  await (await takeFolder(path, facts, "third")).release();
});

test("a lock of a process that is gone does not hold", async () => {
  await mkdir(path);
  await writeFile(join(path, "launcher.json"), JSON.stringify({ pid: 2 ** 22 - 1, rpcUrl: "gone" }));
  await (await takeFolder(path, facts, "second")).release();
});

test.each([
  ["chain id", { chainId: 2 }, "made with --chain-id 1, asked for is --chain-id 2"],
  ["partitions", { partitions: 8 }, "made with --partitions 4, asked for is --partitions 8"],
  ["block time", { blockMs: 100 }, "made with --block-ms 500, asked for is --block-ms 100"],
])("another %s is refused with both values", async (_what, change, text) => {
  await (await takeFolder(path, facts, "")).release();
  await expect(takeFolder(path, { ...facts, ...change }, "")).rejects.toThrow(text);
  expect(await readFacts(path)).toEqual(facts);
  await (await takeFolder(path, facts, "")).release();
});

test("a reset deletes a cluster's folder and nothing else", async () => {
  await resetFolder(path); // Nothing there.
  await (await takeFolder(path, facts, "")).release();
  await resetFolder(path);
  expect(await readFacts(path)).toBeUndefined();
  await writeFile(join(root, "novel.txt"), "chapter one");
  await expect(resetFolder(root)).rejects.toThrow("holds no cluster");
  expect(await readFile(join(root, "novel.txt"), "utf8")).toBe("chapter one");
});
