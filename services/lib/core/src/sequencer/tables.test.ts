import { describe, expect, test } from "vitest";
import { bytesOfHex, hexOf } from "../bytes.ts";
import { evenRangeMap, indexRanges } from "../ranges.ts";
import { numbersFrom } from "../blocks/testing.ts";
import type { MapChange } from "./map-change.ts";
import { changeMap } from "./map-change.ts";
import { addHash, dropNewest, hasHash, openRecentHashes } from "./recent-hashes.ts";
import { noteReport } from "./partition-table.ts";
import { addSender, findSender, openSenderTable, removeSender, SENDER } from "./sender-table.ts";
import { accountOf, leadFresh, reportOf, transferHash } from "./testing/index.ts";

describe("sender table", () => {
  const openKnown = (sendersMax: number, count: number) => {
    const table = openSenderTable(sendersMax, 1);
    for (let number = 0; number < count; number++) table.state[addSender(table, accountOf(number), 0, 0)] = SENDER.known;
    return table;
  };

  test("finds what was added, after it has grown and after others were forgotten", () => {
    const table = openKnown(100_000, 5_000);
    for (let number = 0; number < 5_000; number += 3) removeSender(table, findSender(table, accountOf(number), 0));
    const found = Array.from({ length: 5_000 }, (_, number) => findSender(table, accountOf(number), 0) >= 0);
    expect(found).toEqual(found.map((_, number) => number % 3 !== 0));
    expect(table.count).toBe(found.filter(Boolean).length);
  });

  test("agrees with a Map over random additions and removals", () => {
    const next = numbersFrom(7);
    const table = openSenderTable(1_000, 99);
    const model = new Map<number, number>();
    for (let turn = 0; turn < 20_000; turn++) {
      const number = next(500);
      const id = model.get(number);
      expect(findSender(table, accountOf(number), 0)).toBe(id ?? -1);
      if (id === undefined) model.set(number, addSender(table, accountOf(number), 0, 0));
      else {
        removeSender(table, id);
        model.delete(number);
      }
    }
    expect(table.count).toBe(model.size);
  });

  test("a full table forgets the sender unused longest that has nothing open", () => {
    const table = openKnown(4, 4);
    table.waiting[findSender(table, accountOf(1), 0)] = 1;
    table.lastFlush[findSender(table, accountOf(2), 0)] = 8; // not acknowledged
    findSender(table, accountOf(3), 0); // used just now
    table.touched[0] = 0;
    expect(addSender(table, accountOf(9), 0, 7)).toBe(0);
    expect([0, 1, 2, 3, 9].map((number) => findSender(table, accountOf(number), 0) >= 0)).toEqual([
      false,
      true,
      true,
      true,
      true,
    ]);
  });

  test("a table full of senders with something open takes no more", () => {
    const table = openSenderTable(3, 1);
    for (let number = 0; number < 3; number++) addSender(table, accountOf(number), 0, 0);
    expect(addSender(table, accountOf(9), 0, 0)).toBe(-1);
  });
});

describe("recent hashes", () => {
  const hash = (number: number) => transferHash({ sender: number, nonce: 0 });

  test("keeps the newest", () => {
    const recent = openRecentHashes(100);
    for (let number = 0; number < 1_000; number++) addHash(recent, hash(number), 0);
    expect(Array.from({ length: 1_000 }, (_, number) => number).filter((number) => hasHash(recent, hash(number), 0))).toEqual(
      Array.from({ length: 100 }, (_, number) => 900 + number),
    );
  });

  test("takes the newest back", () => {
    const recent = openRecentHashes(10);
    for (let number = 0; number < 15; number++) addHash(recent, hash(number), 0);
    dropNewest(recent, 4);
    expect(Array.from({ length: 15 }, (_, number) => number).filter((number) => hasHash(recent, hash(number), 0))).toEqual([
      5, 6, 7, 8, 9, 10,
    ]);
    addHash(recent, hash(20), 0);
    expect([recent.count, hasHash(recent, hash(20), 0), hasHash(recent, hash(5), 0)]).toEqual([7, true, true]);
    dropNewest(recent, 100);
    expect([recent.count, hasHash(recent, hash(5), 0)]).toEqual([0, false]);
  });
});

