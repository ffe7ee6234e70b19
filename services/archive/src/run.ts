/** An archive: consumes OUT, builds and keeps blocks, says them, answers questions. */
import { Consumer } from "./consumer.ts";
import { Announcer } from "./announcer.ts";
import { startKeeper } from "./keeper.ts";
import { archiveMetrics, observeArchive } from "./metrics.ts";
import { ARCHIVE_LIMITS } from "./ports.ts";
import type { ArchiveOptions, ArchivePorts } from "./ports.ts";
import { serveQueries } from "./query.ts";
import { ArchiveState } from "./state.ts";
import type { ArchiveStatus } from "./state.ts";

export { ARCHIVE_LIMITS } from "./ports.ts";
export type { ArchiveEngine, ArchiveLimits, ArchiveOptions, ArchivePorts } from "./ports.ts";
export type { ArchivePhase, ArchiveStatus } from "./state.ts";

export interface RunningArchive {
  status(): ArchiveStatus;
  /** Resolves after `stop`; rejects with what must stop the process. An alarm does not: what is stored can still be asked for. */
  readonly done: Promise<void>;
  /** Stops taking in and answering; resolves when nothing runs any more. The store is left open. */
  stop(): Promise<void>;
}

/** What probes get: ready while it takes in what comes. */
export function readinessOf({ status }: Pick<RunningArchive, "status">): { isReady: boolean; facts: ArchiveStatus } {
  const facts = status();
  return { isReady: facts.phase === "running", facts };
}

/** Starts at once; what goes wrong shows in `done`. */
export function runArchive(ports: ArchivePorts, options: ArchiveOptions): RunningArchive {
  const limits = { ...ARCHIVE_LIMITS, ...options.limits };
  const stopping = new AbortController();
  const state = new ArchiveState(ports.store);
  const metrics = archiveMetrics(ports.telemetry);
  const queries = serveQueries(ports, { limits, state, metrics });
  // Until it has caught up another archive answers better; alone, it answers what it can after a while.
  const joinIfReady = () => {
    if (state.hasCaughtUp()) queries.start();
  };
  const cancelJoin = ports.clock.after(limits.joinMs, () => queries.start());
  const announcer = new Announcer(ports, {
    ...{ instance: options.instance, limits, state, metrics },
    onBeat: joinIfReady,
    onSealUnequal(alarm) {
      consumer.alarm(alarm);
      queries.stop(); // What is stored here is not what was sealed.
    },
  });
  const keeper = startKeeper(ports, options, { limits, state, metrics });
  const consumer = new Consumer(ports, { limits, state, metrics, announcer, keeper }, stopping.signal);
  observeArchive(ports.telemetry, () => ({
    ...{ lagMessages: state.lagMessages(), lagBlocks: state.lagBlocks() },
    ...{ tailBytes: state.tail().bytes, tailRecords: state.tail().records },
    ...{ databaseBytes: ports.store.bytes(), queries: queries.running },
  }));
  const done = consumer.run();
  done.catch(() => undefined); // Whoever waits for `done` gets it.
  return {
    status: () => state.status(),
    done,
    async stop() {
      stopping.abort();
      cancelJoin();
      queries.stop();
      announcer.stop();
      state.wake();
      await Promise.allSettled([done, keeper.stop()]);
      await done;
    },
  };
}
