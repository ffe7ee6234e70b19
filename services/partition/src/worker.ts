/** The thread of one partition: its own connection, its own engine, its own telemetry. */
import { parentPort, workerData } from "node:worker_threads";
import { connectBus } from "@meridian/bus";
import { IoError, assert } from "@meridian/core";
import { loadEngine } from "@meridian/engine";
import { startTelemetry } from "@meridian/telemetry";
import { aborted } from "./aborted.ts";
import type { Actor, ActorStatus } from "./actor.ts";
import { isFinal } from "./failures.ts";
import { runPartition } from "./run.ts";
import { engineBytesMax } from "./settings.ts";
import type { ThreadMessage, ThreadOptions } from "./thread.ts";

const STATUS_MS = 100;
const VERSION = "0.1.0";

const host = parentPort;
assert(host !== null, "worker.ts runs in a worker thread");
const stopping = new AbortController();
host.on("message", () => stopping.abort());

const say = (status: ActorStatus): void => host.postMessage({ status } satisfies ThreadMessage);

await run(workerData as ThreadOptions);
host.close(); // Nothing else keeps the thread.

async function run(options: ThreadOptions): Promise<void> {
  const { partition, natsUrl, natsMonitorUrl: monitorUrl, durability, streamLimits, limits = {}, env } = options;
  const instance = `${options.host}/${partition}`;
  const telemetry = await startTelemetry({ service: "partition", instance, version: VERSION, env });
  const { signal } = stopping;
  try {
    const engines = loadEngine(options.engine);
    const memoryBytesMax = engineBytesMax(engines.build, options.memoryBytesMax);
    telemetry.log.info({ partition, engine: engines.build, memoryBytesMax }, "Starting");
    if (memoryBytesMax < options.memoryBytesMax) {
      const facts = { partition, wanted: options.memoryBytesMax, memoryBytesMax };
      telemetry.log.warn(facts, "A WebAssembly engine cannot use that much memory; its bound is lower");
    }
    const { log } = telemetry;
    const bus = await connectBus({ url: natsUrl, monitorUrl, name: instance, durability, log, signal, ...streamLimits });
    try {
      const starting = { partition, host: options.host, memoryBytesMax, limits, signal };
      const actor = await runPartition({ bus, engines, telemetry }, starting);
      await follow(actor, bus.closed);
    } catch (error) {
      if (!isFinal(error)) throw error;
      // It could not even begin: a host that starts it again would find the same.
      telemetry.log.error({ partition, error }, "The partition stops for good before it has begun");
      await sayStopped(partition, error);
    } finally {
      await bus.close();
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    await telemetry.shutdown();
  }
}

/** Says how the actor is until it is asked to stop; throws what it fails with. */
async function follow(actor: Actor, closed: Promise<void>): Promise<void> {
  const timer = setInterval(() => say(actor.status()), STATUS_MS);
  try {
    say(actor.status());
    const lost = closed.then(() => {
      if (!stopping.signal.aborted) throw new IoError({ code: "CLOSED", what: "the connection to the server" }, "later");
    });
    await Promise.race([actor.done, lost, aborted(stopping.signal)]);
  } finally {
    clearInterval(timer);
    await actor.stop();
  }
}

async function sayStopped(partition: number, error: unknown): Promise<void> {
  const stopped = error instanceof Error ? error.message : String(error);
  say({ partition, n: 0, closedBlock: -1, fromBlock: null, snapshots: [], isCaughtUp: false, stopped });
  await aborted(stopping.signal);
}
