import { assert } from "@meridian/core";
import { expect, test } from "vitest";
import { SimProcess } from "./process.ts";
import { Random } from "./random.ts";
import { VirtualTime } from "./time.ts";
import { Trace } from "./trace.ts";
import { SimWire } from "./wire.ts";
import type { Weather } from "./wire.ts";

const STILL: Weather = {
  ...{ lossChance: 0, copyChance: 0, copyMsMax: 0, delayMs: 1, stragglerChance: 0, stragglerMs: 0, proposalMs: 0 },
};

function setUp(weather: Partial<Weather> = {}) {
  const time = new VirtualTime();
  const random = new Random(1);
  const wire = new SimWire(time, random, new Trace(() => time.now(), false), { ...STILL, ...weather });
  return { time, random, wire, start: (name: string) => new SimProcess(name, time, random) };
}

test("chance is the same for the same seed, and another for another seed or label", () => {
  const draw = (seed: number, label?: string) =>
    Array.from({ length: 4 }, (_, next) => next).map(
      (
        (random) => () =>
          random.next()
      )(new Random(seed, label)),
    );
  expect(draw(7)).toEqual(draw(7));
  expect(draw(7)).not.toEqual(draw(8));
  expect(draw(7, "a")).not.toEqual(draw(7, "b"));
  expect(draw(2 ** 40)).not.toEqual(draw(0));
});

test("events run in order of time, and everything that one causes before the next", async () => {
  const { time } = setUp();
  const seen: string[] = [];
  const later = async (name: string): Promise<void> => {
    for (let turn = 0; turn < 50; turn++) await Promise.resolve();
    seen.push(`${name} ends at ${time.now()}`);
  };
  time.after(20, () => seen.push("second"));
  time.after(10, () => void later("first"));
  const cancel = time.after(15, () => seen.push("never"));
  time.after(20, () => seen.push("third"));
  cancel();
  await time.run(() => false, 1_000);
  expect(seen).toEqual(["first ends at 10", "second", "third"]);
});

test("a run ends when it is over, or at its end", async () => {
  const { time } = setUp();
  let count = 0;
  const again = (): void => {
    count++;
    time.after(1, again);
  };
  again();
  await time.run(() => count === 5, Infinity);
  expect(count).toBe(5);
  await time.run(() => false, 50);
  expect(time.now()).toBeLessThanOrEqual(50);
  time.after(0, () => assert(false, "planted"));
  await expect(time.run(() => false, 100)).rejects.toThrow("planted");
});

test("what comes to a paused process comes when it goes on, and to a dead one never", async () => {
  const { time, wire, start } = setUp();
  const [speaker, listener] = [start("a"), start("b")];
  const heard: string[] = [];
  const [from, to] = [wire.connect(speaker), wire.connect(listener)];
  to.subscribe("x.*", ({ subject }) => heard.push(`${subject} after ${Math.floor(time.now() / 100)}`));
  listener.pause();
  from.publish("x.1", new Uint8Array(1));
  from.publish("y.1", new Uint8Array(1));
  listener.clock.after(5, () => heard.push("timer"));
  time.after(300, () => listener.resume());
  await time.run(() => false, 400);
  expect(heard.sort()).toEqual(["timer", "x.1 after 3"]);
  from.publish("x.2", new Uint8Array(1));
  listener.kill();
  await time.run(() => false, 800);
  expect(heard).toHaveLength(2);
});

test.each<[what: string, weather: Partial<Weather>, want: number]>([
  ["lost", { lossChance: 1 }, 0],
  ["doubled", { copyChance: 1, copyMsMax: 5 }, 2],
  ["delivered", {}, 1],
])("a message is %s", async (_what, weather, want) => {
  const { time, wire, start } = setUp(weather);
  let count = 0;
  wire.connect(start("b")).subscribe("x", () => count++);
  wire.connect(start("a")).publish("x", new Uint8Array(1));
  await time.run(() => false, 100);
  expect(count).toBe(want);
});

test("a request is answered, refused where nobody listens, and times out where the answer is lost", async () => {
  const { time, wire, start } = setUp();
  const asker = wire.connect(start("a"));
  const codes: string[] = [];
  const ask = (subject: string): void =>
    void asker.request(subject, Uint8Array.of(1), { timeoutMs: 50 }).then(
      (reply) => codes.push(`${subject} ${reply[0]}`),
      (error: unknown) => codes.push(`${subject} ${(error as { detail: { code: string } }).detail.code}`),
    );
  wire.connect(start("b")).subscribe("there", ({ respond }) => respond(Uint8Array.of(7)));
  wire.connect(start("c")).subscribe("mute", () => undefined);
  for (const subject of ["there", "nobody", "mute"]) ask(subject);
  await time.run(() => false, 100);
  expect(codes.sort()).toEqual(["mute TIMEOUT", "nobody NO_RESPONDERS", "there 7"]);
});

test("one of a queue group gets a message, and nobody who is cut off", async () => {
  const { time, wire, start } = setUp();
  let count = 0;
  const members = ["b", "c"].map((name) => start(name));
  for (const member of members) wire.connect(member).subscribe("q", () => count++, "group");
  const asker = wire.connect(start("a"));
  for (let turn = 0; turn < 10; turn++) asker.publish("q", new Uint8Array(1));
  await time.run(() => false, 100);
  expect(count).toBe(10);
  for (const member of members) wire.cutOff.add(member);
  asker.publish("q", new Uint8Array(1));
  await time.run(() => false, 200);
  expect(count).toBe(10);
});
