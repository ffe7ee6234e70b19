import { evenRangeMap } from "@meridian/core";
import type { ChainSettings } from "@meridian/core";
import { expect } from "vitest";
import { SUBJECT, decodeBuilt, encodeBuilt } from "../../src/index.ts";
import { codeOf, until } from "./rig.ts";
import type { Row } from "./rig.ts";

const settings = (chainId: number): ChainSettings => ({
  chainId,
  blockMs: 500,
  blockGasLimit: 2 ** 40,
  genesisHash: "ab".repeat(32),
});

export const settingsRows: Row[] = [
  [
    "settings are created once; a second creator gets the first one's",
    async (rig) => {
      const [first, second] = [await rig.connect(), await rig.connect()];
      expect(await first.settings.get()).toBeUndefined();
      const created = await Promise.all([first.settings.create(settings(1)), second.settings.create(settings(2))]);
      expect(created[0]).toEqual(created[1]);
      expect(await second.settings.get()).toEqual(created[0]);
      expect(await first.settings.create(settings(3))).toEqual(created[0]);
    },
  ],
  [
    "the map's copy and records are replaced as a whole",
    async (rig) => {
      const bus = await rig.connect();
      expect([await bus.settings.getMap(), await bus.settings.getRecord("snapshot.0")]).toEqual([undefined, undefined]);
      await bus.settings.putMap(evenRangeMap(2));
      await bus.settings.putMap({ ...evenRangeMap(4), version: 2 });
      await bus.settings.putMap(evenRangeMap(2)); // A deposed leader's last words.
      expect(await bus.settings.getMap()).toEqual({ ...evenRangeMap(4), version: 2 });
    },
  ],
  [
    "a record is written only in the place of the one that its writer has read",
    async (rig) => {
      const [{ settings: first }, { settings: second }] = [await rig.connect(), await rig.connect()];
      const key = "snapshot.0";
      expect(await Promise.all([first, second].map((one) => one.putRecord(key, Uint8Array.of(1), 0)))).toContain(false);
      const { revision = 0 } = (await first.getRecord(key)) ?? {};
      expect(await second.putRecord(key, Uint8Array.of(2, 3), revision)).toBe(true);
      expect(await first.putRecord(key, Uint8Array.of(4), revision)).toBe(false);
      expect(await first.putRecord(key, Uint8Array.of(4), 0)).toBe(false);
      expect((await first.getRecord(key))?.value).toEqual(Uint8Array.of(2, 3));
    },
  ],
];

export const objectRows: Row[] = [
  [
    "objects of many chunks come back, are listed by prefix, replaced and deleted",
    async (rig) => {
      const [first, second] = [await rig.connect(), await rig.connect()];
      const large = Uint8Array.from({ length: 9_000_001 }, (_, index) => index * 31);
      await first.objects.put("snapshots/0/12", large);
      await first.objects.put("snapshots/1/12", new Uint8Array());
      await first.objects.put("genesis", Uint8Array.of(1));
      const got = await second.objects.get("snapshots/0/12");
      expect(Buffer.compare(got ?? Buffer.of(), large)).toBe(0);
      expect(await second.objects.get("snapshots/1/12")).toEqual(new Uint8Array());
      expect(await second.objects.list("snapshots/")).toEqual(["snapshots/0/12", "snapshots/1/12"]);
      await second.objects.put("genesis", Uint8Array.of(2));
      expect(await first.objects.get("genesis")).toEqual(Uint8Array.of(2));
      await second.objects.delete("snapshots/0/12");
      await second.objects.delete("snapshots/0/12");
      expect([await first.objects.get("snapshots/0/12"), await first.objects.get("never")]).toEqual([undefined, undefined]);
      expect(await first.objects.list("")).toEqual(["genesis", "snapshots/1/12"]);
    },
  ],
];

