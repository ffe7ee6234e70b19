/**
 * What goes on beside the log: groups at home here, misses that the leader has to take, ranges that move away.
 *
 * B1. None of it changes the state: what comes of it counts when it stands in the log.
 * B2. It is begun only when all that was delivered is applied, so that a replay does not begin what the next message ends.
 */
import { settledN } from "@meridian/core";
import type { Applied, Beat, Bus, Clock, Engine, Headers, LogMessage, PartitionState, Report, Telemetry } from "@meridian/core";
import { Caller } from "./calls.ts";
import { Groups } from "./groups/groups.ts";
import { HandOvers } from "./hand-overs.ts";
import type { PartitionMetrics } from "./metrics.ts";
import { MissTeller } from "./misses/misses.ts";
import type { TracePorts } from "./misses/trace.ts";
import type { ActorLimits } from "./ports.ts";
import { Turns } from "./turns.ts";

export interface BesidePorts {
  bus: Bus;
  clock: Clock;
  telemetry: Telemetry;
  metrics: PartitionMetrics;
  pause: () => Promise<void>;
  callOf: TracePorts["callOf"];
}

export class Beside {
  readonly #state: PartitionState;
  readonly #turns: Turns;
  readonly #groups: Groups;
  readonly #misses: MissTeller;
  readonly #handOvers: HandOvers;

  /** @param signal  ends all of it; afterwards the engine is left alone */
  constructor(
    { bus, clock, telemetry, metrics, pause, callOf }: BesidePorts,
    source: { state: PartitionState; engine: Engine },
    limits: ActorLimits,
    signal: AbortSignal,
    fail: (error: unknown) => void,
  ) {
    const { state, engine } = source;
    const { wire, objects } = bus;
    const turns = new Turns(clock, pause, signal);
    const caller = new Caller(wire, state, engine, limits);
    this.#state = state;
    this.#turns = turns;
    this.#groups = new Groups({ wire, clock, telemetry, metrics, turns }, source, limits, signal, fail);
    this.#misses = new MissTeller({ wire, clock, caller, metrics, callOf }, state, limits, signal, fail);
    this.#handOvers = new HandOvers({ objects, clock, telemetry, turns }, source, limits, signal, fail);
  }

  /** To be called right after a message is applied. */
  applied(message: LogMessage, applied: Applied, headers: Headers): void {
    const { record, missed, held } = applied;
    this.#groups.applied(message.flush, message.entries, held, headers);
    this.#misses.applied(missed);
    if (record.block !== null || record.genesis !== null) this.#misses.blockOpened();
  }

  /** To be called after a few messages. @param isCaughtUp  all that was delivered, and the log of the start, is applied */
  look(isCaughtUp: boolean): void {
    this.#groups.look(isCaughtUp);
    this.#handOvers.look(isCaughtUp);
    if (isCaughtUp) this.#misses.look();
  }

  /** Time of the engine that went into all of it, on the partition's thread. */
  get busyMs(): number {
    return this.#turns.busyMs;
  }

  hear(beat: Beat): void {
    this.#misses.hear(beat);
  }

  report(): Pick<Report, "settledN" | "misses" | "groups" | "handOvers"> {
    return {
      settledN: settledN(this.#state),
      misses: this.#state.misses,
      groups: this.#groups.report(),
      handOvers: this.#handOvers.report(),
    };
  }
}
