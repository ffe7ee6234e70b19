/**
 * Takes snapshots beside the log.
 *
 * S1. A snapshot is of a closed block: its cells are read by version, so the log goes on meanwhile.
 * S2. One chunk at a time is read out, and other work of the thread runs in between.
 * S3. It counts only after OUT has every record up to it: a restart from it never has to make older ones.
 * S4. It is given up when the block's versions run out, when the range map changes meanwhile, when another process of the
 *     partition has taken two newer ones, or when the server fails; the next one is another chance.
 */
import {
  cutBySlice,
  isExportable,
  isIoError,
  isNewer,
  manifestOf,
  mapOf,
  ownedBy,
  sealedBlock,
  truncatableN,
} from "@meridian/core";
import type { Clock, Engine, Log, Objects, PartitionState, SnapshotManifest, Telemetry } from "@meridian/core";
import type { SnapshotStore } from "@meridian/store";
import { removeGained } from "./hand-overs.ts";
import type { PartitionMetrics } from "./metrics.ts";
import type { Progress } from "./progress.ts";
import type { Recovered } from "./recovery.ts";

export interface SnapshotterPorts {
  snapshots: SnapshotStore;
  log: Log;
  objects: Objects;
  telemetry: Telemetry;
  clock: Clock;
  progress: Progress;
  metrics: PartitionMetrics;
  pause: () => Promise<void>;
  /** n of the last record that OUT has. */
  publishedN: () => number;
}

export interface SnapshotterOptions {
  chunkBytes: number;
  /** OUT has to reach the snapshot within this time. */
  outMsMax: number;
  signal: AbortSignal;
}

const UPLOADS_MAX = 4;

/** Why a snapshot was given up. */
type GivenUp = "versions" | "out" | "moved" | "passed" | "stopping";

export class Snapshotter {
  readonly #ports: SnapshotterPorts;
  readonly #options: SnapshotterOptions;
  readonly #state: PartitionState;
  readonly #engine: Engine;
  readonly #fail: (error: unknown) => void;
  #kept: SnapshotManifest[];
  readonly #useless: Set<number>;
  #running: Promise<void> | null = null;

  constructor(
    ports: SnapshotterPorts,
    options: SnapshotterOptions,
    { state, engine, kept, useless }: Pick<Recovered, "state" | "engine" | "kept" | "useless">,
    fail: (error: unknown) => void,
  ) {
    this.#ports = ports;
    this.#options = options;
    this.#state = state;
    this.#engine = engine;
    this.#kept = kept;
    this.#useless = useless;
    this.#fail = fail;
  }

  /** Blocks of the snapshots that are kept, newest first. */
  get keptBlocks(): number[] {
    return this.#kept.map(({ block }) => block);
  }

