/** The loop: blocks from OUT, said until sealed, alarms, snapshots, retention, full disks. In memory, with real databases. */
import { hexOf, IoError } from "@meridian/core";
import type { Bus, OutBatch } from "@meridian/core";
import { readArchiveSnapshots } from "@meridian/store";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Rig, until } from "./rig.ts";
import type { TestArchive } from "./rig.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await Rig.open({ seed: 31, blocks: 40, transactionsPerFlush: 12 });
});
afterEach(() => rig.close());

const headOf = ({ running }: TestArchive): number => running.status().head;

function expectChain({ store }: TestArchive, last: number, first = 0): void {
  for (const block of rig.blocks.slice(first, last + 1)) {
    const stored = store.block(block.number)!;
    const body = store.body(stored, 0, Infinity, Infinity);
    expect([stored.hash, body.transactions, body.results].map((bytes) => hexOf(bytes))).toEqual(
      [block.hash, block.transactions, block.results].map((bytes) => hexOf(bytes)),
    );
  }
}

/** A bus whose OUT gives what `change` makes of each batch. */
const changing =
  (change: (batch: OutBatch) => OutBatch[]) =>
  (bus: Bus): Bus => ({
    ...{
      log: bus.log,
      settings: bus.settings,
      objects: bus.objects,
      wire: bus.wire,
      closed: bus.closed,
      close: () => bus.close(),
    },
    out: {
      publish: bus.out.publish.bind(bus.out),
      lastN: bus.out.lastN.bind(bus.out),
      truncate: bus.out.truncate.bind(bus.out),
      async *read(after, options) {
        for await (const batches of bus.out.read(after, options)) yield batches.flatMap(change);
      },
    },
  });

test("two archives over one bus build the same blocks, and one that comes later does too", async () => {
  const [left, right] = [rig.start("left"), rig.start("right")];
  await rig.publish(20);
  const late = rig.start("late");
  await rig.publish(40);
  for (const archive of [left, right, late]) {
    await until(() => headOf(archive) === 40);
    expectChain(archive, 40);
    expect(archive.store.start().sequence).toBe(left.store.start().sequence);
  }
});

test("built blocks are said at once, and again with each beat until they are sealed", async () => {
  const archive = rig.start("a");
  await rig.publish(3);
  await until(() => headOf(archive) === 3);
  expect(rig.built.map(({ archive: name, number, hash }) => [name, number, hexOf(hash)])).toEqual(
    rig.blocks.slice(0, 4).map(({ number, hash }) => ["a", number, hexOf(hash)]),
  );
  const said = async (latest: number, hash?: Uint8Array) => {
    rig.built.length = 0;
    rig.beat(latest, hash);
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    return rig.built.map(({ number }) => number);
  };
  expect(await said(0, new Uint8Array(32))).toEqual([0, 1, 2, 3]);
  expect(await said(1)).toEqual([2, 3]);
  expect(await said(3)).toEqual([]);
  await archive.stop();
  const again = rig.start("a");
  await until(() => again.running.status().phase === "running");
  expect(await said(2)).toEqual([3]);
});

test("a start goes on where the last one ended, with the tail read again", async () => {
  const first = rig.start("a");
  await rig.publish(10);
  await rig.publishOf(0, 3);
  await until(() => headOf(first) === 10);
  await first.stop();
  const second = rig.start("a");
  await rig.publish(25);
  await until(() => headOf(second) === 25);
  expectChain(second, 25);
});

