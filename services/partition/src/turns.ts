import type { Clock } from "@meridian/core";

/**
 * Engine time beside the log: whoever wants to run the engine on the partition's thread takes turns, and everything else of the
 * thread - the log above all - goes on in between.
 */
export class Turns {
  readonly #clock: Clock;
  readonly #pause: () => Promise<void>;
  readonly #signal: AbortSignal;
  #last: Promise<unknown> = Promise.resolve();
  #busyMs = 0;

  /** @param signal  once it aborts nothing runs any more: the engine may be closed */
  constructor(clock: Clock, pause: () => Promise<void>, signal: AbortSignal) {
    this.#clock = clock;
    this.#pause = pause;
    this.#signal = signal;
  }

  /** Time that all turns have taken together. */
  get busyMs(): number {
    return this.#busyMs;
  }

  /** @returns what `run` returns; null if it did not come to its turn before the end */
  take<T>(run: () => T): Promise<T | null> {
    const turn = this.#last.then(() => (this.#signal.aborted ? null : this.#timed(run)));
    this.#last = Promise.allSettled([turn]).then(this.#pause);
    return turn;
  }

  #timed<T>(run: () => T): T {
    const startedAt = this.#clock.now();
    const result = run();
    this.#busyMs += this.#clock.now() - startedAt;
    return result;
  }
}
