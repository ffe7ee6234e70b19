import { afterEach, expect, test } from "vitest";
import { SUBJECT, memoryServer } from "@meridian/bus";
import { noTelemetry } from "@meridian/core";
import type { Headers, SpanOptions, Telemetry } from "@meridian/core";
import { FakeEngine, runEntry } from "@meridian/core/actor/testing";
import { runPartition } from "./run.ts";
import { TestChain, until } from "./testing/chain.ts";
import { TestPartitions, member } from "./testing/partitions.ts";

const open: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of open.splice(0).reverse()) await end();
});

const named = (name: string) => `meridian.partition.${name}`;

/** Spans as "name < parent + links", metrics as their names. */
function recording() {
  const spans: string[] = [];
  const metrics = new Map<string, () => { value: number }[]>();
  const measured = new Set<string>();
  const idOf = (headers: Headers | undefined) => headers?.["traceparent"] ?? "none";
  const instrument = (name: string) => {
    metrics.set(name, () => []);
    return () => void measured.add(name);
  };
  const telemetry: Telemetry = {
    ...noTelemetry(),
    on: true,
    counter: instrument,
    histogram: instrument,
    gauge: (name, _unit, _description, observe) => void metrics.set(name, observe),
    span: (name: string, options: SpanOptions = {}) => {
      const own = `${name} < ${[options.parent, ...(options.links ?? [])].map(idOf).join(" + ")}`;
      spans.push(own);
      return { headers: () => ({ traceparent: own }), set: () => undefined, end: () => undefined };
    },
  };
  return { telemetry, spans, metrics, measured };
}

test("a flush's trace goes on through applying and publishing into OUT", async () => {
  const server = memoryServer();
  const bus = server.connect();
  const chain = await TestChain.begin(bus, 1);
  open.push(() => chain.end());
  await chain.append({ 0: [runEntry(["a1"])] }, { traceparent: "flush 1" });
  await chain.append({ 0: [runEntry(["a2"])] }, { traceparent: "flush 2" });
  await chain.closeBlock();
  const { telemetry, spans, metrics, measured } = recording();
  const actor = await runPartition(
    { bus, engines: { open: () => new FakeEngine() }, telemetry },
    { partition: 0, host: "host", memoryBytesMax: 1 << 30, limits: { applyMsMax: 1_000 } },
  );
  open.push(() => actor.stop());
  await chain.settled();
  expect(spans).toEqual(["apply < flush 1", "apply < flush 2", "publish < apply < flush 1 + apply < flush 2"]);
  const headers = server.streams.OUT.last("out.0")?.headers ?? {};
  expect(headers["traceparent"]).toBe(spans[2]);
  expect([...measured].sort()).toEqual(
    ["apply", "batch.messages", "batch.transactions", "publish", "transactions"].map(named).sort(),
  );
  expect(metrics.get(named("accounts"))?.()).toEqual([{ value: 3, attributes: { partition: 0 } }]);
  expect([...metrics.keys()]).toEqual(
    expect.arrayContaining(["lag", "memory", "slots", "read", "snapshot", "snapshot.size", "entries.waiting"].map(named)),
  );
});

test("a group's trace goes on through its run, its grants and its proposal; its locks are measured on both sides", async () => {
  const partitions = await TestPartitions.begin();
  open.push(() => partitions.end());
  const [home, other] = [recording(), recording()];
  await partitions.start(0, {}, { telemetry: home.telemetry });
  await partitions.start(1, {}, { telemetry: other.telemetry });
  const heard: Headers[] = [];
  partitions.chain.bus.wire.subscribe(SUBJECT.proposal, ({ headers }) => void heard.push(headers));
  const record = member(1, "add 11; add f1", ["w 11", "w f1"]);
  const group = await partitions.appendGroup([record], ["w 11", "w f1"], { traceparent: "flush 3" });
  await partitions.appendApply(await partitions.proposal(group));
  await partitions.chain.settled(0);
  const run = "group < apply < flush 3";
  expect(home.spans).toContain(run);
  expect(other.spans).toContain(`read grant < ${run}`);
  expect(heard[0]).toEqual({ traceparent: run });
  const names = (measured: Set<string>) => [...measured].filter((name) => /group|lock/.test(name)).sort();
  await until("both to have unlocked", () => [home, other].every(({ measured }) => names(measured).length > 0));
  expect(names(home.measured)).toEqual(["group.proposal", "group.rounds", "lock.held"].map(named));
  expect(names(other.measured)).toEqual(["lock.held"].map(named));
});
