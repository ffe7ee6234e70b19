import { FORMAT_VERSION } from "@meridian/core";
import { expect } from "vitest";
import type { LogMessage } from "@meridian/core";
import { encodeLogMessage, hashHeader, hashOf } from "../../src/index.ts";
import {
  PARTITIONS,
  START,
  append,
  appendMarks,
  codeOf,
  contents,
  entry,
  lead,
  markOf,
  readLog,
  startLog,
  until,
} from "./rig.ts";
import type { Rig, Row } from "./rig.ts";

export const appendRows: Row[] = [
  [
    "an append over several logs is read back from each, in order, with its place in the chain",
    async (rig) => {
      const bus = await rig.connect();
      const writer = await startLog(bus);
      expect(await writer.append(3, [append(0, 10), append(1, 11)], { traceparent: "00-a" })).toEqual({ outcome: "appended" });
      expect(await writer.append(4, [append(0, 12)])).toEqual({ outcome: "appended" });
      const read = await readLog(bus, 0, START, 4);
      expect(read.map(markOf)).toEqual([0, "term 1", 10, 12]);
      expect(read.map(({ message: { n, term, flush } }) => [n, term, flush])).toEqual([
        [1, 0, 1],
        [2, 1, 2],
        [3, 1, 3],
        [4, 1, 4],
      ]);
      expect(read.at(-1)?.position).toEqual(writer.position(0));
      expect(read[2]?.headers).toEqual({ traceparent: "00-a" });
      expect((await readLog(bus, 1, START, 3)).map(markOf)).toEqual([0, "term 1", 11]);
    },
  ],
  [
    "reading goes on after any position",
    async (rig) => {
      const bus = await rig.connect();
      await appendMarks(await startLog(bus), 20);
      const all = await readLog(bus, 0, START, 22);
      for (const index of [0, 1, 7, 20]) {
        const after = all[index]?.position ?? START;
        const rest = await readLog(bus, 0, after, 21 - index);
        expect(rest.map(({ message }) => message.n)).toEqual(all.slice(index + 1).map(({ message }) => message.n));
      }
    },
  ],
  [
    "a reader at the end of the log gets the next message when it comes",
    async (rig) => {
      const bus = await rig.connect();
      const writer = await startLog(bus);
      const next = readLog(await rig.connect(), 0, writer.position(0), 1);
      await appendMarks(writer, 1);
      expect((await next).map(markOf)).toEqual([1]);
    },
  ],
  [
    "a reader of a log without messages gets its first one",
    async (rig) => {
      const bus = await rig.connect();
      const first = readLog(bus, 0, START, 1);
      await startLog(await rig.connect());
      expect((await first).map(({ message }) => message.n)).toEqual([1]);
    },
  ],
  [
    "batches hold at most about bytesMax, and at least one message",
    async (rig) => {
      const bus = await rig.connect();
      const writer = await startLog(bus);
      for (let mark = 1; mark <= 6; mark++) await writer.append(writer.flush + 1, [append(0, mark, 100_000)]);
      const ended = new AbortController();
      const sizes: number[] = [];
      const after = (await readLog(bus, 0, START, 2))[1]?.position ?? START;
      for await (const batch of bus.log.read(0, after, { bytesMax: 250_000, signal: ended.signal })) {
        sizes.push(batch.length);
        if (sizes.reduce((sum, size) => sum + size, 0) >= 6) ended.abort();
      }
      expect(Math.max(...sizes)).toBeLessThanOrEqual(2);
    },
  ],
  [
    "a read ends when its signal aborts, also while it waits",
    async (rig) => {
      const bus = await rig.connect();
      const writer = await startLog(bus);
      const ended = new AbortController();
      const reading = (async () => {
        for await (const batch of bus.log.read(0, writer.position(0), { bytesMax: 1_000, signal: ended.signal }))
          expect(batch).toEqual([]);
      })();
      await appendMarks(writer, 1, 1);
      ended.abort();
      await reading;
    },
  ],
  [
    "tails are the last message of every log; readToEnd gives the messages from n on",
    async (rig) => {
      const bus = await rig.connect();
      expect(await bus.log.tails()).toEqual([]);
      expect(await bus.log.readToEnd(0, 1)).toEqual([]);
      const writer = await startLog(bus);
      await appendMarks(writer, 5, 1);
      const tails = await bus.log.tails();
      expect(tails.map(({ partition, n }) => [partition, n]).sort()).toEqual([
        [0, 2],
        [1, 7],
        [2, 2],
      ]);
      const end = await bus.log.readToEnd(1, 5);
      expect(end.map((message) => markOf({ message }))).toEqual([3, 4, 5]);
      expect(await bus.log.readToEnd(1, 8)).toEqual([]);
    },
  ],
  [
    "large messages and numbers beyond 32 bits survive",
    async (rig) => {
      const bus = await rig.connect();
      const writer = await startLog(bus);
      const opens = { number: 2 ** 40, timestamp: 2 ** 33, prevrandao: new Uint8Array(32).fill(9), gasLimit: 2 ** 50 };
      const block = {
        kind: "block" as const,
        index: 1,
        number: 2 ** 40 - 1,
        opens,
        rules: 1,
        mapVersion: 1,
        partitions: PARTITIONS,
        snapshot: true,
        moves: [],
      };
      const transactions = contents(7, 4_000_000);
      const large = { kind: "run" as const, transactions, nonces: new Uint8Array() };
      await writer.append(3, [
        { partition: 0, entries: [large, block] },
        { partition: 2, entries: [large] },
      ]);
      const [message] = await bus.log.readToEnd(0, 3);
      expect(message?.entries[1]).toEqual(block);
      const first = message?.entries[0];
      expect(first?.kind === "run" && Buffer.compare(first.transactions, transactions)).toBe(0);
    },
  ],
];

