import type { Clock } from "@meridian/core";
/** Where the actor is, for those who wait until it is further: reads, and a snapshot that waits for OUT. */

interface Waiter {
  isReached(): boolean;
  end(isReached: boolean): void;
}

export class Progress {
  readonly #clock: Clock;
  #waiters = new Set<Waiter>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** To be called after every change that somebody may wait for. */
  notify(): void {
    for (const waiter of this.#waiters) if (waiter.isReached()) waiter.end(true);
  }

  /** @returns false if it was not reached within `msMax`, or `signal` aborted */
  reach(isReached: () => boolean, msMax: number, signal: AbortSignal): Promise<boolean> {
    if (isReached()) return Promise.resolve(true);
    if (signal.aborted) return Promise.resolve(false);
    return new Promise((resolve) => {
      const abort = () => waiter.end(false);
      const cancel = this.#clock.after(msMax, abort);
      const waiter: Waiter = {
        isReached,
        end: (reached) => {
          cancel();
          signal.removeEventListener("abort", abort);
          this.#waiters.delete(waiter);
          resolve(reached);
        },
      };
      this.#waiters.add(waiter);
      signal.addEventListener("abort", abort, { once: true });
    });
  }
}
