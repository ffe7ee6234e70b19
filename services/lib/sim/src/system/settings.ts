/** Settings of the services in a run: their own options, with short times and small bounds. */
import type { ArchiveOptions } from "@meridian/archive";
import type { PartitionId } from "@meridian/core";
import type { PartitionOptions } from "@meridian/partition";
import type { SchedulerOptions } from "@meridian/scheduler";
import type { World } from "../world/world.ts";
import { TAKE_OVER_JITTER_MS } from "./times.ts";
import type { Times } from "./times.ts";

/** Tables that a service makes at its start, as small as such a world needs them. */
const SMALL = { sendersMax: 64, recentHashesMax: 256, queueRecordsMax: 1_024, submitsMax: 256, readyPerSenderMax: 64 };
const FAR = 2 ** 40;

export function schedulerOptions(instance: string, world: World, times: Times): SchedulerOptions {
  const { blockMs, flushMs, beatMs, takeOverMs, silentMs, lockMsMax, flushTransactionsMax, groupMembersMax, snapshotMs } = times;
  return {
    instance,
    chain: { genesis: world.genesis, partitions: world.partitions, blockMs },
    admin: true,
    limits: {
      ...{ ...SMALL, flushMs, silentMs, flushTransactionsMax, groupMembersMax, flushBytesMax: 65_536 },
      ...{ gapMs: 150, askMs: 400, readyMs: 400, askRetryMs: 20, fullRetryMs: 50, moveMs: 400 },
      ...{ snapshotBlocksMin: snapshotMs < 100 ? 1 : 2, snapshotMs, lock: { askMs: 30, lockMsMax, abortsMax: 6 } },
      predictor: { methodsMax: 64, callsMax: 64, sourcesMax: 16 },
    },
    timing: {
      beatMs,
      takeOverMs,
      takeOverJitterMs: TAKE_OVER_JITTER_MS,
      tickMs: 10,
      nonceRequestMs: 150,
      retryMs: 30,
      chainMsMax: FAR,
    },
  };
}

export function partitionOptions(host: string, partition: PartitionId, { reportMs, groupRoundsMax }: Times): PartitionOptions {
  const limits = {
    ...{ reportMs, reportAfterMs: 5, readWaitMs: 120, fetchMs: 150, retryMsMin: 5, retryMsMax: 50, groupRoundsMax },
    ...{ grantWaitMs: 60, grantMs: 80, grantPauseMsMin: 3, grantPauseMsMax: 30, proposalRepeatMs: 30 },
    ...{ missTraceMs: 100, missRepeatMs: 25 },
  };
  return { partition, host, memoryBytesMax: FAR, limits };
}

export function archiveOptions(instance: string): ArchiveOptions {
  return {
    ...{ instance, retentionBlocks: 0, snapshotBlocks: 4 },
    limits: { joinMs: 100, snapshotJitterMs: 20, retryMsMin: 5, retryMsMax: 50, sayAgainMs: 40, marksMax: 512 },
  };
}
