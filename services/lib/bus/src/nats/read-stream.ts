/**
 * Reading a stream in order, for ever.
 *
 * R1. A reader has an ephemeral consumer and at most one pull outstanding, so what waits here is bounded.
 * R2. The consumer counts what it delivers. A jump in that count, two missed heartbeats or a lost connection end it, and a new
 *     one is made from the last message that was taken on: no message is skipped, none comes twice.
 */
import { IoError, isIoError } from "@meridian/core";
import type { Logger } from "@meridian/core";
import { AckPolicy, DeliverPolicy } from "@nats-io/jetstream";
import { createInbox, nanos, nuid } from "@nats-io/nats-core";
import type { Msg, Subscription } from "@nats-io/nats-core";
import { systemClock, wait } from "@meridian/process";
import {
  MESSAGE_BYTES_MAX,
  READ_EXPIRES_MS,
  READ_HEARTBEAT_MS,
  READ_MESSAGES_MAX,
  RETRY_MS_MAX,
  RETRY_MS_MIN,
} from "../limits.ts";
import type { StoredMessage } from "../stream.ts";
import type { Connection } from "./connection.ts";
import { fromNatsHeaders } from "./headers.ts";
import { createConsumer, dropConsumer } from "./jetstream-api.ts";

export interface ReadOptions {
  stream: string;
  subject: string;
  /** First sequence to read. */
  sequence: number;
  bytesMax: number;
  signal: AbortSignal;
}

/** Room in a pull for subject, reply and headers beside the largest payload; more messages than that fit as well. */
const PULL_BYTES_MIN = MESSAGE_BYTES_MAX + 1024 * 1024;
const PULL_BYTES_MAX = 32 * 1024 * 1024;

/** Consumers end by themselves when nobody pulls for this long. */
const CONSUMER_IDLE_MS = 30_000;

export async function* readStream(
  connection: Connection,
  log: Logger,
  options: ReadOptions,
): AsyncGenerator<StoredMessage[], void, undefined> {
  const { stream, subject, bytesMax, signal } = options;
  let sequence = options.sequence;
  let pauseMs = RETRY_MS_MIN;
  while (!signal.aborted) {
    const puller = new Puller(connection, { ...options, sequence });
    try {
      await puller.open();
      for (;;) {
        const messages = await puller.take(bytesMax);
        const last = messages.at(-1);
        if (last === undefined) return; // Aborted.
        sequence = last.sequence + 1;
        pauseMs = RETRY_MS_MIN;
        yield messages;
      }
    } catch (error) {
      if (!isIoError(error) || error.retry === "never") throw error;
      log.warn({ ...error.detail, stream, subject, sequence }, "reader lost its consumer and makes a new one");
    } finally {
      puller.close();
    }
    await connection.up(signal);
    await wait(systemClock, pauseMs, signal);
    pauseMs = Math.min(pauseMs * 2, RETRY_MS_MAX);
  }
}

class Puller {
  readonly #connection: Connection;
  readonly #options: ReadOptions;
  readonly #consumer = `reader-${nuid.next()}`;
  readonly #inbox = createInbox();
  #subscription: Subscription | undefined;
  #forgetDown: () => void = () => undefined;
  #monitor: NodeJS.Timeout | undefined;
  #queue: StoredMessage[] = [];
  #delivered = 0;
  /** Messages that may still come for the pull that is outstanding; 0 if none is. */
  #left = 0;
  #heardAt = 0;
  #tickedAt = 0;
  #failure: IoError | undefined;
  #wake: () => void = () => undefined;

  constructor(connection: Connection, options: ReadOptions) {
    this.#connection = connection;
    this.#options = options;
  }

