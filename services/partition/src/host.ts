/**
 * A host process: several partitions, each in a thread of its own with its own connection and engine.
 *
 * H1. A partition that fails does not take the others down; it is started again, each time after a longer pause.
 * H2. A partition that stopped for good stays stopped: starting it again would find the same log.
 */
import type { Clock, PartitionId, Telemetry } from "@meridian/core";
import { wait } from "@meridian/process";
import type { Readiness } from "@meridian/process";
import type { ActorStatus } from "./actor.ts";

/** One running partition as its host sees it: a worker thread, or a fake. */
export interface HostedPartition {
  /** The last status it said; null before the first. */
  status(): ActorStatus | null;
  /** Resolves when it has ended, with why if it was not asked to. */
  readonly ended: Promise<{ error: unknown } | null>;
  /** Asks it to end; ends it after `msMax` all the same. */
  stop(msMax: number): Promise<void>;
}

export interface HostPorts {
  clock: Clock;
  telemetry: Telemetry;
  start: (partition: PartitionId) => HostedPartition;
}

export interface HostOptions {
  partitions: readonly PartitionId[];
  /** Pause before a failed partition is started again: first, and longest. */
  restartMsMin?: number;
  restartMsMax?: number;
  /** What has run this long counts as well: its next pause is the first again. */
  steadyMs?: number;
  stopMsMax?: number;
}

export interface HostStatus {
  partition: PartitionId;
  phase: "starting" | "catchingUp" | "running" | "stopped" | "failed";
  /** Starts after the first. */
  restarts: number;
  /** Why it stopped for good, or what it failed with last. */
  text: string | null;
  n: number;
}

/** For probes: ready is a host all of whose partitions follow their logs. */
export const readinessOf = (partitions: HostStatus[]): Readiness => ({
  isReady: partitions.every(({ phase }) => phase === "running"),
  facts: { partitions },
});

export interface Host {
  status(): HostStatus[];
  stop(): Promise<void>;
}

const DEFAULTS = { restartMsMin: 500, restartMsMax: 30_000, steadyMs: 60_000, stopMsMax: 4_000 };

/** Starts all partitions and keeps them running until `stop`. */
export function runHost(ports: HostPorts, options: HostOptions): Host {
  const settings = { ...DEFAULTS, ...options };
  const ended = new AbortController();
  const kept = options.partitions.map((partition) => new Kept(ports, partition, settings, ended.signal));
  const running = kept.map((one) => one.keep());
  return {
    status: () => kept.map((one) => one.status()),
    stop: async () => {
      ended.abort();
      await Promise.all([...kept.map((one) => one.stop()), ...running]);
    },
  };
}

/** One partition, started again whenever it fails. */
class Kept {
  readonly #ports: HostPorts;
  readonly #partition: PartitionId;
  readonly #options: typeof DEFAULTS;
  readonly #signal: AbortSignal;
  #current: HostedPartition | null = null;
  #restarts = 0;
  #failure: string | null = null;

  constructor(ports: HostPorts, partition: PartitionId, options: typeof DEFAULTS, signal: AbortSignal) {
    this.#ports = ports;
    this.#partition = partition;
    this.#options = options;
    this.#signal = signal;
  }

  async keep(): Promise<void> {
    const { clock, telemetry, start } = this.#ports;
    const { restartMsMin, restartMsMax, steadyMs } = this.#options;
    for (let pauseMs = restartMsMin; !this.#signal.aborted; this.#restarts++) {
      const startedAt = clock.now();
      this.#current = start(this.#partition);
      const why = await this.#current.ended;
      this.#current = null;
      if (this.#signal.aborted || why === null) return;
      if (clock.now() - startedAt >= steadyMs) pauseMs = restartMsMin;
      this.#failure = why.error instanceof Error ? why.error.message : String(why.error);
      const facts = { partition: this.#partition, restarts: this.#restarts, pauseMs, error: why.error };
      telemetry.log.error(facts, "A partition failed; it is started again after a pause");
      await wait(clock, pauseMs, this.#signal);
      pauseMs = Math.min(pauseMs * 2, restartMsMax);
    }
  }

  async stop(): Promise<void> {
    await this.#current?.stop(this.#options.stopMsMax);
  }

  status(): HostStatus {
    const said = this.#current?.status() ?? null;
    const text = said?.stopped ?? (this.#current === null ? this.#failure : null);
    return { partition: this.#partition, phase: this.#phase(said), restarts: this.#restarts, text, n: said?.n ?? 0 };
  }

  #phase(said: ActorStatus | null): HostStatus["phase"] {
    if (this.#current === null) return "failed";
    if (said === null) return "starting";
    if (said.stopped !== null) return "stopped";
    return said.isCaughtUp ? "running" : "catchingUp";
  }
}
