import { expect, test } from "vitest";
import { engineBytesMax, memoryBytesMaxOf } from "./settings.ts";

const GIB = 1024 ** 3;

test.each<[build: "native" | "wasm", gib: number, want: number]>([
  ["wasm", 2, 2],
  ["wasm", 3, 3],
  ["wasm", 16, 3],
  ["native", 16, 16],
])("an engine built as %s, with %d GiB, is bounded at %d GiB", (build, gib, want) => {
  expect(engineBytesMax(build, gib * GIB)).toBe(want * GIB);
});

test("a bound that was set is taken, else the partitions share a quarter of the machine", () => {
  expect(memoryBytesMaxOf(100, 4)).toBe(100 * 1024 * 1024);
  expect(memoryBytesMaxOf(undefined, 4)).toBe(Math.floor(memoryBytesMaxOf(undefined, 1) / 4));
});
