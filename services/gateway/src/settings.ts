import { defineSettings, serviceSettings } from "@meridian/core";
import type { SettingValues } from "@meridian/core";
import { BODY_BYTES_LIMIT, LIMITS } from "./limits.ts";
import type { Limits } from "./limits.ts";

export const gatewaySettings = defineSettings({
  ...serviceSettings,
  httpHost: { variable: "MERIDIAN_HTTP_HOST", kind: "text", default: "127.0.0.1", help: "Address to listen on." },
  httpPort: {
    variable: "MERIDIAN_HTTP_PORT",
    kind: "integer",
    default: 8545,
    min: 0,
    max: 65_535,
    help: "Port of JSON-RPC; 0 takes a free one.",
  },
  corsOrigins: {
    variable: "MERIDIAN_CORS_ORIGINS",
    kind: "list",
    default: [],
    help: "Origins whose pages may call; * for all.",
  },
  httpHosts: {
    variable: "MERIDIAN_HTTP_HOSTS",
    kind: "list",
    default: ["localhost"],
    help: "Names that a Host header may have; * for all. Addresses are always good.",
  },
  workers: {
    variable: "MERIDIAN_WORKERS",
    kind: "integer",
    optional: true,
    min: 1,
    max: 256,
    help: "Threads that decode transactions; default: the number of cores.",
  },
  callsPerSecondMax: {
    variable: "MERIDIAN_RATE_LIMIT",
    kind: "integer",
    default: LIMITS.callsPerSecondMax,
    min: 0,
    help: "Calls a second from one address; 0 for no limit.",
  },
  connectionsMax: {
    variable: "MERIDIAN_CONNECTIONS_MAX",
    kind: "integer",
    default: LIMITS.connectionsMax,
    min: 1,
    help: "Open connections.",
  },
  bodyBytesMax: {
    variable: "MERIDIAN_BODY_BYTES_MAX",
    kind: "integer",
    default: LIMITS.bodyBytesMax,
    min: 1_024,
    max: BODY_BYTES_LIMIT,
    help: "Bytes of a request's body.",
  },
  binaryBytesMax: {
    variable: "MERIDIAN_BINARY_BYTES_MAX",
    kind: "integer",
    default: LIMITS.binaryBytesMax,
    min: 1_024,
    max: 64 * 1024 * 1024,
    help: "Bytes of a binary body.",
  },
  batchMax: {
    variable: "MERIDIAN_BATCH_MAX",
    kind: "integer",
    default: LIMITS.batchMax,
    min: 1,
    max: 8_192, // Senders of a batch are read with two cells each, and a partition gives 16,384 cells at once.
    help: "Calls of a batch.",
  },
  responseBytesMax: {
    variable: "MERIDIAN_RESPONSE_BYTES_MAX",
    kind: "integer",
    default: LIMITS.responseBytesMax,
    min: 65_536,
    help: "Bytes of a response.",
  },
  admin: {
    variable: "MERIDIAN_ADMIN",
    kind: "boolean",
    default: false,
    help: "Also answer admin_ methods, which move accounts between partitions.",
  },
  submitMsMax: {
    variable: "MERIDIAN_SUBMIT_MS",
    kind: "integer",
    default: LIMITS.submitMsMax,
    min: 100,
    max: 600_000,
    help: "Ms that a transaction waits for the scheduler's answer.",
  },
});

/** The limits that the settings change. */
export function limitsOf(settings: SettingValues<typeof gatewaySettings>): Partial<Limits> {
  const { callsPerSecondMax, connectionsMax, bodyBytesMax, binaryBytesMax, batchMax, responseBytesMax, submitMsMax } = settings;
  return { callsPerSecondMax, connectionsMax, bodyBytesMax, binaryBytesMax, batchMax, responseBytesMax, submitMsMax };
}
