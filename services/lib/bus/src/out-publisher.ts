/**
 * Publishes one partition's records to OUT.
 *
 * P1. One message is outstanding; what comes meanwhile is gathered into the next. Its expectation is the subject's last sequence,
 *     so two owners of a partition publishing at once cannot make a gap, a doubled record or another order.
 * P2. A message of unknown outcome, or one whose expectation failed, is resolved by the last n that OUT holds.
 * P3. A state is a function of its log, so what another owner (or this one before a restart) published must be equal to what we
 *     would have. Where we meet the last such message we compare every record of it that comes, and stop if one differs.
 * P4. A record too large for one message stands in parts in one atomic batch: behind each other, all or none. A server that kept
 *     only the first ones (see limits.ts) has not stored the record: it is published again behind them, and readers let them go.
 */
import { IoError, assert } from "@meridian/core";
import type { Headers, OutRecord, PartitionId } from "@meridian/core";
import type { Clock } from "@meridian/core";
import {
  bulkOfRecord,
  decodeOutMessage,
  decodeOutRecords,
  encodeOutBody,
  encodeOutMessage,
  encodeOutRecord,
} from "./codec/out-message.ts";
import type { OutMessage } from "./codec/out-message.ts";
import { OUT_MESSAGE_BYTES, OUT_PART_BYTES, OUT_RECORD_BYTES_MAX, OUT_WAITING_BYTES_MAX } from "./limits.ts";
import { SUBJECT } from "./names.ts";
import { readUntil } from "./read-until.ts";
import { settle } from "./settle.ts";
import type { Found } from "./settle.ts";
import type { Stream, StreamMessage } from "./stream.ts";

/** Last message of one partition in OUT. */
interface OutTail {
  n: number;
  sequence: number;
  /** As it was read; absent if we published it. */
  message?: OutMessage;
}
interface Waiting {
  n: number;
  record: OutRecord;
  /** About as large as it will be when it is packed. */
  bytes: number;
  headers: Headers;
}
interface Waiter {
  n: number;
  resolve: () => void;
  reject: (error: unknown) => void;
}
/** What is stored at once. */
interface Batch {
  messages: StreamMessage[];
  lastN: number;
}

/** What a record may take beside its transactions and results: a lattice, a map. */
const RECORD_BYTES = 2_560;
/** Bytes of a message around its body. */
const ENVELOPE_BYTES = 64;

export class OutPublisher {
  readonly partition: PartitionId;
  #stream: Stream;
  #clock: Clock;
  #publishMsMax: number;
  #tail: OutTail | undefined;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #waiters: Waiter[] = [];
  #isRunning = false;

  constructor(partition: PartitionId, stream: Stream, clock: Clock, publishMsMax: number) {
    this.partition = partition;
    this.#stream = stream;
    this.#clock = clock;
    this.#publishMsMax = publishMsMax;
  }

