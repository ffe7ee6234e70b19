import { IoError } from "@meridian/core";
import type { Bus, Clock, Log, Objects, Out, Settings, StoredRecord, Wire, WireMessage } from "@meridian/core";
import { wait } from "@meridian/process";
import { guarded } from "../guarded.ts";
import { APPEND_MS_MAX, PUBLISH_MS_MAX, STORE_TRY_MS } from "../limits.ts";
import { StreamLog } from "../log.ts";
import { STREAM } from "../names.ts";
import { StreamOut } from "../out.ts";
import { checkPayload } from "../payload.ts";
import { KeyedSettings } from "../settings.ts";
import type { KeyValues } from "../settings.ts";
import type { Expectation, StoreOutcome, StoredMessage, Stream, StreamMessage } from "../stream.ts";
import type { MemoryConnectOptions, MemoryServer, StreamName } from "./memory-server.ts";

const unreachable = (what: string): IoError => new IoError({ code: "UNREACHABLE", what }, "later");

const copyOf = (bytes: Uint8Array | undefined): Uint8Array | undefined =>
  bytes === undefined ? undefined : new Uint8Array(bytes);

const recordOf = (stored: StoredRecord | undefined): StoredRecord | undefined =>
  stored === undefined ? undefined : { value: new Uint8Array(stored.value), revision: stored.revision };

/** A bus on a server in memory; `disconnect` cuts it off as a lost network does. */
export class MemoryBus implements Bus {
  readonly log: Log;
  readonly out: Out;
  readonly settings: Settings;
  readonly objects: Objects;
  readonly wire: Wire;
  readonly closed: Promise<void>;
  readonly #server: MemoryServer;
  readonly #clock: Clock;
  readonly #storeTryMs: number;
  #isConnected = true;
  #isClosed = false;
  #resolveClosed: () => void;
  #stopped = new AbortController();
  #changes = new Set<() => void>();