export const fenceRows: Row[] = [
  [
    "begin starts an empty log once; a second one has no effect",
    async (rig) => {
      const [first, second] = [await rig.connect(), await rig.connect()];
      await Promise.all([first.log.begin([append(0, 1), append(1, 1)]), second.log.begin([append(0, 2), append(1, 2)])]);
      await second.log.begin([append(0, 3)]);
      const messages = await first.log.readToEnd(0, 1);
      expect(messages.length).toBe(1);
      const other = await first.log.readToEnd(1, 1);
      expect(markOf({ message: other[0] ?? { entries: [] } })).toBe(markOf({ message: messages[0] ?? { entries: [] } }));
    },
  ],
  [
    "an older writer is refused after another one took over, for good",
    async (rig) => {
      const [first, second] = [await rig.connect(), await rig.connect()];
      const old = await startLog(first);
      await appendMarks(old, 2);
      const writer = await lead(second, "second");
      expect([writer.term, writer.flush]).toEqual([2, 5]);
      expect(await old.append(5, [append(0, 99)])).toEqual({ outcome: "fenced", term: 2 });
      expect(await old.append(5, [append(1, 99)])).toEqual({ outcome: "fenced", term: 2 });
      await appendMarks(writer, 1);
      expect((await first.log.readToEnd(0, 1)).map((message) => markOf({ message }))).toEqual([0, "term 1", 1, 2, "term 2", 1]);
    },
  ],
  [
    "of two that take over at once one wins and the other sees it",
    async (rig) => {
      const [first, second] = [await rig.connect(), await rig.connect()];
      await startLog(first);
      const taken = await Promise.all([first.log.takeOver("a", PARTITIONS), second.log.takeOver("a", PARTITIONS)]);
      const writers = taken.flatMap((one) => ("writer" in one ? [one.writer] : []));
      // Both may succeed only one after the other, each with a term of its own.
      expect(new Set(writers.map(({ term }) => term)).size).toBe(writers.length);
      expect(writers.length).toBeGreaterThanOrEqual(1);
      const newest = writers.sort((left, right) => right.term - left.term)[0];
      await newest?.append(newest.flush + 1, [append(0, 5)]);
      const messages = await first.log.readToEnd(0, 1);
      expect(messages.map(({ n }) => n)).toEqual(messages.map((_, index) => index + 1));
    },
  ],
  [
    "a writer stopped in the middle of an append is fenced when it goes on",
    async (rig) => {
      const [first, second] = [await rig.connect(), await rig.connect()];
      const old = await startLog(first);
      const { held, release } = rig.hold(first, "LOG");
      const outcome = old.append(3, [append(0, 66), append(1, 66)]);
      await held;
      const writer = await lead(second, "second");
      await appendMarks(writer, 1);
      release();
      expect(await outcome).toEqual({ outcome: "fenced", term: 2 });
      expect((await second.log.readToEnd(0, 1)).map((message) => markOf({ message }))).toEqual([0, "term 1", "term 2", 1]);
      expect((await second.log.readToEnd(1, 1)).map((message) => markOf({ message }))).toEqual([0, "term 1", "term 2"]);
    },
  ],
  [
    "take-over goes on behind logs it was not told of",
    async (rig) => {
      const bus = await rig.connect();
      await startLog(bus);
      const taken = await bus.log.takeOver("second", [0]);
      expect("writer" in taken && PARTITIONS.map((partition) => taken.writer.position(partition).n)).toEqual([3, 3, 3]);
    },
  ],
];

