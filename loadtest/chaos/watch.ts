/** What chaos knows of a running cluster, from the messages that its services send each other: who leads, what is open. */
import { setTimeout as delay } from "node:timers/promises";
import { SUBJECT, connectBus, decodeBeat, decodeGroupProposal, decodeReport } from "@meridian/bus";
import { IoError, type LogPosition, type PartitionId, type WireMessage, isIoError } from "@meridian/core";
import { type Group, Locks, keyOf } from "./locks.ts";

/** When to strike: a group that was just sequenced, or one whose home has just proposed what it makes of it. */
export type Moment = "entered" | "proposed";

const BYTES_MAX = 4 * 1024 * 1024;
const POLL_MS = 5;
const FRESH_MS_MAX = 1_000;
const HASH_BYTES = 32;

type Bus = Awaited<ReturnType<typeof connectBus>>;

export class Watch {
  readonly locks = new Locks();
  readonly #bus: Bus;
  readonly #ended = new AbortController();
  readonly #reading: Promise<void>;
  #beat = { leader: "", term: 0, at: -Infinity };
  readonly #reports = new Map<PartitionId, { host: string; at: number }>();
  #strike: { moment: Moment; run: (group: Group) => void } | undefined;

  private constructor(bus: Bus, partitions: readonly PartitionId[]) {
    this.#bus = bus;
    const on = (subject: string, take: (message: WireMessage, at: number) => void) =>
      bus.wire.subscribe(subject, (message) => take(message, performance.now()));
    on(SUBJECT.beat, ({ payload }, at) => {
      const { leader, term } = decodeBeat(payload);
      if (term >= this.#beat.term) this.#beat = { leader, term, at };
    });
    on(SUBJECT.reports, ({ payload }, at) => {
      const { partition, host, n } = decodeReport(payload);
      this.#reports.set(partition, { host, at });
      this.locks.reported(partition, n, at);
    });
    on(SUBJECT.proposal, ({ payload }) => {
      const key = keyOf(decodeGroupProposal(payload).group);
      const group = this.locks.open.find((one) => one.key === key);
      if (group !== undefined) this.#happened("proposed", group);
    });
    this.#reading = Promise.all(partitions.map((partition) => this.#read(partition))).then(() => undefined);
  }

  /** To be started while the logs still begin at their first message. */
  static async open(natsUrl: string, partitions: readonly PartitionId[]): Promise<Watch> {
    return new Watch(await connectBus({ url: natsUrl, name: "chaos", durability: "process" }), partitions);
  }

  /** Term and instance name of the leader that was heard last. @throws IoError NO_LEADER if none was heard within the wait */
  async leader(msMax: number): Promise<{ leader: string; term: number }> {
    await this.until(() => performance.now() - this.#beat.at <= FRESH_MS_MAX, msMax, "NO_LEADER", "no beat");
    return this.#beat;
  }

  /** The last beat that was heard. */
  get beat(): { leader: string; term: number; at: number } {
    return this.#beat;
  }

  /** Name of the process that a partition runs in. */
  hostOf(partition: PartitionId): string {
    return this.#reports.get(partition)?.host ?? "";
  }

  partitionsOf(host: string): PartitionId[] {
    return [...this.#reports].filter(([, report]) => report.host === host).map(([partition]) => partition);
  }

  /** When a partition was heard last. */
  reportedAt(partition: PartitionId): number {
    return this.#reports.get(partition)?.at ?? -Infinity;
  }

  /**
   * Calls `act` in the middle of a group: `delayMs` after a wanted one has come to this moment, if it is open even then; else
   * with the next one. @throws IoError NO_GROUP
   */
  async aim<Result>(
    moment: Moment,
    delayMs: number,
    isWanted: (group: Group) => boolean,
    act: (group: Group) => Result,
    msMax: number,
  ): Promise<Result> {
    const acted: Result[] = [];
    const strike = (group: Group) => {
      if (acted.length > 0 || !this.locks.isOpen(group.key) || !isWanted(group)) return;
      this.#strike = undefined;
      acted.push(act(group));
    };
    this.#strike = { moment, run: (group) => (delayMs < 1 ? strike(group) : void setTimeout(() => strike(group), delayMs)) };
    try {
      await this.until(() => acted.length > 0, msMax, "NO_GROUP", "no group to strike");
    } finally {
      this.#strike = undefined;
    }
    return acted[0] as Result;
  }

  /** Waits until it is so. @throws IoError with the code */
  async until(isSo: () => boolean, msMax: number, code: string, what: string): Promise<void> {
    const endsAt = performance.now() + msMax;
    while (!isSo()) {
      if (performance.now() > endsAt) throw new IoError({ code, text: `${what} within ${msMax} ms` }, "later");
      await delay(POLL_MS);
    }
  }

  async stop(): Promise<void> {
    this.#ended.abort();
    await this.#reading;
    await this.#bus.close();
  }

  async #read(partition: PartitionId): Promise<void> {
    let after: LogPosition = { n: 0, flush: 0, hash: new Uint8Array(HASH_BYTES) };
    const { signal } = this.#ended;
    while (!signal.aborted) {
      try {
        for await (const batch of this.#bus.log.read(partition, after, { bytesMax: BYTES_MAX, signal })) {
          const at = performance.now();
          for (const { message, position } of batch) {
            for (const group of this.locks.read(message, at)) this.#happened("entered", group);
            after = position;
          }
        }
      } catch (error) {
        if (!isIoError(error) || error.retry === "never") throw error;
        await delay(POLL_MS); // The server is away.
      }
    }
  }

  #happened(moment: Moment, group: Group): void {
    if (this.#strike?.moment === moment) this.#strike.run(group);
  }
}
