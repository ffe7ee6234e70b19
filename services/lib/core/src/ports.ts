/**
 * The ports of the services: what the shells of scheduler, partition, archive and gateway need from outside. @meridian/bus
 * implements them over nats.js and, with the same behaviour under one shared test suite, in memory. Times in milliseconds.
 */
import type { LogMessage, LogPosition, OutRecord, Entry } from "./entries.ts";
import type { PartitionId, RangeMap } from "./ranges.ts";

/** Time as shells see it; the simulator passes its virtual one. */
export interface Clock {
  /** Milliseconds since some fixed moment; never goes back. */
  now(): number;
  /** Calls `run` once after `delayMs`. Returns a function that cancels it. */
  after(delayMs: number, run: () => void): () => void;
}

/** Trace context and the like; travels beside a message, never decides anything. */
export type Headers = Record<string, string>;

export type AppendOutcome =
  | { outcome: "appended" }
  /** Another term stands in the log: this writer is deposed for good. */
  | { outcome: "fenced"; term: number }
  /** The server takes no more (disk or stream limit); nothing was appended. */
  | { outcome: "full"; text: string };

/**
 * The one writer of LOG. It keeps, for each partition, the last (n, hash), and the last stream sequence. One append at a time:
 * group commit needs no pipeline, and an append of unknown outcome is resolved by reading the log before anything is written.
 */
export interface LogWriter {
  readonly term: number;
  /** Flush number of the last append; 0 in an empty log. */
  readonly flush: number;
  /** (n, flush, hash) of each partition's last message. */
  position(partition: PartitionId): LogPosition;
  /**
   * Appends one flush to the logs of the partitions concerned, atomically. An append whose answer is lost is looked up in the
   * log and, if it is not there and the log is unchanged, sent again, until `appendMsMax` is over.
   * @param messages entries for each partition, in position order; partitions without entries do not appear
   * @throws IoError UNREACHABLE if the server cannot be asked; the outcome is unknown and the writer of no more use
   */
  append(flush: number, messages: { partition: PartitionId; entries: Entry[] }[], headers?: Headers): Promise<AppendOutcome>;
}

export interface Log {
  /** Last message of every partition's log that has one. */
  tails(): Promise<LogMessage[]>;
  /** Starts the log of a new chain: one `genesis` entry in each log; no effect if LOG is not empty. */
  begin(messages: { partition: PartitionId; entries: Entry[] }[]): Promise<void>;
  /**
   * Takes over: appends `term` (highest term seen + 1) to every log, atomically, fenced by the last sequence.
   * @returns the writer; or who was faster
   */
  takeOver(leader: string, partitions: PartitionId[]): Promise<{ writer: LogWriter } | { fenced: true }>;
  /**
   * Messages of one log after `after`, in batches, waiting for more until `signal` aborts. Every message is checked: n without
   * gap, hash chain, versions, non-decreasing term.
   * @throws IoError GAP | CHAIN_BROKEN | FORMAT_UNKNOWN
   */
  read(partition: PartitionId, after: LogPosition, options: { bytesMax: number; signal: AbortSignal }): AsyncIterable<LogBatch[]>;
  /**
   * Messages of one log from `fromN` on without waiting for more; for a new leader.
   * @param toN a message that is there: nothing older is taken for the end
   * @throws IoError GAP if `fromN` is gone; LAGGING, retry "later", if `toN` does not show
   */
  readToEnd(partition: PartitionId, fromN: number, toN?: number): Promise<LogMessage[]>;
  /** Lets messages up to and including `n` go. */
  truncate(partition: PartitionId, n: number): Promise<void>;
}
export interface LogBatch {
  message: LogMessage;
  position: LogPosition; // after this message
  headers: Headers;
}

/** OUT: what partitions made of their logs. */
export interface Out {
  /** Publishes records in order; resolves when the server has them. Records already there (by last n) are passed over. */
  publish(partition: PartitionId, records: OutRecord[], headers?: Headers): Promise<void>;
  /** n of the last published record, 0 if none. `atLeast`: is known to be there; a lower one is looked at again for a while. */
  lastN(partition: PartitionId, atLeast?: number): Promise<number>;
  /** Records of all partitions in stream order after `after`, in batches, until `signal` aborts. */
  read(after: number, options: { bytesMax: number; signal: AbortSignal }): AsyncIterable<OutBatch[]>;
  /** Lets messages with a stream sequence up to and including `sequence` go. */
  truncate(sequence: number): Promise<void>;
}
export interface OutBatch {
  /** Stream sequence of its message; of the first and the last one if a large record came in parts. */
  firstSequence: number;
  sequence: number;
  partition: PartitionId;
  records: OutRecord[];
  headers: Headers;
}

/** Settings of the chain that never change after its first start. */
export interface ChainSettings {
  chainId: number;
  blockMs: number;
  blockGasLimit: number;
  genesisHash: string; // SHA-256 hex of the genesis object
}

export interface Settings {
  get(): Promise<ChainSettings | undefined>;
  /** Creates the settings; if they exist already, returns those. */
  create(settings: ChainSettings): Promise<ChainSettings>;
  /** The published copy of the range map; one of an older version changes nothing. */
  putMap(map: RangeMap): Promise<void>;
  getMap(): Promise<RangeMap | undefined>;
  /**
   * Small records of a service: snapshot manifests. Keys: [a-z0-9.-]+
   * @param revision of the record that this one takes the place of; 0 if there was none
   * @returns false if another one stands there; nothing is written then
   */
  putRecord(key: string, value: Uint8Array, revision: number): Promise<boolean>;
  getRecord(key: string): Promise<StoredRecord | undefined>;
}

export interface StoredRecord {
  value: Uint8Array;
  /** Above 0; every write has another one. */
  revision: number;
}

/** Large immutable objects: genesis, snapshot chunks. Content is checked by SHA-256 by whoever reads. */
export interface Objects {
  put(name: string, bytes: Uint8Array): Promise<void>;
  get(name: string): Promise<Uint8Array | undefined>;
  delete(name: string): Promise<void>;
  list(prefix: string): Promise<string[]>;
}

/** Messages that are not kept: requests, reports, beats. */
export interface Wire {
  publish(subject: string, payload: Uint8Array, headers?: Headers): void;
  /** @throws IoError NO_RESPONDERS | TIMEOUT */
  request(subject: string, payload: Uint8Array, options: { timeoutMs: number; headers?: Headers }): Promise<Uint8Array>;
  /** `queue`: only one of the subscribers with this name gets a message. Returns a stop function. */
  subscribe(subject: string, handler: (message: WireMessage) => void, queue?: string): () => void;
}
export interface WireMessage {
  subject: string;
  payload: Uint8Array;
  headers: Headers;
  /** Answers a request; no effect on a message without reply subject. */
  respond(payload: Uint8Array): void;
}

/** How much loss an acknowledgement survives. `process`: of any process. `power`: of power too (sync_interval: always). */
export type Durability = "process" | "power";

export interface Bus {
  readonly log: Log;
  readonly out: Out;
  readonly settings: Settings;
  readonly objects: Objects;
  readonly wire: Wire;
  /** Resolves when the connection is gone for good. */
  readonly closed: Promise<void>;
  close(): Promise<void>;
}
