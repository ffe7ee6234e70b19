/** What happened, as a hash that two runs of one seed must share, and as lines for whoever looks for the cause of a failure. */

export class Trace {
  #high = 0x811c9dc5;
  #low = 0x01000193;
  #lines: string[] | null;
  readonly #now: () => number;

  /** @param keepsLines  lines cost more than the run itself: only for a seed that is looked at */
  constructor(now: () => number, keepsLines: boolean) {
    this.#now = now;
    this.#lines = keepsLines ? [] : null;
  }

  get keepsLines(): boolean {
    return this.#lines !== null;
  }

  /** One event. `who` and `what` are short constant texts; `number` and `bytes` are what tells two such events apart. */
  event(who: string, what: string, number: number, bytes?: Uint8Array): void {
    this.#mix(Math.round(this.#now() * 1_000));
    for (let at = 0; at < who.length; at++) this.#mix(who.charCodeAt(at));
    for (let at = 0; at < what.length; at++) this.#mix(what.charCodeAt(at));
    this.#mix(number);
    if (bytes === undefined) return;
    this.#mix(bytes.length);
    for (let at = 0; at < bytes.length; at += 7) this.#mix(bytes[at]!);
  }

  #mix(value: number): void {
    this.#high = Math.imul(this.#high ^ value, 0x01000193);
    this.#low = Math.imul((this.#low ^ (this.#high >>> 15)) + value, 0x85ebca6b);
  }

  /** A line for readers; made only if somebody reads. */
  line(who: string, text: () => string): void {
    this.#lines?.push(`${this.#now().toFixed(3).padStart(10)} ${who.padEnd(6)} ${text()}`);
  }

  get lines(): readonly string[] {
    return this.#lines ?? [];
  }

  hash(): string {
    return (this.#high >>> 0).toString(16).padStart(8, "0") + (this.#low >>> 0).toString(16).padStart(8, "0");
  }
}
