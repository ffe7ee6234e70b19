import { expect, test } from "vitest";
import { listenForProbes, serveHealth, systemClock, wait } from "./index.ts";

test.each<[what: string, path: string, isReady: boolean, code: number]>([
  ["a live process that is not ready", "/healthz", false, 200],
  ["a process that is not ready", "/readyz", false, 503],
  ["a process that is ready", "/readyz", true, 200],
  ["another path", "/", true, 404],
])("probes: %s", async (_what, path, isReady, code) => {
  const health = await listenForProbes(0, "127.0.0.1", () => ({ isReady, facts: { isReady } }));
  const answer = await fetch(`http://127.0.0.1:${health.port}${path}`);
  expect(answer.status).toBe(code);
  if (code !== 404) expect(await answer.json()).toEqual({ isReady });
  await health.close();
});

test("port 0 means no probes", async () => {
  expect(await serveHealth(0, () => ({ isReady: true, facts: {} }))).toBeNull();
});

test("a wait ends at once when its signal aborts, also before it began", async () => {
  const ended = new AbortController();
  const waiting = wait(systemClock, 1_000_000, ended.signal);
  ended.abort();
  await waiting;
  await wait(systemClock, 1_000_000, ended.signal);
  expect(ended.signal.aborted).toBe(true);
});
