/** What is left after the process is killed, or the disk is full, in the middle of putting blocks. */
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { hexOf, nextBlock, openAssembly, takeRecords } from "@meridian/core";
import { fakeBlockEngine, shuffledMessages, testBlocks, testFlushes, testHash, testRecords } from "@meridian/core/blocks/testing";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openArchive } from "../src/index.ts";
import { chain } from "./archive-writer.ts";

const writer = fileURLToPath(new URL("./archive-writer.ts", import.meta.url));
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "meridian.archive-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Goes on from where the store stands, as the service does after a start, and compares all with an undisturbed chain. */
async function goOnAndCompare(): Promise<void> {
  const want = testBlocks(chain, 3);
  const store = openArchive(folder);
  const start = store.start();
  const assembly = openAssembly(start, { sha256: testHash, tailBytesMax: 1e9, marksMax: 1_000 });
  for (const message of shuffledMessages(testRecords(testFlushes(chain), 3), chain.seed).slice(start.sequence)) {
    takeRecords(assembly, message);
    for (let block = nextBlock(assembly, fakeBlockEngine()); block !== null; block = nextBlock(assembly, fakeBlockEngine()))
      await store.put([block]);
  }
  expect(assembly.alarm).toBeNull();
  expect(store.head()!.number).toBe(chain.blocks);
  for (const block of want) {
    const stored = store.block(block.number)!;
    const body = store.body(stored, 0, Infinity, Infinity);
    expect([hexOf(stored.hash), hexOf(body.transactions), hexOf(body.results)]).toEqual([
      hexOf(block.hash),
      hexOf(block.transactions),
      hexOf(block.results),
    ]);
  }
  await store.close();
}

test.each([3, 12, 20])("killed after block %d was said to be stored: it is, and the rest follows", async (killAfter) => {
  const child = spawn(process.execPath, [writer, folder], { stdio: ["ignore", "pipe", "inherit"] });
  let stored = -1;
  for await (const line of createInterface({ input: child.stdout })) {
    stored = Number(line);
    if (stored >= killAfter) child.kill("SIGKILL");
  }
  expect(stored).toBeGreaterThanOrEqual(killAfter);
  expect(stored).toBeLessThan(chain.blocks);
  const store = openArchive(folder);
  expect(store.head()!.number).toBeGreaterThanOrEqual(stored);
  await store.close();
  await goOnAndCompare();
});

test("a full disk: the put says so, what is there stays readable, and it goes on once there is room", async () => {
  // The largest file the child may write stands in for a full disk; in blocks of 512 bytes.
  const child = spawn("sh", ["-c", `ulimit -f 3000; exec "${process.execPath}" "${writer}" "${folder}"`], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) lines.push(line);
  const failure = JSON.parse(lines.pop()!) as { detail: unknown; head: number; readable: boolean };
  expect(failure).toMatchObject({
    retry: "later",
    detail: { code: "STORE_WRITE", text: expect.stringMatching(/^disk full or failing: /) as string },
    readable: true,
  });
  expect(failure.head).toBe(Number(lines.at(-1)));
  await goOnAndCompare();
});
