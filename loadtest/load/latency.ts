/** Milliseconds, counted: percentiles of millions of calls without keeping them. */

/** Beyond it everything counts as this much. */
const MS_MAX = 120_000;

export interface Spread {
  p50: number;
  p95: number;
  p99: number;
  max: number;
}

export class Latencies {
  readonly #counts = new Uint32Array(MS_MAX + 1);
  #total = 0;
  #max = 0;

  add(ms: number, count = 1): void {
    const whole = Math.min(MS_MAX, Math.max(0, Math.round(ms)));
    this.#counts[whole]! += count;
    this.#total += count;
    this.#max = Math.max(this.#max, whole);
  }

  get count(): number {
    return this.#total;
  }

  /** The least number of milliseconds that a share of all took at most; 0 of nothing. */
  quantile(share: number): number {
    let passed = 0;
    for (let ms = 0; ms <= this.#max; ms++) {
      passed += this.#counts[ms]!;
      if (passed >= share * this.#total && passed > 0) return ms;
    }
    return 0;
  }

  spread(): Spread {
    return { p50: this.quantile(0.5), p95: this.quantile(0.95), p99: this.quantile(0.99), max: this.#max };
  }
}