  /** @throws IoError if the consumer cannot be made */
  async open(): Promise<void> {
    const { stream, subject, sequence, signal } = this.#options;
    this.#connection.check(`consumer of ${stream}`);
    this.#subscription = this.#connection.nc.subscribe(this.#inbox, {
      callback: (error, msg) => (error === null ? this.#take(msg) : this.#fail("SUBSCRIPTION", error.message)),
    });
    this.#forgetDown = this.#connection.onDown(() => this.#fail("UNREACHABLE", "connection lost"));
    await createConsumer(this.#connection, stream, {
      name: this.#consumer,
      filter_subject: subject,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: sequence,
      ack_policy: AckPolicy.None,
      inactive_threshold: nanos(CONSUMER_IDLE_MS),
      mem_storage: true,
      num_replicas: 1,
    });
    this.#heardAt = Date.now();
    this.#tickedAt = this.#heardAt;
    this.#monitor = setInterval(() => this.#tick(), READ_HEARTBEAT_MS);
    signal.addEventListener("abort", this.#wakeUp, { once: true });
    this.#pull();
  }

  close(): void {
    clearInterval(this.#monitor);
    this.#forgetDown();
    this.#subscription?.unsubscribe();
    this.#options.signal.removeEventListener("abort", this.#wakeUp);
    dropConsumer(this.#connection, this.#options.stream, this.#consumer);
  }

  /**
   * What has arrived, up to `bytesMax` and at least one message; waits for it. Empty only after an abort.
   * @throws IoError once everything that arrived before the failure was taken
   */
  async take(bytesMax: number): Promise<StoredMessage[]> {
    for (;;) {
      if (this.#options.signal.aborted) return [];
      if (this.#queue.length > 0) return this.#takeQueued(bytesMax);
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#left === 0) this.#pull();
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  #takeQueued(bytesMax: number): StoredMessage[] {
    let bytes = 0;
    let count = 0;
    for (const { payload } of this.#queue) {
      bytes += payload.length;
      if (count > 0 && bytes > bytesMax) break;
      count++;
    }
    const taken = this.#queue.slice(0, count);
    this.#queue = this.#queue.slice(count);
    return taken;
  }

  #tick(): void {
    const now = Date.now();
    // This process itself was late: what came meanwhile is still to be read, so the silence is ours.
    if (now - this.#tickedAt > 1.5 * READ_HEARTBEAT_MS) this.#heardAt = now;
    this.#tickedAt = now;
    if (this.#left > 0 && now - this.#heardAt > 2 * READ_HEARTBEAT_MS) this.#fail("SILENT", "no heartbeat");
  }

  #pull(): void {
    const { stream, bytesMax } = this.#options;
    this.#left = READ_MESSAGES_MAX;
    this.#heardAt = Date.now();
    const request = {
      batch: READ_MESSAGES_MAX,
      max_bytes: Math.min(Math.max(bytesMax, PULL_BYTES_MIN), PULL_BYTES_MAX),
      expires: nanos(READ_EXPIRES_MS),
      idle_heartbeat: nanos(READ_HEARTBEAT_MS),
    };
    const payload = new TextEncoder().encode(JSON.stringify(request));
    this.#connection.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${this.#consumer}`, payload, { reply: this.#inbox });
  }

  #take(msg: Msg): void {
    this.#heardAt = Date.now();
    const code = msg.headers?.code ?? 0;
    if (code !== 0) return this.#status(code, msg.headers?.description ?? "");
    const { sequence, delivered } = placeOf(msg.reply ?? "");
    if (delivered !== this.#delivered + 1) return this.#fail("SKIPPED", `delivery ${delivered} after ${this.#delivered}`);
    this.#delivered = delivered;
    this.#left--;
    this.#queue.push({ sequence, subject: msg.subject, payload: msg.data, headers: fromNatsHeaders(msg.headers) });
    this.#wakeUp();
  }

  #status(code: number, description: string): void {
    if (code === 100) return; // Heartbeat.
    // 404 and 408: the pull ended without more; 409 with this text: the next message did not fit into what was left of it.
    const isEnd = code === 404 || code === 408 || (code === 409 && /max_?bytes|batch completed/i.test(description));
    if (!isEnd) return this.#fail("CONSUMER_GONE", `${code} ${description}`);
    this.#left = 0;
    if (this.#queue.length === 0) this.#pull();
  }

  #fail(code: string, why: string): void {
    this.#failure ??= new IoError({ code, why }, "later");
    this.#wakeUp();
  }

  #wakeUp = (): void => this.#wake();
}

/**
 * Stream sequence and delivery count out of the reply subject:
 * $JS.ACK.[domain.account.]stream.consumer.tries.sequence.delivered.time.pending
 */
function placeOf(reply: string): { sequence: number; delivered: number } {
  const tokens = reply.split(".");
  const first = tokens.length > 9 ? 4 : 2; // Servers may add domain and account hash in front.
  return { sequence: Number(tokens[first + 3]), delivered: Number(tokens[first + 4]) };
}
