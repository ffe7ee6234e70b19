/** The span of a block with links to what it came from, the metrics, and the health endpoint. */
import type { Attributes, SpanOptions, Telemetry } from "@meridian/core";
import { noTelemetry } from "@meridian/core";
import { listenForProbes } from "@meridian/process";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readinessOf } from "../src/run.ts";
import { Rig, until } from "./rig.ts";

interface Seen {
  name: string;
  options: SpanOptions;
  isEnded: boolean;
}

function recording() {
  const spans: Seen[] = [];
  const values = new Map<string, [value: number, attributes: Attributes | undefined][]>();
  const gauges = new Map<string, () => { value: number }[]>();
  const record = (name: string) => {
    const list: [number, Attributes | undefined][] = [];
    values.set(name, list);
    return (value: number, attributes?: Attributes) => void list.push([value, attributes]);
  };
  const telemetry: Telemetry = {
    ...noTelemetry(),
    on: true,
    counter: record,
    histogram: record,
    gauge: (name, _unit, _description, observe) => void gauges.set(name, observe),
    span(name, options = {}) {
      const seen: Seen = { name, options, isEnded: false };
      spans.push(seen);
      return { headers: () => ({}), set: () => undefined, end: () => void (seen.isEnded = true) };
    },
  };
  return { telemetry, spans, values, gauges };
}

let rig: Rig;
beforeEach(async () => {
  rig = await Rig.open({ seed: 3, blocks: 10 });
});
afterEach(() => rig.close());

test("a block's span links the messages that it was made of; metrics say how it went", async () => {
  const { telemetry, spans, values, gauges } = recording();
  const archive = rig.start("a", { telemetry });
  await rig.publish(10);
  await until(() => archive.running.status().head === 10);
  rig.beat(9);
  await rig.ask({ op: "head" });
  expect(spans.map(({ name, isEnded, options }) => [name, isEnded, options.attributes?.["meridian.block"]])).toEqual(
    rig.blocks.map(({ number }) => ["block", true, number]),
  );
  for (const { options } of spans) {
    expect(options.links!.length).toBeGreaterThan(0);
    expect(options.links![0]).toEqual({ traceparent: `00-${"1".repeat(32)}-${"2".repeat(16)}-01` });
  }
  const counts = values.get("meridian.archive.block.transactions")!.map(([value]) => value);
  expect(counts).toEqual(rig.blocks.map(({ count }) => count));
  expect(values.get("meridian.archive.store.put")!.length).toBeGreaterThan(0);
  expect(values.get("meridian.archive.query")!.at(-1)![1]).toEqual({ op: "head", outcome: "ok" });
  expect(gauges.get("meridian.archive.lag.messages")!()).toEqual([{ value: 0 }]);
  expect(gauges.get("meridian.archive.database")!()[0]!.value).toBeGreaterThan(10_000);
});

test("health: healthy while it answers, ready while it takes in what comes", async () => {
  const archive = rig.start("a");
  const health = await listenForProbes(0, "127.0.0.1", () => readinessOf(archive.running));
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${health.port}${path}`);
    return [response.status, response.status === 404 ? null : await response.json()];
  };
  await rig.publish(2);
  await until(() => archive.running.status().head === 2);
  expect(await get("/readyz")).toEqual([200, expect.objectContaining({ phase: "running", head: 2, oldest: 0, awaited: [] })]);
  rig.beat(2, new Uint8Array(32).fill(1));
  await until(() => archive.running.status().phase === "stopped");
  expect(await get("/readyz")).toEqual([503, expect.objectContaining({ phase: "stopped", isAnswering: false })]);
  expect((await get("/healthz"))[0]).toBe(200);
  expect((await get("/metrics"))[0]).toBe(404);
  await health.close();
});
