/**
 * The SDK behind core's port. Imported only when an exporter is configured. Nothing is registered globally: two services can live
 * in one process.
 */
import { isIoError } from "@meridian/core";
import type { Attributes, Headers, Logger, Span, SpanOptions, Telemetry } from "@meridian/core";
import {
  defaultTextMapGetter,
  defaultTextMapSetter,
  diag,
  DiagLogLevel,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
} from "@opentelemetry/api";
import type { Context, Link, Meter, Span as SdkSpan, Tracer } from "@opentelemetry/api";
import { parseKeyPairsIntoRecord, W3CTraceContextPropagator } from "@opentelemetry/core";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import type { Sampler } from "@opentelemetry/sdk-trace";
import { makeMetricExporter, makeSpanExporter } from "./exporters.ts";
import type { TelemetryPlan } from "./settings.ts";

/** The last export may take this long; a service stops within 5 s. */
const SHUTDOWN_MS_MAX = 3_000;
/** Causes of one batch that its span links to; further ones are left out, as the SDK does. */
const LINKS_MAX = 128;

/** Stage times go from tens of microseconds to seconds, counts and sizes to millions. */
const BOUNDARIES_MS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];
const BOUNDARIES_COUNT = [1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216];

const KINDS = {
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
  internal: SpanKind.INTERNAL,
} as const;

const propagator = new W3CTraceContextPropagator();

/** @param plan  names at least one exporter */
export async function openTelemetry(
  plan: TelemetryPlan,
  identity: { service: string; instance: string; version: string },
  log: Logger,
): Promise<Telemetry> {
  reportOwnTroubleTo(log);
  const resource = resourceFromAttributes({
    "service.name": plan.serviceName ?? `meridian-${identity.service}`,
    "service.instance.id": identity.instance,
    "service.version": identity.version,
    ...parseKeyPairsIntoRecord(plan.resourceAttributes ?? ""),
  });
  const spanProcessors = (await Promise.all(plan.traces.map((name) => makeSpanExporter(name, plan)))).map(
    (exporter) =>
      new BatchSpanProcessor({
        exporter,
        scheduledDelayMillis: plan.spanDelayMs,
        maxQueueSize: plan.spanQueueMax,
        maxExportBatchSize: Math.min(plan.spanBatchMax, plan.spanQueueMax),
      }),
  );
  const readers = (await Promise.all(plan.metrics.map((name) => makeMetricExporter(name, plan)))).map(
    (exporter) =>
      new PeriodicExportingMetricReader({
        exporter,
        exportIntervalMillis: plan.metricIntervalMs,
        exportTimeoutMillis: Math.min(plan.metricIntervalMs, 30_000),
      }),
  );
  const sampler = spanProcessors.length === 0 ? new AlwaysOffSampler() : makeSampler(plan);
  const traces = new TracerProvider({ resource, spanProcessors, sampler, spanLimits: { linkCountLimit: LINKS_MAX } });
  const metrics = new MeterProvider({ resource, readers });
  const scope = `meridian.${identity.service}`;
  return {
    on: true,
    log,
    ...instruments(metrics.getMeter(scope, identity.version)),
    span: makeSpans(traces.getTracer(scope, identity.version)),
    shutdown: () => shutDown([traces.shutdown(), metrics.shutdown()], log),
  };
}

