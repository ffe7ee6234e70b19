import { expect, test } from "vitest";
import { LOG_BYTES_MAX, OUT_BYTES_MAX, SETTINGS_BYTES_MAX } from "../limits.ts";
import { STORES, shareOut } from "./sizes.ts";
import type { Sizes } from "./sizes.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const sum = (sizes: Sizes): number => STORES.reduce((bytes, store) => bytes + sizes[store], 0);

test.each<[what: string, total: number, fixed: Partial<Sizes>]>([
  ["a small server", 48 * MIB, {}],
  ["a usual one", 100 * GIB, {}],
  ["a large one", 4_096 * GIB, {}],
  ["LOG is set", 100 * GIB, { log: 70 * GIB }],
  ["LOG and OUT are set", 100 * GIB, { log: 10 * GIB, out: 80 * GIB }],
  ["all are set", 100 * GIB, { log: GIB, out: GIB, objects: GIB, settings: MIB }],
])("%s: what is shared out fits, and what is set stays", (_what, total, fixed) => {
  const sizes = shareOut(total, fixed);
  expect(sizes).toMatchObject(fixed);
  expect(sum(sizes)).toBeLessThan(total);
  for (const store of STORES) expect(sizes[store], store).toBeGreaterThanOrEqual(fixed[store] ?? MIB);
});

test("OUT holds more than LOG; on a large server both have enough at some size", () => {
  const small = shareOut(48 * MIB, {});
  expect(small.out / small.log).toBeCloseTo(1.5, 2);
  const large = shareOut(4_096 * GIB, {});
  expect(large).toMatchObject({ log: LOG_BYTES_MAX, out: OUT_BYTES_MAX, settings: SETTINGS_BYTES_MAX });
});

test("where those that are set leave nothing, the others ask for next to nothing and the server refuses", () => {
  expect(shareOut(48 * MIB, { log: 64 * MIB })).toEqual({ log: 64 * MIB, out: 1, objects: 1, settings: MIB });
});