export const lostRows: Row[] = [
  ...([true, false] as const).flatMap((landed): Row[] =>
    [1, 3].map((count): Row => [
      `a lost answer (${count} logs) that ${landed ? "landed" : "did not land"} ends as appended, once`,
      async (rig) => {
        const bus = await rig.connect();
        const writer = await startLog(bus);
        rig.loseAnswer(bus, "LOG", landed);
        const appends = PARTITIONS.slice(0, count).map((partition) => append(partition, 42));
        expect(await writer.append(3, appends)).toEqual({ outcome: "appended" });
        await appendMarks(writer, 1);
        expect((await bus.log.readToEnd(0, 1)).map((message) => markOf({ message }))).toEqual([0, "term 1", 42, 1]);
      },
    ]),
  ),
  [
    "a lost answer after which another leader stands in the log ends as fenced",
    async (rig) => {
      const [first, second] = [await rig.connect(), await rig.connect()];
      const old = await startLog(first);
      await lead(second, "second");
      rig.loseAnswer(first, "LOG", false);
      expect(await old.append(3, [append(0, 1)])).toEqual({ outcome: "fenced", term: 2 });
    },
  ],
  [
    "a full log refuses, keeps everything, and takes appends again once there is room",
    async (rig) => {
      const bus = await rig.connect();
      const writer = await startLog(bus);
      await appendMarks(writer, 2);
      await rig.full("LOG", true);
      for (const appends of [[append(0, 9)], [append(0, 9), append(1, 9)]]) {
        expect((await writer.append(5, appends)).outcome).toBe("full");
      }
      expect(await codeOf(bus.log.takeOver("second", PARTITIONS))).toBe("FULL");
      expect(writer.position(0).n).toBe(4);
      await rig.full("LOG", false);
      expect(await writer.append(5, [append(0, 10), append(1, 10)])).toEqual({ outcome: "appended" });
      expect((await bus.log.readToEnd(0, 1)).map((message) => markOf({ message }))).toEqual([0, "term 1", 1, 2, 10]);
    },
  ],
  [
    "writer and reader go on after the server died and came back",
    async (rig) => {
      const [first, second] = [await rig.connect(), await rig.connect()];
      const writer = await startLog(first);
      const reading = readLog(second, 0, START, 6);
      await appendMarks(writer, 2);
      await rig.crash();
      await appendMarks(writer, 2);
      expect((await reading).map(markOf)).toEqual([0, "term 1", 1, 2, 1, 2]);
    },
  ],
];

/** Plants a message as a writer would store it, with the hash of its payload. */
async function plantWhole(rig: Rig, partition: number, message: LogMessage, previousHash: Uint8Array): Promise<void> {
  const payload = encodeLogMessage({ message, previousHash });
  await rig.plant("LOG", `log.${partition}`, payload, hashHeader(hashOf(payload)));
}

