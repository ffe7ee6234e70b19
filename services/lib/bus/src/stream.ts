/**
 * The narrow port under Log and Out: what they need of one stream. Implemented over JetStream and in memory, so that the
 * rules of appending, fencing and reading stand once and run over both.
 */
import type { Headers } from "@meridian/core";

export interface StreamMessage {
  subject: string;
  payload: Uint8Array;
  headers: Headers;
}
/** A message as the stream holds it. Sequences count all messages of a stream from 1; those of one subject have gaps. */
export interface StoredMessage extends StreamMessage {
  sequence: number;
}

/** What must be true for a store to happen: the sequence of the stream's last message, or of the subject's; 0 for none. */
export type Expectation = { lastSequence: number } | { lastSubjectSequence: number };

export type StoreOutcome =
  | { outcome: "stored"; sequence: number } // of the last message; the others stand right before it
  | { outcome: "moved" } //                    the expectation does not hold; nothing was stored
  | { outcome: "full"; text: string }; //      disk or stream limit; nothing was stored

export interface Stream {
  /**
   * Stores the messages behind each other, all or none. With `lastSubjectSequence` all messages have one subject.
   * @throws IoError UNREACHABLE | TIMEOUT | NO_RESPONDERS, retry not `never`: the outcome is unknown
   */
  store(messages: readonly StreamMessage[], expectation: Expectation): Promise<StoreOutcome>;
  /** Sequence of the last message ever stored, 0 if none; asked of the stream's leader. */
  lastSequence(): Promise<number>;
  /** The message at a sequence. This and the next three may be answered by a replica that lags behind. */
  at(sequence: number): Promise<StoredMessage | undefined>;
  /** First message of a subject at `sequence` or later. */
  next(subject: string, sequence: number): Promise<StoredMessage | undefined>;
  last(subject: string): Promise<StoredMessage | undefined>;
  /** Last message of every subject, in stream order; all as of one moment. */
  lastOfAll(): Promise<StoredMessage[]>;
  /**
   * Messages of a subject (or of all, by the stream's wildcard) from `sequence` on, in order, waiting for more until `signal`
   * aborts; an array holds what is there, up to about `bytesMax`. Goes on after a lost connection or server.
   */
  read(subject: string, sequence: number, options: { bytesMax: number; signal: AbortSignal }): AsyncIterable<StoredMessage[]>;
  /** Removes the messages of a subject (or of all) before `sequence`. */
  purge(subject: string, sequence: number): Promise<void>;
  /**
   * Stays the same while stores are dealt with in the order in which they are sent: what was sent before one that is answered
   * cannot land any more. Undefined where nobody vouches for that, as in a cluster of servers.
   */
  order(): number | undefined;
  /** An id that no other writer of this stream has. */
  uniqueId(): string;
}
