/** What one partition's actor needs from outside. Tests and the simulator pass fakes. */
import { EXCEEDED_GAS } from "@meridian/core";
import type { Bus, CallRequest, Clock, Engine, PartitionId, Rules, Telemetry } from "@meridian/core";

export interface ActorPorts {
  bus: Bus;
  /** An empty engine; asked for again if a snapshot turns out to be damaged. */
  openEngine: (chainId: number) => Engine;
  telemetry: Telemetry;
  /** For deadlines, reports and measures; never for an outcome. */
  clock: Clock;
  /** Lets other work of this thread run: reads, reports, answers of the server. */
  pause: () => Promise<void>;
  /** The call that a packed record makes, null if it makes none; see `callOfRecord`. */
  callOf: (record: Uint8Array, at: number, given: Uint8Array) => CallRequest | null;
}

export interface ActorOptions {
  partition: PartitionId;
  /** Name of the host process in reports. */
  host: string;
  /** What the partition may use before the scheduler is asked to send it no more; it never decides an outcome. */
  memoryBytesMax: number;
  limits: ActorLimits;
  /** All of them but in the simulator. */
  rules: Readonly<Rules>;
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
  /** Open groups in one report. */
  reportGroupsMax: number;
  /** A read waits this long for its block or position. */
  readWaitMs: number;
  /** A grant waits this long for its group's locks; shorter, for whoever asks may have lost the request. */
  grantWaitMs: number;
  /** Reads of nonces, and of cells, that wait. */
  readsMax: number;
  /** Calls and estimates that wait or run. */
  callsMax: number;
  /** Grants that wait for their groups' locks. */
  grantsMax: number;
  /** Requests of each of these four kinds together. */
  readBytesMax: number;
  /** Cells and nonces of one request. */
  cellsMax: number;
  /** Cells of other partitions that one call may need, and rounds of fetching them. */
  givenCellsMax: number;
  givenRoundsMax: number;
  /** Code cells fetched from one partition in one round: an answer must fit one message. */
  givenCodesMax: number;
  /** A request to another partition. */
  fetchMs: number;
  /** A request for a group's cells, and the pauses between its repetitions. */
  grantMs: number;
  grantPauseMsMin: number;
  grantPauseMsMax: number;
  /** Groups that run at home here at once. */
  groupsMax: number;
  /** Rounds of fetching for a group before those of its members that are not done have to wait. */
  groupRoundsMax: number;
  /** What one run of a group should take: while the engine runs, the partition says nothing. */
  groupRunMsMax: number;
  /** Engine time for a group before the same, however few rounds it had; but so many it has in any case. */
  groupMsMax: number;
  groupRoundsMin: number;
  /** In the whole-system group: gas limit of its first member times runs before it ends as `exceeded`. */
  exceededGas: number;
  /** Cells that groups here missed before: of one account and for one group, and of all accounts. */
  seenKeysMax: number;
  seenKeysTotalMax: number;
  /** A proposal, about, before the later half of its members is deferred. */
  groupBytesMax: number;
  /** A proposal is said again after this long. */
  proposalRepeatMs: number;
  /** Calls that complete what missed transactions touch: at once, and each at most this long. */
  missTracesMax: number;
  missTraceMs: number;
  /** Misses are said again after this long, in messages of about this size, and so much of them at once. */
  missRepeatMs: number;
  missBytesMax: number;
  missRepeatBytesMax: number;
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
  reportAfterMs: 5,
  reportGroupsMax: 1_024,
  readWaitMs: 2_000,
  grantWaitMs: 500,
  readsMax: 4_096,
  callsMax: 48,
  grantsMax: 4_096,
  readBytesMax: 64 * 1024 * 1024,
  cellsMax: 16_384,
  givenCellsMax: 1_024,
  givenRoundsMax: 8,
  givenCodesMax: 128,
  fetchMs: 2_500,
  grantMs: 750,
  grantPauseMsMin: 10,
  grantPauseMsMax: 250,
  groupsMax: 1_024,
  groupRoundsMax: 64,
  groupRunMsMax: 500,
  groupMsMax: 1_000,
  groupRoundsMin: 4,
  exceededGas: EXCEEDED_GAS,
  seenKeysMax: 1_024,
  seenKeysTotalMax: 65_536,
  groupBytesMax: 6 * 1024 * 1024,
  proposalRepeatMs: 250,
  missTracesMax: 16,
  missTraceMs: 300,
  missRepeatMs: 200,
  missBytesMax: 1024 * 1024,
  missRepeatBytesMax: 8 * 1024 * 1024,
  chunkBytes: 1024 * 1024,
  retryMsMin: 50,
  retryMsMax: 2_000,
};
