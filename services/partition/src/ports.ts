/** What one partition's actor needs from outside. Tests and the simulator pass fakes. */
import type { Bus, Clock, Engine, PartitionId, Telemetry } from "@meridian/core";

export interface ActorPorts {
  bus: Bus;
  /** An empty engine; asked for again if a snapshot turns out to be damaged. */
  openEngine: (chainId: number) => Engine;
  telemetry: Telemetry;
  /** For deadlines, reports and measures; never for an outcome. */
  clock: Clock;
  /** Lets other work of this thread run: reads, reports, answers of the server. */
  pause: () => Promise<void>;
}

export interface ActorOptions {
  partition: PartitionId;
  /** Name of the host process in reports. */
  host: string;
  /** What the partition may use before the scheduler is asked to send it no more; it never decides an outcome. */
  memoryBytesMax: number;
  limits: ActorLimits;
}

/** Every bound of an actor. Sizes in bytes, times in milliseconds. */
export interface ActorLimits {
  /** Log messages of one read. */
  logBytesMax: number;
  /** Executing goes on for about this long before other work of the thread gets its turn. */
  applyMsMax: number;
  /** Records waiting for OUT; the log is not read on above it. */
  outBytesMax: number;
  /** A report is said at least this often... */
  reportMs: number;
  /** ...and after work at most this often. */
  reportAfterMs: number;
  /** A read waits this long for its block or position. */
  readWaitMs: number;
  /** Reads waiting or running. */
  readsMax: number;
  /** Calls and estimates waiting or running. */
  callsMax: number;
  /** Cells and nonces of one request. */
  cellsMax: number;
  /** Cells of other partitions that one call may need, and rounds of fetching them. */
  givenCellsMax: number;
  givenRoundsMax: number;
  /** Code cells fetched from one partition in one round: an answer must fit one message. */
  givenCodesMax: number;
  /** A request to another partition. */
  fetchMs: number;
  /** About the size of a snapshot's chunk. */
  chunkBytes: number;
  /** Tries again after a failure that passes: first and longest pause. */
  retryMsMin: number;
  retryMsMax: number;
}

export const ACTOR_LIMITS: ActorLimits = {
  logBytesMax: 4 * 1024 * 1024,
  applyMsMax: 10,
  outBytesMax: 32 * 1024 * 1024,
  reportMs: 100,
  reportAfterMs: 20,
  readWaitMs: 2_000,
  readsMax: 4_096,
  callsMax: 48,
  cellsMax: 16_384,
  givenCellsMax: 1_024,
  givenRoundsMax: 8,
  givenCodesMax: 128,
  fetchMs: 2_500,
  chunkBytes: 1024 * 1024,
  retryMsMin: 50,
  retryMsMax: 2_000,
};
