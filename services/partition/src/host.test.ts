import type { Clock } from "@meridian/core";
import { listenForProbes } from "@meridian/process";
import { expect, test } from "vitest";
import type { ActorStatus } from "./actor.ts";
import { readinessOf, runHost } from "./host.ts";
import type { HostedPartition } from "./host.ts";
import { recordingTelemetry, until } from "./testing/chain.ts";

const running = (partition: number): ActorStatus => ({
  partition,
  n: 5,
  closedBlock: 1,
  fromBlock: null,
  snapshots: [],
  isCaughtUp: true,
  stopped: null,
});

/** Threads that do what the test says, and a clock whose pauses are over at once and written down. */
function fakes() {
  const pauses: number[] = [];
  const lines: string[] = [];
  const threads = new Map<number, { end(error: unknown): void; status: ActorStatus | null; starts: number }>();
  let now = 0;
  const clock: Clock = {
    now: () => now,
    after: (delayMs, run) => {
      pauses.push(delayMs);
      queueMicrotask(run);
      return () => undefined;
    },
  };
  const start = (partition: number): HostedPartition => {
    const { promise, resolve } = Promise.withResolvers<{ error: unknown } | null>();
    const starts = (threads.get(partition)?.starts ?? 0) + 1;
    const thread = { end: (error: unknown) => resolve({ error }), status: running(partition), starts };
    threads.set(partition, thread);
    return {
      status: () => thread.status,
      ended: promise,
      stop: async () => resolve(null),
    };
  };
  const ports = { clock, telemetry: recordingTelemetry(lines), start };
  return { ports, threads, pauses, lines, pass: (ms: number) => (now += ms) };
}

test("a partition that fails is started again after growing pauses; its neighbour does not notice", async () => {
  const { ports, threads, pauses, lines, pass } = fakes();
  const host = runHost(ports, { partitions: [0, 1], restartMsMin: 10, restartMsMax: 35 });
  for (let starts = 1; starts <= 4; starts++) {
    await until("the start", () => threads.get(1)?.starts === starts);
    threads.get(1)?.end(new Error("engine broke"));
  }
  await until("the fifth start", () => threads.get(1)?.starts === 5);
  pass(60_000);
  threads.get(1)?.end(new Error("engine broke"));
  await until("the sixth start", () => threads.get(1)?.starts === 6);
  expect(pauses).toEqual([10, 20, 35, 35, 10]);
  expect(threads.get(0)?.starts).toBe(1);
  expect(lines).toHaveLength(5);
  expect(host.status()[1]).toMatchObject({ phase: "running", restarts: 5, text: null });
  await host.stop();
});

test.each<[what: string, status: ActorStatus | null, phase: string, code: number]>([
  ["runs", running(0), "running", 200],
  ["has said nothing yet", null, "starting", 503],
  ["catches up", { ...running(0), isCaughtUp: false }, "catchingUp", 503],
  ["stopped for good", { ...running(0), stopped: "GAP: expected 5, got 7" }, "stopped", 503],
])("/readyz of a partition that %s", async (_what, status, phase, code) => {
  const { ports, threads } = fakes();
  const host = runHost(ports, { partitions: [0] });
  const thread = threads.get(0);
  if (thread !== undefined) thread.status = status;
  const health = await listenForProbes(0, "127.0.0.1", () => readinessOf(host.status()));
  const ready = await fetch(`http://127.0.0.1:${health.port}/readyz`);
  expect(ready.status).toBe(code);
  expect(await ready.json()).toMatchObject({ partitions: [{ partition: 0, phase, text: status?.stopped ?? null }] });
  expect((await fetch(`http://127.0.0.1:${health.port}/healthz`)).status).toBe(200);
  expect((await fetch(`http://127.0.0.1:${health.port}/`)).status).toBe(404);
  await health.close();
  await host.stop();
});
