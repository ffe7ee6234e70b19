/** What the shared suite needs of a server, besides the buses under test. */
import type { Bus, Entry, Headers, LogBatch, LogPosition, LogWriter, OutBatch, OutRecord } from "@meridian/core";
import { assert, isIoError } from "@meridian/core";
import type { StreamName } from "../../src/index.ts";

export interface Rig {
  /** A bus of its own, connected. Closed by `reset`. */
  connect(): Promise<Bus>;
  /** Stores bytes behind the back of every writer. */
  plant(stream: StreamName, subject: string, payload: Uint8Array, headers?: Headers): Promise<void>;
  /** Removes one message behind the back of every reader. */
  erase(stream: StreamName, sequence: number): Promise<void>;
  /** From now on the stream refuses; or has room again. */
  full(stream: StreamName, isFull: boolean): Promise<void>;
  /** The answer to the next store of `bus` is lost; `landed` says whether the server has it. */
  loseAnswer(bus: Bus, stream: StreamName, landed: boolean): void;
  /** The next store of `bus` is stopped on its way until the returned function is called. `held` resolves when it is. */
  hold(bus: Bus, stream: StreamName): { held: Promise<void>; release(): void };
  /** The server dies without notice and comes back. */
  crash(): Promise<void>;
  /** Everything is gone: streams, settings, objects and buses. */
  reset(): Promise<void>;
  close(): Promise<void>;
}
export type Row = [what: string, run: (rig: Rig) => Promise<void>];

export const START: LogPosition = { n: 0, flush: 0, hash: new Uint8Array(32) };
export const PARTITIONS = [0, 1, 2];

/** Bytes that begin with a mark and cannot be compressed, so that messages have the size that a test asks for. */
export function contents(mark: number, length: number): Uint8Array {
  let state = mark + 1;
  return Uint8Array.from({ length }, (_, index) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return index === 0 ? mark : state;
  });
}

/** An entry that is told from others by one number. */
export const entry = (mark: number, bytes = 4): Entry => ({
  kind: "run",
  transactions: contents(mark, bytes),
  nonces: new Uint8Array(),
});
export const append = (partition: number, mark: number, bytes?: number) => ({ partition, entries: [entry(mark, bytes)] });

/** The mark of the entry a message holds; "term 2" for a leader's first. */
export function markOf({ message }: { message: { entries: Entry[] } }): number | string {
  const [first] = message.entries;
  if (first?.kind === "run") return first.transactions[0] ?? -1;
  return first?.kind === "term" ? `term ${first.term}` : (first?.kind ?? "nothing");
}

/** A started log of three partitions (n = 1) and its writer (n = 2). */
export async function startLog(bus: Bus): Promise<LogWriter> {
  await bus.log.begin(PARTITIONS.map((partition) => append(partition, 0)));
  return lead(bus, "first");
}

export async function lead(bus: Bus, leader: string): Promise<LogWriter> {
  const taken = await bus.log.takeOver(leader, PARTITIONS);
  assert("writer" in taken, `${leader} was fenced`);
  return taken.writer;
}

/** Appends marks 1, 2, ... to partition 0, each in a flush of its own. */
export async function appendMarks(writer: LogWriter, count: number, partition = 0): Promise<void> {
  for (let mark = 1; mark <= count; mark++) {
    const { outcome } = await writer.append(writer.flush + 1, [append(partition, mark)]);
    assert(outcome === "appended", `append ${mark}: ${outcome}`);
  }
}

/** Reads until `count` messages came. */
export async function readLog(
  bus: Bus,
  partition: number,
  after: LogPosition,
  count: number,
  bytesMax = 1_000_000,
): Promise<LogBatch[]> {
  const ended = new AbortController();
  const batches: LogBatch[] = [];
  for await (const batch of bus.log.read(partition, after, { bytesMax, signal: ended.signal })) {
    batches.push(...batch);
    if (batches.length >= count) ended.abort();
  }
  return batches;
}

/** Reads OUT until `count` records came. */
export async function readOut(bus: Bus, after: number, count: number): Promise<OutBatch[]> {
  const ended = new AbortController();
  const batches: OutBatch[] = [];
  let records = 0;
  for await (const batch of bus.out.read(after, { bytesMax: 1_000_000, signal: ended.signal })) {
    batches.push(...batch);
    for (const one of batch) records += one.records.length;
    if (records >= count) ended.abort();
  }
  return batches;
}

export const outRecord = (n: number, bytes = 10): OutRecord => ({
  n,
  flush: n,
  transactions: contents(n, bytes),
  results: new Uint8Array(3).fill(n),
  settled: [],
  block: null,
  genesis: null,
  map: null,
});
export const outRecords = (first: number, last: number, bytes?: number): OutRecord[] =>
  Array.from({ length: last - first + 1 }, (_, index) => outRecord(first + index, bytes));

/** The code of the IoError that `run` ends in; "none" if it ends well. */
export async function codeOf(run: Promise<unknown>): Promise<string> {
  try {
    await run;
    return "none";
  } catch (error) {
    if (isIoError(error)) return error.detail.code;
    throw error;
  }
}

const POLL_MS = 5;
const POLLS_MAX = 2_000;

/** Waits, bounded, until `isTrue`. */
export async function until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  for (let polls = 0; polls < POLLS_MAX; polls++) {
    if (await isTrue()) return;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  assert(false, `${what} did not happen`);
}
