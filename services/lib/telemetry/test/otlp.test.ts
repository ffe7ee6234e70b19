/** Real OTLP over HTTP: three services export to one receiver, which sees one trace with parents, links and metrics. */
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { promisify } from "node:util";
import { IoError } from "@meridian/core";
import type { Headers, Telemetry } from "@meridian/core";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startTelemetry } from "@meridian/telemetry";

interface Value {
  stringValue?: string;
  intValue?: number | string;
  doubleValue?: number;
}
interface Attribute {
  key: string;
  value: Value;
}
interface OtlpSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  attributes: Attribute[];
  links?: { traceId: string; spanId: string }[];
  status: { code?: number };
}
interface TraceBody {
  resourceSpans: { resource: { attributes: Attribute[] }; scopeSpans: { spans: OtlpSpan[] }[] }[];
}
interface OtlpMetric {
  name: string;
  unit: string;
  sum?: { dataPoints: { asDouble?: number; asInt?: string }[]; isMonotonic: boolean };
  gauge?: { dataPoints: { asDouble?: number; attributes: Attribute[] }[] };
  histogram?: { dataPoints: { count: number | string; sum: number; explicitBounds: number[] }[] };
}
interface MetricBody {
  resourceMetrics: { scopeMetrics: { metrics: OtlpMetric[] }[] }[];
}

let received: { path: string; type: string; token: string; body: Buffer }[] = [];
const receiver = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    const { "content-type": type = "", "x-token": token = "" } = request.headers;
    received.push({ path: request.url ?? "", type, token: String(token), body: Buffer.concat(chunks) });
    response.writeHead(200, { "content-type": type }).end(type === "application/json" ? "{}" : "");
  });
});
let endpoint = "";