describe("alarms stop intake and nothing else", () => {
  const flip = (bytes: Uint8Array): Uint8Array => bytes.map((byte, at) => (at === 40 ? byte ^ 1 : byte));
  const isBusy = ({ partition, records }: OutBatch): boolean =>
    partition === 1 && records.some(({ transactions }) => transactions.length > 0);
  let count = 0;
  beforeEach(() => {
    count = 0;
  });

  test.each<[what: string, code: string, change: (batch: OutBatch) => OutBatch[]]>([
    [
      "unequal duplicate",
      "UNEQUAL",
      (batch) => [
        batch,
        { ...batch, records: batch.records.map((record) => ({ ...record, transactions: flip(record.transactions) })) },
      ],
    ],
    ["gap", "GAP", (batch) => (isBusy(batch) && ++count === 3 ? [] : [batch])],
    [
      "result missing",
      "MALFORMED",
      (batch) => [
        isBusy(batch) && ++count === 3
          ? { ...batch, records: batch.records.map((record) => ({ ...record, results: new Uint8Array(0) })) }
          : batch,
      ],
    ],
  ])("%s", async (_what, code, change) => {
    // prettier-ignore
    const archive = rig.start("a", { wrapBus: changing(change) });
    await rig.publish(30);
    await archive.running.done;
    const { text, head, phase } = archive.running.status();
    expect(phase).toBe("stopped");
    expect(text).toMatch(new RegExp(`^${code}( |$)`));
    expectChain(archive, head);
    if (head >= 0)
      expect(await rig.ask({ op: "block", by: head, atLeast: 0, body: false })).toMatchObject({
        op: "block",
        block: { number: head },
      });
    expect(await rig.ask({ op: "headers", first: 0, count: 1, atLeast: head + 1 })).toMatchObject({
      failure: { code: "STOPPED" },
    });
    expect(await rig.ask({ op: "transactions", hashes: new Uint8Array(32), atLeast: 0 })).toMatchObject({
      failure: { code: "STOPPED" },
    });
  });

  test("every batch twice is no alarm", async () => {
    const archive = rig.start("a", { wrapBus: changing((batch) => [batch, batch]) });
    await rig.publish(40);
    await until(() => headOf(archive) === 40);
    expectChain(archive, 40);
  });

  test("a seal with another hash: it stops and answers no more", async () => {
    const archive = rig.start("a");
    await rig.publish(5);
    await until(() => headOf(archive) === 5);
    rig.beat(4);
    rig.beat(5, new Uint8Array(32).fill(9));
    await until(() => archive.running.status().phase === "stopped");
    expect(archive.running.status().text).toMatch(/^SEAL_UNEQUAL block 5 /);
    await expect(rig.ask({ op: "head" })).rejects.toMatchObject({ detail: { code: "NO_RESPONDERS" } });
  });

  test("the database of another chain is not touched", async () => {
    const first = rig.start("a");
    await rig.publish(2);
    await until(() => headOf(first) === 2);
    await first.stop();
    rig.server.settings.clear();
    await rig.bus.settings.create({ chainId: 1, blockMs: 500, blockGasLimit: 30_000_000, genesisHash: "cd".repeat(32) });
    const second = rig.start("a");
    await until(() => second.running.status().phase === "stopped");
    expect(second.running.status()).toMatchObject({ head: 2, text: expect.stringMatching(/^OTHER_CHAIN /) as string });
  });
});

