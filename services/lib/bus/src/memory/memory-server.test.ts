import { isIoError } from "@meridian/core";
import { expect, test } from "vitest";
import type { Clock } from "@meridian/core";
import { memoryServer } from "./memory-server.ts";

const NOTHING = new Uint8Array(0);

/** A clock that goes on only when told to. */
function manualClock(): Clock & { run(ms: number): Promise<void> } {
  let now = 0;
  let timers: { at: number; run: () => void }[] = [];
  return {
    now: () => now,
    after: (delayMs, run) => {
      const timer = { at: now + delayMs, run };
      timers.push(timer);
      return () => (timers = timers.filter((other) => other !== timer));
    },
    async run(ms) {
      const end = now + ms;
      for (;;) {
        for (let turns = 0; turns < 50; turns++) await Promise.resolve();
        const due = timers.filter(({ at }) => at <= end).sort((left, right) => left.at - right.at)[0];
        if (due === undefined) break;
        timers = timers.filter((other) => other !== due);
        now = due.at;
        due.run();
      }
      now = end;
    },
  };
}

test("requests take the time they are told to, on the clock that was given", async () => {
  const clock = manualClock();
  const server = memoryServer({ clock });
  const bus = server.connect();
  server.faults.delayMs = () => 20;
  let tails: unknown;
  void bus.log.tails().then((found) => (tails = found));
  await clock.run(39);
  expect(tails).toBeUndefined();
  await clock.run(1);
  expect(tails).toEqual([]);
});

test.each<[what: string, copies: number, delayMs: number, want: number[]]>([
  ["dropped", 0, 0, [0, 0]],
  ["delivered", 1, 0, [1, 1]],
  ["doubled", 2, 0, [2, 2]],
  ["late", 1, 50, [0, 1]],
])("a message on the wire is %s", async (_what, copies, delayMs, want) => {
  const clock = manualClock();
  const server = memoryServer({ clock });
  server.faults.wire(() => ({ copies, delayMs }));
  let count = 0;
  server.connect().wire.subscribe("sched.beat", () => count++);
  server.connect().wire.publish("sched.beat", Uint8Array.of(1));
  await clock.run(10);
  const early = count;
  await clock.run(100);
  expect([early, count]).toEqual(want);
});

test("a lost reply is a timeout on the given clock", async () => {
  const clock = manualClock();
  const server = memoryServer({ clock });
  server.faults.wire((subject) => ({ copies: subject === "reply:read.0" ? 0 : 1, delayMs: 0 }));
  server.connect().wire.subscribe("read.0", (message) => message.respond(Uint8Array.of(1)));
  let code = "none";
  const request = server.connect().wire.request("read.0", Uint8Array.of(1), { timeoutMs: 100 });
  void request.catch((error: unknown) => (code = isIoError(error) ? error.detail.code : "other"));
  await clock.run(99);
  expect(code).toBe("none");
  await clock.run(1);
  expect(code).toBe("TIMEOUT");
});

test("a try that takes too long ends, and is stored all the same when it arrives", async () => {
  const clock = manualClock();
  const server = memoryServer({ clock });
  const bus = server.connect({ storeTryMs: 50 });
  server.faults.delay("OUT", 80);
  const record = { n: 1, flush: 1, transactions: NOTHING, results: NOTHING, settled: [], block: null, genesis: null, map: null };
  let published = false;
  void bus.out.publish(0, [record]).then(() => (published = true));
  await clock.run(40);
  expect([published, server.streams.OUT.lastSequence]).toEqual([false, 0]);
  await clock.run(30); // Tried again, and that one is stored.
  expect([published, server.streams.OUT.lastSequence]).toEqual([true, 1]);
  await clock.run(100); // The first one comes too late: its expectation does not hold any more.
  expect(server.streams.OUT.lastSequence).toBe(1);
});

test("a bus that is cut off gets nothing, is refused, and goes on when it is back", async () => {
  const server = memoryServer();
  const [cut, other] = [server.connect(), server.connect()];
  let count = 0;
  cut.wire.subscribe("sched.beat", () => count++);
  cut.disconnect();
  other.wire.publish("sched.beat", Uint8Array.of(1));
  await expect(cut.log.tails()).rejects.toMatchObject({ detail: { code: "UNREACHABLE" } });
  await expect(other.wire.request("sched.beat", Uint8Array.of(1), { timeoutMs: 10 })).rejects.toMatchObject({
    detail: { code: "NO_RESPONDERS" },
  });
  cut.reconnect();
  other.wire.publish("sched.beat", Uint8Array.of(1));
  await Promise.resolve();
  await Promise.resolve();
  expect(count).toBe(1);
  expect(await cut.log.tails()).toEqual([]);
});
