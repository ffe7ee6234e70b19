/** The scheduler: stands by, leads, and stands by again. */
import { SUBJECT, encodeBeat } from "@meridian/bus";
import { ALL_RULES, isIoError, openSequencer, readU32, sequencerLimits } from "@meridian/core";
import type { ChainSettings, Sequencer } from "@meridian/core";
import { wait } from "@meridian/process";
import type { Readiness } from "@meridian/process";
import { beginChain } from "./begin-chain.ts";
import { steadyClock } from "./clock.ts";
import { Leader } from "./leader.ts";
import type { TermEnd } from "./leader.ts";
import { learnTerm } from "./learn-term.ts";
import { schedulerMetrics } from "./metrics.ts";
import type { SchedulerMetrics } from "./metrics.ts";
import { schedulerTiming } from "./ports.ts";
import type { SchedulerOptions, SchedulerPorts, SchedulerTiming } from "./ports.ts";
import { standBy } from "./standby.ts";
import type { TakenOver } from "./standby.ts";

export type { Genesis } from "./genesis.ts";
export { parseGenesis } from "./genesis.ts";
export { schedulerTiming } from "./ports.ts";
export type { NewChain, SchedulerOptions, SchedulerPorts, SchedulerTiming } from "./ports.ts";

/** What the process is doing; `learning`: its term has begun and it reads LOG. */
export type SchedulerRole = "starting" | "standby" | "learning" | "leader" | "stopped";

export interface SchedulerStatus {
  role: SchedulerRole;
  /** The term it leads; 0 on a standby. */
  term: number;
}

/** For probes: ready is who leads, or stands by for whoever does. */
export const readinessOf = (status: SchedulerStatus): Readiness => ({
  isReady: status.role === "leader" || status.role === "standby",
  facts: status,
});

export interface RunningScheduler {
  status(): SchedulerStatus;
  /** Resolves after `stop`; rejects with what must stop the process. */
  readonly done: Promise<void>;
  /** Answers everything open and stops; resolves when nothing runs any more. */
  stop(): Promise<void>;
}

/** Starts at once; what goes wrong shows in `done`. */
export function runScheduler(ports: SchedulerPorts, options: SchedulerOptions): RunningScheduler {
  const scheduler = new Scheduler(ports, options);
  const done = scheduler.run();
  return {
    status: () => ({ ...scheduler.status }),
    done,
    stop: async () => {
      scheduler.stopping.abort();
      await done;
    },
  };
}

class Scheduler {
  readonly stopping = new AbortController();
  readonly status: SchedulerStatus = { role: "starting", term: 0 };
  readonly #ports: SchedulerPorts;
  readonly #options: SchedulerOptions;
  readonly #timing: SchedulerTiming;
  readonly #metrics: SchedulerMetrics;

  constructor(ports: SchedulerPorts, options: SchedulerOptions) {
    this.#ports = ports;
    this.#options = options;
    this.#timing = { ...schedulerTiming, ...options.timing };
    this.#metrics = schedulerMetrics(ports.telemetry);
  }

  async run(): Promise<void> {
    const { signal } = this.stopping;
    try {
      const settings = await beginChain(this.#ports, this.#options, this.#timing, signal);
      while (settings !== undefined && !signal.aborted) await this.#standByAndLead(settings);
    } finally {
      this.#enter("stopped", 0);
    }
  }

  async #standByAndLead(settings: ChainSettings): Promise<void> {
    const { signal } = this.stopping;
    this.#enter("standby", 0);
    const taken = await standBy(this.#ports, this.#options.instance, this.#timing, signal);
    if (taken === undefined) return;
    this.#metrics.tookOver();
    this.#enter("learning", taken.writer.term);
    const end = await this.#lead(settings, taken);
    this.#metrics.follow(undefined);
    this.#ports.telemetry.log.info({ term: taken.writer.term, end }, "Term ended");
    if (end === "lost") await wait(this.#ports.clock, this.#timing.retryMs, signal);
  }

  async #lead(settings: ChainSettings, taken: TakenOver): Promise<TermEnd> {
    const { instance } = this.#options;
    const { writer } = taken;
    const clock = steadyClock(this.#ports.clock);
    const sequencer = await this.#learn(settings, taken, clock.now);
    if (typeof sequencer === "string") return sequencer;
    this.#metrics.follow(sequencer);
    this.#enter("leader", writer.term);
    const { open, unsealed } = sequencer.blocks;
    this.#ports.telemetry.log.info({ term: writer.term, block: open.number, unsealed: unsealed.length }, "Leading");
    const { admin = false } = this.#options;
    const start = { instance, writer, sequencer, timing: this.#timing, metrics: this.#metrics, clock, admin };
    return new Leader(this.#ports, start).run(this.stopping.signal);
  }

  /** Reads LOG while other standbys hear that somebody is at it. */
  async #learn(settings: ChainSettings, { writer, heard }: TakenOver, now: () => number): Promise<Sequencer | TermEnd> {
    const { bus, clock, randomBytes, telemetry } = this.#ports;
    const { term, flush } = writer;
    const limits = { ...sequencerLimits, ...this.#options.limits };
    // Nothing that the leader before has taken is taken here.
    const unknown = { draining: false, missesTaken: [] };
    const say = () => {
      if (heard !== null)
        bus.wire.publish(SUBJECT.beat, encodeBeat({ ...heard, ...unknown, term, flush, leader: this.#options.instance }));
      cancel = clock.after(this.#timing.beatMs, say);
    };
    let cancel: () => void = () => undefined;
    say();
    try {
      const learned = await learnTerm(bus, writer, limits, now());
      if (learned === undefined) return "fenced";
      if ((await bus.settings.getMap())?.version !== learned.map.version) await bus.settings.putMap(learned.map);
      const seed = readU32(randomBytes(4), 0);
      const rules = this.#options.rules ?? ALL_RULES;
      return openSequencer({ ...learned, limits, term, blockMs: settings.blockMs, seed, rules }, now());
    } catch (error) {
      if (!isIoError(error) || error.retry === "never") throw error;
      telemetry.log.warn({ ...error.detail, term }, "LOG could not be read: stepping down");
      return "lost";
    } finally {
      cancel();
    }
  }

  #enter(role: SchedulerRole, term: number): void {
    this.status.role = role;
    this.status.term = term;
  }
}
