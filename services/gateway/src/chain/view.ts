/**
 * What the gateway knows of the chain without asking: the newest beat, the range map, how far each log is.
 *
 * V1. `latest` never goes back, whatever beats arrive in whatever order.
 * V2. Positions only grow: a read sent with them sees everything that was acknowledged here or that a beat has told of.
 */
import { decodeBeat, SUBJECT } from "@meridian/bus";
import type { Beat, Bus, ChainSettings, Logger, PartitionId, RangeIndex } from "@meridian/core";
import { indexRanges, IoError, isIoError } from "@meridian/core";
import { waitFor } from "./wait.ts";

/** A sealed block. */
export type Sealed = Beat["latest"];

export interface ChainView {
  readonly settings: ChainSettings;
  /** The last sealed block; null before the first beat. */
  latest(): Sealed | null;
  /** The newest beat of the newest term; null before the first. */
  beat(): Beat | null;
  /** Milliseconds since the last beat of the leader; infinite before the first. */
  silentMs(): number;
  /** The leader's term if it was heard lately; null while nobody leads. */
  leaderTerm(): number | null;
  /** Resolves with the next beat, or with false at `deadlineAt` (milliseconds of performance.now()). */
  nextBeat(deadlineAt: number): Promise<boolean>;
  /** Calls `handler` whenever `latest` moves on; returns a stop function. */
  onSealed(handler: (latest: Sealed) => void): () => void;
  ranges(): RangeIndex;
  /** Resolves once the range map is newer than this version, or with false at `deadlineAt`. */
  newerRanges(version: number, deadlineAt: number): Promise<boolean>;
  /** n of a partition's log that a read of the present state must have reached. */
  position(partition: PartitionId): number;
  /** Learns from a reply where acknowledged transactions stand. */
  learnPositions(positions: readonly [PartitionId, number][]): void;
  stop(): void;
}

export interface ChainViewOptions {
  /** A leader that is silent for longer leads no more, as far as the gateway knows. */
  beatSilenceMsMax: number;
  /** How long to wait at start for a chain to exist. */
  startMsMax: number;
  log: Logger;
}

const START_POLL_MS = 100;

/** @throws IoError NO_CHAIN if no chain was started within `startMsMax` */
export async function watchChain(bus: Bus, options: ChainViewOptions): Promise<ChainView> {
  const settings = await waitFor(() => bus.settings.get(), options.startMsMax, START_POLL_MS);
  const map = await waitFor(() => bus.settings.getMap(), options.startMsMax, START_POLL_MS);
  if (settings === undefined || map === undefined) {
    throw new IoError({ code: "NO_CHAIN", text: `no chain was started within ${options.startMsMax} ms` }, "later");
  }
  return new Watch(bus, settings, indexRanges(map), options);
}

class Watch implements ChainView {
  readonly settings: ChainSettings;
  readonly #bus: Bus;
  readonly #options: ChainViewOptions;
  readonly #stopBeats: () => void;
  readonly #sealedHandlers = new Set<(latest: Sealed) => void>();
  readonly #positions = new Map<PartitionId, number>();
  #beatWaiters: (() => void)[] = [];
  #ranges: RangeIndex;
  #isLoadingMap = false;
  #beat: Beat | null = null;
  #latest: Sealed | null = null;
  #heardAt = -Infinity;

  constructor(bus: Bus, settings: ChainSettings, ranges: RangeIndex, options: ChainViewOptions) {
    this.settings = settings;
    this.#bus = bus;
    this.#ranges = ranges;
    this.#options = options;
    this.#stopBeats = bus.wire.subscribe(SUBJECT.beat, ({ payload }) => this.#receive(payload));
  }

  latest = (): Sealed | null => this.#latest;
  beat = (): Beat | null => this.#beat;
  silentMs = (): number => performance.now() - this.#heardAt;
  ranges = (): RangeIndex => this.#ranges;
  position = (partition: PartitionId): number => this.#positions.get(partition) ?? 0;

  leaderTerm(): number | null {
    return this.#beat !== null && this.silentMs() <= this.#options.beatSilenceMsMax ? this.#beat.term : null;
  }

  async nextBeat(deadlineAt: number): Promise<boolean> {
    const restMs = deadlineAt - performance.now();
    if (restMs <= 0) return false;
    return new Promise<boolean>((resolve) => {
      const heard = () => {
        clearTimeout(timer);
        resolve(true);
      };
      const timer = setTimeout(() => {
        this.#beatWaiters = this.#beatWaiters.filter((waiter) => waiter !== heard);
        resolve(false);
      }, restMs);
      this.#beatWaiters.push(heard);
    });
  }

  async newerRanges(version: number, deadlineAt: number): Promise<boolean> {
    // With a beat that names a newer map it is read, until it is there.
    while (this.#ranges.map.version <= version) if (!(await this.nextBeat(deadlineAt))) return false;
    return true;
  }

  onSealed(handler: (latest: Sealed) => void): () => void {
    this.#sealedHandlers.add(handler);
    return () => this.#sealedHandlers.delete(handler);
  }

  learnPositions(positions: readonly [PartitionId, number][]): void {
    for (const [partition, n] of positions) {
      if (n > this.position(partition)) this.#positions.set(partition, n);
    }
  }

  stop(): void {
    this.#stopBeats();
    this.#sealedHandlers.clear();
    this.#wake();
  }

  #receive(payload: Uint8Array): void {
    const beat = readBeat(payload, this.#options.log);
    // A deposed leader's last beats may still arrive; its term tells.
    if (beat === null || (this.#beat !== null && beat.term < this.#beat.term)) return;
    this.#heardAt = performance.now();
    this.#beat = beat;
    this.learnPositions(beat.positions);
    if (beat.mapVersion > this.#ranges.map.version) void this.#loadMap();
    if (this.#latest === null || beat.latest.number > this.#latest.number) {
      this.#latest = beat.latest;
      for (const handler of this.#sealedHandlers) handler(beat.latest);
    }
    this.#wake();
  }

  #wake(): void {
    const waiters = this.#beatWaiters;
    this.#beatWaiters = [];
    for (const wake of waiters) wake();
  }

  /** The published copy of the map may come after the beat that tells of it; the next beat asks again. */
  async #loadMap(): Promise<void> {
    if (this.#isLoadingMap) return;
    this.#isLoadingMap = true;
    try {
      const map = await this.#bus.settings.getMap();
      if (map !== undefined && map.version > this.#ranges.map.version) this.#ranges = indexRanges(map);
    } catch (error) {
      if (!isIoError(error)) throw error;
      this.#options.log.warn({ ...error.detail }, "The range map could not be read; asking again with the next beat.");
    } finally {
      this.#isLoadingMap = false;
    }
  }
}

/** A beat that cannot be read is as good as none: the leader may be of a newer version. */
function readBeat(payload: Uint8Array, log: Logger): Beat | null {
  try {
    return decodeBeat(payload);
  } catch (error) {
    if (!isIoError(error)) throw error;
    log.warn({ ...error.detail }, "A beat could not be read.");
    return null;
  }
}
