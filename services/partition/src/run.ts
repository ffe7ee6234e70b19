/** One partition in this thread: for its worker, for tests, and for the simulator with its own ports and clock. */
import { setImmediate } from "node:timers/promises";
import { ALL_RULES, callOfRecord } from "@meridian/core";
import type { Bus, Clock, EngineModule, PartitionId, Rules, Telemetry } from "@meridian/core";
import { systemClock } from "@meridian/process";
import { startActor } from "./actor.ts";
import type { Actor } from "./actor.ts";
import { ACTOR_LIMITS } from "./ports.ts";
import type { ActorLimits, ActorPorts } from "./ports.ts";

export interface PartitionPorts {
  bus: Bus;
  engines: Pick<EngineModule, "open">;
  telemetry: Telemetry;
  /** Default: this machine's. */
  clock?: Clock;
  /** Lets other work run; default: one turn of the event loop. */
  pause?: () => Promise<void>;
  /** Default: the call of a signed transaction. Records of a fake engine carry other programs. */
  callOf?: ActorPorts["callOf"];
}

export interface PartitionOptions {
  partition: PartitionId;
  /** Name of the host process in reports. */
  host: string;
  memoryBytesMax: number;
  limits?: Partial<ActorLimits>;
  /** Ends the wait for a chain that is not begun yet. */
  signal?: AbortSignal;
  /** The simulator switches single rules off; default: all. */
  rules?: Readonly<Rules>;
  /** Calls run on this thread, at once; see `EngineOptions`. */
  callsInline?: boolean;
}

/**
 * Starts a partition; resolves when it has recovered, after which it follows its log until `stop`.
 * @throws IoError see `startActor`
 */
export function runPartition(ports: PartitionPorts, options: PartitionOptions): Promise<Actor> {
  const { bus, engines, telemetry, clock = systemClock, pause = () => setImmediate(), callOf = callOfRecord } = ports;
  const { partition, host, memoryBytesMax, limits = {}, signal = new AbortController().signal } = options;
  const { rules = ALL_RULES, callsInline = false } = options;
  return startActor(
    { bus, openEngine: (chainId) => engines.open({ chainId, callsInline }), telemetry, clock, pause, callOf },
    { partition, host, memoryBytesMax, limits: { ...ACTOR_LIMITS, ...limits }, rules },
    signal,
  );
}

export type { Actor, ActorStatus } from "./actor.ts";
export { runHost } from "./host.ts";
export type { Host, HostOptions, HostStatus } from "./host.ts";
export { ACTOR_LIMITS } from "./ports.ts";
export type { ActorLimits } from "./ports.ts";
