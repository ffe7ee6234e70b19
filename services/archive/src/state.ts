/** What the parts of an archive know of each other: how far it is, and whether it still takes anything in. */
import { awaitedPartitions, tailCounts } from "@meridian/core";
import type { Assembly, Beat } from "@meridian/core";
import type { ArchiveStore } from "@meridian/store";

/**
 * `starting`: waits for the chain. `restoring`: from a snapshot. `running`. `full`: the disk takes no more, it is tried again.
 * `stopped`: an alarm; nothing more is taken in. What is stored can be asked for in all of them, but not after another seal.
 */
export type ArchivePhase = "starting" | "restoring" | "running" | "full" | "stopped";

export interface ArchiveStatus {
  phase: ArchivePhase;
  /** Why it is full or stopped. */
  text: string | null;
  /** Whether it takes its turn in answering queries. */
  isAnswering: boolean;
  /** Newest stored block, -1 if there is none. */
  head: number;
  oldest: number;
  /** Blocks of the snapshots in the object store, newest first, as this archive saw them last. */
  snapshots: number[];
  /** Partitions that the next block waits for, once one of them has closed it. */
  awaited: number[];
  lagMessages: number;
  lagBlocks: number;
}

export class ArchiveState {
  phase: ArchivePhase = "starting";
  text: string | null = null;
  isAnswering = false;
  snapshots: number[] = [];
  assembly: Assembly | null = null;
  /** Newest beat of the newest term. */
  beat: Beat | null = null;
  readonly #store: ArchiveStore;
  #waiters = new Set<() => void>();

  constructor(store: ArchiveStore) {
    this.#store = store;
  }

  get head(): number {
    return this.#store.head()?.number ?? -1;
  }

  enter(phase: ArchivePhase, text: string | null = null): void {
    if (this.phase === "stopped") return;
    this.phase = phase;
    this.text = text;
    this.wake();
  }

  /** Tells all who wait that there is a new block, or that none will come. */
  wake(): void {
    const waiters = this.#waiters;
    this.#waiters = new Set();
    for (const wake of waiters) wake();
  }

  /** Calls `wake` once at the next change. Returns a function that takes this back. */
  onChange(wake: () => void): () => void {
    this.#waiters.add(wake);
    return () => this.#waiters.delete(wake);
  }

  /** True once everything that is sealed, as far as beats tell, is stored. */
  hasCaughtUp(): boolean {
    return this.phase === "running" && this.beat !== null && this.head >= this.beat.latest.number;
  }

  lagMessages(): number {
    const tails = this.assembly?.tails;
    if (this.beat === null || tails === undefined) return 0;
    return this.beat.positions.reduce((lag, [partition, n]) => lag + Math.max(0, n - (tails.get(partition)?.n ?? 0)), 0);
  }

  lagBlocks(): number {
    return this.beat === null ? 0 : Math.max(0, this.beat.open.number - 1 - this.head);
  }

  tail(): { bytes: number; records: number } {
    if (this.assembly === null) return { bytes: 0, records: 0 };
    return { bytes: this.assembly.tailBytes, records: tailCounts(this.assembly).records };
  }

  status(): ArchiveStatus {
    return {
      ...{ phase: this.phase, text: this.text, isAnswering: this.isAnswering },
      ...{ head: this.head, oldest: this.#store.oldest(), snapshots: this.snapshots },
      awaited: this.assembly === null ? [] : awaitedPartitions(this.assembly),
      ...{ lagMessages: this.lagMessages(), lagBlocks: this.lagBlocks() },
    };
  }
}
