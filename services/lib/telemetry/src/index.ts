export { makeLogger } from "./logger.ts";
export type { LogLevel } from "./logger.ts";
export { telemetrySettings } from "./settings.ts";
export { startTelemetry } from "./start.ts";
export type { TelemetryOptions } from "./start.ts";
