/** A whole server in memory: several buses connect to it. Deterministic; time comes from the clock it is given. */
import type { Bus, Headers, StoredRecord } from "@meridian/core";
import { systemClock } from "@meridian/process";
import type { Clock } from "@meridian/core";
import type { STREAM } from "../names.ts";
import { MemoryBus } from "./memory-bus.ts";
import { MemoryStream } from "./memory-stream.ts";
import { MemoryWire } from "./memory-wire.ts";
import type { WireFate } from "./memory-wire.ts";

export type StreamName = (typeof STREAM)[keyof typeof STREAM];

/** What becomes of the next store to a stream. */
export type StoreFault =
  | { fault: "loseAnswer"; landed: boolean } // the caller sees a timeout; `landed` says whether the server stored it
  | { fault: "hold"; until: Promise<void> } //  it reaches the server only then
  | { fault: "delay"; delayMs: number };

/** Switches for tests and the simulator. */
export class MemoryFaults {
  readonly #streams: Record<StreamName, MemoryStream>;
  readonly #wire: MemoryWire;
  readonly #stores: Record<StreamName, StoreFault[]> = { LOG: [], OUT: [] };
  /** How long each request to the server takes; 0 for as soon as possible. */
  delayMs: () => number = () => 0;
  /** Last sequence that the replica has which is asked next for a message; the leader, which stores, has all. */
  replicaEnd: (stream: StreamName) => number = () => Infinity;

  constructor(streams: Record<StreamName, MemoryStream>, wire: MemoryWire) {
    this.#streams = streams;
    this.#wire = wire;
  }

  /** The answer of the next store is lost. */
  loseAnswer(stream: StreamName, options: { landed: boolean }): void {
    this.#stores[stream].push({ fault: "loseAnswer", landed: options.landed });
  }

  /** The next store reaches the server only after the returned function is called: a writer stopped in the middle. */
  hold(stream: StreamName): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#stores[stream].push({ fault: "hold", until: promise });
    return resolve;
  }

  /** The next store takes this long to reach the server. */
  delay(stream: StreamName, delayMs: number): void {
    this.#stores[stream].push({ fault: "delay", delayMs });
  }

  /** Refuses stores with this text, until called with null. */
  full(stream: StreamName, text: string | null): void {
    this.#streams[stream].fullText = text;
  }

  /** Decides what becomes of each message on the wire; replies are asked about as "reply:<subject>". */
  wire(fate: (subject: string) => WireFate): void {
    this.#wire.fate = fate;
  }

  /** Stores bytes behind the back of every writer. */
  plant(stream: StreamName, subject: string, payload: Uint8Array, headers: Headers = {}): number {
    return this.#streams[stream].plant(subject, payload, headers);
  }

  /** Removes one message behind the back of every reader. */
  erase(stream: StreamName, sequence: number): void {
    this.#streams[stream].erase(sequence);
  }

  takeStoreFault(stream: StreamName): StoreFault | undefined {
    return this.#stores[stream].shift();
  }
}

export interface MemoryServerOptions {
  clock?: Clock;
}

export class MemoryServer {
  readonly clock: Clock;
  readonly streams: Record<StreamName, MemoryStream> = { LOG: new MemoryStream(), OUT: new MemoryStream() };
  readonly settings = new Map<string, StoredRecord>();
  readonly objects = new Map<string, Uint8Array>();
  readonly wire: MemoryWire;
  readonly faults: MemoryFaults;
  #ids = 0;
  #revision = 0;

  constructor(options: MemoryServerOptions = {}) {
    this.clock = options.clock ?? systemClock;
    this.wire = new MemoryWire(this.clock);
    this.faults = new MemoryFaults(this.streams, this.wire);
  }

  /** A bus of its own, as one process has it. */
  connect(options: MemoryConnectOptions = {}): MemoryBus {
    return new MemoryBus(this, options);
  }

  /** Of the settings: one count for all keys. */
  nextRevision(): number {
    return ++this.#revision;
  }

  uniqueId(): string {
    return `memory-${++this.#ids}`;
  }
}

export interface MemoryConnectOptions {
  /** The clock of the process that connects, if it is not the server's: one that stands still holds all that comes back to it. */
  clock?: Clock;
  /** See limits.ts. */
  appendMsMax?: number;
  publishMsMax?: number;
  storeTryMs?: number;
}

/** A server in memory for tests and the simulator. */
export function memoryServer(options: MemoryServerOptions = {}): MemoryServer {
  return new MemoryServer(options);
}

/** A bus alone on a server of its own. */
export function memoryBus(options: MemoryServerOptions & MemoryConnectOptions = {}): Bus {
  return memoryServer(options).connect(options);
}
