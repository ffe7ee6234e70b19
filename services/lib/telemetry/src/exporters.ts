/** Exporters by name; only the one that is configured is imported. */
import { parseKeyPairsIntoRecord } from "@opentelemetry/core";
import { ConsoleMetricExporter } from "@opentelemetry/sdk-metrics";
import type { PushMetricExporter } from "@opentelemetry/sdk-metrics";
import { ConsoleSpanExporter } from "@opentelemetry/sdk-trace";
import type { SpanExporter } from "@opentelemetry/sdk-trace";
import type { ExporterName, TelemetryPlan } from "./settings.ts";

const ENDPOINT_DEFAULT = "http://localhost:4318";

export async function makeSpanExporter(name: ExporterName, plan: TelemetryPlan): Promise<SpanExporter> {
  if (name === "console") return new ConsoleSpanExporter();
  const { OTLPTraceExporter } =
    plan.protocol === "http/json"
      ? await import("@opentelemetry/exporter-trace-otlp-http")
      : await import("@opentelemetry/exporter-trace-otlp-proto");
  return new OTLPTraceExporter(target(plan, plan.tracesEndpoint, "v1/traces"));
}

export async function makeMetricExporter(name: ExporterName, plan: TelemetryPlan): Promise<PushMetricExporter> {
  if (name === "console") return new ConsoleMetricExporter();
  const { OTLPMetricExporter } =
    plan.protocol === "http/json"
      ? await import("@opentelemetry/exporter-metrics-otlp-http")
      : await import("@opentelemetry/exporter-metrics-otlp-proto");
  return new OTLPMetricExporter(target(plan, plan.metricsEndpoint, "v1/metrics"));
}

/** The base URL gets the signal's path; a URL of one signal is used as it is (OTLP exporter specification). */
function target(plan: TelemetryPlan, own: string | undefined, path: string): { url: string; headers: Record<string, string> } {
  const base = plan.endpoint ?? ENDPOINT_DEFAULT;
  return { url: own ?? `${base.replace(/\/$/, "")}/${path}`, headers: parseKeyPairsIntoRecord(plan.headers ?? "") };
}
