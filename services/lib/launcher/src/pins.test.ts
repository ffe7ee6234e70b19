import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readPins, refuseOtherPins } from "./pins.ts";

const A = `0x${"aB".repeat(20)}`;
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "meridian-pins-"));
});
afterEach(() => rm(folder, { recursive: true }));

test("partitions by address, in lower case", async () => {
  const file = join(folder, "pins.json");
  await writeFile(file, JSON.stringify({ [A]: 3 }));
  expect(await readPins(file, 4)).toEqual({ [A.toLowerCase()]: 3 });
});

test.each<[what: string, text: string, want: string]>([
  ["no JSON", "{", "want JSON"],
  ["a list", "[]", "want JSON"],
  ["no address", `{"0x12": 1}`, "0x12 is no address"],
  ["a partition that is not there", JSON.stringify({ [A]: 4 }), "goes to 4: want a partition from 0 to 3"],
  ["a partition by name", JSON.stringify({ [A]: "one" }), `goes to "one"`],
])("%s is refused with what is wrong", async (_what, text, want) => {
  const file = join(folder, "pins.json");
  await writeFile(file, text);
  const detail = { code: "PINS", text: expect.stringContaining(want) as string };
  await expect(readPins(file, 4)).rejects.toMatchObject({ detail });
});

test("a chain that is there keeps the pins that it began with", async () => {
  await refuseOtherPins(folder, { [A]: 1 });
  await writeFile(join(folder, "genesis.json"), JSON.stringify({ config: { chainId: 7, meridian: { pins: { [A]: 1 } } } }));
  await refuseOtherPins(folder, { [A]: 1 });
  await expect(refuseOtherPins(folder, { [A]: 2 })).rejects.toMatchObject({ detail: { code: "PINS" } });
});