describe("changes of the range map", () => {
  const owners = (changes: MapChange[]) => {
    const map = changes.reduce(changeMap, evenRangeMap(4));
    const index = indexRanges(map);
    const at = ["00", "3f", "40", "7f", "80", "bf", "c0", "ff"].map((byte) => index.ownerOf(bytesOfHex(byte.repeat(20)), 0));
    return [map.version, at.join(""), map.ranges.length];
  };
  const edge = (byte: string, rest: string) => byte + rest.repeat(38);

  test.each<[what: string, changes: MapChange[], want: ReturnType<typeof owners>]>([
    ["none", [], [1, "00112233", 4]],
    ["a whole range", [{ kind: "move", first: edge("40", "0"), last: edge("7f", "f"), to: 3 }], [2, "00332233", 4]],
    ["to the neighbour", [{ kind: "move", first: edge("40", "0"), last: edge("7f", "f"), to: 0 }], [2, "00002233", 3]],
    ["the lower part", [{ kind: "move", first: edge("40", "0"), last: edge("5f", "f"), to: 3 }], [2, "00312233", 5]],
    ["over several ranges", [{ kind: "move", first: edge("10", "0"), last: edge("ef", "f"), to: 2 }], [2, "02222223", 3]],
    ["all", [{ kind: "move", first: "0".repeat(40), last: "f".repeat(40), to: 1 }], [2, "11111111", 1]],
    ["pin and back", [{ kind: "pin", address: "7f".repeat(20), partition: 0 }], [2, "00102233", 4]],
    [
      "unpin",
      [
        { kind: "pin", address: "7f".repeat(20), partition: 0 },
        { kind: "unpin", address: "7f".repeat(20) },
      ],
      [3, "00112233", 4],
    ],
    [
      "new partition",
      [
        { kind: "addPartition", id: 4, parent: 3, n: 9 },
        { kind: "move", first: edge("e0", "0"), last: "f".repeat(40), to: 4 },
      ],
      [3, "00112234", 5],
    ],
  ])("%s", (_what, changes, want) => expect(owners(changes)).toEqual(want));

  test.each<[what: string, change: MapChange]>([
    ["to a partition without a log", { kind: "move", first: "0".repeat(40), last: "f".repeat(40), to: 9 }],
    ["range the wrong way round", { kind: "move", first: "1".repeat(40), last: "0".repeat(40), to: 1 }],
    ["pin of no address", { kind: "pin", address: "0x00", partition: 1 }],
    ["unpin of what is not pinned", { kind: "unpin", address: "00".repeat(20) }],
    ["partition number used before", { kind: "addPartition", id: 1, parent: 0, n: 1 }],
  ])("a change that does not fit is a bug: %s", (_what, change) =>
    expect(() => changeMap(evenRangeMap(4), change)).toThrow(/^bug: /),
  );
});

describe("reports of several processes for one partition", () => {
  const SILENT_MS = 100;
  const said = (host: string, n: number, stopped: string | null = null, at = 0) => ({ host, n, stopped, at });
  const laneAfter = (reports: ReturnType<typeof said>[]) => {
    const { chain, sequencer } = leadFresh();
    const { partitions } = sequencer;
    const report = reportOf(chain.ledger, 0);
    for (const { at, ...changes } of reports) noteReport(partitions, { ...report, ...changes }, at, SILENT_MS);
    const { applied, stopped } = partitions.lanes[0]!;
    return [applied, stopped];
  };

  test.each<[what: string, reports: ReturnType<typeof said>[], want: [applied: number, stopped: boolean]]>([
    ["the furthest counts", [said("a", 9), said("b", 3)], [9, false]],
    ["one that starts again goes back", [said("a", 9), said("a", 3)], [3, false]],
    ["one that is silent counts no more", [said("a", 9), said("b", 3, null, SILENT_MS + 1)], [3, false]],
    ["one that has stopped is not talked over", [said("a", 9, "GAP"), said("b", 9)], [9, true]],
    ["until it is gone", [said("a", 9, "GAP"), said("b", 9, null, SILENT_MS + 1)], [9, false]],
  ])("%s", (_what, reports, want) => expect(laneAfter(reports)).toEqual(want));
});

test("test accounts differ", () => {
  expect(new Set(Array.from({ length: 1_000 }, (_, number) => hexOf(accountOf(number)))).size).toBe(1_000);
});
