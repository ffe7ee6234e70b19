/**
 * The one writer of LOG.
 *
 * W1. At most one append is outstanding. Its first message carries the last stream sequence this writer knows, so it lands right
 *     behind what the writer has seen, or not at all: after a foreign `term` nothing of an older writer fits any more.
 * W2. An append of unknown outcome is looked up at the one place where it can stand: right behind the last sequence.
 * W3. After an append that could not be settled the writer refuses everything: what stands in the log is not known.
 */
import { IoError, assert } from "@meridian/core";
import type { AppendOutcome, Entry, Headers, LogMessage, LogPosition, LogWriter, PartitionId } from "@meridian/core";
import { LOG_START, WRITER_HEADER, decodeStored, hashHeader, isSameHash } from "./chain.ts";
import type { Clock } from "@meridian/core";
import { encodeLogMessage, hashOf } from "./codec/log-message.ts";
import { BATCH_MESSAGES_MAX, PAYLOAD_BYTES_MAX } from "./limits.ts";
import { SUBJECT } from "./names.ts";
import { settle } from "./settle.ts";
import type { Found, Settled } from "./settle.ts";
import type { Stream, StreamMessage } from "./stream.ts";

/** Entries of one flush for one partition. */
export interface Append {
  partition: PartitionId;
  entries: Entry[];
}

/** Where a writer stands in LOG. */
export interface WriterState {
  stream: Stream;
  clock: Clock;
  appendMsMax: number;
  /** Told apart from every other writer's, even one with the same name. */
  writerId: string;
  term: number;
  flush: number;
  lastSequence: number;
  positions: Map<PartitionId, LogPosition>;
}

/**
 * Appends one flush behind `state` and moves it on; `state` stays as it is unless the outcome is `stored`.
 * @returns `other` with the message that stands where this append would
 * @throws IoError UNREACHABLE (outcome unknown)
 */
export async function appendBehind(
  state: WriterState,
  flush: number,
  appends: Append[],
  headers: Headers,
): Promise<Settled<LogMessage>> {
  const { stream, lastSequence, positions, term, writerId } = state;
  assert(appends.length > 0 && appends.length <= BATCH_MESSAGES_MAX, `append of ${appends.length} messages`);
  const messages: StreamMessage[] = [];
  const next = new Map<PartitionId, LogPosition>();
  for (const { partition, entries } of appends) {
    assert(entries.length > 0 && !next.has(partition), `partition ${partition} twice or without entries in one append`);
    const { n, hash } = positions.get(partition) ?? LOG_START;
    const payload = encodeLogMessage({ message: { partition, n: n + 1, term, flush, entries }, previousHash: hash });
    assert(payload.length <= PAYLOAD_BYTES_MAX, `log message of ${payload.length} bytes, at most ${PAYLOAD_BYTES_MAX}`);
    const ownHash = hashOf(payload);
    const own = { ...headers, ...hashHeader(ownHash), [WRITER_HEADER]: writerId };
    messages.push({ subject: SUBJECT.log(partition), payload, headers: own });
    next.set(partition, { n: n + 1, flush, hash: ownHash });
  }
  const settled = await settle(
    state.clock,
    state.appendMsMax,
    () => stream.store(messages, { lastSequence }),
    () => findBehind(stream, lastSequence, messages),
    () => stream.order(),
  );
  if (settled.outcome !== "stored") return settled;
  assert(
    settled.sequence === lastSequence + messages.length,
    `append ends at ${settled.sequence}, not ${lastSequence + messages.length}`,
  );
  state.lastSequence = settled.sequence;
  state.flush = flush;
  for (const [partition, position] of next) positions.set(partition, position);
  return settled;
}

/** What stands right behind `lastSequence`: these messages, nothing, or somebody else's. */
async function findBehind(stream: Stream, lastSequence: number, messages: StreamMessage[]): Promise<Found<LogMessage>> {
  const last = await stream.lastSequence();
  // A server whose disk failed forgets its newest message until it is restarted, and an old leader of a cluster knows less.
  if (last < lastSequence) throw new IoError({ code: "LOG_SHORTER", expected: lastSequence, got: last }, "later");
  if (last === lastSequence) return { found: "open" };
  const stored = await stream.at(lastSequence + 1);
  // A replica behind the leader answered.
  if (stored === undefined) throw new IoError({ code: "LAGGING", sequence: lastSequence + 1 }, "later");
  const ours = messages[0];
  const isOurs =
    ours !== undefined &&
    stored.subject === ours.subject &&
    stored.headers[WRITER_HEADER] === ours.headers[WRITER_HEADER] &&
    isSameHash(stored.payload, ours.payload);
  if (isOurs && last < lastSequence + messages.length) {
    // A server that reached its limit within the batch: not ours to acknowledge, nor to call full.
    throw new IoError(
      { code: "LOG_PARTIAL", sequence: lastSequence + 1, stored: last - lastSequence, of: messages.length },
      "later",
    );
  }
  if (isOurs) return { found: "stored", sequence: lastSequence + messages.length };
  return { found: "other", other: decodeStored(stored).message };
}

export class Writer implements LogWriter {
  #state: WriterState;
  #isAppending = false;
  #isLost = false;
  #fencedBy: number | undefined;

  constructor(state: WriterState) {
    this.#state = state;
  }

  get term(): number {
    return this.#state.term;
  }

  get flush(): number {
    return this.#state.flush;
  }

  position(partition: PartitionId): LogPosition {
    return this.#state.positions.get(partition) ?? LOG_START;
  }

  async append(flush: number, messages: Append[], headers: Headers = {}): Promise<AppendOutcome> {
    assert(!this.#isAppending, "append while another one is outstanding");
    assert(flush === this.flush + 1, `flush ${flush} after ${this.flush}`);
    if (this.#isLost) throw new IoError({ code: "WRITER_LOST", term: this.term }, "never");
    if (this.#fencedBy !== undefined) return { outcome: "fenced", term: this.#fencedBy };
    this.#isAppending = true;
    try {
      const settled = await appendBehind(this.#state, flush, messages, headers);
      if (settled.outcome === "stored") return { outcome: "appended" };
      if (settled.outcome === "full") return settled;
      return this.#fence(settled.other);
    } catch (error) {
      this.#isLost = true;
      throw error;
    } finally {
      this.#isAppending = false;
    }
  }

  #fence(other: LogMessage): AppendOutcome {
    // Only a new leader may write besides us, and it always writes a higher term first.
    if (other.term <= this.term)
      throw new IoError({ code: "LOG_FOREIGN", partition: other.partition, n: other.n, term: other.term }, "never");
    this.#fencedBy = other.term;
    return { outcome: "fenced", term: other.term };
  }
}
