/** Archives build the same blocks, and those hold what partitions published. */
import { sameBytes } from "@meridian/core";
import type { AssembledBlock } from "@meridian/core";
import type { MemoryDisk } from "../kernel/memory-archive.ts";
import { check } from "../system/failure.ts";
import type { PublishedBlock } from "./published.ts";
import { hashesIn, publishedHashes } from "./serial.ts";

/** @returns the blocks that all of them agree on, from block 0 */
export function checkArchives(disks: readonly MemoryDisk[], blocks: readonly PublishedBlock[]): AssembledBlock[] {
  const [first, ...others] = disks;
  const agreed = first?.blocks ?? [];
  agreed.forEach(({ number }, index) => check(number === index, "an archive lacks a block", () => `${index}`));
  for (const other of others) {
    for (const block of other.blocks) {
      const own = agreed[block.number];
      const isSame = own === undefined || sameBytes(own.hash, 0, block.hash, 0, 32);
      check(isSame, "archives built different blocks", () => `block ${block.number}`);
    }
  }
  for (const block of agreed) {
    const published = blocks[block.number];
    if (published === undefined) continue;
    const isSame = hashesIn(block.transactions).join() === publishedHashes([published]).join();
    check(isSame, "a block is not what was published", () => `block ${block.number}`);
    const results = Buffer.concat(published.transactions.map(({ result }) => result));
    check(
      Buffer.compare(results, block.results) === 0,
      "a block's results are not what was published",
      () => `block ${block.number}`,
    );
  }
  return agreed;
}
