/** An archive process: environment -> ports -> run. */
import { hostname } from "node:os";
import { setImmediate } from "node:timers/promises";
import { connectBus } from "@meridian/bus";
import { IoError, readSettings, settingsHelp, streamLimitsOf } from "@meridian/core";
import { loadEngine } from "@meridian/engine";
import { runMain, serveHealth, stopSignal, systemClock } from "@meridian/process";
import { openArchive } from "@meridian/store";
import { startTelemetry, telemetrySettings } from "@meridian/telemetry";
import { readinessOf, runArchive } from "./run.ts";
import { archiveSettings } from "./settings.ts";

const VERSION = "0.1.0";
const TITLE = "A Meridian archive: builds blocks of what partitions publish, keeps them, and answers questions about them.";
/** A commit that is outstanding may take this long; then the process ends without it, and reads it again from OUT. */
const STOP_MS_MAX = 4_000;

await runMain(() => settingsHelp({ ...archiveSettings, ...telemetrySettings }, TITLE), main);

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
    monitorUrl: settings.natsMonitorUrl,
    ...streamLimitsOf(settings),
  });
  const { retentionBlocks, snapshotBlocks } = settings;
  const ports = { bus, engine, store, telemetry, clock: systemClock, pause: () => setImmediate() };
  const running = runArchive(ports, { instance, retentionBlocks, snapshotBlocks });
  const health = await serveHealth(settings.healthPort, () => readinessOf(running));
  const { head } = running.status();
  telemetry.log.info({ engine: engine.build, head, healthPort: health?.port ?? 0 }, "Archive started");
  const signalled = stopSignal();
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