export const wireRows: Row[] = [
  [
    "a request reaches a subscriber and comes back, with headers",
    async (rig) => {
      const [first, second] = [await rig.connect(), await rig.connect()];
      const seen: unknown[] = [];
      const stop = first.wire.subscribe("read.*", (message) => {
        seen.push([message.subject, message.headers]);
        message.respond(Uint8Array.of(...message.payload, 9));
      });
      await until(
        "subscription",
        async () => (await codeOf(second.wire.request("read.0", Uint8Array.of(0), { timeoutMs: 500 }))) === "none",
      );
      seen.length = 0;
      const reply = await second.wire.request("read.1", Uint8Array.of(1, 2), {
        timeoutMs: 5_000,
        headers: { traceparent: "00-c" },
      });
      expect(reply).toEqual(Uint8Array.of(1, 2, 9));
      expect(seen).toEqual([["read.1", { traceparent: "00-c" }]]);
      stop();
      await until(
        "no subscriber",
        async () => (await codeOf(second.wire.request("read.1", Uint8Array.of(1), { timeoutMs: 500 }))) === "NO_RESPONDERS",
      );
    },
  ],
  [
    "nobody there is told at once; a subscriber without answer is a timeout",
    async (rig) => {
      const [first, second] = [await rig.connect(), await rig.connect()];
      expect(await codeOf(second.wire.request(SUBJECT.submit(1), Uint8Array.of(1), { timeoutMs: 5_000 }))).toBe("NO_RESPONDERS");
      first.wire.subscribe(SUBJECT.submit(1), () => undefined);
      await until(
        "subscription",
        async () => (await codeOf(second.wire.request(SUBJECT.submit(1), Uint8Array.of(1), { timeoutMs: 50 }))) === "TIMEOUT",
      );
    },
  ],
  [
    "published messages reach every subscriber, and one of each queue group",
    async (rig) => {
      const [first, second, third] = [await rig.connect(), await rig.connect(), await rig.connect()];
      const counts = { all: 0, queue: 0, other: 0 };
      first.wire.subscribe("sched.>", () => void counts.all++);
      for (const bus of [first, second]) bus.wire.subscribe(SUBJECT.reports, () => void counts.queue++, "group");
      second.wire.subscribe(SUBJECT.beat, () => void counts.other++);
      first.wire.subscribe("ready", (message) => message.respond(message.payload));
      second.wire.subscribe("ready2", (message) => message.respond(message.payload));
      // A connection's subscriptions are made in order: once the last one answers, all stand.
      for (const subject of ["ready", "ready2"]) {
        await until(
          subject,
          async () => (await codeOf(third.wire.request(subject, Uint8Array.of(1), { timeoutMs: 500 }))) === "none",
        );
      }
      for (let sent = 0; sent < 10; sent++) third.wire.publish(SUBJECT.report(sent), Uint8Array.of(sent));
      third.wire.publish(SUBJECT.beat, Uint8Array.of(1));
      await until("all messages", () => counts.all === 11 && counts.queue === 10 && counts.other === 1);
      expect(counts).toEqual({ all: 11, queue: 10, other: 1 });
    },
  ],
  [
    "a message that cannot be read is dropped, and the next one comes",
    async (rig) => {
      const [first, second] = [await rig.connect(), await rig.connect()];
      const got: string[] = [];
      first.wire.subscribe(SUBJECT.built, (message) => {
        got.push(decodeBuilt(message.payload).archive);
        message.respond(message.payload);
      });
      const built = encodeBuilt({ archive: "a", number: 1, hash: new Uint8Array(32), timestamp: 1 });
      await until(
        "subscription",
        async () => (await codeOf(second.wire.request(SUBJECT.built, built, { timeoutMs: 500 }))) === "none",
      );
      second.wire.publish(SUBJECT.built, Uint8Array.of(0xc1, 1, 2));
      second.wire.publish(SUBJECT.built, new Uint8Array());
      expect(await codeOf(second.wire.request(SUBJECT.built, built, { timeoutMs: 5_000 }))).toBe("none");
      expect(got).toEqual(["a", "a"]);
    },
  ],
  [
    "a message larger than any bound is a bug of the sender",
    async (rig) => {
      const bus = await rig.connect();
      expect(() => bus.wire.publish("sched.beat", new Uint8Array(9_000_000))).toThrow("payload of 9000000 bytes");
    },
  ],
  [
    "after close everything is refused and closed resolves",
    async (rig) => {
      const bus = await rig.connect();
      await bus.close();
      await bus.closed;
      expect(await codeOf(bus.log.tails())).toBe("CLOSED");
      expect(await codeOf(bus.wire.request("read.0", Uint8Array.of(1), { timeoutMs: 100 }))).toBe("CLOSED");
    },
  ],
];
