import { expect, test } from "vitest";
import { concatBytes, hexOf } from "../../bytes.ts";
import { CELL } from "../../cells.ts";
import { PENDING } from "../../engine.ts";
import type { RunRules } from "../../engine.ts";
import { evenRangeMap, ownedBy } from "../../ranges.ts";
import { resultBytes, resultIndex, resultReason, resultStatus } from "../../results.ts";
import { WHY, touchAccounts, touchBytes, touchIndex, touchValue, touchWhy } from "../../touches.ts";
import { cellBytes } from "../cells.ts";
import type { ToyTransaction } from "./index.ts";
import {
  FakeEngine,
  accountList,
  addressOf,
  balanceOf,
  fakeAccountCell,
  fakeKey,
  fakeSlotCell,
  fakeSlotKey,
  nonceRecordOf,
  opensBlock,
  sealHash,
  slotOf,
  toy,
  toyTransaction,
} from "./index.ts";

const NONE = new Uint8Array(0);
const FREE: RunRules = { flush: 5, strict: false, barred: NONE, missed: NONE };

/** The lower half of the addresses, in block 3, with 10 in a1's slot and 100 on sender 01's account. */
function openEngine(): FakeEngine {
  const engine = new FakeEngine();
  engine.setOwned(ownedBy(evenRangeMap(2), 0));
  engine.importCells(concatBytes([fakeSlotCell(addressOf("11"), 10), fakeAccountCell(addressOf("01"), 100)]));
  engine.openBlock(opensBlock(3));
  engine.seal(1, sealHash(1));
  return engine;
}

const names = (why: number): string => Object.entries(WHY).find(([, code]) => code === why)?.[0] ?? "none";

function touchTexts(touches: Uint8Array): string[] {
  const texts: string[] = [];
  for (let at = 0; at < touches.length; at += touchBytes(touches, at)) {
    const packed = touchAccounts(touches, at);
    const accounts = Array.from({ length: packed.length / 21 }, (_, number) => {
      const mode = ["r", "w", "c"][packed[number * 21] ?? 3];
      return ` ${mode}${hexOf(packed, number * 21 + 1, number * 21 + 2)}`;
    });
    const value = touchValue(touches, at);
    texts.push(`${touchIndex(touches, at)} ${names(touchWhy(touches, at))}${value > 0 ? ` ${value}` : ""}${accounts.join("")}`);
  }
  return texts;
}

function resultTexts(results: Uint8Array): string[] {
  const texts: string[] = [];
  for (let at = 0; at < results.length; at += resultBytes(results, at)) {
    texts.push(`${resultIndex(results, at)} status ${resultStatus(results, at)} reason ${resultReason(results, at)}`);
  }
  return texts;
}

const records = (list: Partial<ToyTransaction>[]): Uint8Array[] =>
  list.map((fields, index) => toyTransaction({ index: index + 1, sender: "01", nonce: index, to: "11", ...fields }));

const OK = "1 status 1 reason 0";
test.each<[what: string, transactions: Partial<ToyTransaction>[], rules: Partial<RunRules>, results: string[], misses: string[]]>(
  [
    ["adds to its account", [{}], {}, [OK], []],
    ["an undeclared account of its own", [{ program: toy("add 12") }], {}, [OK], []],
    ["the same when strict", [{ program: toy("add 12") }], { strict: true }, [], ["1 outside w12"]],
    ["the same when barred", [{ program: toy("add 12") }], { barred: addressOf("12") }, [], ["1 outside w12"]],
    ["barred but declared", [{}], { barred: addressOf("11"), strict: true }, [OK], []],
    ["a write declared as read", [{ declared: ["r 11"] }], { strict: true }, [], ["1 outside w11"]],
    ["a read declared as write", [{ program: toy("read 11") }], { strict: true }, [OK], []],
    ["code declared as code", [{ program: toy("code 11"), declared: ["c 11"] }], { strict: true }, [OK], []],
    ["a read declared as code", [{ program: toy("read 11"), declared: ["c 11"] }], { strict: true }, [], ["1 outside r11"]],
    ["an account of another partition", [{ program: toy("read 11; add f1") }], {}, [], ["1 outside r11 wf1"]],
    ["a sealed hash, and one out of reach", [{ program: toy("hash 1; hash 3") }], {}, [OK], []],
    ["a hash not sealed", [{ program: toy("read 11; hash 2") }], {}, [], ["1 unsealed 2 r11"]],
    ["too little value", [{ program: toy("add 11; pay 12 101") }], {}, ["1 status 0 reason 4"], []],
    ["a revert", [{ program: toy("add 11; revert") }], {}, ["1 status 0 reason 1"], []],
    [
      "one that follows a miss",
      [{ program: toy("add f1") }, { after: { flush: 5, index: 1 } }],
      {},
      [],
      ["1 outside wf1", "2 follows"],
    ],
    [
      "the same index of another flush",
      [{ program: toy("add f1") }, { after: { flush: 4, index: 1 } }],
      {},
      ["2 status 1 reason 0"],
      ["1 outside wf1"],
    ],
    [
      "one that follows an earlier miss",
      [{ after: { flush: 4, index: 9 } }],
      { missed: new Uint8Array([4, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0]) },
      [],
      ["1 follows"],
    ],
  ],
)("run: %s", (_what, list, rules, results, misses) => {
  const engine = openEngine();
  const ran = engine.run(concatBytes(records(list)), NONE, { ...FREE, ...rules });
  expect({ results: resultTexts(ran.results), misses: touchTexts(ran.misses) }).toEqual({ results, misses });
});

