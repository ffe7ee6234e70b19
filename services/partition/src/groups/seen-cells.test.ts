import { expect, test } from "vitest";
import { concatBytes, hexOf } from "@meridian/core";
import { FakeEngine, accountList, addressOf, fakeSlotCell, fakeSlotKey, runOf, slotOf } from "@meridian/core/actor/testing";
import { TestPartitions, member } from "../testing/partitions.ts";
import { SeenCells } from "./seen-cells.ts";

const key = (address: string, slot = 0): Uint8Array => {
  const made = fakeSlotKey(addressOf(address));
  made[made.length - 1] = slot;
  return made;
};

const [f1, f1b, f1c, f2] = [key("f1"), key("f1", 1), key("f1", 2), key("f2")];
const BOTH = accountList(["w f1", "r f2", "w 11"]);

test.each<[what: string, missed: Uint8Array[][], accounts: Uint8Array, want: Uint8Array[]]>([
  ["nothing is known", [], BOTH, []],
  ["missed once: it may be others next time", [[f1]], BOTH, []],
  ["missed again", [[f1], [f1]], BOTH, [f1]],
  ["less than before", [[f1, f1b], [f1b]], BOTH, [f1, f1b]],
  ["more than before", [[f1], [f1], [f1, f1b]], BOTH, []],
  ["more, and then the same", [[f1], [f1, f1b], [f1, f1b]], BOTH, [f1, f1b]],
  [
    "of two accounts",
    [
      [f1, f2],
      [f1, f2],
    ],
    BOTH,
    [f1, f2],
  ],
  ["one of two is not known well", [[f1], [f1, f2]], BOTH, []],
  ["after a group that missed nothing", [[f1], [f1], []], BOTH, [f1]],
  [
    "of an account of its own, or in mode code",
    [
      [f1, f2],
      [f1, f2],
    ],
    accountList(["w 11", "c f1"]),
    [],
  ],
  [
    "more than one account may have: the first is forgotten",
    [
      [f1, f1b, f1c],
      [f1b, f1c],
    ],
    accountList(["w f1"]),
    [f1b, f1c],
  ],
  ["more than all may have: the first account is", [[f1, f1b], [f2, key("f3")], [f2], [f1]], BOTH, []],
])("%s", (_what, missed, accounts, want) => {
  const seen = new SeenCells({ seenKeysMax: 2, seenKeysTotalMax: 3 });
  for (const keys of missed) seen.note(concatBytes(keys));
  const isForeign = (bytes: Uint8Array, at: number): boolean => bytes[at] !== 0x11;
  expect(hexOf(seen.likely(accounts, isForeign))).toBe(hexOf(concatBytes(want)));
});

class CountingEngine extends FakeEngine {
  runs = 0;

  override propose(...run: Parameters<FakeEngine["propose"]>): ReturnType<FakeEngine["propose"]> {
    this.runs++;
    return super.propose(...run);
  }
}

test("a group whose cells were missed before runs once, on what stands there now", async () => {
  const partitions = await TestPartitions.begin([fakeSlotCell(addressOf("11"), 5), fakeSlotCell(addressOf("f1"), 7)]);
  try {
    const engine = new CountingEngine();
    await Promise.all([partitions.start(0, {}, { engine: () => engine }), partitions.start(1)]);
    const accounts = ["w 11", "w f1"];
    const written: number[] = [];
    const runs: number[] = [];
    for (let turn = 1; turn <= 3; turn++) {
      await partitions.chain.append({ 1: [runOf(member(0, "add f1 100", ["w f1"], "f9"))] });
      engine.runs = 0;
      const group = await partitions.appendGroup([member(1, "add 11 1; add f1 10", accounts)], accounts);
      const proposal = await partitions.proposal(group);
      runs.push(engine.runs);
      written.push(...proposal.writes.map(([, cells]) => slotOf(cells)));
      await partitions.appendApply(proposal);
    }
    expect(written).toEqual([6, 117, 7, 227, 8, 337]);
    expect(runs).toEqual([2, 2, 1]);
  } finally {
    await partitions.end();
  }
});
