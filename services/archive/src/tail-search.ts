/**
 * Looks up transactions that OUT has and no block yet, for all queries together: the tail is walked at most once every
 * `unknownPollMs`, however many ask, because blocks are built on the same thread.
 */
import { concatBytes, findInTail } from "@meridian/core";
import type { Clock, TailTransaction } from "@meridian/core";
import type { ArchiveLimits } from "./ports.ts";
import type { ArchiveState } from "./state.ts";

type Found = (TailTransaction | null)[];

export class TailSearch {
  readonly #clock: Clock;
  readonly #limits: Pick<ArchiveLimits, "unknownPollMs" | "walkHashesMax">;
  readonly #state: Pick<ArchiveState, "assembly">;
  /** For the next walk. */
  #asked: { hashes: Uint8Array; resolve: (found: Found) => void }[] = [];
  #count = 0;
  #walkedAt = -Infinity;

  constructor(
    clock: Clock,
    limits: Pick<ArchiveLimits, "unknownPollMs" | "walkHashesMax">,
    state: Pick<ArchiveState, "assembly">,
  ) {
    this.#clock = clock;
    this.#limits = limits;
    this.#state = state;
  }

  /** For each packed hash its transaction, or null, with the next walk. Null if too many hashes wait for that. */
  find(hashes: Uint8Array): Promise<Found> | null {
    const count = hashes.length / 32;
    if (this.#count + count > this.#limits.walkHashesMax) return null;
    this.#count += count;
    if (this.#asked.length === 0) {
      const restMs = this.#walkedAt + this.#limits.unknownPollMs - this.#clock.now();
      this.#clock.after(Math.max(0, restMs), () => this.#walk());
    }
    return new Promise((resolve) => this.#asked.push({ hashes, resolve }));
  }

  #walk(): void {
    const asked = this.#asked;
    this.#asked = [];
    this.#count = 0;
    this.#walkedAt = this.#clock.now();
    const { assembly } = this.#state;
    const found = assembly === null ? [] : findInTail(assembly, concatBytes(asked.map(({ hashes }) => hashes)));
    let at = 0;
    for (const { hashes, resolve } of asked) {
      const from = at;
      at += hashes.length / 32;
      resolve(found.slice(from, at));
    }
  }
}
