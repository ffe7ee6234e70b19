import { expect, test } from "vitest";
import { systemClock } from "@meridian/process";
import { hashHeader } from "./chain.ts";
import { encodeLogMessage, hashOf } from "./codec/log-message.ts";
import { findStart } from "./find-start.ts";
import { MemoryStream } from "./memory/memory-stream.ts";
import type { StoredMessage, Stream } from "./stream.ts";

const ZERO = new Uint8Array(32);

/** A stream of `count` messages, each of partition `partitionAt(sequence)`. */
function streamOf(count: number, partitionAt: (sequence: number) => number): MemoryStream {
  const stream = new MemoryStream();
  const last = new Map<number, number>();
  for (let sequence = 1; sequence <= count; sequence++) {
    const partition = partitionAt(sequence);
    const n = (last.get(partition) ?? 0) + 1;
    last.set(partition, n);
    const payload = encodeLogMessage({ message: { partition, n, term: 1, flush: sequence, entries: [] }, previousHash: ZERO });
    stream.plant(`log.${partition}`, payload, hashHeader(hashOf(payload)));
  }
  return stream;
}

/** Counts the requests that a search costs. */
async function search(memory: MemoryStream, n: number): Promise<{ sequence: number; requests: number }> {
  let requests = 0;
  const stream = {
    next: (subject: string, sequence: number): Promise<StoredMessage | undefined> => {
      requests++;
      return Promise.resolve(memory.next(subject, sequence));
    },
  } as Stream;
  const tail = memory.last("log.0");
  if (tail === undefined) return { sequence: 0, requests };
  return { sequence: await findStart(stream, systemClock, "log.0", n, tail), requests };
}

test.each<[what: string, partitionAt: (sequence: number) => number, requestsMax: number]>([
  ["logs that grow evenly", (sequence) => sequence % 4, 4],
  ["a log alone", () => 0, 4],
  ["a log that grew only at the start and the end", (sequence) => (sequence < 100 || sequence > 19_900 ? 0 : 1), 40],
  ["a log with bursts", (sequence) => (Math.floor(sequence / 700) % 9 === 0 ? 0 : 1), 40],
])("%s: every n is found, with few requests", async (_what, partitionAt, requestsMax) => {
  const memory = streamOf(20_000, partitionAt);
  const sequences: number[] = [];
  for (let sequence = 1; sequence <= 20_000; sequence++) if (partitionAt(sequence) === 0) sequences.push(sequence);
  for (let n = 1; n <= sequences.length; n += 97) {
    const found = await search(memory, n);
    expect(found.sequence).toBe(sequences[n - 1]);
    expect(found.requests).toBeLessThanOrEqual(requestsMax);
  }
  expect((await search(memory, sequences.length + 1)).sequence).toBe((sequences.at(-1) ?? 0) + 1);
});

test("a message that is gone is a gap, wherever it stood", async () => {
  const memory = streamOf(1_000, (sequence) => sequence % 2);
  memory.erase(500); // n = 250
  await expect(search(memory, 250)).rejects.toMatchObject({ detail: { code: "GAP", expected: 250 } });
  memory.purge("log.0", 200);
  await expect(search(memory, 50)).rejects.toMatchObject({ detail: { code: "GAP", expected: 50, got: 100 } });
  expect((await search(memory, 100)).sequence).toBe(200);
});
