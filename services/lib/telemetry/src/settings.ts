import { defineSettings, IoError, readSettings } from "@meridian/core";
import type { SettingFailure, SettingValues } from "@meridian/core";

const PROTOCOLS = ["http/protobuf", "http/json"] as const;

/** The standard variables that are read here. Certificates, compression and timeout of OTLP the exporter reads itself. */
export const telemetrySettings = defineSettings({
  logLevel: {
    variable: "LOG_LEVEL",
    kind: "choice",
    choices: ["debug", "info", "warn", "error", "silent"],
    default: "info",
    help: "Log lines of this level and above go to stderr as JSON.",
  },
  isDisabled: { variable: "OTEL_SDK_DISABLED", kind: "boolean", default: false, help: "Turns traces and metrics off." },
  tracesExporter: {
    variable: "OTEL_TRACES_EXPORTER",
    kind: "list",
    optional: true,
    help: "otlp, console or none; otlp if there is an endpoint.",
  },
  metricsExporter: {
    variable: "OTEL_METRICS_EXPORTER",
    kind: "list",
    optional: true,
    help: "otlp, console or none; otlp if there is an endpoint.",
  },
  endpoint: { variable: "OTEL_EXPORTER_OTLP_ENDPOINT", kind: "text", optional: true, help: "Base URL of an OTLP/HTTP receiver." },
  tracesEndpoint: {
    variable: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    kind: "text",
    optional: true,
    help: "URL for traces alone, used as it is.",
  },
  metricsEndpoint: {
    variable: "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    kind: "text",
    optional: true,
    help: "URL for metrics alone, used as it is.",
  },
  headers: {
    variable: "OTEL_EXPORTER_OTLP_HEADERS",
    kind: "text",
    optional: true,
    help: "name=value,... sent with every export.",
  },
  protocol: {
    variable: "OTEL_EXPORTER_OTLP_PROTOCOL",
    kind: "choice",
    choices: PROTOCOLS,
    default: "http/protobuf",
    help: "Encoding of OTLP.",
  },
  serviceName: {
    variable: "OTEL_SERVICE_NAME",
    kind: "text",
    optional: true,
    help: "Resource service.name; default meridian-<service>.",
  },
  resourceAttributes: {
    variable: "OTEL_RESOURCE_ATTRIBUTES",
    kind: "text",
    optional: true,
    help: "name=value,... added to the resource.",
  },
  sampler: {
    variable: "OTEL_TRACES_SAMPLER",
    kind: "choice",
    choices: [
      "always_on",
      "always_off",
      "traceidratio",
      "parentbased_always_on",
      "parentbased_always_off",
      "parentbased_traceidratio",
    ],
    default: "parentbased_always_on",
    help: "Which traces are recorded.",
  },
  samplerArgument: {
    variable: "OTEL_TRACES_SAMPLER_ARG",
    kind: "text",
    default: "1",
    help: "Ratio from 0 to 1 for the ratio samplers.",
  },
  spanDelayMs: {
    variable: "OTEL_BSP_SCHEDULE_DELAY",
    kind: "integer",
    default: 5_000,
    min: 1,
    help: "Ms between two exports of spans.",
  },
  spanQueueMax: {
    variable: "OTEL_BSP_MAX_QUEUE_SIZE",
    kind: "integer",
    default: 2_048,
    min: 1,
    help: "Spans kept; further ones are dropped.",
  },
  spanBatchMax: {
    variable: "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    kind: "integer",
    default: 512,
    min: 1,
    help: "Spans of one export.",
  },
  metricIntervalMs: {
    variable: "OTEL_METRIC_EXPORT_INTERVAL",
    kind: "integer",
    default: 60_000,
    min: 1,
    help: "Ms between two exports of metrics.",
  },
});

export type ExporterName = "otlp" | "console";

/** What the variables come to. Without an exporter for either signal nothing is imported and nothing is measured. */
export interface TelemetryPlan extends SettingValues<typeof telemetrySettings> {
  traces: ExporterName[];
  metrics: ExporterName[];
  samplerRatio: number;
}

/** @throws IoError SETTING if a variable has another form */
export function planTelemetry(env: Readonly<Record<string, string | undefined>>): TelemetryPlan {
  const values = readSettings(telemetrySettings, env);
  const exporters = (name: "tracesExporter" | "metricsExporter", endpoint: string | undefined): ExporterName[] => {
    if (values.isDisabled) return [];
    const names = values[name] ?? (endpoint === undefined && values.endpoint === undefined ? [] : ["otlp"]);
    return names.filter((item) => item !== "none").map((item) => exporterOf(item, telemetrySettings[name].variable));
  };
  return {
    ...values,
    traces: exporters("tracesExporter", values.tracesEndpoint),
    metrics: exporters("metricsExporter", values.metricsEndpoint),
    samplerRatio: ratioOf(values.samplerArgument),
  };
}

function exporterOf(name: string, variable: string): ExporterName {
  if (name === "otlp" || name === "console") return name;
  throw new IoError<SettingFailure>({ code: "SETTING", variable, got: name, want: "otlp | console | none" }, "never");
}

function ratioOf(text: string): number {
  const ratio = Number(text);
  if (ratio >= 0 && ratio <= 1) return ratio;
  const variable = telemetrySettings.samplerArgument.variable;
  throw new IoError<SettingFailure>({ code: "SETTING", variable, got: text, want: "number from 0 to 1" }, "never");
}
