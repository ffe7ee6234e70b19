/** Waits for the leader to fall silent, and then takes over. */
import { SUBJECT, decodeBeat } from "@meridian/bus";
import { isIoError } from "@meridian/core";
import type { Beat, Clock, LogWriter } from "@meridian/core";
import { wait } from "@meridian/process";
import { steadyClock } from "./clock.ts";
import type { SchedulerPorts, SchedulerTiming } from "./ports.ts";

export interface TakenOver {
  writer: LogWriter;
  /** What the leader before said last; null if nobody was heard. */
  heard: Beat | null;
}

/**
 * Resolves once this process is the leader; undefined if `signal` aborts before. Where nobody has led yet it does not wait.
 * A failing server is tried again for as long as it takes: without it nobody can lead.
 */
export async function standBy(
  ports: SchedulerPorts,
  instance: string,
  timing: SchedulerTiming,
  signal: AbortSignal,
): Promise<TakenOver | undefined> {
  const { bus, telemetry } = ports;
  const clock = steadyClock(ports.clock);
  const patienceMs = timing.takeOverMs + timing.takeOverJitterMs * shareOf(instance);
  const ear = listen(ports, clock);
  try {
    for (let isNew = await isWithoutTerm(ports, timing, signal); !signal.aborted; isNew = false) {
      if (isNew || clock.now() - ear.heardAt() > patienceMs) {
        const writer = await takeOver(isNew);
        if (writer !== undefined) return { writer, heard: ear.heard() };
        ear.forgive();
      }
      await wait(clock, timing.beatMs, signal);
    }
  } finally {
    ear.stop();
  }
  return undefined;

  /** @param onlyFirst not if somebody has led already */
  async function takeOver(onlyFirst: boolean): Promise<LogWriter | undefined> {
    const startedAt = ports.clock.now();
    try {
      const tails = await bus.log.tails();
      if (onlyFirst && tails.some(({ term }) => term > 0)) return undefined;
      const partitions = tails.map(({ partition }) => partition);
      const taken = await bus.log.takeOver(instance, partitions);
      if ("fenced" in taken) {
        telemetry.log.info({}, "Another scheduler took over first");
        return undefined;
      }
      telemetry.log.info({ term: taken.writer.term, ms: Math.round(ports.clock.now() - startedAt) }, "Taken over");
      return taken.writer;
    } catch (error) {
      if (!isIoError(error) || error.retry === "never") throw error;
      telemetry.log.warn({ ...error.detail }, "Could not take over; will try again");
      return undefined;
    }
  }
}

interface Ear {
  heard: () => Beat | null;
  heardAt: () => number;
  /** The silence begins anew. */
  forgive: () => void;
  stop: () => void;
}

/** Beats of the highest term heard; those of a deposed leader do not count. */
function listen({ bus, telemetry }: SchedulerPorts, clock: Clock): Ear {
  let beat: Beat | null = null;
  let at = clock.now();
  const stop = bus.wire.subscribe(SUBJECT.beat, ({ payload }) => {
    try {
      const said = decodeBeat(payload);
      if (beat !== null && said.term < beat.term) return;
      beat = said;
      at = clock.now();
    } catch (error) {
      if (!isIoError(error)) throw error;
      telemetry.log.warn({ ...error.detail }, "A beat could not be read");
    }
  });
  return { heard: () => beat, heardAt: () => at, forgive: () => void (at = clock.now()), stop };
}

/** True if no leader's entry stands in any log. */
async function isWithoutTerm(
  { bus, clock, telemetry }: SchedulerPorts,
  timing: SchedulerTiming,
  signal: AbortSignal,
): Promise<boolean> {
  while (!signal.aborted) {
    try {
      return (await bus.log.tails()).every(({ term }) => term === 0);
    } catch (error) {
      if (!isIoError(error) || error.retry === "never") throw error;
      telemetry.log.warn({ ...error.detail }, "LOG could not be read yet");
      await wait(clock, timing.retryMs, signal);
    }
  }
  return false;
}

/** A number from 0 to 1 that is the same for the same name. */
function shareOf(instance: string): number {
  let hash = 0x811c9dc5;
  for (const char of instance) hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193);
  return (hash >>> 0) / 0x1_0000_0000;
}
