/** Warns when a partition nears its memory bound. The bound decides nothing here: the scheduler sends less. */
import type { Logger, PartitionId } from "@meridian/core";

const WARN_SHARE = 0.8;
/** A level is said again only after memory fell this far below it. */
const HYSTERESIS = 0.05;

export class MemoryWatch {
  readonly #log: Logger;
  readonly #partition: PartitionId;
  readonly #bytesMax: number;
  #level: "low" | "near" | "full" = "low";

  constructor(log: Logger, partition: PartitionId, bytesMax: number) {
    this.#log = log;
    this.#partition = partition;
    this.#bytesMax = bytesMax;
  }

  observe(bytes: number): void {
    const share = bytes / this.#bytesMax;
    const facts = { partition: this.#partition, memoryBytes: bytes, memoryBytesMax: this.#bytesMax };
    if (share >= 1 && this.#level !== "full") {
      this.#level = "full";
      this.#log.error(facts, "Memory is at its bound: the scheduler refuses new work for this partition");
    } else if (share >= WARN_SHARE && this.#level === "low") {
      this.#level = "near";
      this.#log.warn(facts, "Memory is above 80% of its bound");
    } else if (share < 1 - HYSTERESIS && this.#level === "full") {
      this.#level = "near";
    } else if (share < WARN_SHARE - HYSTERESIS) {
      this.#level = "low";
    }
  }
}
