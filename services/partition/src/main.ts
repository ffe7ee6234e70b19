/** A host: environment -> settings -> one thread for each partition. */
import { hostname } from "node:os";
import { IoError, readSettings, settingsHelp, streamLimitsOf } from "@meridian/core";
import type { Durability } from "@meridian/core";
import type { EngineChoice } from "@meridian/engine";
import { runMain, serveHealth, stopSignal, systemClock } from "@meridian/process";
import { startTelemetry, telemetrySettings } from "@meridian/telemetry";
import { readinessOf, runHost } from "./host.ts";
import { memoryBytesMaxOf, partitionSettings } from "./settings.ts";
import { startThread } from "./thread.ts";

const VERSION = "0.1.0";
const TITLE = "A Meridian host: runs partitions of the account space, each in a thread of its own.";

await runMain(() => settingsHelp({ ...partitionSettings, ...telemetrySettings }, TITLE), main);

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
    streamLimits: streamLimitsOf(settings),
    engine: settings.engine satisfies EngineChoice,
    memoryBytesMax: memoryBytesMaxOf(settings.memoryMaxMb, partitions.length),
    env,
  };
  const start = (partition: number) => startThread({ ...common, partition });
  const running = runHost({ clock: systemClock, telemetry, start }, { partitions });
  const health = await serveHealth(settings.healthPort, () => readinessOf(running.status()));
  telemetry.log.info({ partitions, healthPort: health?.port ?? 0 }, "Host started");
  const signal = await stopSignal();
  telemetry.log.info({ signal }, "Stopping");
  await running.stop();
  await health?.close();
  await telemetry.shutdown();
}