  /** Resolves when OUT holds all of them. Calls may overlap; their records must follow each other. */
  publish(records: OutRecord[], headers: Headers): Promise<void> {
    const last = records.at(-1);
    if (last === undefined) return Promise.resolve();
    if (this.#waitingBytes > OUT_WAITING_BYTES_MAX) {
      return Promise.reject(new IoError({ code: "OUT_BUSY", partition: this.partition, limit: OUT_WAITING_BYTES_MAX }, "later"));
    }
    // Only OUT's last message is compared with (P3), so what stands before it need not be packed.
    const firstN = this.#tail?.message?.firstN ?? 0;
    if (last.n < firstN) return Promise.resolve();
    for (const record of records) {
      if (record.n < firstN) continue;
      const bytes = RECORD_BYTES + bulkOfRecord(record);
      assert(bytes <= OUT_RECORD_BYTES_MAX, `out record of ${bytes} bytes, at most ${OUT_RECORD_BYTES_MAX}`);
      this.#waiting.push({ n: record.n, record, bytes, headers });
      this.#waitingBytes += bytes;
    }
    const done = new Promise<void>((resolve, reject) => this.#waiters.push({ n: last.n, resolve, reject }));
    if (!this.#isRunning) void this.#run();
    return done;
  }

  /** n of the last record in OUT, 0 if none; read again for a while if it is below `atLeast`. */
  async lastN(atLeast: number): Promise<number> {
    return (await this.#tailFrom(atLeast)).n;
  }

  #tailFrom(n: number): Promise<OutTail> {
    return readUntil(
      this.#clock,
      () => this.#readTail(),
      (tail) => tail.n >= n,
    );
  }

  /** Sends what waits until nothing does. A failure fails everything that waits: its order would be lost otherwise. */
  async #run(): Promise<void> {
    this.#isRunning = true;
    try {
      while (this.#waiting.length > 0) await this.#sendNext();
    } catch (error) {
      const waiters = this.#waiters;
      this.#waiters = [];
      this.#waiting = [];
      this.#waitingBytes = 0;
      this.#tail = undefined;
      for (const { reject } of waiters) reject(error);
    } finally {
      this.#isRunning = false;
    }
  }

  async #sendNext(): Promise<void> {
    // What stands before the first that waits is there, or its partition would not be so far.
    this.#tail = this.#compared(this.#tail ?? (await this.#tailFrom((this.#waiting[0]?.n ?? 1) - 1)));
    this.#passOver(this.#tail.n);
    const next = this.#waiting[0];
    if (next === undefined) return;
    if (next.n !== this.#tail.n + 1) {
      throw new IoError({ code: "OUT_GAP", partition: this.partition, expected: this.#tail.n + 1, got: next.n }, "never");
    }
    const batch = this.#gather(next);
    const tail = this.#tail;
    const settled = await settle(
      this.#clock,
      this.#publishMsMax,
      () => this.#stream.store(batch.messages, { lastSubjectSequence: tail.sequence }),
      () => this.#find(tail, batch),
      () => this.#stream.order(),
    );
    if (settled.outcome === "full") throw new IoError({ code: "FULL", text: settled.text }, "later");
    // `other`: another owner of this partition was faster.
    this.#tail = settled.outcome === "stored" ? { n: batch.lastN, sequence: settled.sequence } : settled.other;
    this.#passOver(this.#tail.n);
  }

  async #find(before: OutTail, batch: Batch): Promise<Found<OutTail>> {
    const now = this.#compared(await this.#readTail());
    if (now.sequence <= before.sequence) return { found: "open" };
    return now.n === batch.lastN ? { found: "stored", sequence: now.sequence } : { found: "other", other: now };
  }

  async #readTail(): Promise<OutTail> {
    const last = await this.#stream.last(SUBJECT.out(this.partition));
    if (last === undefined) return { n: 0, sequence: 0 };
    const message = decodeOutMessage(last.payload);
    if (message.part < message.parts - 1) return { n: message.firstN - 1, sequence: last.sequence };
    return { n: message.lastN, sequence: last.sequence, message };
  }

  /** @throws IoError OUT_UNEQUAL if the tail's records wait here too and are not the same (P3) */
  #compared(tail: OutTail): OutTail {
    const { message } = tail;
    const offset = this.#waiting[0]?.n ?? 0;
    if (message === undefined || message.parts > 1 || offset === 0 || offset > tail.n) return tail;
    for (const record of decodeOutRecords(message.body)) {
      const waiting = this.#waiting[record.n - offset];
      if (waiting === undefined || waiting.n !== record.n) continue;
      // Packed again, so that another version's way of packing makes no difference.
      if (Buffer.compare(encodeOutRecord(waiting.record), encodeOutRecord(record)) === 0) continue;
      throw new IoError({ code: "OUT_UNEQUAL", partition: this.partition, n: record.n }, "never");
    }
    return tail;
  }

  /** Lets go of records that OUT has, and tells those who wait for them. */
  #passOver(n: number): void {
    let count = 0;
    for (const { n: waitingN, bytes } of this.#waiting) {
      if (waitingN > n) break;
      this.#waitingBytes -= bytes;
      count++;
    }
    if (count > 0) this.#waiting = this.#waiting.slice(count);
    const left = this.#waiters.filter((waiter) => waiter.n > n);
    const done = this.#waiters.filter((waiter) => waiter.n <= n);
    this.#waiters = left;
    for (const { resolve } of done) resolve();
  }

  /** The next batch: one message of about 1 MiB, or one large record in parts. */
  #gather(first: Waiting): Batch {
    if (first.bytes > OUT_PART_BYTES) return this.#parts(first);
    const records = this.#records();
    const lastN = first.n + records.length - 1;
    const body = encodeOutBody(records.map(({ record }) => record));
    return { messages: [this.#message({ firstN: first.n, lastN, part: 0, parts: 1, body }, first.headers)], lastN };
  }

  /** The records of the next message, at least one. */
  #records(): Waiting[] {
    const records: Waiting[] = [];
    let bytes = 0;
    for (const record of this.#waiting) {
      const expected = (records.at(-1)?.n ?? record.n - 1) + 1;
      if (record.n !== expected) {
        throw new IoError({ code: "OUT_GAP", partition: this.partition, expected, got: record.n }, "never");
      }
      if (records.length > 0 && bytes + record.bytes > OUT_MESSAGE_BYTES) break;
      records.push(record);
      bytes += record.bytes;
    }
    return records;
  }

  #parts({ n, record, headers }: Waiting): Batch {
    const body = encodeOutBody([record]);
    const parts = Math.ceil(body.length / OUT_PART_BYTES);
    const messages = Array.from({ length: parts }, (_, part) => {
      const slice = body.subarray(part * OUT_PART_BYTES, (part + 1) * OUT_PART_BYTES);
      return this.#message({ firstN: n, lastN: n, part, parts, body: slice }, headers);
    });
    return { messages, lastN: n };
  }

  #message(
    content: { firstN: number; lastN: number; part: number; parts: number; body: Uint8Array },
    headers: Headers,
  ): StreamMessage {
    const payload = encodeOutMessage({ partition: this.partition, ...content });
    assert(payload.length <= OUT_PART_BYTES + OUT_MESSAGE_BYTES + ENVELOPE_BYTES, `out message of ${payload.length} bytes`);
    return { subject: SUBJECT.out(this.partition), payload, headers };
  }
}
