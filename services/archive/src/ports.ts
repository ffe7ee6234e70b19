/** What an archive needs from outside. Tests and the simulator pass fakes. */
import type { Bus, Clock, EngineModule, Telemetry } from "@meridian/core";
import type { ArchiveStore } from "@meridian/store";

/** What an archive asks of the engine: nothing with state. */
export type ArchiveEngine = Pick<EngineModule, "buildBlock" | "foldDigest" | "keccak256" | "latticeOf">;

export interface ArchivePorts {
  bus: Bus;
  engine: ArchiveEngine;
  store: ArchiveStore;
  telemetry: Telemetry;
  /** For deadlines and measures; never for an outcome. */
  clock: Clock;
  /** Lets other work of this thread run. */
  pause: () => Promise<void>;
}

export interface ArchiveOptions {
  /** Name of this process in what it says; different for each. */
  instance: string;
  /** Blocks that are kept, 0 for all. */
  retentionBlocks: number;
  /** A snapshot is taken every so many blocks. */
  snapshotBlocks: number;
  limits?: Partial<ArchiveLimits>;
}

/** Every bound of an archive. Sizes in bytes, times in milliseconds. */
export interface ArchiveLimits {
  /** OUT messages of one read. */
  outBytesMax: number;
  /** Records in no block yet may take this much, or what the chain's gas limit lets stand open if that is more: tail-bound.ts. */
  tailBytesMin: number;
  /** Blocks of one commit, and about their bytes. */
  commitBlocksMax: number;
  commitBytesMax: number;
  /** Records of each partition whose marks are kept, to compare duplicates with. */
  marksMax: number;
  /** An archive answers once it has caught up with the last seal, or this long after its start. */
  joinMs: number;
  /** A query waits this long for its block... */
  waitMs: number;
  /** ...and one for unknown transactions this long for the next one. */
  unknownMs: number;
  /** How often the tail is walked meanwhile: once for all of them. */
  unknownPollMs: number;
  /** Queries that wait for unknown transactions. */
  unknownMax: number;
  /** Hashes of one walk. */
  walkHashesMax: number;
  /** Queries running or waiting. */
  queriesMax: number;
  /** Searches for logs at a time; others wait. */
  searchesMax: number;
  /** A search holds the thread for about this long before other work gets its turn. */
  searchMs: number;
  /** Headers or transaction hashes of one query. */
  headersMax: number;
  hashesMax: number;
  /** Transactions of one query for outcomes. */
  outcomesMax: number;
  logBlocksMax: number;
  logsMax: number;
  /** Values in one place of a log filter. */
  filterValuesMax: number;
  /** Bytes of packed contents in one reply; what is around them fits in the rest of a message. */
  replyBytesMax: number;
  /** A block without a seal is said again with a beat, but not within this time. */
  sayAgainMs: number;
  /** Blocks said with one beat: more than can be unsealed. */
  sayMax: number;
  /** Old blocks removed after each new one. */
  removeMax: number;
  /** A snapshot starts within this time after its block, by instance, so that not all archives take it at once. */
  snapshotJitterMs: number;
  /** Spans linked to a block's span. */
  linksMax: number;
  /** Tries again after a failure that passes: first and longest pause. */
  retryMsMin: number;
  retryMsMax: number;
}

const MIB = 1_024 * 1_024;

export const ARCHIVE_LIMITS: Readonly<ArchiveLimits> = {
  outBytesMax: 16 * MIB,
  tailBytesMin: 1_024 * MIB,
  commitBlocksMax: 64,
  commitBytesMax: 32 * MIB,
  marksMax: 8_192,
  joinMs: 5_000,
  waitMs: 2_000,
  unknownMs: 1_000,
  unknownPollMs: 50,
  unknownMax: 256,
  walkHashesMax: 16_384,
  queriesMax: 1_024,
  searchesMax: 4,
  searchMs: 8,
  headersMax: 1_024,
  hashesMax: 1_024,
  outcomesMax: 16_384,
  logBlocksMax: 10_000,
  logsMax: 10_000,
  filterValuesMax: 1_000,
  replyBytesMax: 7 * MIB,
  sayAgainMs: 250,
  sayMax: 16,
  removeMax: 2,
  snapshotJitterMs: 2_000,
  linksMax: 64,
  retryMsMin: 100,
  retryMsMax: 5_000,
};