  /** To be called right after the message that closed `block` is applied; returns at once. */
  begin(block: number, lattice: Uint8Array): void {
    const facts = { partition: this.#state.partition, block };
    const { log } = this.#ports.telemetry;
    if (!isNewer(block, this.#kept)) return; // The log is being replayed.
    if (this.#running !== null) return log.warn(facts, "The snapshot before this one is not done; this one is left out");
    this.#running = this.#take(manifestOf(this.#state, lattice))
      .catch(this.#fail)
      .finally(() => (this.#running = null));
  }

  /** Resolves when none is being taken. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #take(manifest: SnapshotManifest): Promise<void> {
    const { telemetry, clock, metrics } = this.#ports;
    const startedAt = clock.now();
    const facts = { partition: manifest.partition, block: manifest.block, n: manifest.position.n };
    const span = telemetry.span("snapshot", { kind: "internal", attributes: facts });
    try {
      const givenUp = (await this.#export(manifest)) ?? (await this.#finish(manifest));
      const bytes = manifest.chunks.reduce((sum, chunk) => sum + chunk.bytes, 0);
      const ms = Math.round(clock.now() - startedAt);
      span.set({ bytes, chunks: manifest.chunks.length });
      span.end();
      if (givenUp !== null)
        return telemetry.log.warn({ ...facts, ms, bytes, why: givenUp }, "Snapshot given up; the next one is due later");
      metrics.snapshotMs(ms);
      metrics.snapshotBytes(bytes);
      telemetry.log.info({ ...facts, ms, bytes, chunks: manifest.chunks.length }, "Snapshot taken");
      await this.#removePassed();
    } catch (error) {
      span.end(error);
      if (!isIoError(error)) throw error;
      telemetry.log.warn({ ...facts, ...error.detail }, "Snapshot given up; the next one is due later");
    }
  }

  async #export(manifest: SnapshotManifest): Promise<GivenUp | null> {
    const { ranges, pinsIn } = ownedBy(manifest.map, manifest.partition);
    const spans = [...ranges, ...pinsIn.map((pin) => ({ first: pin, last: pin }))];
    const uploads = new Uploads();
    for (const { first, last } of spans) {
      for (let next: Uint8Array | null = first; next !== null;) {
        const givenUp = this.#whyGivenUp(manifest);
        if (givenUp !== null) {
          await uploads.done();
          return givenUp;
        }
        const chunk = this.#engine.exportCells(manifest.block, next, last, this.#options.chunkBytes);
        for (const slice of cutBySlice(chunk.cells)) await uploads.add(this.#ports.snapshots.write(manifest, slice));
        await this.#ports.pause();
        next = chunk.next;
      }
    }
    await uploads.done();
    return null;
  }

  #whyGivenUp({ block, mapVersion }: SnapshotManifest): GivenUp | null {
    if (this.#options.signal.aborted) return "stopping";
    // What moved away is forgotten with all its versions.
    if (mapOf(this.#state).version !== mapVersion) return "moved";
    return isExportable(block, sealedBlock(this.#state)) ? null : "versions";
  }

  async #finish(manifest: SnapshotManifest): Promise<GivenUp | null> {
    const { progress, snapshots, log, publishedN } = this.#ports;
    const { outMsMax, signal } = this.#options;
    const isOut = await progress.reach(() => publishedN() >= manifest.position.n, outMsMax, signal);
    if (!isOut) return signal.aborted ? "stopping" : "out";
    this.#kept = await snapshots.finish(manifest, this.#useless);
    this.#useless.delete(manifest.block);
    if (!this.#kept.includes(manifest)) return "passed";
    const n = truncatableN(this.#kept);
    if (n !== null) await log.truncate(manifest.partition, n);
    return null;
  }

  /** What was handed over before the older snapshot is not imported again. */
  async #removePassed(): Promise<void> {
    if (truncatableN(this.#kept) === null) return; // A restart may still begin at genesis.
    const { objects, telemetry } = this.#ports;
    const { partition } = this.#state;
    try {
      await removeGained(objects, partition, Math.min(...this.keptBlocks));
    } catch (error) {
      if (!isIoError(error)) throw error;
      telemetry.log.warn({ ...error.detail, partition }, "Old hand-overs could not be removed; the next snapshot tries again");
    }
  }
}

/** A few writes at once: the server answers each after a round trip, and a snapshot has hundreds. */
class Uploads {
  readonly #running = new Set<Promise<void>>();
  #failure: { error: unknown } | null = null;

  /** Resolves when another one may begin. @throws what an earlier one failed with */
  async add(upload: Promise<void>): Promise<void> {
    const running = upload
      .catch((error: unknown) => void (this.#failure ??= { error }))
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
    while (this.#running.size >= UPLOADS_MAX) await Promise.race(this.#running);
    if (this.#failure !== null) throw this.#failure.error;
  }

  /** Resolves when all have ended. @throws what one failed with */
  async done(): Promise<void> {
    await Promise.all(this.#running);
    if (this.#failure !== null) throw this.#failure.error;
  }
}
