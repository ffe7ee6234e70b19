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

export interface Announcer {
  /** Says a block that was just stored. */
  say(block: ChainHead): void;
  stop(): void;
}

export function startAnnouncer(
  ports: Pick<ArchivePorts, "bus" | "store" | "telemetry" | "clock">,
  { instance, limits, state, metrics }: { instance: string; limits: ArchiveLimits; state: ArchiveState; metrics: ArchiveMetrics },
  { onBeat, onSealUnequal }: { onBeat: () => void; onSealUnequal: (alarm: SealUnequal) => void },
): Announcer {
  const { store, clock, telemetry } = ports;
  const { wire } = ports.bus;
  const saidAt = new Map<number, number>();
  let sealed = -1;

  function say({ number, hash, timestamp }: ChainHead): void {
    saidAt.set(number, clock.now());
    wire.publish(SUBJECT.built, encodeBuilt({ archive: instance, number, hash, timestamp }));
  }

  function takeBeat(beat: Beat): void {
    // A deposed leader's last beats may still arrive; its term tells.
    if (state.beat !== null && beat.term < state.beat.term) return;
    state.beat = beat;
    const { number, hash } = beat.latest;
    const isSealed = hash.some((byte) => byte !== 0); // Before its first seal the leader shows block 0 with a zero hash.
    if (isSealed && number > sealed) checkSeal(number, hash);
    const first = isSealed ? number + 1 : number;
    for (const said of saidAt.keys()) if (said < first) saidAt.delete(said);
    for (let next = first; next <= Math.min(state.head, first + limits.sayMax - 1); next++) {
      if (clock.now() - (saidAt.get(next) ?? -Infinity) < limits.sayAgainMs) continue;
      const block = store.block(next);
      if (block !== null) say(block);
    }
    onBeat();
  }

  function checkSeal(number: number, hash: Uint8Array): void {
    const block = number <= state.head ? store.block(number) : null;
    if (number <= state.head) sealed = number;
    if (block === null || sameBytes(block.hash, 0, hash, 0, 32)) return;
    onSealUnequal({ code: "SEAL_UNEQUAL", block: number, hash: hexOf(block.hash), sealed: hexOf(hash) });
  }

  function compare(payload: Uint8Array): void {
    const built = decodeBuilt(payload);
    const block = built.archive === instance || built.number > state.head ? null : store.block(built.number);
    if (block === null || sameBytes(block.hash, 0, built.hash, 0, 32)) return;
    metrics.alarms(1, { code: "BLOCK_UNEQUAL" });
    const hashes = { hash: hexOf(block.hash), other: hexOf(built.hash) };
    telemetry.log.error(
      { code: "BLOCK_UNEQUAL", block: built.number, archive: built.archive, ...hashes },
      "Another archive built another block",
    );
  }

  /** A message that cannot be read is as good as none: its writer may be of a newer version. */
  const reading = (handle: (payload: Uint8Array) => void) => (message: { subject: string; payload: Uint8Array }) => {
    try {
      handle(message.payload);
    } catch (error) {
      if (!isIoError(error)) throw error;
      telemetry.log.warn({ ...error.detail, subject: message.subject }, "A message could not be read");
    }
  };
  const stops = [
    wire.subscribe(
      SUBJECT.beat,
      reading((payload) => takeBeat(decodeBeat(payload))),
    ),
    wire.subscribe(SUBJECT.built, reading(compare)),
  ];
  return {
    say,
    stop: () => {
      for (const stop of stops) stop();
    },
  };
}
