import { expect, test } from "vitest";
import { concatBytes, hexOf } from "../bytes.ts";
import { DECLARED_BYTES, MODE } from "../transactions.ts";
import { unionModes } from "./union-modes.ts";

/** "aw br" = account aa..aa write, account bb..bb read. */
const setOf = (text: string): Uint8Array =>
  concatBytes(
    text.split(" ").flatMap((item) => {
      const mode = { r: MODE.read, w: MODE.write, c: MODE.code }[item[1] ?? ""];
      return mode === undefined ? [] : [Uint8Array.of(mode, ...new Uint8Array(20).fill(Number.parseInt(`${item[0]}0`, 16)))];
    }),
  );

const textOf = (set: Uint8Array): string =>
  Array.from({ length: set.length / DECLARED_BYTES }, (_, index) => {
    const at = index * DECLARED_BYTES;
    return `${hexOf(set, at + 1, at + 2)[0] ?? ""}${"rwc"[set[at] ?? 3] ?? "?"}`;
  }).join(" ");

test.each<[left: string, right: string, want: string]>([
  ["", "", ""],
  ["aw", "", "aw"],
  ["", "ar bw", "ar bw"],
  ["aw cr", "bc dw", "aw bc cr dw"],
  ["ar bw cc", "aw br cr", "aw bw cr"],
  ["ac", "ac", "ac"],
])("%j and %j", (left, right, want) => {
  expect(textOf(unionModes(setOf(left), setOf(right)))).toBe(want);
});
