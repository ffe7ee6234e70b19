/**
 * Publishes records in the order they were made, while the next ones are being made.
 *
 * P1. One publish at a time: what is made meanwhile goes together with the next.
 * P2. A failure that passes is tried again until it does; nothing is dropped and nothing overtakes.
 * P3. What waits is bounded: `add` holds its caller, and with it the log, until there is room.
 */
import { isIoError } from "@meridian/core";
import type { Clock, Headers, Out, OutRecord, PartitionId, Telemetry } from "@meridian/core";
import { wait } from "@meridian/process";
import type { ActorLimits } from "./ports.ts";
import type { Progress } from "./progress.ts";
import { spanOf } from "./span.ts";

export interface PublisherPorts {
  out: Out;
  clock: Clock;
  telemetry: Telemetry;
  progress: Progress;
  publishMs: (value: number) => void;
}

const LINKS_MAX = 64;
/** Besides the packed bytes of a record. */
const RECORD_BYTES = 64;
const LATTICE_BYTES = 2_048;

export class Publisher {
  readonly #ports: PublisherPorts;
  readonly #partition: PartitionId;
  readonly #limits: ActorLimits;
  readonly #signal: AbortSignal;
  #waiting: OutRecord[] = [];
  #waitingBytes = 0;
  /** Trace contexts of what waits: the first is the parent of its publish, the others are linked. */
  #causes: Headers[] = [];
  #running: Promise<void> | null = null;
  #failure: { error: unknown } | null = null;
  #publishedN: number;
  #isFull = false;

  /** @param publishedN n of the last record in OUT */
  constructor(ports: PublisherPorts, partition: PartitionId, limits: ActorLimits, publishedN: number, signal: AbortSignal) {
    this.#ports = ports;
    this.#partition = partition;
    this.#limits = limits;
    this.#publishedN = publishedN;
    this.#signal = signal;
  }

  /** n of the last record that OUT has for sure. */
  get publishedN(): number {
    return this.#publishedN;
  }

  /** The server has no room for more. */
  get isFull(): boolean {
    return this.#isFull;
  }

  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /**
   * Takes records over; resolves when there is room for more. Those that OUT has already go there as well: it stores nothing
   * twice, but compares what stands in its last message.
   * @throws what publishing failed with, if it fails for good
   */
  async add(records: readonly OutRecord[], causes: readonly Headers[]): Promise<void> {
    for (const record of records) this.#waitingBytes += bytesOf(record);
    if (records.length > 0) {
      this.#waiting.push(...records);
      for (const cause of causes) if (this.#causes.length < LINKS_MAX && "traceparent" in cause) this.#causes.push(cause);
      this.#running ??= this.#run();
    }
    while (this.#waitingBytes > this.#limits.outBytesMax && this.#failure === null && !this.#signal.aborted) await this.#running;
    if (this.#failure !== null) throw this.#failure.error;
  }

  /** Resolves when nothing waits any more, or publishing has failed or was stopped. */
  async drained(): Promise<void> {
    while (this.#running !== null) await this.#running;
  }

  async #run(): Promise<void> {
    try {
      while (this.#waiting.length > 0 && !this.#signal.aborted) await this.#publish();
    } catch (error) {
      this.#failure = { error };
    } finally {
      this.#running = null;
    }
  }

  async #publish(): Promise<void> {
    const { clock, telemetry, progress, publishMs } = this.#ports;
    const records = this.#waiting;
    const [parent, ...links] = this.#causes;
    this.#waiting = [];
    this.#causes = [];
    const last = records.at(-1);
    if (last === undefined) return;
    const startedAt = clock.now();
    const attributes = { partition: this.#partition, records: records.length };
    const span = spanOf(telemetry, "publish", {
      kind: "producer",
      attributes,
      links,
      ...(parent === undefined ? {} : { parent }),
    });
    try {
      await this.#publishUntilDone(records, span.headers());
    } catch (error) {
      span.end(error);
      throw error;
    }
    span.end();
    for (const record of records) this.#waitingBytes -= bytesOf(record);
    if (this.#signal.aborted) return;
    this.#publishedN = Math.max(this.#publishedN, last.n);
    publishMs(clock.now() - startedAt);
    progress.notify();
  }

  async #publishUntilDone(records: OutRecord[], headers: Headers): Promise<void> {
    const { out, clock, telemetry } = this.#ports;
    for (let pauseMs = this.#limits.retryMsMin; !this.#signal.aborted; pauseMs = Math.min(pauseMs * 2, this.#limits.retryMsMax)) {
      try {
        await out.publish(this.#partition, records, headers);
        this.#isFull = false;
        return;
      } catch (error) {
        if (!isIoError(error) || error.retry === "never") throw error;
        this.#isFull = isIoError(error, "FULL");
        const facts = { ...error.detail, partition: this.#partition, records: records.length, waitingBytes: this.#waitingBytes };
        telemetry.log.warn(facts, "OUT does not take the records; the log waits, trying again");
        await wait(clock, pauseMs, this.#signal);
      }
    }
  }
}

const bytesOf = ({ transactions, results, settled, block, genesis }: OutRecord): number =>
  RECORD_BYTES +
  transactions.length +
  results.length +
  settled.reduce((sum, run) => sum + run.transactions.length + run.results.length, 0) +
  (block === null ? 0 : LATTICE_BYTES) +
  (genesis === null ? 0 : LATTICE_BYTES);
