/** A host: environment -> settings -> one thread for each partition. */
import { hostname } from "node:os";
import { IoError, isIoError, readSettings, settingsHelp } from "@meridian/core";
import type { Durability } from "@meridian/core";
import type { EngineChoice } from "@meridian/engine";
import { startTelemetry, telemetrySettings } from "@meridian/telemetry";
import { serveHealth } from "./health.ts";
import { runHost } from "./host.ts";
import { systemClock } from "./ports.ts";
import { memoryBytesMaxOf, partitionSettings } from "./settings.ts";
import { startThread } from "./thread.ts";

const VERSION = "0.1.0";
const HEALTH_HOST = "0.0.0.0"; // Probes come from outside of the pod.

if (process.argv.includes("--help")) {
  const title = "A Meridian host: runs partitions of the account space, each in a thread of its own.";
  console.log(settingsHelp({ ...partitionSettings, ...telemetrySettings }, title));
} else {
  await main().catch((error: unknown) => {
    console.error(isIoError(error) || error instanceof Error ? error.message : error);
    process.exit(1);
  });
}

async function main(): Promise<void> {
  const settings = readSettings(partitionSettings, process.env);
  const partitions = [...new Set(settings.partitions)];
  if (partitions.length === 0) {
    throw new IoError(
      { code: "SETTING", variable: partitionSettings.partitions.variable, got: "", want: "at least one number" },
      "never",
    );
  }
  const host = settings.instance ?? `${hostname()}-${process.pid}`;
  const env = { ...process.env };
  const telemetry = await startTelemetry({ service: "host", instance: host, version: VERSION, env });
  const common = {
    host,
    natsUrl: settings.natsUrl,
    natsMonitorUrl: settings.natsMonitorUrl,
    durability: settings.durability satisfies Durability,
    engine: settings.engine satisfies EngineChoice,
    memoryBytesMax: memoryBytesMaxOf(settings.memoryMaxMb, partitions.length),
    env,
  };
  const start = (partition: number) => startThread({ ...common, partition });
  const running = runHost({ clock: systemClock, telemetry, start }, { partitions });
  const health = settings.healthPort === 0 ? null : await serveHealth(settings.healthPort, HEALTH_HOST, () => running.status());
  telemetry.log.info({ partitions, healthPort: health?.port ?? 0 }, "Host started");
  const signal = await new Promise<string>((resolve) => {
    for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => resolve(name));
  });
  telemetry.log.info({ signal }, "Stopping");
  await running.stop();
  await health?.close();
  await telemetry.shutdown();
}