/** The SDK's own warnings (a failed export, dropped spans) become log lines. Process-wide: the last one started gets them. */
function reportOwnTroubleTo(log: Logger): void {
  const warn = (text: string) => log.warn({ part: "opentelemetry" }, text);
  const silent = () => undefined;
  diag.setLogger(
    { error: warn, warn, info: silent, debug: silent, verbose: silent },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
}

function makeSampler(plan: TelemetryPlan): Sampler {
  const isParentBased = plan.sampler.startsWith("parentbased_");
  const root = rootSampler(plan.sampler.replace("parentbased_", ""), plan.samplerRatio);
  return isParentBased ? new ParentBasedSampler({ root }) : root;
}

function rootSampler(name: string, ratio: number): Sampler {
  if (name === "always_on") return new AlwaysOnSampler();
  return name === "always_off" ? new AlwaysOffSampler() : new TraceIdRatioBasedSampler(ratio);
}

function instruments(meter: Meter): Pick<Telemetry, "counter" | "histogram" | "gauge"> {
  return {
    counter(name, unit, description) {
      const counter = meter.createCounter(name, { unit, description });
      return (value, attributes) => counter.add(value, attributes);
    },
    histogram(name, unit, description) {
      const explicitBucketBoundaries = unit === "ms" ? BOUNDARIES_MS : BOUNDARIES_COUNT;
      const histogram = meter.createHistogram(name, { unit, description, advice: { explicitBucketBoundaries } });
      return (value, attributes) => histogram.record(value, attributes);
    },
    gauge(name, unit, description, observe) {
      const gauge = meter.createObservableGauge(name, { unit, description });
      gauge.addCallback((result) => {
        for (const { value, attributes } of observe()) result.observe(value, attributes);
      });
    },
  };
}

function makeSpans(tracer: Tracer): Telemetry["span"] {
  return (name, options = {}) => {
    const parent = options.parent === undefined ? ROOT_CONTEXT : contextOf(options.parent);
    const span = tracer.startSpan(
      name,
      { kind: KINDS[options.kind ?? "internal"], attributes: attributesOf(options), links: linksOf(options.links ?? []) },
      parent,
    );
    return wrap(span, trace.setSpan(parent, span));
  };
}

const contextOf = (headers: Headers): Context => propagator.extract(ROOT_CONTEXT, headers, defaultTextMapGetter);

/** All messages of the system go over NATS, for which there is no convention of its own. */
function attributesOf({ kind, attributes = {} }: SpanOptions): Attributes {
  return kind === "producer" || kind === "consumer" ? { "messaging.system": "nats", ...attributes } : attributes;
}

/** Links to the sampled causes alone: the others were never recorded. */
function linksOf(causes: Headers[]): Link[] {
  const links: Link[] = [];
  for (const headers of causes) {
    const context = trace.getSpanContext(contextOf(headers));
    if (context !== undefined && (context.traceFlags & TraceFlags.SAMPLED) !== 0) links.push({ context });
    if (links.length === LINKS_MAX) break;
  }
  return links;
}

function wrap(span: SdkSpan, context: Context): Span {
  return {
    headers() {
      const headers: Headers = {};
      propagator.inject(context, headers, defaultTextMapSetter);
      return headers;
    },
    set: (attributes) => void span.setAttributes(attributes),
    end(error) {
      if (error !== undefined) recordError(span, error);
      span.end();
    },
  };
}

function recordError(span: SdkSpan, error: unknown): void {
  const text = error instanceof Error ? error.message : String(error);
  if (isIoError(error)) {
    span.setAttribute("error.type", error.detail.code);
    for (const [name, value] of Object.entries<unknown>({ ...error.detail }))
      span.setAttribute(`error.detail.${name}`, String(value));
  }
  span.recordException(error instanceof Error ? error : text);
  span.setStatus({ code: SpanStatusCode.ERROR, message: text });
}

/** Exports what is left, bounded: a receiver that does not answer must not keep the process. */
async function shutDown(providers: Promise<void>[], log: Logger): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<"late">((resolve) => {
    timer = setTimeout(() => resolve("late"), SHUTDOWN_MS_MAX);
  });
  const outcome = await Promise.race([Promise.allSettled(providers), late]);
  clearTimeout(timer);
  if (outcome === "late") return log.warn({ waitedMs: SHUTDOWN_MS_MAX }, "the last export of traces and metrics was given up");
  for (const result of outcome) {
    if (result.status === "rejected")
      log.warn({ error: result.reason as unknown }, "the last export of traces or metrics failed");
  }
}
