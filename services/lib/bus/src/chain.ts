/**
 * The chain of one partition's log.
 *
 * C1. n counts from 1 without gap.
 * C2. Each message names the SHA-256 of the payload before it; zero before the first.
 * C3. The term never falls, the flush rises.
 * C4. Each message carries the SHA-256 of its own payload in a header, so that a damaged one is refused before anything in it is
 *     believed, also where no message behind it names its hash yet.
 */
import { IoError, isIoError } from "@meridian/core";
import type { Headers, LogBatch, LogMessage, LogPosition, PartitionId } from "@meridian/core";
import { ZERO_HASH, decodeLogMessage, hashOf } from "./codec/log-message.ts";
import type { LinkedMessage } from "./codec/log-message.ts";
import { partitionOf } from "./names.ts";
import type { StoredMessage } from "./stream.ts";

/** Before the first message of a log. */
export const LOG_START: LogPosition = { n: 0, flush: 0, hash: ZERO_HASH };

export const isSameHash = (left: Uint8Array, right: Uint8Array): boolean => Buffer.compare(left, right) === 0;

/** Where a reader stands in one log; checks each next message against the one before. */
export class Chain {
  readonly partition: PartitionId;
  #position: LogPosition;
  #term: number;

  /** @param term of the message at `position`, 0 if it is not known */
  constructor(partition: PartitionId, position: LogPosition, term = 0) {
    this.partition = partition;
    this.#position = position;
    this.#term = term;
  }

  get position(): LogPosition {
    return this.#position;
  }

  /** @throws IoError GAP | CHAIN_BROKEN | FORMAT_UNKNOWN | MALFORMED */
  take(stored: StoredMessage): LogBatch {
    const { message, previousHash, hash } = decodeStored(stored);
    this.#check(message, previousHash);
    this.#position = { n: message.n, flush: message.flush, hash };
    this.#term = message.term;
    return { message, position: this.#position, headers: plainHeaders(stored.headers) };
  }

  #check(message: LogMessage, previousHash: Uint8Array): void {
    const { partition } = this;
    const { n, hash, flush } = this.#position;
    if (message.n !== n + 1) throw new IoError({ code: "GAP", partition, expected: n + 1, got: message.n }, "never");
    const broken = (why: string) => new IoError({ code: "CHAIN_BROKEN", partition, n: message.n, why }, "never");
    if (message.partition !== partition) throw broken(`message of partition ${message.partition}`);
    if (!isSameHash(previousHash, hash)) throw broken("previous hash does not fit");
    if (message.term < this.#term) throw broken(`term ${message.term} after ${this.#term}`);
    if (message.flush <= flush) throw broken(`flush ${message.flush} after ${flush}`);
  }
}

/** A message as it was found in the stream. */
export interface DecodedMessage extends LinkedMessage {
  /** SHA-256 of its payload, which is the one in its header. */
  hash: Uint8Array;
}

/** @throws IoError CHAIN_BROKEN (C4) | MALFORMED | FORMAT_UNKNOWN, with the place of the message */
export function decodeStored(stored: StoredMessage): DecodedMessage {
  const { payload, headers } = stored;
  const hash = hashOf(payload);
  const want = headers[HASH_HEADER];
  if (want !== undefined && want !== textOf(hash)) throw unlike(stored, "the payload does not have the hash in its header");
  try {
    const linked = decodeLogMessage(payload);
    if (want === undefined) throw unlike(stored, "no hash in its header");
    return { ...linked, hash };
  } catch (error) {
    if (!isIoError(error)) throw error;
    throw new IoError({ ...error.detail, partition: partitionOf(stored.subject), sequence: stored.sequence }, "never", error);
  }
}

function unlike({ subject, sequence }: StoredMessage, why: string): IoError {
  return new IoError({ code: "CHAIN_BROKEN", partition: partitionOf(subject), sequence, why }, "never");
}

/** Name of the header with the SHA-256 of the payload (C4). */
export const HASH_HEADER = "Meridian-Hash";

const textOf = (hash: Uint8Array): string => Buffer.from(hash.buffer, hash.byteOffset, hash.length).toString("hex");

/** The header that a payload with this hash must carry. */
export const hashHeader = (hash: Uint8Array): Headers => ({ [HASH_HEADER]: textOf(hash) });

/** Name of the header that tells one writer's message from another's with the same bytes. */
export const WRITER_HEADER = "Meridian-Writer";

/** Headers for the reader: without what the bus itself put there. */
export function plainHeaders(headers: Headers): Headers {
  const { [WRITER_HEADER]: _writer, [HASH_HEADER]: _hash, ...plain } = headers;
  return plain;
}