test("a miss and a failure leave nothing behind", () => {
  const engine = openEngine();
  const list = [{ program: toy("add 11; add f1") }, { program: toy("add 11; revert") }, { program: toy("add 11; pay 12 7") }];
  engine.run(concatBytes(records(list)), NONE, FREE);
  const cells = engine.grant(
    concatBytes([fakeSlotKey(addressOf("11")), fakeKey(CELL.account, addressOf("01")), fakeKey(CELL.account, addressOf("12"))]),
  );
  expect([slotOf(cells), balanceOf(cells.subarray(85)), balanceOf(cells.subarray(170))]).toEqual([11, 93, 7]);
});

test("a proposal asks for what it was not given, and shows what its members do", () => {
  const engine = openEngine();
  const members = concatBytes(
    records([{ program: toy("add 11; add f1") }, { program: toy("read f1; add f2") }, { program: toy("add 12") }]),
  );
  const rules = { flush: 5, allowed: accountList(["w 11", "w f1", "w f2"]), whole: false, missed: NONE };
  const first = engine.propose(members, NONE, rules);
  expect(first.missing).toEqual(concatBytes([fakeSlotKey(addressOf("f1")), fakeSlotKey(addressOf("f2"))]));
  const given = concatBytes([fakeSlotCell(addressOf("f1"), 4), fakeSlotCell(addressOf("f2"), 8)]);
  const second = engine.propose(members, given, rules);
  expect(second.missing.length).toBe(0);
  expect(resultTexts(second.results)).toEqual([OK, "2 status 1 reason 0"]);
  expect(touchTexts(second.touches)).toEqual(["1 complete w11 wf1", "2 complete rf1 wf2", "3 outside w12"]);
  expect(second.writes).toEqual(
    concatBytes([fakeSlotCell(addressOf("11"), 11), fakeSlotCell(addressOf("f1"), 5), fakeSlotCell(addressOf("f2"), 9)]),
  );
  engine.applyWrites(second.writes);
  const { cells } = engine.read(PENDING, concatBytes([fakeSlotKey(addressOf("11")), fakeSlotKey(addressOf("f1"))])) as {
    cells: Uint8Array;
  };
  expect([slotOf(cells), slotOf(cells.subarray(cellBytes(cells, 0)))]).toEqual([11, 0]); // f1 is not its own.
});

test("a new account shows only once its first transaction has come to an end", () => {
  const looks = (engine: FakeEngine, index: number): string => {
    const look = toyTransaction({ index, sender: "01", nonce: 1, to: "11", program: toy("look 02") });
    const { results } = engine.run(look, NONE, FREE);
    return hexOf(results, 64, 68);
  };
  const fresh = openEngine();
  const unseen = looks(fresh, 1);
  const first = toyTransaction({ index: 2, sender: "02", nonce: 0, to: "11", declared: ["w 02", "w 11"] });
  fresh.run(NONE, nonceRecordOf(first), FREE); // It runs elsewhere, or later.
  expect(looks(fresh, 3)).toBe(unseen);
  const { writes } = fresh.propose(first, NONE, { flush: 5, allowed: accountList(["w 02", "w 11"]), whole: false, missed: NONE });
  fresh.applyWrites(writes);
  const seen = looks(fresh, 4);
  expect(seen).not.toBe(unseen);
  const local = openEngine();
  local.run(first, nonceRecordOf(first), FREE);
  expect(looks(local, 3)).toBe(seen);
});
