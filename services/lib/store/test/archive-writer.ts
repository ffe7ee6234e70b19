/** Child process of archive-crash.test.ts: puts the blocks of a made-up chain and says the number of each one that is stored. */
import { hexOf, isIoError } from "@meridian/core";
import { bytesFrom, testBlocks } from "@meridian/core/blocks/testing";
import { openArchive } from "../src/index.ts";

export const chain = {
  ...{ seed: 77, blocks: 60, transactionsPerFlush: 40 },
  logs: (next: (below: number) => number) => [
    { address: bytesFrom(20, next(9)), topics: [bytesFrom(32, next(99))], data: bytesFrom(64, next(99)) },
  ],
};

const [, entry, folder] = process.argv;
if (entry === import.meta.filename && folder !== undefined) {
  const store = openArchive(folder);
  try {
    for (const block of testBlocks(chain, 3)) {
      await store.put([block]);
      process.stdout.write(`${block.number}\n`);
    }
  } catch (error) {
    const detail = isIoError(error) ? { detail: error.detail, retry: error.retry } : { detail: String(error) };
    const head = store.head()!;
    const readable = hexOf(store.block(head.number)!.hash) === hexOf(head.hash);
    process.stdout.write(`${JSON.stringify({ ...detail, head: head.number, readable })}\n`);
  }
  await store.close();
}
