/**
 * Engine time beside the log: whoever wants to run the engine on the partition's thread takes turns, and everything else of the
 * thread - the log above all - goes on in between.
 */
export class Turns {
  readonly #pause: () => Promise<void>;
  readonly #signal: AbortSignal;
  #last: Promise<unknown> = Promise.resolve();

  /** @param signal  once it aborts nothing runs any more: the engine may be closed */
  constructor(pause: () => Promise<void>, signal: AbortSignal) {
    this.#pause = pause;
    this.#signal = signal;
  }

  /** @returns what `run` returns; null if it did not come to its turn before the end */
  take<T>(run: () => T): Promise<T | null> {
    const turn = this.#last.then(() => (this.#signal.aborted ? null : run()));
    this.#last = Promise.allSettled([turn]).then(this.#pause);
    return turn;
  }
}
