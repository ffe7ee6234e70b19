/**
 * One connection to the server.
 *
 * K1. A request fails as soon as the connection is lost; it never waits in a buffer for a server that may be gone for minutes.
 * K2. After a reconnect nothing is sent before `onReconnect` has looked at the server: it may be another one than before.
 */
import { IoError, isIoError } from "@meridian/core";
import type { Headers, Logger } from "@meridian/core";
import { createInbox, errors } from "@nats-io/nats-core";
import type { Msg, NatsConnection, Subscription } from "@nats-io/nats-core";
import { toNatsHeaders } from "./headers.ts";

export interface RequestOptions {
  timeoutMs: number;
  headers?: Headers;
}

export class Connection {
  readonly nc: NatsConnection;
  readonly closed: Promise<void>;
  #log: Logger;
  #isUp = true;
  #losses = 0;
  #onReconnect: () => Promise<void>;
  /** Called when the connection goes down or is closed: pending requests and readers. */
  #losers = new Set<() => void>();
  #risers = new Set<() => void>();

  constructor(nc: NatsConnection, log: Logger, onReconnect: () => Promise<void>) {
    this.nc = nc;
    this.#log = log;
    this.#onReconnect = onReconnect;
    this.closed = nc.closed().then((error) => {
      this.#down();
      this.#rise(); // Those who wait for the connection look again, and see that it is closed.
      if (error instanceof Error) log.error({ code: "CLOSED", error: error.message }, "connection to NATS closed");
    });
    void this.#watch();
  }

  get isUp(): boolean {
    return this.#isUp && !this.nc.isClosed();
  }

  /**
   * The same number while what is sent is dealt with in its order: one server takes the messages of one connection one after the
   * other. Undefined in a cluster, where a leader that changes may still bring in what it took before.
   */
  get order(): number | undefined {
    return this.nc.info !== undefined && this.nc.info.cluster === undefined ? this.#losses : undefined;
  }

  /** @throws IoError CLOSED | UNREACHABLE */
  check(what: string): void {
    if (this.nc.isClosed()) throw new IoError({ code: "CLOSED", what }, "never");
    if (!this.#isUp) throw new IoError({ code: "UNREACHABLE", what }, "later");
  }

  /**
   * One request, one reply.
   * @throws IoError UNREACHABLE | TIMEOUT | NO_RESPONDERS | CLOSED
   */
  request(subject: string, payload: Uint8Array, { timeoutMs, headers = {} }: RequestOptions): Promise<Msg> {
    return new Promise((resolve, reject) => {
      this.check(subject);
      const lost = () => reject(new IoError({ code: "UNREACHABLE", what: subject }, "later"));
      this.#losers.add(lost);
      const natsHeaders = toNatsHeaders(headers);
      this.nc
        .request(
          subject,
          payload,
          natsHeaders === undefined ? { timeout: timeoutMs } : { timeout: timeoutMs, headers: natsHeaders },
        )
        .then(resolve, (error: unknown) => reject(ioErrorOf(error, subject, timeoutMs)))
        .finally(() => this.#losers.delete(lost));
    });
  }

  /**
   * One request, replies until `isLast`.
   * @throws IoError as `request`; TIMEOUT if the last one does not come in time
   */
  collect(subject: string, payload: Uint8Array, timeoutMs: number, isLast: (msg: Msg) => boolean): Promise<Msg[]> {
    return new Promise((resolve, reject) => {
      this.check(subject);
      const inbox = createInbox();
      const replies: Msg[] = [];
      const end = (finish: () => void) => {
        clearTimeout(timer);
        this.#losers.delete(lost);
        subscription.unsubscribe();
        finish();
      };
      const lost = () => end(() => reject(new IoError({ code: "UNREACHABLE", what: subject }, "later")));
      const timer = setTimeout(
        () => end(() => reject(new IoError({ code: "TIMEOUT", what: subject, timeoutMs }, "later"))),
        timeoutMs,
      );
      const subscription: Subscription = this.nc.subscribe(inbox, {
        callback: (error, msg) => {
          if (error !== null) return end(() => reject(ioErrorOf(error, subject, timeoutMs)));
          if (msg.headers?.code === 503) return end(() => reject(new IoError({ code: "NO_RESPONDERS", what: subject }, "later")));
          replies.push(msg);
          if (isLast(msg)) end(() => resolve(replies));
        },
      });
      this.#losers.add(lost);
      this.nc.publish(subject, payload, { reply: inbox });
    });
  }

  /** Sends if the connection is up; nothing is kept for later. */
  publish(subject: string, payload: Uint8Array, options: { headers?: Headers; reply?: string } = {}): void {
    if (!this.isUp) return;
    const headers = toNatsHeaders(options.headers ?? {});
    const { reply } = options;
    this.nc.publish(subject, payload, {
      ...(headers === undefined ? {} : { headers }),
      ...(reply === undefined ? {} : { reply }),
    });
  }

  /** Calls `lost` once the connection goes down. Returns a function that forgets it. */
  onDown(lost: () => void): () => void {
    if (!this.isUp) queueMicrotask(lost);
    else this.#losers.add(lost);
    return () => this.#losers.delete(lost);
  }

  /** Resolves when the connection is up or closed, or `signal` aborts. */
  up(signal: AbortSignal): Promise<void> {
    if (this.isUp || this.nc.isClosed() || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const end = () => {
        this.#risers.delete(end);
        signal.removeEventListener("abort", end);
        resolve();
      };
      this.#risers.add(end);
      signal.addEventListener("abort", end, { once: true });
    });
  }

  async #watch(): Promise<void> {
    for await (const status of this.nc.status()) {
      if (status.type === "disconnect") {
        this.#log.warn({ server: status.server }, "connection to NATS lost");
        this.#down();
      } else if (status.type === "reconnect") {
        await this.#reconnected(status.server);
      } else if (status.type === "error" || status.type === "slowConsumer" || status.type === "staleConnection") {
        this.#log.warn(
          { status: status.type, ...("error" in status ? { error: status.error.message } : {}) },
          "NATS connection status",
        );
      }
    }
  }

  async #reconnected(server: string): Promise<void> {
    try {
      await this.#onReconnect();
      this.#isUp = true;
      this.#log.info({ server }, "connection to NATS is back");
      this.#rise();
    } catch (error) {
      this.#log.error(
        { server, error: error instanceof Error ? error.message : String(error) },
        "server refused after reconnect",
      );
      await this.nc.close();
    }
  }

  #down(): void {
    this.#isUp = false;
    this.#losses++;
    const losers = [...this.#losers];
    this.#losers.clear();
    for (const lost of losers) lost();
  }

  #rise(): void {
    for (const rise of [...this.#risers]) rise();
  }
}

/** The failure of a request in our terms. */
export function ioErrorOf(error: unknown, what: string, timeoutMs: number): IoError {
  if (isIoError(error)) return error;
  if (error instanceof errors.TimeoutError) return new IoError({ code: "TIMEOUT", what, timeoutMs }, "later", error);
  if (error instanceof errors.NoRespondersError || (error instanceof errors.RequestError && error.isNoResponders())) {
    return new IoError({ code: "NO_RESPONDERS", what }, "later", error);
  }
  if (error instanceof errors.ClosedConnectionError || error instanceof errors.DrainingConnectionError) {
    return new IoError({ code: "CLOSED", what }, "never", error);
  }
  return new IoError({ code: "SERVER", what, why: error instanceof Error ? error.message : String(error) }, "later", error);
}
