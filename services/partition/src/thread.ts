/** A partition in a worker thread, seen from its host. */
import { Worker } from "node:worker_threads";
import { IoError } from "@meridian/core";
import type { Durability, PartitionId, streamLimitsOf } from "@meridian/core";
import type { EngineChoice } from "@meridian/engine";
import type { ActorStatus } from "./actor.ts";
import type { HostedPartition } from "./host.ts";
import type { ActorLimits } from "./ports.ts";

/** What a worker is started with; plain data. */
export interface ThreadOptions {
  partition: PartitionId;
  host: string;
  natsUrl: string;
  natsMonitorUrl?: string | undefined;
  durability: Durability;
  streamLimits?: ReturnType<typeof streamLimitsOf>;
  engine: EngineChoice;
  memoryBytesMax: number;
  limits?: Partial<ActorLimits>;
  /** For telemetry's own variables. */
  env: Record<string, string | undefined>;
}

/** Said by a worker: again and again, and at once when it changes. */
export interface ThreadMessage {
  status: ActorStatus;
}

/**
 * A thread lives as long as its partition: it may be TypeScript, unlike those that come and go with every engine
 * (wasm-worker.mjs in @meridian/engine says why).
 */
export function startThread(options: ThreadOptions): HostedPartition {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), {
    workerData: options,
    name: `partition ${options.partition}`,
  });
  const { promise: ended, resolve } = Promise.withResolvers<{ error: unknown } | null>();
  let status: ActorStatus | null = null;
  worker.on("message", (message: ThreadMessage) => (status = message.status));
  worker.once("error", (error) => resolve({ error }));
  worker.once("exit", (code) => {
    resolve(
      code === 0 ? null : { error: new IoError({ code: "THREAD_ENDED", partition: options.partition, exit: code }, "later") },
    );
  });
  return {
    status: () => status,
    ended,
    stop: async (msMax) => {
      worker.postMessage("stop");
      const timer = setTimeout(() => void worker.terminate(), msMax);
      await ended;
      clearTimeout(timer);
    },
  };
}
