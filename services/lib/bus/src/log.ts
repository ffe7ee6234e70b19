/** Log over any stream: tails, first start, take-over, reading with every link checked, truncation. */
import { IoError } from "@meridian/core";
import type { Entry, Log, LogBatch, LogMessage, LogPosition, LogWriter, PartitionId } from "@meridian/core";
import { Chain, LOG_START, decodeStored, isSameHash } from "./chain.ts";
import type { DecodedMessage } from "./chain.ts";
import type { Clock } from "@meridian/core";
import { Writer, appendBehind } from "./log-writer.ts";
import type { Append, WriterState } from "./log-writer.ts";
import { bulkOf } from "./codec/log-message.ts";
import { SUBJECT } from "./names.ts";
import { portions } from "./portions.ts";
import { findStart } from "./find-start.ts";
import { readUntil } from "./read-until.ts";
import type { StoredMessage, Stream } from "./stream.ts";

/** Genesis is the first flush, written before any leader. */
const GENESIS = { term: 0, flush: 1 } as const;

export interface LogOptions {
  appendMsMax: number;
}

/** The tails as of one moment, with the sequence of the last message of all. */
interface Tails {
  lastSequence: number;
  tails: DecodedMessage[];
}

export class StreamLog implements Log {
  #stream: Stream;
  #clock: Clock;
  #options: LogOptions;

  constructor(stream: Stream, clock: Clock, options: LogOptions) {
    this.#stream = stream;
    this.#clock = clock;
    this.#options = options;
  }

