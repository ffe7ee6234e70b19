import type { Clock } from "@meridian/core";

/** A jump this large means that the process stood still (SIGSTOP, a paused machine), not that time passed for others' silence. */
const PAUSE_MS = 500;

/**
 * A clock that leaves out the time in which this process stood still: nobody is silent because nobody could be heard. Ask it at
 * least every `PAUSE_MS / 2` while it is in use.
 */
export function steadyClock(clock: Clock): Clock {
  let last = clock.now();
  let left = 0;
  const now = () => {
    const raw = clock.now();
    if (raw - last > PAUSE_MS) left += raw - last;
    last = raw;
    return raw - left;
  };
  return { now, after: (delayMs, run) => clock.after(delayMs, run) };
}

/** One sleeper that can be woken early. */
export class Sleeper {
  readonly #clock: Clock;
  #wake: (() => void) | undefined;
  #until = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Sleeps until `at` on the clock, for ever if that is Infinity, or until `wake`. */
  sleepUntil(at: number): Promise<void> {
    return new Promise((resolve) => {
      const delayMs = at - this.#clock.now();
      const cancel = delayMs < Number.POSITIVE_INFINITY ? this.#clock.after(Math.max(0, delayMs), () => this.wake()) : undefined;
      this.#until = at;
      this.#wake = () => {
        cancel?.();
        resolve();
      };
    });
  }

  /** Wakes the sleeper if it would sleep beyond `at`. */
  wakeBy(at: number): void {
    if (at < this.#until) this.wake();
  }

  wake(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    this.#until = Number.NEGATIVE_INFINITY;
    wake?.();
  }
}
