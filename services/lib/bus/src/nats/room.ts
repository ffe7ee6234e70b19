/** Keeps the sizes of the streams at what the server has: at connect, after every reconnect and when a store was refused. */
import { isIoError } from "@meridian/core";
import type { Logger } from "@meridian/core";
import { systemClock, wait } from "@meridian/process";
import { RETRY_MS_MAX, ROOM_LOOK_MS_MIN, ROOM_TRIES_MAX } from "../limits.ts";
import type { Connection } from "./connection.ts";
import { ensureStreams } from "./ensure-streams.ts";
import type { StreamLimits } from "./ensure-streams.ts";
import { storageBytes } from "./storage.ts";

export class Room {
  readonly #connection: Connection;
  readonly #limits: StreamLimits;
  readonly #monitorUrl: string | undefined;
  readonly #log: Logger;
  readonly #closed = new AbortController();
  /** What the server had at the last look. */
  #totalBytes: number | undefined;
  #looking: Promise<void> | undefined;
  #nextLookAt = 0;

  constructor(connection: Connection, limits: StreamLimits, monitorUrl: string | undefined, log: Logger) {
    this.#connection = connection;
    this.#limits = limits;
    this.#monitorUrl = monitorUrl;
    this.#log = log;
    void connection.closed.then(() => this.#closed.abort());
  }

  /**
   * Makes the streams and buckets that are not there; from then on looks again after every reconnect.
   * @throws IoError STREAM_WRONG | SERVER_REFUSED | UNREACHABLE | TIMEOUT
   */
  async open(): Promise<void> {
    this.#totalBytes = await this.#ask();
    await ensureStreams(this.#connection, this.#limits, this.#totalBytes, { log: this.#log, makes: true });
    void this.#watch();
  }

  /** A store was refused for want of room: the server may have more by now. Looks in the background, not too often. */
  refused(): void {
    if (this.#looking !== undefined || systemClock.now() < this.#nextLookAt) return;
    void this.#look(1);
  }

  #ask(): Promise<number | undefined> {
    return storageBytes(this.#connection, this.#monitorUrl, this.#limits.replicas);
  }

  async #watch(): Promise<void> {
    const { signal } = this.#closed;
    while (!signal.aborted) {
      await new Promise<void>((resolve) => this.#connection.onDown(resolve));
      await this.#connection.up(signal);
      await this.#looking;
      if (!signal.aborted) await this.#look(ROOM_TRIES_MAX);
    }
  }

  async #look(triesMax: number): Promise<void> {
    this.#looking = this.#tryToLook(triesMax);
    await this.#looking;
    this.#looking = undefined;
    this.#nextLookAt = systemClock.now() + ROOM_LOOK_MS_MIN;
  }

  /** A server that has just started may not answer yet. What fails here is tried again at the next reconnect or refusal. */
  async #tryToLook(triesMax: number): Promise<void> {
    for (let tries = 1; this.#connection.isUp; tries++) {
      try {
        const total = await this.#ask();
        if (total === undefined || total === this.#totalBytes) return;
        await ensureStreams(this.#connection, this.#limits, total, { log: this.#log, makes: false });
        this.#totalBytes = total;
        return;
      } catch (error) {
        const isOver = tries >= triesMax || !isIoError(error) || error.retry === "never";
        if (isOver) return this.#log.warn({ why: String(error), tries }, "The sizes of the streams could not be looked at again");
        await wait(systemClock, RETRY_MS_MAX, this.#closed.signal);
      }
    }
  }
}
