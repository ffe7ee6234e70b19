/** Room for requests of one kind that wait or run. Each kind has its own, so that none of them keeps another one out. */
export class Room {
  readonly #countMax: number;
  readonly #bytesMax: number;
  #count = 0;
  #bytes = 0;

  constructor(countMax: number, bytesMax: number) {
    this.#countMax = countMax;
    this.#bytesMax = bytesMax;
  }

  get count(): number {
    return this.#count;
  }

  /** @returns what lets the room go again; or the limit that is reached. One request alone always has room. */
  enter(bytes: number): (() => void) | { limit: number } {
    if (this.#count >= this.#countMax) return { limit: this.#countMax };
    if (this.#count > 0 && this.#bytes + bytes > this.#bytesMax) return { limit: this.#bytesMax };
    this.#count++;
    this.#bytes += bytes;
    return () => {
      this.#count--;
      this.#bytes -= bytes;
    };
  }
}
