/** Chance from a seed: every decision of a run comes from here, so that one number brings all of it back. */

/** Numbers from one seed; the generator is sfc32. */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #count = 1;

  /** @param label  tells streams of one seed apart, so that more draws in one of them change nothing in another */
  constructor(seed: number, label = "") {
    let hash = 0x811c9dc5;
    for (const char of label) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193);
    this.#a = seed >>> 0;
    this.#b = Math.floor(seed / 0x1_0000_0000) >>> 0;
    this.#c = hash >>> 0;
    for (let round = 0; round < 12; round++) this.next();
  }

  /** 32 bits. */
  next(): number {
    const sum = (this.#a + this.#b + this.#count++) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** From 0 up to, but without, 1. */
  float(): number {
    return this.next() / 0x1_0000_0000;
  }

  /** A whole number from 0 up to, but without, `end`. */
  below(end: number): number {
    return Math.floor(this.float() * end);
  }

  /** A whole number from `first` to `last`, both included. */
  between(first: number, last: number): number {
    return first + this.below(last - first + 1);
  }

  chance(probability: number): boolean {
    return this.float() < probability;
  }

  /** One of a list that is not empty. */
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  /** Up to `count` different ones, in any order. */
  sample<T>(list: readonly T[], count: number): T[] {
    return this.shuffled(list).slice(0, count);
  }

  shuffled<T>(list: readonly T[]): T[] {
    const mixed = [...list];
    for (let end = mixed.length - 1; end > 0; end--) {
      const other = this.below(end + 1);
      [mixed[end], mixed[other]] = [mixed[other]!, mixed[end]!];
    }
    return mixed;
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.next() & 255);
  }
}
