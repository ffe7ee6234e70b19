/** A scheduler process: environment -> ports -> run. */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { connectBus } from "@meridian/bus";
import { IoError, readSettings, settingsHelp, streamLimitsOf } from "@meridian/core";
import { runMain, serveHealth, stopSignal, systemClock } from "@meridian/process";
import { startTelemetry, telemetrySettings } from "@meridian/telemetry";
import { parseGenesis } from "./genesis.ts";
import type { NewChain } from "./ports.ts";
import { readinessOf, runScheduler } from "./run.ts";
import { schedulerSettings } from "./settings.ts";

const VERSION = "0.1.0";
const TITLE = "A Meridian scheduler: sequences transactions into LOG. One leads, others stand by.";
/** An append that is outstanding may take this long; then the process ends without it. */
const STOP_MS_MAX = 4_000;

await runMain(() => settingsHelp({ ...schedulerSettings, ...telemetrySettings }, TITLE), main);

async function main(): Promise<void> {
  const settings = readSettings(schedulerSettings, process.env);
  const instance = settings.instance ?? `${hostname()}-${process.pid}`;
  const chain = await newChain(settings);
  const telemetry = await startTelemetry({ service: "scheduler", instance, version: VERSION, env: process.env });
  const bus = await connectBus({
    url: settings.natsUrl,
    name: `scheduler ${instance}`,
    durability: settings.durability,
    log: telemetry.log,
    monitorUrl: settings.natsMonitorUrl,
    ...streamLimitsOf(settings),
  });
  const running = runScheduler(
    { bus, telemetry, clock: systemClock, unixMs: () => Date.now(), randomBytes: (count) => new Uint8Array(randomBytes(count)) },
    {
      instance,
      limits: { flushMs: settings.flushMs, gapMs: settings.gapMs },
      admin: settings.admin,
      ...(chain === undefined ? {} : { chain }),
    },
  );
  const health = await serveHealth(settings.healthPort, () => readinessOf(running.status()));
  telemetry.log.info({ healthPort: health?.port ?? 0 }, "Scheduler started");
  const lost = bus.closed.then(() => {
    throw new IoError({ code: "CLOSED", text: "the connection to NATS is gone for good" }, "never");
  });
  const signal = await Promise.race([stopSignal(), running.done, lost]);
  telemetry.log.info({ signal: signal ?? "none" }, "Stopping");
  const timeout = new Promise<void>((resolve) => setTimeout(resolve, STOP_MS_MAX).unref());
  await Promise.race([running.stop(), timeout]);
  await health?.close();
  await Promise.race([Promise.all([bus.close(), telemetry.shutdown()]), timeout]);
}

/** What this process would begin a chain with; undefined without a genesis file. */
async function newChain(settings: {
  genesis: string | undefined;
  partitionCount: number;
  blockMs: number;
}): Promise<NewChain | undefined> {
  const { genesis, partitionCount, blockMs } = settings;
  if (genesis === undefined) return undefined;
  const text = await readFile(genesis, "utf8").catch((error: unknown) => {
    const want = "a file that can be read";
    throw new IoError({ code: "SETTING", variable: schedulerSettings.genesis.variable, got: genesis, want }, "never", error);
  });
  return { genesis: parseGenesis(text), partitions: partitionCount, blockMs };
}
