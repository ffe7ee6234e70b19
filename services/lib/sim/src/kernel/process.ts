/**
 * A process of the simulated system. Everything that comes to it (messages, answers, its own timers) comes through `enter` or its
 * clock, so it can be held, and it can die: what it does afterwards has no effect, because nothing reaches it any more.
 */
import type { Clock } from "@meridian/core";
import type { Random } from "./random.ts";
import type { VirtualTime } from "./time.ts";

export type ProcessState = "running" | "paused" | "dead";

/** Usual lateness. */
const LATE_MS_MAX = 0.2;

export class SimProcess {
  readonly name: string;
  readonly clock: Clock;
  readonly #time: VirtualTime;
  readonly #random: Random;
  #state: ProcessState = "running";
  #held: (() => void)[] = [];
  /** Timers, and with them all answers of the server, are late by up to this much. */
  lateMsMax = LATE_MS_MAX;

  /** @param random  of the run; decides how late timers are */
  constructor(name: string, time: VirtualTime, random: Random) {
    this.name = name;
    this.#time = time;
    this.#random = random;
    this.clock = {
      now: () => time.now(),
      after: (delayMs, run) => {
        let isCancelled = false;
        const cancel = time.after(delayMs + random.float() * this.lateMsMax, () =>
          this.enter(() => {
            if (!isCancelled) run();
          }),
        );
        return () => {
          isCancelled = true;
          cancel();
        };
      },
    };
  }

  get state(): ProcessState {
    return this.#state;
  }

  /** Runs it now, when the process goes on, or never. */
  enter(run: () => void): void {
    if (this.#state === "running") run();
    else if (this.#state === "paused") this.#held.push(run);
  }

  pause(): void {
    if (this.#state === "running") this.#state = "paused";
  }

  /** Goes on: what was held comes at once, one event after another. */
  resume(): void {
    if (this.#state !== "paused") return;
    this.#state = "running";
    const held = this.#held;
    this.#held = [];
    for (const run of held) this.#time.after(this.#random.float() * LATE_MS_MAX, () => this.enter(run));
  }

  /** Is not slow any more. */
  catchUp(): void {
    this.lateMsMax = LATE_MS_MAX;
  }

  kill(): void {
    this.#state = "dead";
    this.#held = [];
  }
}