export const damageRows: Row[] = [
  [
    "a message whose payload does not have the hash in its header, or that has none, is given to nobody",
    async (rig) => {
      const bus = await rig.connect();
      const writer = await startLog(bus);
      for (const partition of [0, 1]) {
        const { n, flush, hash } = writer.position(partition);
        const message = { partition, n: n + 1, term: 1, flush: flush + 1, entries: [entry(66)] };
        const payload = encodeLogMessage({ message, previousHash: hash });
        const written = hashHeader(hashOf(payload));
        const at = Buffer.from(payload).lastIndexOf(66);
        payload[at] = (payload[at] ?? 0) ^ 1; // It can still be decoded, and every other link of the chain fits.
        await rig.plant("LOG", `log.${partition}`, payload, partition === 0 ? written : {});
        expect(await codeOf(readLog(bus, partition, START, 3))).toBe("CHAIN_BROKEN");
        expect(await codeOf(readLog(bus, partition, writer.position(partition), 1))).toBe("CHAIN_BROKEN");
        expect(await codeOf(bus.log.readToEnd(partition, 1))).toBe("CHAIN_BROKEN");
      }
      expect(await codeOf(bus.log.tails())).toBe("CHAIN_BROKEN");
      expect(await codeOf(bus.log.takeOver("second", PARTITIONS))).toBe("CHAIN_BROKEN");
    },
  ],
  [
    "a message planted with a wrong previous hash breaks the chain",
    async (rig) => {
      const bus = await rig.connect();
      const writer = await startLog(bus);
      const { n, flush } = writer.position(0);
      const message = { partition: 0, n: n + 1, term: 1, flush: flush + 1, entries: [entry(66)] };
      await plantWhole(rig, 0, message, new Uint8Array(32).fill(1));
      expect(await codeOf(readLog(bus, 0, START, 3))).toBe("CHAIN_BROKEN");
      expect(await codeOf(writer.append(3, [append(0, 1)]))).toBe("LOG_FOREIGN");
      expect(await codeOf(writer.append(3, [append(0, 1)]))).toBe("WRITER_LOST");
    },
  ],
  [
    "a lower term, a flush that does not rise and another partition's message break the chain",
    async (rig) => {
      const bus = await rig.connect();
      const writer = await startLog(bus);
      for (const partition of PARTITIONS) {
        const { n, flush, hash } = writer.position(partition);
        const good = { partition, n: n + 1, term: 1, flush: flush + 1, entries: [entry(66)] };
        const bad =
          [
            { ...good, term: 0 },
            { ...good, flush },
            { ...good, partition: 7 },
          ][partition] ?? good;
        await plantWhole(rig, partition, bad, hash);
        expect(await codeOf(readLog(bus, partition, START, 3))).toBe("CHAIN_BROKEN");
      }
    },
  ],
  [
    "an unknown format and bytes that are no message stop a reader",
    async (rig) => {
      const bus = await rig.connect();
      await startLog(bus);
      await rig.plant("LOG", "log.0", Uint8Array.of(0x91, FORMAT_VERSION + 1));
      await rig.plant("LOG", "log.1", new Uint8Array(100).fill(0xc1));
      expect(await codeOf(readLog(bus, 0, START, 3))).toBe("FORMAT_UNKNOWN");
      expect(await codeOf(readLog(bus, 1, START, 3))).toBe("MALFORMED");
    },
  ],
  [
    "a message that is gone is a gap, for who comes to it and for who starts at it",
    async (rig) => {
      const bus = await rig.connect();
      const writer = await startLog(bus);
      await appendMarks(writer, 4);
      const all = await readLog(bus, 0, START, 6);
      await rig.erase("LOG", 8); // Two flushes of three, then mark 2.
      expect(await codeOf(readLog(bus, 0, START, 6))).toBe("GAP");
      expect(await codeOf(readLog(bus, 0, all[2]?.position ?? START, 3))).toBe("GAP");
      expect((await readLog(bus, 0, all[3]?.position ?? START, 2)).map(markOf)).toEqual([3, 4]);
    },
  ],
  [
    "a reader that stands behind the end, or at another message, is refused",
    async (rig) => {
      const bus = await rig.connect();
      const writer = await startLog(bus);
      const { n, flush, hash } = writer.position(0);
      expect(await codeOf(readLog(bus, 0, { n: n + 3, flush: flush + 3, hash }, 1))).toBe("GAP");
      expect(await codeOf(readLog(bus, 0, { n, flush, hash: hashOf(hash) }, 1))).toBe("CHAIN_BROKEN");
    },
  ],
  [
    "truncate lets messages go up to n, and never the last one",
    async (rig) => {
      const bus = await rig.connect();
      const writer = await startLog(bus);
      await appendMarks(writer, 6);
      await appendMarks(writer, 2, 1);
      const all = await readLog(bus, 0, START, 8);
      await bus.log.truncate(0, 4);
      expect(await codeOf(readLog(bus, 0, START, 1))).toBe("GAP");
      expect((await readLog(bus, 0, all[3]?.position ?? START, 4)).map(markOf)).toEqual([3, 4, 5, 6]);
      expect(await codeOf(bus.log.readToEnd(0, 3))).toBe("GAP");
      await bus.log.truncate(0, 2);
      await bus.log.truncate(0, 100);
      await bus.log.truncate(9, 100);
      expect((await bus.log.tails()).map(({ partition, n }) => [partition, n]).sort()).toEqual([
        [0, 8],
        [1, 4],
        [2, 2],
      ]);
      expect((await bus.log.readToEnd(1, 1)).length).toBe(4);
      await appendMarks(writer, 1);
      await until("message 9 of the truncated log", async () => (await bus.log.readToEnd(0, 9)).length === 1);
    },
  ],
];
