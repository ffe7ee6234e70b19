/** Housekeeping after each block: own snapshots, then OUT goes as far as every archive can spare it, then old blocks. */
import { UNSEALED_MAX, isIoError } from "@meridian/core";
import type { AssembledBlock } from "@meridian/core";
import { takeArchiveSnapshot } from "@meridian/store";
import type { ArchiveMetrics } from "./metrics.ts";
import type { ArchiveLimits, ArchiveOptions, ArchivePorts } from "./ports.ts";
import type { ArchiveState } from "./state.ts";

export interface Keeper {
  /** To be called with every stored block; resolves when the store may take the next one. */
  afterBlock(block: Pick<AssembledBlock, "number" | "snapshot">): Promise<void>;
  /** Resolves when nothing runs any more. */
  stop(): Promise<void>;
}

export function startKeeper(
  { bus, store, telemetry, clock }: ArchivePorts,
  { instance, retentionBlocks, snapshotBlocks }: ArchiveOptions,
  { limits, state, metrics }: { limits: ArchiveLimits; state: ArchiveState; metrics: ArchiveMetrics },
): Keeper {
  let due = -1; // newest block that a snapshot is due for
  let taken = -1;
  let truncated = 0;
  let running: Promise<void> | null = null;
  let isStopping = false;
  let cancelStart: () => void = () => undefined;
  const jitterMs = partOf(instance) * limits.snapshotJitterMs;

  function start(): void {
    if (running !== null || isStopping || due <= taken) return;
    running = new Promise((resolve) => {
      const run = () => void takeSnapshot(due).finally(resolve);
      const cancel = clock.after(jitterMs, run);
      cancelStart = () => {
        cancel();
        resolve();
      };
    });
    void running.then(() => {
      running = null;
      start();
    });
  }

  async function takeSnapshot(block: number): Promise<void> {
    taken = block; // Whatever comes of it, the next one is tried with a later block.
    cancelStart = () => undefined;
    const startedAt = clock.now();
    try {
      const kept = await takeArchiveSnapshot(bus.objects, store, block);
      state.snapshots = kept.map((manifest) => manifest.block);
      const sequence = kept[1]?.sequence ?? 0;
      if (sequence > truncated) await bus.out.truncate(sequence);
      truncated = Math.max(truncated, sequence);
      metrics.snapshotMs(clock.now() - startedAt);
      telemetry.log.info({ blocks: state.snapshots, sequence }, "Snapshots kept, OUT cut");
    } catch (error) {
      if (!isIoError(error)) throw error;
      telemetry.log.warn({ ...error.detail, block }, "Snapshot failed, the next one is tried when it is due");
    }
  }

  return {
    async afterBlock({ number, snapshot }) {
      if (snapshot || (number > 0 && number % snapshotBlocks === 0)) due = number;
      start();
      // A snapshot reads blocks one after another: they must not go meanwhile.
      for (let count = 0; count < limits.removeMax && running === null; count++) {
        // The last hashes are part of the next block's digest.
        if (retentionBlocks === 0 || store.oldest() + Math.max(retentionBlocks, UNSEALED_MAX) > number) return;
        await store.removeOldest();
      }
    },
    async stop() {
      isStopping = true;
      cancelStart();
      await running;
    },
  };
}

/** A number in 0 to 1 that depends on the text. */
function partOf(text: string): number {
  let sum = 0;
  for (const letter of text) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) % 1_009;
  return sum / 1_009;
}
