import type { Clock } from "@meridian/core";
import { expect, test } from "vitest";
import { Sleeper, steadyClock } from "./clock.ts";

/** A clock that stands still but for `pass`. */
function handClock() {
  let now = 0;
  const timers: { at: number; run: () => void }[] = [];
  const clock: Clock = {
    now: () => now,
    after: (delayMs, run) => {
      const timer = { at: now + delayMs, run };
      timers.push(timer);
      return () => void (timers.includes(timer) && timers.splice(timers.indexOf(timer), 1));
    },
  };
  const pass = (ms: number) => {
    now += ms;
    for (const { run } of timers.splice(0).filter((timer) => timer.at <= now || !timers.push(timer))) run();
  };
  return { clock, pass, timers };
}

test.each<[what: string, steps: number[], want: number]>([
  ["time that passes is counted", [100, 400, 500], 1_000],
  ["a pause of the process is not", [100, 10_000, 100], 200],
  ["nor are two", [600, 100, 70_000], 100],
])("%s", (_what, steps, want) => {
  const { clock, pass } = handClock();
  const steady = steadyClock(clock);
  for (const step of steps) {
    pass(step);
    steady.now();
  }
  expect(steady.now()).toBe(want);
});

test.each<[what: string, act: (sleeper: Sleeper, pass: (ms: number) => void) => void, isAwake: boolean]>([
  ["before its time", (_, pass) => pass(9), false],
  ["at its time", (_, pass) => pass(10), true],
  ["woken", (sleeper) => sleeper.wake(), true],
  ["woken for something earlier", (sleeper) => sleeper.wakeBy(5), true],
  ["not for something later", (sleeper) => sleeper.wakeBy(10), false],
])("a sleeper until 10: %s", async (_what, act, isAwake) => {
  const { clock, pass, timers } = handClock();
  const sleeper = new Sleeper(clock);
  let isOver = false;
  const sleeping = sleeper.sleepUntil(10).then(() => (isOver = true));
  act(sleeper, pass);
  await Promise.resolve();
  await Promise.resolve();
  expect(isOver).toBe(isAwake);
  sleeper.wake();
  await sleeping;
  expect(timers.length).toBe(0);
});