beforeAll(async () => {
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  endpoint = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`;
});
afterAll(() => new Promise<void>((resolve) => void receiver.close(() => resolve())));
beforeEach(() => {
  received = [];
});

const start = (service: string, env: Record<string, string> = {}): Promise<Telemetry> =>
  startTelemetry({
    service,
    instance: `${service}-1`,
    version: "0.1.0",
    env: {
      LOG_LEVEL: "silent",
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test",
      ...env,
    },
  });

const plain = (attributes: Attribute[]) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue ?? value.doubleValue]));

function spansReceived(): (OtlpSpan & { service: unknown })[] {
  return bodies<TraceBody>("/v1/traces").flatMap(({ resourceSpans }) =>
    resourceSpans.flatMap(({ resource, scopeSpans }) =>
      scopeSpans.flatMap(({ spans }) => spans.map((span) => ({ ...span, service: plain(resource.attributes)["service.name"] }))),
    ),
  );
}

const bodies = <Body>(path: string): Body[] =>
  received.filter((request) => request.path === path).map(({ body }) => JSON.parse(body.toString()) as Body);

describe("traces", () => {
  test("two requests, one flush that links to both, and the partition below it", async () => {
    const [gateway, scheduler, partition] = await Promise.all([start("gateway"), start("scheduler"), start("partition")]);
    const requests = ["a", "b"].map((id) => gateway.span("request", { kind: "server", attributes: { id } }));
    const submits = requests.map((request) => gateway.span("submit", { kind: "producer", parent: request.headers() }));
    const flush = scheduler.span("flush", {
      kind: "producer",
      parent: submits[0]?.headers() ?? {},
      links: submits.map((submit) => submit.headers()),
      attributes: { flush: 7 },
    });
    const applied = partition.span("apply", { kind: "consumer", parent: flush.headers() });
    applied.end(new IoError({ code: "GAP", n: 3 }, "never"));
    for (const span of [flush, ...submits, ...requests]) span.end();
    await Promise.all([gateway.shutdown(), scheduler.shutdown(), partition.shutdown()]);

    const spans = spansReceived();
    const named = (name: string) => spans.filter((span) => span.name === name);
    expect(spans).toHaveLength(6);
    const [request] = named("request").filter((span) => plain(span.attributes).id === "a");
    const submit = named("submit").find(({ parentSpanId }) => parentSpanId === request?.spanId);
    const [flushed] = named("flush");
    const [apply] = named("apply");
    expect(request).toMatchObject({ service: "meridian-gateway", kind: 2 });
    expect(request?.parentSpanId ?? "").toBe("");
    expect(submit?.traceId).toBe(request?.traceId);
    expect(flushed).toMatchObject({ service: "meridian-scheduler", parentSpanId: submit?.spanId, traceId: request?.traceId });
    expect(flushed?.links?.map(({ spanId }) => spanId)).toEqual(
      expect.arrayContaining(named("submit").map(({ spanId }) => spanId)),
    );
    expect(plain(flushed?.attributes ?? [])).toMatchObject({ "messaging.system": "nats", flush: 7 });
    expect(apply).toMatchObject({ service: "meridian-partition", parentSpanId: flushed?.spanId, traceId: request?.traceId });
    expect(apply?.status.code).toBe(2);
    expect(plain(apply?.attributes ?? [])).toMatchObject({ "error.type": "GAP", "error.detail.n": "3" });
  });

  test("a trace that is not sampled stays so below, and is not linked", async () => {
    const [gateway, scheduler] = await Promise.all([start("gateway", { OTEL_TRACES_SAMPLER: "always_off" }), start("scheduler")]);
    const request = gateway.span("request");
    expect(request.headers().traceparent).toMatch(/-00$/);
    scheduler.span("child", { parent: request.headers() }).end();
    scheduler.span("flush", { links: [request.headers()] }).end();
    request.end();
    await Promise.all([gateway.shutdown(), scheduler.shutdown()]);
    expect(spansReceived().map(({ name, links = [] }) => [name, links.length])).toEqual([["flush", 0]]);
  });

  test("a broken traceparent is a missing one", async () => {
    const gateway = await start("gateway");
    const parent: Headers = { traceparent: "00-zz-1-01" };
    gateway.span("request", { parent }).end();
    await gateway.shutdown();
    expect(spansReceived().map(({ parentSpanId = "" }) => parentSpanId)).toEqual([""]);
  });
});

test("metrics: counter, histogram with bounds for its unit, observed gauge", async () => {
  const telemetry = await start("scheduler", { OTEL_EXPORTER_OTLP_HEADERS: "x-token=secret" });
  const accepted = telemetry.counter("meridian.scheduler.accepted", "{transaction}", "Accepted transactions.");
  accepted(2);
  accepted(3);
  telemetry.histogram("meridian.scheduler.append", "ms", "Time of an append.")(2.7);
  telemetry.histogram("meridian.scheduler.flush", "{transaction}", "Transactions of a flush.")(500);
  telemetry.gauge("meridian.scheduler.waiting", "{transaction}", "Waiting.", () => [{ value: 9, attributes: { partition: 1 } }]);
  await telemetry.shutdown();

  const metrics = bodies<MetricBody>("/v1/metrics").flatMap(({ resourceMetrics }) =>
    resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics)),
  );
  const named = (name: string) => metrics.find((metric) => metric.name === `meridian.scheduler.${name}`);
  expect(named("accepted")).toMatchObject({ unit: "{transaction}", sum: { isMonotonic: true, dataPoints: [{ asDouble: 5 }] } });
  expect(named("append")?.histogram?.dataPoints).toMatchObject([{ count: 1, sum: 2.7 }]);
  expect(named("append")?.histogram?.dataPoints[0]?.explicitBounds).toContain(2.5);
  expect(named("flush")?.histogram?.dataPoints[0]?.explicitBounds).toContain(1_024);
  expect(named("waiting")?.gauge?.dataPoints).toMatchObject([{ asDouble: 9, attributes: [{ key: "partition" }] }]);
  expect(received.map(({ token }) => token)).toEqual(["secret"]);
});

test("protobuf is the default encoding", async () => {
  const telemetry = await start("archive", { OTEL_EXPORTER_OTLP_PROTOCOL: "", OTEL_METRICS_EXPORTER: "none" });
  telemetry.span("build-block").end();
  await telemetry.shutdown();
  expect(received.map(({ path, type }) => [path, type])).toEqual([["/v1/traces", "application/x-protobuf"]]);
  expect(received[0]?.body.includes("build-block")).toBe(true);
});

test("shutdown does not wait for a receiver that never answers", async () => {
  const deaf = createServer(() => undefined);
  await new Promise<void>((resolve) => deaf.listen(0, "127.0.0.1", resolve));
  const { port } = deaf.address() as AddressInfo;
  const telemetry = await start("gateway", { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}` });
  telemetry.span("request").end();
  const began = performance.now();
  await telemetry.shutdown();
  expect(performance.now() - began).toBeLessThan(4_500);
  deaf.closeAllConnections();
  await new Promise<void>((resolve) => void deaf.close(() => resolve()));
});

test.each<[what: string, env: Record<string, string>, loaded: boolean]>([
  ["no exporter", {}, false],
  ["exporters named none", { OTEL_TRACES_EXPORTER: "none", OTEL_METRICS_EXPORTER: "none" }, false],
  ["disabled", { OTEL_SDK_DISABLED: "true", OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1" }, false],
  ["an exporter", { OTEL_TRACES_EXPORTER: "console" }, true],
])("the SDK is imported only with an exporter: %s", async (_what, env, loaded) => {
  const script = `
    import { registerHooks } from "node:module";
    let loaded = false;
    registerHooks({ load: (url, context, next) => { loaded ||= url.includes("@opentelemetry"); return next(url, context); } });
    const { startTelemetry } = await import("@meridian/telemetry");
    const telemetry = await startTelemetry({ service: "x", instance: "x", version: "0", env: ${JSON.stringify(env)} });
    console.log(JSON.stringify({ loaded, on: telemetry.on }));
    process.exit(0);`;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script], {
    cwd: import.meta.dirname,
  });
  expect(JSON.parse(stdout)).toEqual({ loaded, on: loaded });
});
