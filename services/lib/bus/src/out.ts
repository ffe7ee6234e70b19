/** Out over any stream. */
import { IoError, concatBytes } from "@meridian/core";
import type { Headers, Out, OutBatch, OutRecord, PartitionId } from "@meridian/core";
import { plainHeaders } from "./chain.ts";
import type { Clock } from "@meridian/core";
import { bulkOfRecord, decodeOutMessage, decodeOutRecords } from "./codec/out-message.ts";
import type { OutMessage } from "./codec/out-message.ts";
import { OUT_SUBJECTS } from "./names.ts";
import { OutPublisher } from "./out-publisher.ts";
import { portions } from "./portions.ts";
import type { StoredMessage, Stream } from "./stream.ts";

export interface OutOptions {
  publishMsMax: number;
}

export class StreamOut implements Out {
  #stream: Stream;
  #clock: Clock;
  #options: OutOptions;
  #publishers = new Map<PartitionId, OutPublisher>();

  constructor(stream: Stream, clock: Clock, options: OutOptions) {
    this.#stream = stream;
    this.#clock = clock;
    this.#options = options;
  }

  publish(partition: PartitionId, records: OutRecord[], headers: Headers = {}): Promise<void> {
    return this.#publisher(partition).publish(records, headers);
  }

  lastN(partition: PartitionId, atLeast = 0): Promise<number> {
    return this.#publisher(partition).lastN(atLeast);
  }

  async *read(after: number, options: { bytesMax: number; signal: AbortSignal }): AsyncGenerator<OutBatch[], void, undefined> {
    const parts = new PartsJoiner();
    for await (const stored of this.#stream.read(OUT_SUBJECTS, after + 1, options)) {
      yield* portions(
        stored,
        (message) => parts.take(message),
        ({ records }) => records.reduce((bytes, record) => bytes + bulkOfRecord(record), 0),
        options.bytesMax,
      );
    }
  }

  /** Keeps the last message of every partition: it tells the next owner where to go on. */
  async truncate(sequence: number): Promise<void> {
    const tails = await this.#stream.lastOfAll();
    const keepFrom = tails.map((tail) => tail.sequence - decodeOutMessage(tail.payload).part);
    const before = Math.min(sequence + 1, ...keepFrom);
    if (before > 1) await this.#stream.purge(OUT_SUBJECTS, before);
  }

  #publisher(partition: PartitionId): OutPublisher {
    let publisher = this.#publishers.get(partition);
    if (publisher === undefined) {
      publisher = new OutPublisher(partition, this.#stream, this.#clock, this.#options.publishMsMax);
      this.#publishers.set(partition, publisher);
    }
    return publisher;
  }
}

/** Puts a record that came in parts together again; its parts stand right behind each other in the stream. */
class PartsJoiner {
  #parts: Uint8Array[] = [];
  #sequence = 0;

  take(stored: StoredMessage): OutBatch[] {
    const message = decodeOutMessage(stored.payload);
    if (message.parts === 1) return [batchOf(stored, message, message.body)];
    if (message.part === 0) this.#parts = [];
    const isNext = message.part === this.#parts.length && (message.part === 0 || stored.sequence === this.#sequence + 1);
    if (!isNext) throw new IoError({ code: "GAP", partition: message.partition, n: message.firstN, part: message.part }, "never");
    this.#parts.push(message.body);
    this.#sequence = stored.sequence;
    if (message.part < message.parts - 1) return [];
    const body = concatBytes(this.#parts);
    this.#parts = [];
    return [batchOf(stored, message, body)];
  }
}

function batchOf({ sequence, headers }: StoredMessage, { partition, part }: OutMessage, body: Uint8Array): OutBatch {
  return { firstSequence: sequence - part, sequence, partition, records: decodeOutRecords(body), headers: plainHeaders(headers) };
}