describe("snapshots", () => {
  const options = { snapshotBlocks: 8 };
  const kept = async () => (await readArchiveSnapshots(rig.bus.objects)).kept.map(({ block }) => block);

  /** Publishes block by block, so that each snapshot is taken before the next is due. */
  async function publishWithSnapshots(archive: TestArchive, last: number): Promise<void> {
    for (let block = headOf(archive) + 1; block <= last; block++) {
      await rig.publish(block);
      await until(() => headOf(archive) === block);
      if (block % 8 === 0 && block > 0) {
        for (let turn = 0; (await kept())[0] !== block && turn < 1_000; turn++)
          await new Promise((resolve) => setImmediate(resolve));
        await until(() => rig.server.streams.OUT.at(1) === undefined || block < 16);
      }
    }
  }

  test("are taken, the newest two are kept, OUT is cut at the older one, a fresh archive restores and goes on", async () => {
    const first = rig.start("a", options);
    await publishWithSnapshots(first, 26);
    expect(await kept()).toEqual([24, 16]);
    const [sequence] = [rig.blocks[16]!.progress.sequence];
    const { OUT } = rig.server.streams;
    expect([OUT.at(1), OUT.at(first.store.block(16)!.progress.sequence)]).toEqual([undefined, undefined]);
    expect(OUT.at(first.store.block(16)!.progress.sequence + 1)).toBeDefined();
    expect(sequence).toBeGreaterThan(0);
    const fresh = rig.start("b", options);
    await until(() => headOf(fresh) === 26);
    expectChain(fresh, 26);
    await rig.publish(40);
    for (const archive of [first, fresh]) {
      await until(() => headOf(archive) === 40);
      expectChain(archive, 40);
    }
  });

  test("a damaged chunk: the older snapshot, then OUT", async () => {
    const first = rig.start("a", options);
    await publishWithSnapshots(first, 26);
    const name = [...rig.server.objects.keys()].find((object) => /^archive\/24\/\d/.test(object))!;
    const chunk = rig.server.objects.get(name)!;
    chunk[chunk.length >> 1]! ^= 1;
    const fresh = rig.start("b", options);
    await until(() => headOf(fresh) === 26);
    expectChain(fresh, 26);
  });

  test("one that stood still while OUT was cut fills the gap from a snapshot", async () => {
    const first = rig.start("a", options);
    const other = rig.start("b");
    await publishWithSnapshots(first, 5);
    await until(() => headOf(other) === 5);
    await other.stop();
    await publishWithSnapshots(first, 26);
    const again = rig.start("b");
    await until(() => headOf(again) === 26);
    expectChain(again, 26);
    expect(again.running.status().phase).toBe("running");
  });

  test("one that is cut off while it runs restores too", async () => {
    const first = rig.start("a", options);
    const other = rig.start("b");
    await publishWithSnapshots(first, 5);
    await until(() => headOf(other) === 5);
    (other.bus as typeof rig.bus).disconnect();
    await publishWithSnapshots(first, 26);
    (other.bus as typeof rig.bus).reconnect();
    await until(() => headOf(other) === 26);
    expectChain(other, 26);
  });
});

test("old blocks go in small steps", async () => {
  const archive = rig.start("a", { retentionBlocks: 10 });
  await rig.publish(40);
  await until(() => archive.store.oldest() === 31);
  expect(await rig.ask({ op: "block", by: 30, atLeast: 0, body: true })).toEqual({
    op: "failed",
    failure: { code: "PRUNED", oldest: 31 },
  });
  expectChain(archive, 40, 31);
});

test("a full disk: it says so, answers what it has, and goes on once there is room", async () => {
  let failures = 0;
  const archive = rig.start("a", {
    wrapStore: (store) => ({
      ...store,
      put(blocks) {
        if (!blocks.some(({ number }) => number === 5) || failures >= 5) return store.put(blocks);
        failures++;
        return Promise.reject(
          new IoError({ code: "STORE_WRITE", text: "disk full or failing: ENOSPC", freeBytes: 0, path: "x" }, "later"),
        );
      },
    }),
  });
  await rig.publish(10);
  await until(() => archive.running.status().phase === "full");
  expect(archive.running.status().head).toBeLessThan(5);
  expect(archive.running.status()).toMatchObject({ text: expect.stringContaining("disk full") as string });
  expect(await rig.ask({ op: "head" })).toMatchObject({ op: "head", number: expect.any(Number) as number });
  await until(() => headOf(archive) === 10);
  expect(archive.running.status()).toMatchObject({ phase: "running", text: null });
  expectChain(archive, 10);
});

test("an archive that is catching up leaves the answers to others", async () => {
  const first = rig.start("a", { limits: { joinMs: 60_000 } });
  await rig.publish(10);
  await until(() => headOf(first) === 10);
  await expect(rig.ask({ op: "head" })).rejects.toMatchObject({ detail: { code: "NO_RESPONDERS" } });
  rig.beat(11);
  await Promise.resolve();
  await expect(rig.ask({ op: "head" })).rejects.toMatchObject({ detail: { code: "NO_RESPONDERS" } });
  rig.beat(10);
  await until(() => first.running.status().lagBlocks === 0);
  expect(await rig.ask({ op: "head" })).toMatchObject({ op: "head", number: 10 });
});
