/** One JetStream stream behind the narrow port. */
import { IoError, assert } from "@meridian/core";
import type { Headers, Logger } from "@meridian/core";
import { nuid } from "@nats-io/nats-core";
import { BATCH_MESSAGES_MAX, STORE_TRY_MS } from "../limits.ts";
import { checkPayload } from "../payload.ts";
import type { Expectation, StoreOutcome, StoredMessage, Stream, StreamMessage } from "../stream.ts";
import type { Connection } from "./connection.ts";
import { SERVER_ERROR, directGet, directLast, purgeStream, refusalOf, streamInfo } from "./jetstream-api.ts";
import { readStream } from "./read-stream.ts";

const FULL: ReadonlySet<number> = new Set([
  SERVER_ERROR.storeFailed,
  SERVER_ERROR.storageExceeded,
  SERVER_ERROR.insufficientResources,
  SERVER_ERROR.memoryExceeded,
]);

interface StoreReply {
  seq?: number;
  error?: { code?: number; err_code?: number; description?: string };
}

export class NatsStream implements Stream {
  readonly #connection: Connection;
  readonly #name: string;
  readonly #subjects: string;
  readonly #log: Logger;
  readonly #refused: () => void;

  /**
   * @param subjects the stream's one wildcard
   * @param options `refused` is called after every store that found no room
   */
  constructor(connection: Connection, name: string, subjects: string, { log, refused }: { log: Logger; refused: () => void }) {
    this.#connection = connection;
    this.#name = name;
    this.#subjects = subjects;
    this.#log = log;
    this.#refused = refused;
  }

  async store(messages: readonly StreamMessage[], expectation: Expectation): Promise<StoreOutcome> {
    const last = messages.at(-1);
    assert(last !== undefined && messages.length <= BATCH_MESSAGES_MAX, `batch of ${messages.length} messages`);
    for (const { subject, payload } of messages) checkPayload(subject, payload);
    // One message is atomic by itself, and costs a tenth of a batch of one.
    const batchId = messages.length === 1 ? undefined : nuid.next();
    for (const [index, { subject, payload, headers }] of messages.slice(0, -1).entries()) {
      this.#connection.check(subject);
      this.#connection.publish(subject, payload, {
        headers: this.#headers(headers, batchId, index, messages.length, expectation),
      });
    }
    const headers = this.#headers(last.headers, batchId, messages.length - 1, messages.length, expectation);
    const reply = await this.#connection.request(last.subject, last.payload, { timeoutMs: STORE_TRY_MS, headers });
    return this.#outcome(last.subject, reply.json<StoreReply>());
  }

  #headers(plain: Headers, batchId: string | undefined, index: number, count: number, expectation: Expectation): Headers {
    const headers: Headers = { ...plain };
    if (index === 0 && "lastSequence" in expectation) headers["Nats-Expected-Last-Sequence"] = String(expectation.lastSequence);
    if (index === 0 && "lastSubjectSequence" in expectation) {
      headers["Nats-Expected-Last-Subject-Sequence"] = String(expectation.lastSubjectSequence);
    }
    if (batchId === undefined) return headers;
    headers["Nats-Batch-Id"] = batchId;
    headers["Nats-Batch-Sequence"] = String(index + 1);
    if (index === count - 1) headers["Nats-Batch-Commit"] = "1";
    return headers;
  }

  #outcome(subject: string, { error, seq }: StoreReply): StoreOutcome {
    if (error === undefined) {
      if (seq === undefined)
        throw new IoError({ code: "SERVER", what: subject, why: "an acknowledgement without sequence" }, "later");
      return { outcome: "stored", sequence: seq };
    }
    const errCode = error.err_code ?? 0;
    if (errCode === SERVER_ERROR.wrongLastSequence || errCode === SERVER_ERROR.wrongLastSequenceUnknown)
      return { outcome: "moved" };
    if (FULL.has(errCode)) {
      this.#refused();
      return { outcome: "full", text: `${error.description ?? "no text"} (${errCode})` };
    }
    // Everything else counts as unknown: the stream is read before anything else is written.
    throw new IoError({ ...refusalOf(subject, error).detail }, "later");
  }

  async lastSequence(): Promise<number> {
    return (await streamInfo(this.#connection, this.#name, STORE_TRY_MS)).state.last_seq;
  }

  at(sequence: number): Promise<StoredMessage | undefined> {
    return directGet(this.#connection, this.#name, { seq: sequence });
  }

  next(subject: string, sequence: number): Promise<StoredMessage | undefined> {
    return directGet(this.#connection, this.#name, { seq: sequence, next_by_subj: subject });
  }

  last(subject: string): Promise<StoredMessage | undefined> {
    return directGet(this.#connection, this.#name, { last_by_subj: subject });
  }

  lastOfAll(): Promise<StoredMessage[]> {
    return directLast(this.#connection, this.#name, this.#subjects);
  }

  read(subject: string, sequence: number, options: { bytesMax: number; signal: AbortSignal }): AsyncIterable<StoredMessage[]> {
    return readStream(this.#connection, this.#log, { stream: this.#name, subject, sequence, ...options });
  }

  async purge(subject: string, sequence: number): Promise<void> {
    await purgeStream(this.#connection, this.#name, { filter: subject, seq: sequence });
  }

  order(): number | undefined {
    return this.#connection.order;
  }

  uniqueId(): string {
    return nuid.next();
  }
}
