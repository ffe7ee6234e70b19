/** What the scheduler needs from outside. Tests and the simulator pass fakes. */
import type { Clock } from "@meridian/core";
import type { Bus, Rules, SequencerLimits, Telemetry } from "@meridian/core";
import type { Genesis } from "./genesis.ts";

export interface SchedulerPorts {
  bus: Bus;
  telemetry: Telemetry;
  /** For deadlines and timers; never for an outcome. */
  clock: Clock;
  /** Wall clock, for the timestamps of blocks. */
  unixMs: () => number;
  randomBytes: (count: number) => Uint8Array;
}

/** What a chain is made of at its first start; a chain that exists keeps what it has. */
export interface NewChain {
  genesis: Genesis;
  partitions: number;
  blockMs: number;
}

export interface SchedulerOptions {
  /** Name of this process in beats and `term` entries; different for each. */
  instance: string;
  chain?: NewChain;
  limits?: Partial<SequencerLimits>;
  timing?: Partial<SchedulerTiming>;
  /** Answers administrators' requests about the range map. Default false. */
  admin?: boolean;
  /** For the simulator. Default: all. */
  rules?: Rules;
}

/** Times of the shell, in milliseconds. */
export interface SchedulerTiming {
  /** A leader says a beat this often... */
  beatMs: number;
  /** ...and a standby that has heard none for so long takes over. */
  takeOverMs: number;
  /** Instances wait up to this much longer, each its own part of it, so that they do not all try at once. */
  takeOverJitterMs: number;
  /** How often waits are looked at. */
  tickMs: number;
  /** One request for nonces; a partition itself waits 2 s for its position. */
  nonceRequestMs: number;
  /** Pause after a failure of the server. */
  retryMs: number;
  /** How long a start waits for a chain that nobody has begun, or for a server that fails. */
  chainMsMax: number;
}

export const schedulerTiming: Readonly<SchedulerTiming> = {
  beatMs: 100,
  takeOverMs: 1_500,
  takeOverJitterMs: 500,
  tickMs: 25,
  nonceRequestMs: 2_500,
  retryMs: 200,
  chainMsMax: 30_000,
};
