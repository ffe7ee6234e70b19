/**
 * Says which blocks are built, again and again until the beat shows them sealed, and compares hashes.
 *
 * N1. A block is said only when it is stored.
 * N2. What the leader sealed is the truth: another hash for a block here is an alarm, and nothing is served any more.
 * N3. Two archives that differ are an alarm at both; which one is right the seal will tell.
 */
import { decodeBeat, decodeBuilt, encodeBuilt, SUBJECT } from "@meridian/bus";
import { hexOf, isIoError, sameBytes } from "@meridian/core";
import type { Beat, ChainHead } from "@meridian/core";
import type { ArchiveMetrics } from "./metrics.ts";
import type { ArchiveLimits, ArchivePorts } from "./ports.ts";
import type { ArchiveState } from "./state.ts";

/** A seal with another hash than the block here has. */
export interface SealUnequal {
  code: "SEAL_UNEQUAL";
  block: number;
  hash: string;
  sealed: string;
}

export interface AnnouncerOptions {
  instance: string;
  limits: ArchiveLimits;
  state: ArchiveState;
  metrics: ArchiveMetrics;
  onBeat: () => void;
  onSealUnequal: (alarm: SealUnequal) => void;
}

export class Announcer {
  readonly #ports: Pick<ArchivePorts, "bus" | "store" | "telemetry" | "clock">;
  readonly #options: AnnouncerOptions;
  readonly #stops: (() => void)[];
  readonly #saidAt = new Map<number, number>();
  /** Newest block whose seal was compared. */
  #sealed = -1;

  constructor(ports: Pick<ArchivePorts, "bus" | "store" | "telemetry" | "clock">, options: AnnouncerOptions) {
    this.#ports = ports;
    this.#options = options;
    this.#stops = [
      this.#listen(SUBJECT.beat, (payload) => this.#takeBeat(decodeBeat(payload))),
      this.#listen(SUBJECT.built, (payload) => this.#compare(payload)),
    ];
  }

  stop(): void {
    for (const stop of this.#stops) stop();
  }

  /** Says a block that was just stored. */
  say({ number, hash, timestamp }: ChainHead): void {
    const { bus, clock } = this.#ports;
    this.#saidAt.set(number, clock.now());
    bus.wire.publish(SUBJECT.built, encodeBuilt({ archive: this.#options.instance, number, hash, timestamp }));
  }

  #takeBeat(beat: Beat): void {
    const { state, onBeat } = this.#options;
    // A deposed leader's last beats may still arrive; its term tells.
    if (state.beat !== null && beat.term < state.beat.term) return;
    state.beat = beat;
    const { number, hash } = beat.latest;
    const isSealed = hash.some((byte) => byte !== 0); // Before its first seal the leader shows block 0 with a zero hash.
    if (isSealed && number > this.#sealed && number <= state.head) this.#checkSeal(number, hash);
    this.#sayFrom(isSealed ? number + 1 : number);
    onBeat();
  }

  #sayFrom(first: number): void {
    const { clock, store } = this.#ports;
    const { limits, state } = this.#options;
    for (const said of this.#saidAt.keys()) if (said < first) this.#saidAt.delete(said);
    for (let next = first; next <= Math.min(state.head, first + limits.sayMax - 1); next++) {
      if (clock.now() - (this.#saidAt.get(next) ?? -Infinity) < limits.sayAgainMs) continue;
      const block = store.block(next);
      if (block !== null) this.say(block);
    }
  }

  #checkSeal(number: number, sealed: Uint8Array): void {
    this.#sealed = number;
    const hash = this.#ports.store.block(number)?.hash;
    if (hash === undefined || sameBytes(hash, 0, sealed, 0, 32)) return;
    this.#options.onSealUnequal({ code: "SEAL_UNEQUAL", block: number, hash: hexOf(hash), sealed: hexOf(sealed) });
  }

  #compare(payload: Uint8Array): void {
    const { instance, state, metrics } = this.#options;
    const built = decodeBuilt(payload);
    if (built.archive === instance || built.number > state.head) return;
    const hash = this.#ports.store.block(built.number)?.hash;
    if (hash === undefined || sameBytes(hash, 0, built.hash, 0, 32)) return;
    metrics.alarms(1, { code: "BLOCK_UNEQUAL" });
    const facts = {
      code: "BLOCK_UNEQUAL",
      block: built.number,
      archive: built.archive,
      hash: hexOf(hash),
      other: hexOf(built.hash),
    };
    this.#ports.telemetry.log.error(facts, "Another archive built another block");
  }

  /** A message that cannot be read is as good as none: its writer may be of a newer version. */
  #listen(subject: string, handle: (payload: Uint8Array) => void): () => void {
    return this.#ports.bus.wire.subscribe(subject, ({ payload }) => {
      try {
        handle(payload);
      } catch (error) {
        if (!isIoError(error)) throw error;
        this.#ports.telemetry.log.warn({ ...error.detail, subject }, "A message could not be read");
      }
    });
  }
}
