/** An archive process: environment -> ports -> run. */
import { hostname } from "node:os";
import { setImmediate } from "node:timers/promises";
import { connectBus } from "@meridian/bus";
import { IoError, isIoError, readSettings, settingsHelp } from "@meridian/core";
import { loadEngine } from "@meridian/engine";
import { openArchive } from "@meridian/store";
import { startTelemetry, telemetrySettings } from "@meridian/telemetry";
import { serveHealth } from "./health.ts";
import { runArchive } from "./run.ts";
import { archiveSettings } from "./settings.ts";

const VERSION = "0.1.0";
const HEALTH_HOST = "0.0.0.0"; // Probes come from outside of the pod.
/** A commit that is outstanding may take this long; then the process ends without it, and reads it again from OUT. */
const STOP_MS_MAX = 4_000;

if (process.argv.includes("--help")) {
  const title = "A Meridian archive: builds blocks of what partitions publish, keeps them, and answers questions about them.";
  console.log(settingsHelp({ ...archiveSettings, ...telemetrySettings }, title));
} else {
  await main().then(
    () => process.exit(0),
    (error: unknown) => {
      console.error(isIoError(error) || error instanceof Error ? error.message : error);
      process.exit(1);
    },
  );
}

async function main(): Promise<void> {
  const settings = readSettings(archiveSettings, process.env);
  const instance = settings.instance ?? `${hostname()}-${process.pid}`;
  const telemetry = await startTelemetry({ service: "archive", instance, version: VERSION, env: process.env });
  const engine = loadEngine(settings.engine);
  const store = openArchive(settings.dataFolder);
  const bus = await connectBus({
    url: settings.natsUrl,
    name: `archive ${instance}`,
    durability: settings.durability,
    log: telemetry.log,
    ...(settings.natsMonitorUrl === undefined ? {} : { monitorUrl: settings.natsMonitorUrl }),
  });
  const { retentionBlocks, snapshotBlocks } = settings;
  const ports = { bus, engine, store, telemetry, clock: systemClock, pause: () => setImmediate() };
  const running = runArchive(ports, { instance, retentionBlocks, snapshotBlocks });
  const health = settings.healthPort === 0 ? null : await serveHealth(settings.healthPort, HEALTH_HOST, () => running.status());
  telemetry.log.info(
    { instance, engine: engine.build, head: running.status().head, healthPort: health?.port ?? 0 },
    "Archive started",
  );
  const signalled = new Promise<string>((resolve) => {
    for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => resolve(name));
  });
  const failed = running.done.then(() => signalled); // An alarm ends intake, not the process.
  const lost = bus.closed.then(() => {
    throw new IoError({ code: "CLOSED", text: "the connection to NATS is gone for good" }, "never");
  });
  const signal = await Promise.race([signalled, failed, lost]);
  telemetry.log.info({ signal }, "Stopping");
  const timeout = new Promise<void>((resolve) => setTimeout(resolve, STOP_MS_MAX).unref());
  await Promise.race([running.stop().then(() => store.close()), timeout]);
  await health?.close();
  await Promise.race([Promise.all([bus.close(), telemetry.shutdown()]), timeout]);
}
