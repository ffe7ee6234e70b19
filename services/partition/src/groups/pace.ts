/**
 * How much gas a run of a group should have, by how long such runs took here. A run is one call of the engine, and while it lasts
 * the partition says nothing: one that lasts too long has its group aborted for silence, and the same group would come again and
 * again. With fewer members each time it does not.
 */
export class Pace {
  readonly #msMax: number;
  #gasMax = Number.POSITIVE_INFINITY;

  /** @param msMax of one run; well below the silence after which a partition counts as gone */
  constructor(msMax: number) {
    this.#msMax = msMax;
  }

  /** For the members of one run together, unless the first of them alone has more. */
  get gasMax(): number {
    return this.#gasMax;
  }

  /** @param gas the members' limits together */
  ran(gas: number, ms: number): void {
    if (ms > this.#msMax) this.#gasMax = (gas * this.#msMax) / ms;
    else if (ms < this.#msMax / 4) this.#gasMax *= 2; // The machine was busy, or those members were dear.
  }
}
