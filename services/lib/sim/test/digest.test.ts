import { loadEngine } from "@meridian/engine";
import { expect, test } from "vitest";
import { runOneByOne } from "../src/system/one-by-one.ts";

const module = loadEngine("auto");

test.each([1, 2, 3, 4, 5, 6])(
  "load %d, one transaction at a time on a fixed clock, comes to the same on 1, 2, 4 and 8 partitions",
  { timeout: 60_000 },
  async (seed) => {
    const digests: string[] = [];
    for (const partitions of [1, 2, 4, 8]) {
      const { failure, digest, tally } = await runOneByOne(module, seed, partitions);
      expect(failure).toBeNull();
      expect(tally?.transactions).toBeGreaterThan(3);
      if (partitions === 8) expect(tally?.groups).toBeGreaterThan(0);
      digests.push(digest);
    }
    expect(digests).toEqual(Array.from({ length: 4 }, () => digests[0]));
  },
);
