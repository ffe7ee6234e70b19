import { noTelemetry } from "@meridian/core";
import type { Telemetry } from "@meridian/core";
import { makeLogger } from "./logger.ts";
import { planTelemetry } from "./settings.ts";

export interface TelemetryOptions {
  /** One of the words of the system: gateway, scheduler, partition, archive, ... */
  service: string;
  /** Names this process among others of the service. */
  instance: string;
  version: string;
  /** `process.env`, handed over by `main.ts`. */
  env: Readonly<Record<string, string | undefined>>;
}

/**
 * Starts logging, and traces and metrics if an exporter is configured. If none is, the OpenTelemetry SDK is not even imported and
 * every call is empty.
 * @throws IoError SETTING if a variable has another form
 */
export async function startTelemetry(options: TelemetryOptions): Promise<Telemetry> {
  const plan = planTelemetry(options.env);
  const log = makeLogger({ ...options, level: plan.logLevel });
  if (plan.traces.length === 0 && plan.metrics.length === 0) return noTelemetry(log);
  const { openTelemetry } = await import("./sdk.ts");
  return openTelemetry(plan, options, log);
}
