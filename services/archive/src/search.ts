/** Searching for logs: bounded in blocks, logs and bytes, a few at a time, in slices that leave the thread to others. */
import { prepareFilter } from "@meridian/core";
import type { ArchiveFailure, ArchiveLog, ArchiveReply, LogFilter, PreparedFilter } from "@meridian/core";
import type { ArchiveLimits, ArchivePorts } from "./ports.ts";
import type { ArchiveState } from "./state.ts";

/** Blocks of one step: the search looks at the clock after each. */
const STEP_BLOCKS = 16;

const failed = (failure: ArchiveFailure): ArchiveReply => ({ op: "failed", failure });

export class LogSearch {
  readonly #ports: ArchivePorts;
  readonly #limits: ArchiveLimits;
  readonly #state: ArchiveState;
  #running = 0;
  #waiting: (() => void)[] = [];

  constructor(ports: ArchivePorts, limits: ArchiveLimits, state: ArchiveState) {
    this.#ports = ports;
    this.#limits = limits;
    this.#state = state;
  }

  async answer(filter: LogFilter): Promise<ArchiveReply> {
    const range = this.#rangeOf(filter);
    if ("code" in range) return failed(range);
    const { filterValuesMax } = this.#limits;
    const values = Math.max(filter.addresses.length / 20, ...filter.topics.map((list) => list.length / 32));
    if (values > filterValuesMax) return failed({ code: "RANGE_TOO_LARGE", limit: filterValuesMax });
    await this.#enter();
    try {
      return await this.#find(
        prepareFilter(filter, (bytes) => this.#ports.engine.keccak256(bytes)),
        range.first,
        range.last,
      );
    } finally {
      this.#running--;
      this.#waiting.shift()?.();
    }
  }

  #rangeOf({ first, last, blockHash }: LogFilter): { first: number; last: number } | ArchiveFailure {
    const { store } = this.#ports;
    if (blockHash !== null) {
      const block = store.block(blockHash);
      return block === null ? { code: "UNKNOWN_BLOCK" } : { first: block.number, last: block.number };
    }
    const end = Math.min(last, this.#state.head);
    if (end - first >= this.#limits.logBlocksMax) return { code: "RANGE_TOO_LARGE", limit: this.#limits.logBlocksMax };
    return first < store.oldest() ? { code: "PRUNED", oldest: store.oldest() } : { first, last: end };
  }

  /** Waits for its turn; how many may wait is bounded by the queries that may run. */
  async #enter(): Promise<void> {
    if (this.#running >= this.#limits.searchesMax) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#running++;
  }

  async #find(filter: PreparedFilter, first: number, last: number): Promise<ArchiveReply> {
    const { store, clock } = this.#ports;
    const { logsMax, replyBytesMax, searchMs } = this.#limits;
    const budget = { logs: logsMax, bytes: replyBytesMax };
    const logs: ArchiveLog[] = [];
    let pauseAt = clock.now() + searchMs;
    for (let next = first; next <= last; next += STEP_BLOCKS) {
      store.logs(filter, next, Math.min(last, next + STEP_BLOCKS - 1), budget, logs);
      if (budget.logs < 0 || budget.bytes < 0) return failed({ code: "TOO_MANY_LOGS", limit: logs.length });
      if (clock.now() < pauseAt) continue;
      await this.#ports.pause();
      pauseAt = clock.now() + searchMs;
    }
    return { op: "logs", logs };
  }
}
