import { expect } from "vitest";
import { encodeOutMessage } from "../../src/codec/out-message.ts";
import { codeOf, outRecord, outRecords, readOut } from "./rig.ts";
import type { Row } from "./rig.ts";

const ns = (batches: { partition: number; records: { n: number }[] }[], partition: number): number[] =>
  batches.filter((batch) => batch.partition === partition).flatMap(({ records }) => records.map(({ n }) => n));
const oneTo = (last: number): number[] => Array.from({ length: last }, (_, index) => index + 1);

export const outRows: Row[] = [
  [
    "records come back in order, all partitions in one stream, and reading goes on after any sequence",
    async (rig) => {
      const bus = await rig.connect();
      expect(await bus.out.lastN(0)).toBe(0);
      await Promise.all([bus.out.publish(0, outRecords(1, 5), { traceparent: "00-b" }), bus.out.publish(1, outRecords(1, 3))]);
      await bus.out.publish(0, outRecords(6, 7));
      expect([await bus.out.lastN(0), await bus.out.lastN(1), await bus.out.lastN(2)]).toEqual([7, 3, 0]);
      const all = await readOut(bus, 0, 10);
      expect([ns(all, 0), ns(all, 1)]).toEqual([oneTo(7), oneTo(3)]);
      expect(all.find(({ partition }) => partition === 0)?.headers).toEqual({ traceparent: "00-b" });
      expect(all.flatMap(({ records }) => records).find(({ n }) => n === 6)).toEqual(outRecord(6));
      const rest = await readOut(bus, all[0]?.sequence ?? 0, 10 - (all[0]?.records.length ?? 0));
      expect(rest.map(({ sequence }) => sequence)).toEqual(all.slice(1).map(({ sequence }) => sequence));
    },
  ],
  [
    "records already there are passed over, also after a restart; a hole is refused",
    async (rig) => {
      const first = await rig.connect();
      await first.out.publish(0, outRecords(1, 4));
      const second = await rig.connect();
      await second.out.publish(0, outRecords(1, 4));
      await second.out.publish(0, outRecords(3, 6));
      expect(await codeOf(second.out.publish(0, [outRecord(8)]))).toBe("OUT_GAP");
      expect(await codeOf(second.out.publish(0, [outRecord(7), outRecord(9)]))).toBe("OUT_GAP");
      await second.out.publish(0, [outRecord(7)]);
      expect(ns(await readOut(first, 0, 7), 0)).toEqual(oneTo(7));
    },
  ],
  [
    "two owners publishing at once make no gap, no double and no other order",
    async (rig) => {
      const [first, second] = [await rig.connect(), await rig.connect()];
      const publishAll = async (bus: typeof first, step: number) => {
        for (let from = 1; from <= 60; from += step) await bus.out.publish(0, outRecords(from, Math.min(60, from + step - 1)));
      };
      await Promise.all([publishAll(first, 3), publishAll(second, 4)]);
      expect(ns(await readOut(first, 0, 60), 0)).toEqual(oneTo(60));
    },
  ],
  [
    "an owner that comes to the last message record by record is compared at each",
    async (rig) => {
      const [first, second] = [await rig.connect(), await rig.connect()];
      await first.out.publish(0, outRecords(1, 4));
      for (const n of [1, 2, 3]) await second.out.publish(0, outRecords(n, n));
      const other = outRecords(4, 4).map((record) => ({ ...record, results: Uint8Array.of(9) }));
      expect(await codeOf(second.out.publish(0, other))).toBe("OUT_UNEQUAL");
    },
  ],
  [
    "an owner that would publish something else than what is there is stopped",
    async (rig) => {
      const [first, second] = [await rig.connect(), await rig.connect()];
      await first.out.publish(0, outRecords(1, 4));
      const other = outRecords(1, 5).map((record) => (record.n === 4 ? { ...record, results: Uint8Array.of(9) } : record));
      expect(await codeOf(second.out.publish(0, other))).toBe("OUT_UNEQUAL");
      await second.out.publish(0, outRecords(3, 5));
      expect(await first.out.lastN(0)).toBe(5);
    },
  ],
  [
    "overlapping publishes of one owner are gathered and keep their order",
    async (rig) => {
      const bus = await rig.connect();
      const done = oneTo(200).map((n) => bus.out.publish(0, [outRecord(n, 20_000)]));
      await Promise.all(done);
      const batches = await readOut(bus, 0, 200);
      expect(ns(batches, 0)).toEqual(oneTo(200));
      expect(batches.length).toBeLessThan(20);
    },
  ],
  ...([true, false] as const).map((landed): Row => [
    `a lost answer that ${landed ? "landed" : "did not land"} makes no double and no gap`,
    async (rig) => {
      const bus = await rig.connect();
      await bus.out.publish(0, outRecords(1, 2));
      rig.loseAnswer(bus, "OUT", landed);
      await bus.out.publish(0, outRecords(3, 4));
      await bus.out.publish(0, outRecords(5, 6));
      expect(ns(await readOut(bus, 0, 6), 0)).toEqual(oneTo(6));
    },
  ]),
  [
    "a record larger than any message arrives whole, between others",
    async (rig) => {
      const bus = await rig.connect();
      await bus.out.publish(1, [outRecord(1)]);
      await bus.out.publish(0, [outRecord(1), outRecord(2, 11_000_000), outRecord(3)]);
      const batches = await readOut(bus, 0, 4);
      expect(ns(batches, 0)).toEqual([1, 2, 3]);
      expect(batches.flatMap(({ records }) => records.map(({ transactions }) => transactions.length))).toEqual([
        10, 10, 11_000_000, 10,
      ]);
      await bus.out.truncate(batches.at(-2)?.sequence ?? 0);
      expect(ns(await readOut(bus, batches.at(-2)?.sequence ?? 0, 1), 0)).toEqual([3]);
    },
  ],
  ...([true, false] as const).map((hasPublished): Row => [
    `parts of a record without the last one are none, for ${hasPublished ? "one who knows what stood before" : "a new owner"}`,
    async (rig) => {
      const bus = await rig.connect();
      await bus.out.publish(0, outRecords(1, 2));
      const owner = hasPublished ? bus : await rig.connect();
      for (const part of [0, 1]) {
        const message = { partition: 0, firstN: 3, lastN: 3, part, parts: 3, body: new Uint8Array(100) };
        await rig.plant("OUT", "out.0", encodeOutMessage(message));
      }
      expect(await bus.out.lastN(0)).toBe(2);
      await bus.out.truncate(1_000);
      await owner.out.publish(0, [outRecord(3, 9_000_000), outRecord(4)]);
      expect(ns(await readOut(bus, 0, 2), 0)).toEqual([3, 4]);
      expect(await bus.out.lastN(0)).toBe(4);
    },
  ]),
  [
    "truncate keeps the last message of every partition",
    async (rig) => {
      const bus = await rig.connect();
      for (let n = 1; n <= 4; n++) await bus.out.publish(0, [outRecord(n)]);
      await bus.out.publish(1, [outRecord(1)]);
      for (let n = 5; n <= 6; n++) await bus.out.publish(0, [outRecord(n)]);
      await bus.out.truncate(3);
      expect(ns(await readOut(bus, 0, 4), 0)).toEqual([4, 5, 6]);
      await bus.out.truncate(1_000);
      expect([await bus.out.lastN(0), await bus.out.lastN(1)]).toEqual([6, 1]);
      await bus.out.publish(1, [outRecord(2)]);
      await bus.out.publish(0, [outRecord(7)]);
      expect([await bus.out.lastN(0), await bus.out.lastN(1)]).toEqual([7, 2]);
    },
  ],
  [
    "a full stream refuses, and takes the same records once there is room",
    async (rig) => {
      const bus = await rig.connect();
      await bus.out.publish(0, outRecords(1, 2));
      await rig.full("OUT", true);
      expect(await codeOf(bus.out.publish(0, outRecords(3, 4)))).toBe("FULL");
      await rig.full("OUT", false);
      await bus.out.publish(0, outRecords(3, 4));
      expect(ns(await readOut(bus, 0, 4), 0)).toEqual(oneTo(4));
    },
  ],
  [
    "publisher and reader go on after the server died and came back",
    async (rig) => {
      const [first, second] = [await rig.connect(), await rig.connect()];
      const reading = readOut(second, 0, 6);
      await first.out.publish(0, outRecords(1, 3));
      await rig.crash();
      await first.out.publish(0, outRecords(4, 6));
      expect(ns(await reading, 0)).toEqual(oneTo(6));
    },
  ],
];
