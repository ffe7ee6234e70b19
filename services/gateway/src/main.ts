/** The gateway's process: environment -> settings -> ports -> run. */
import { availableParallelism, hostname } from "node:os";
import { connectBus } from "@meridian/bus";
import { readSettings, settingsHelp, streamLimitsOf } from "@meridian/core";
import type { Durability } from "@meridian/core";
import { loadEngine } from "@meridian/engine";
import type { EngineChoice } from "@meridian/engine";
import { fail, runMain, stopSignal } from "@meridian/process";
import { startTelemetry, telemetrySettings } from "@meridian/telemetry";
import { startWorkerPool } from "./ingest/worker-pool.ts";
import { LIMITS } from "./limits.ts";
import { runGateway } from "./run.ts";
import { gatewaySettings, limitsOf } from "./settings.ts";

const VERSION = "0.1.0";
const LOST = "the connection to NATS is gone for good";
const STOP_MS_MAX = 5_000;
const TITLE = "The Meridian gateway: Ethereum JSON-RPC over HTTP.";

await runMain(() => settingsHelp({ ...gatewaySettings, ...telemetrySettings }, TITLE), main);

async function main(): Promise<void> {
  const settings = readSettings(gatewaySettings, process.env);
  const instance = settings.instance ?? `${hostname()}-${process.pid}`;
  const telemetry = await startTelemetry({ service: "gateway", instance, version: VERSION, env: process.env });
  const { log } = telemetry;
  const durability: Durability = settings.durability;
  const choice: EngineChoice = settings.engine;
  const engine = loadEngine(choice);
  const { natsUrl: url, natsMonitorUrl: monitorUrl } = settings;
  const bus = await connectBus({ url, monitorUrl, name: `gateway ${instance}`, durability, log, ...streamLimitsOf(settings) });
  const workers = settings.workers ?? availableParallelism();
  const queue = {
    queueMax: LIMITS.workerQueueMax,
    queueBytesMax: LIMITS.workerQueueBytesMax,
    queueSignaturesMax: LIMITS.workerQueueSignaturesMax,
  };
  const gateway = await runGateway(
    {
      bus,
      engine,
      telemetry,
      startIngest: (limits) => startWorkerPool({ engine: choice, limits, workers, ...queue, log, onLost: fail }),
    },
    {
      host: settings.httpHost,
      port: settings.httpPort,
      healthPort: settings.healthPort,
      origins: settings.corsOrigins,
      hosts: settings.httpHosts,
      version: `Meridian/v${VERSION}/${process.platform}-${process.arch}/node${process.versions.node}`,
      hasAdmin: settings.admin,
      limits: limitsOf(settings),
    },
  );
  const { chainId } = gateway.chain;
  log.info({ host: settings.httpHost, port: gateway.port, chainId, engine: engine.build, workers }, "Gateway listens");
  const why = await Promise.race([stopSignal(), bus.closed.then(() => LOST)]);
  log.info({ why }, "Stopping");
  setTimeout(() => fail("The gateway did not stop in time."), STOP_MS_MAX).unref();
  await gateway.stop();
  await bus.close();
  await telemetry.shutdown();
  if (why === LOST) fail(LOST);
}