  constructor(server: MemoryServer, options: MemoryConnectOptions) {
    this.#server = server;
    const { appendMsMax = APPEND_MS_MAX, publishMsMax = PUBLISH_MS_MAX, clock = server.clock } = options;
    this.#clock = clock;
    this.#storeTryMs = options.storeTryMs ?? STORE_TRY_MS;
    this.log = new StreamLog(this.#stream(STREAM.log), clock, { appendMsMax });
    this.out = new StreamOut(this.#stream(STREAM.out), clock, { publishMsMax });
    this.settings = new KeyedSettings(this.#keyValues());
    this.objects = this.#objectStore();
    this.wire = this.#wire();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    this.#resolveClosed = resolve;
  }

  /** Cuts this bus off: requests fail, nothing arrives, readers wait. */
  disconnect(): void {
    this.#isConnected = false;
  }

  reconnect(): void {
    this.#isConnected = true;
    for (const wake of this.#changes) wake();
  }

  close(): Promise<void> {
    this.#isClosed = true;
    this.#isConnected = false;
    this.#stopped.abort();
    for (const wake of this.#changes) wake();
    this.#resolveClosed();
    return Promise.resolve();
  }

  /** One request to the server: takes its time, and fails if the connection is down at its start or at its end. */
  async #ask<T>(what: string, answer: () => T): Promise<T> {
    this.#check(what);
    // On the server's clock: what is on its way arrives, whatever becomes of this process.
    await this.#pause(this.#server.clock);
    this.#check(what);
    const result = answer();
    await this.#pause(this.#clock);
    this.#check(what);
    return result;
  }

  #check(what: string): void {
    if (this.#isClosed) throw new IoError({ code: "CLOSED", what }, "never");
    if (!this.#isConnected) throw unreachable(what);
  }

  async #pause(clock: Clock): Promise<void> {
    const delayMs = this.#server.faults.delayMs();
    if (delayMs > 0) await wait(clock, delayMs, this.#stopped.signal);
  }

  #stream(name: StreamName): Stream {
    const stream = this.#server.streams[name];
    const upTo = () => this.#server.faults.replicaEnd(name);
    return {
      store: (messages, expectation) => this.#store(name, messages, expectation),
      lastSequence: () => this.#ask(name, () => stream.lastSequence),
      at: (sequence) => this.#ask(name, () => stream.at(sequence, upTo())),
      next: (subject, sequence) => this.#ask(name, () => stream.next(subject, sequence, upTo())),
      last: (subject) => this.#ask(name, () => stream.last(subject, upTo())),
      lastOfAll: () => this.#ask(name, () => stream.lastOfAll(upTo())),
      read: (subject, sequence, options) => this.#read(name, subject, sequence, options),
      purge: (subject, sequence) => this.#ask(name, () => stream.purge(subject, sequence)),
      order: () => undefined, // What is on its way may overtake.
      uniqueId: () => this.#server.uniqueId(),
    };
  }

  /** Whoever waits for the answer gives up after a while; the messages are on their way all the same, and may be stored then. */
  #store(name: StreamName, messages: readonly StreamMessage[], expectation: Expectation): Promise<StoreOutcome> {
    return new Promise((resolve, reject) => {
      const timeoutMs = this.#storeTryMs;
      const late = () => reject(new IoError({ code: "TIMEOUT", what: name, timeoutMs }, "later"));
      const cancel = this.#clock.after(timeoutMs, late);
      this.#send(name, messages, expectation).then(resolve, reject).finally(cancel);
    });
  }

  async #send(name: StreamName, messages: readonly StreamMessage[], expectation: Expectation): Promise<StoreOutcome> {
    for (const { payload } of messages) checkPayload(name, payload);
    const { faults, streams, clock } = this.#server;
    const fault = faults.takeStoreFault(name);
    if (fault?.fault === "hold") await fault.until;
    if (fault?.fault === "delay") await wait(clock, fault.delayMs, this.#stopped.signal);
    return this.#ask(name, () => {
      const isLost = fault?.fault === "loseAnswer";
      const outcome = isLost && !fault.landed ? undefined : streams[name].store(messages, expectation);
      if (isLost || outcome === undefined) throw new IoError({ code: "TIMEOUT", what: name }, "later");
      return outcome;
    });
  }

  async *#read(
    name: StreamName,
    subject: string,
    sequence: number,
    { bytesMax, signal }: { bytesMax: number; signal: AbortSignal },
  ): AsyncGenerator<StoredMessage[], void, undefined> {
    const stream = this.#server.streams[name];
    let next = sequence;
    for (;;) {
      await this.#pause(this.#clock);
      if (this.#isClosed) throw new IoError({ code: "CLOSED", what: name }, "never");
      if (signal.aborted) return;
      const messages = this.#isConnected ? stream.slice(subject, next, bytesMax) : [];
      const last = messages.at(-1);
      if (last !== undefined) {
        next = last.sequence + 1;
        yield messages;
        continue;
      }
      await this.#change(stream, signal);
    }
  }

  /** Resolves when the stream has more, the connection changes or `signal` aborts. */
  #change(stream: { onStore(wake: () => void): () => void }, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        forget();
        this.#changes.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      const forget = stream.onStore(wake);
      this.#changes.add(wake);
      signal.addEventListener("abort", wake, { once: true });
    });
  }

  #keyValues(): KeyValues {
    const { settings } = this.#server;
    return {
      get: (key) => this.#ask(key, () => recordOf(settings.get(key))),
      put: (key, value, revision) =>
        this.#ask(key, () => {
          if ((settings.get(key)?.revision ?? 0) !== revision) return false;
          settings.set(key, { value: new Uint8Array(value), revision: this.#server.nextRevision() });
          return true;
        }),
    };
  }

  #objectStore(): Objects {
    const { objects } = this.#server;
    return {
      put: (name, bytes) => this.#ask(name, () => void objects.set(name, new Uint8Array(bytes))),
      get: (name) => this.#ask(name, () => copyOf(objects.get(name))),
      delete: (name) => this.#ask(name, () => void objects.delete(name)),
      list: (prefix) => this.#ask(prefix, () => [...objects.keys()].filter((name) => name.startsWith(prefix)).sort()),
    };
  }

  #wire(): Wire {
    const { wire } = this.#server;
    const drop = () => undefined;
    return {
      publish: (subject, payload, headers = {}) => {
        checkPayload(subject, payload);
        if (this.#isConnected) wire.publish(subject, payload, headers, drop);
      },
      request: async (subject, payload, options) => {
        checkPayload(subject, payload);
        this.#check(subject);
        return wire.request(subject, payload, options);
      },
      subscribe: (subject, handler, queue) =>
        wire.subscribe({ subject, handler: this.#answering(handler), queue, isReachable: () => this.#isConnected }),
    };
  }

  /** A subscriber that is cut off cannot answer. */
  #answering(handler: (message: WireMessage) => void): (message: WireMessage) => void {
    const handle = guarded(handler, () => undefined);
    return (message) => {
      const respond = (payload: Uint8Array) => {
        checkPayload(message.subject, payload);
        if (this.#isConnected) message.respond(payload);
      };
      handle({ ...message, respond });
    };
  }
}