  async tails(): Promise<LogMessage[]> {
    return (await this.#tails()).tails.map(({ message }) => message);
  }

  /** The sequence from the leader first: tails read after it are at least as new, or a replica lags and they are read again. */
  async #tails(): Promise<Tails> {
    const read = async () => {
      const lastSequence = await this.#stream.lastSequence();
      const stored = lastSequence === 0 ? [] : await this.#stream.lastOfAll();
      // LOG keeps the last message of every log, so the newest tail is the last message of all.
      const newest = stored.reduce((sequence, tail) => Math.max(sequence, tail.sequence), 0);
      return { lastSequence, stored, newest };
    };
    const { lastSequence, stored, newest } = await readUntil(this.#clock, read, (found) => found.newest === found.lastSequence);
    if (newest !== lastSequence) throw new IoError({ code: "LAGGING", sequence: lastSequence, got: newest }, "later");
    return { lastSequence, tails: stored.map(decodeStored) };
  }

  async begin(messages: Append[]): Promise<void> {
    if ((await this.#stream.lastSequence()) > 0) return;
    const state = this.#stateAt({ lastSequence: 0, tails: [] }, GENESIS.term);
    const settled = await appendBehind(state, GENESIS.flush, messages, {});
    // `other`: somebody else began it first, which is as good.
    if (settled.outcome === "full") throw new IoError({ code: "FULL", text: settled.text }, "later");
  }

  async takeOver(leader: string, partitions: PartitionId[]): Promise<{ writer: LogWriter } | { fenced: true }> {
    const found = await this.#tails();
    const term = found.tails.reduce((highest, { message }) => Math.max(highest, message.term), 0) + 1;
    const state = this.#stateAt(found, term);
    const all = [...new Set([...partitions, ...state.positions.keys()])].sort((left, right) => left - right);
    const entry: Entry = { kind: "term", index: 0, term, leader };
    const appends = all.map((partition) => ({ partition, entries: [entry] }));
    const settled = await appendBehind(state, state.flush + 1, appends, {});
    if (settled.outcome === "full") throw new IoError({ code: "FULL", text: settled.text }, "later");
    return settled.outcome === "stored" ? { writer: new Writer(state) } : { fenced: true };
  }

  #stateAt({ lastSequence, tails }: Tails, term: number): WriterState {
    const positions = new Map<PartitionId, LogPosition>();
    let flush = 0;
    for (const { message, hash } of tails) {
      positions.set(message.partition, { n: message.n, flush: message.flush, hash });
      flush = Math.max(flush, message.flush);
    }
    const { appendMsMax } = this.#options;
    const writerId = this.#stream.uniqueId();
    return { stream: this.#stream, clock: this.#clock, appendMsMax, writerId, term, flush, lastSequence, positions };
  }

  async *read(
    partition: PartitionId,
    after: LogPosition,
    options: { bytesMax: number; signal: AbortSignal },
  ): AsyncGenerator<LogBatch[], void, undefined> {
    const tail = await this.#tailFrom(partition, after.n);
    if (tail !== undefined) checkStandsAt(partition, tail, after);
    const start = tail === undefined ? 1 : await findStart(this.#stream, this.#clock, SUBJECT.log(partition), after.n + 1, tail);
    const chain = new Chain(partition, after);
    for await (const stored of this.#stream.read(SUBJECT.log(partition), start, options)) {
      yield* portions(
        stored,
        (message) => [chain.take(message)],
        ({ message }) => bulkOf(message.entries),
        options.bytesMax,
      );
    }
  }

  async readToEnd(partition: PartitionId, fromN: number, toN = 0): Promise<LogMessage[]> {
    const subject = SUBJECT.log(partition);
    const tail = await this.#tail(partition, toN);
    const lastN = nOf(tail);
    if (lastN < toN) throw new IoError({ code: "LAGGING", partition, n: toN, got: lastN }, "later");
    if (tail === undefined || fromN > lastN) return [];
    const start = await findStart(this.#stream, this.#clock, subject, fromN, tail);
    const ended = new AbortController();
    const messages: LogMessage[] = [];
    let chain: Chain | undefined;
    for await (const batch of this.#stream.read(subject, start, { bytesMax: Number.MAX_SAFE_INTEGER, signal: ended.signal })) {
      for (const stored of batch) {
        // The first one's predecessor is not read: its own word for it is taken.
        chain ??= new Chain(partition, positionBefore(stored, fromN));
        messages.push(chain.take(stored).message);
        if (stored.sequence >= tail.sequence) ended.abort();
      }
      if (ended.signal.aborted) break;
    }
    return messages.filter(({ n }) => n <= lastN);
  }

  async truncate(partition: PartitionId, n: number): Promise<void> {
    const subject = SUBJECT.log(partition);
    const tail = await this.#stream.last(subject);
    if (tail === undefined) return;
    const first = await this.#stream.next(subject, 1);
    if (first === undefined || decodeStored(first).message.n > n) return;
    const lastN = decodeStored(tail).message.n;
    // The last message stays: it carries n, term, flush and hash to the next writer.
    const keepFrom = Math.min(n + 1, lastN);
    const sequence = keepFrom === lastN ? tail.sequence : await findStart(this.#stream, this.#clock, subject, keepFrom, tail);
    await this.#stream.purge(subject, sequence);
  }

  /** The last message, read again for a while if it is older than what the caller has already seen. */
  async #tailFrom(partition: PartitionId, n: number): Promise<StoredMessage | undefined> {
    const tail = await this.#tail(partition, n);
    if (nOf(tail) < n) throw new IoError({ code: "GAP", partition, expected: n, got: nOf(tail) }, "never");
    return tail;
  }

  #tail(partition: PartitionId, n: number): Promise<StoredMessage | undefined> {
    return readUntil(
      this.#clock,
      () => this.#stream.last(SUBJECT.log(partition)),
      (tail) => nOf(tail) >= n,
    );
  }
}

const nOf = (stored: StoredMessage | undefined): number => (stored === undefined ? 0 : decodeStored(stored).message.n);

/** If the reader stands at the last message itself, that message must be the one it has seen. */
function checkStandsAt(partition: PartitionId, tail: StoredMessage, after: LogPosition): void {
  if (after.n === 0) return;
  const { message, hash } = decodeStored(tail);
  if (message.n !== after.n || isSameHash(hash, after.hash)) return;
  throw new IoError(
    { code: "CHAIN_BROKEN", partition, n: after.n, why: "another message stands at the reader's position" },
    "never",
  );
}

function positionBefore(stored: StoredMessage, fromN: number): LogPosition {
  const { previousHash } = decodeStored(stored);
  return fromN <= 1 ? LOG_START : { n: fromN - 1, flush: 0, hash: previousHash };
}
