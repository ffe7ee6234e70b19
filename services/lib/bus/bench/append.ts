/**
 * What an append, a read and a publish to OUT cost on this machine, for both durabilities in one run.
 * Usage: node services/lib/bus/bench/append.ts [seconds for each figure, default 2]
 */
import { assert } from "@meridian/core";
import type { Bus, Entry, LogWriter } from "@meridian/core";
import { testNatsServer } from "@meridian/nats-server/testing";
import { connectBus } from "../src/index.ts";

const SECONDS = Number(process.argv[2] ?? 2);
const FLUSH_BYTES = 30_000;
const START = { n: 0, flush: 0, hash: new Uint8Array(32) };

const entry = (bytes: number): Entry => ({ kind: "run", transactions: new Uint8Array(bytes).fill(1), nonces: new Uint8Array() });
const partitions = (count: number): number[] => Array.from({ length: count }, (_, partition) => partition);

function summary(what: string, times: number[], spentMs: number, bytes: number): string {
  const sorted = times.toSorted((left, right) => left - right);
  const at = (share: number) => (sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(2);
  const rate = ((times.length * 1_000) / spentMs).toFixed(0);
  const megabytes = ((times.length * bytes) / spentMs / 1_000).toFixed(1);
  return `${what.padEnd(44)} ${rate.padStart(7)}/s ${megabytes.padStart(7)} MB/s   p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`;
}

/** Runs `step` for the given time and prints what one costs. */
async function measure(what: string, bytes: number, step: () => Promise<void>): Promise<void> {
  const times: number[] = [];
  const start = performance.now();
  for (let now = start; now - start < SECONDS * 1_000;) {
    await step();
    const end = performance.now();
    times.push(end - now);
    now = end;
  }
  console.log(summary(what, times, performance.now() - start, bytes));
}

async function appendTo(writer: LogWriter, count: number, bytes: number): Promise<void> {
  const messages = partitions(count).map((partition) => ({ partition, entries: [entry(bytes)] }));
  const { outcome } = await writer.append(writer.flush + 1, messages);
  assert(outcome === "appended", outcome);
}

/** From the call of append to the message in the hands of a reader on another connection. */
async function latency(writer: LogWriter, reader: Bus): Promise<void> {
  const ended = new AbortController();
  let seen = 0;
  let wake: () => void = () => undefined;
  const reading = (async () => {
    for await (const batch of reader.log.read(0, START, { bytesMax: 1_000_000, signal: ended.signal })) {
      seen = batch.at(-1)?.message.n ?? seen;
      wake();
    }
  })();
  await measure("append to reader, 1 KB", 1_000, async () => {
    const n = writer.position(0).n + 1;
    const arrived = new Promise<void>((resolve) => {
      wake = () => {
        if (seen >= n) resolve();
      };
    });
    await Promise.all([appendTo(writer, 1, 1_000), arrived]);
  });
  ended.abort();
  await reading;
}

async function readBacklog(bus: Bus, partition: number, messages: number, bytes: number): Promise<void> {
  const ended = new AbortController();
  let read = 0;
  const start = performance.now();
  for await (const batch of bus.log.read(partition, START, { bytesMax: 4_000_000, signal: ended.signal })) {
    read += batch.length;
    if (read >= messages) ended.abort();
  }
  const spent = performance.now() - start;
  console.log(
    [
      "read a backlog, checked".padEnd(44),
      `${((read * 1_000) / spent).toFixed(0).padStart(7)}/s`,
      `${((read * bytes) / spent / 1_000).toFixed(1).padStart(7)} MB/s`,
    ].join(" "),
  );
}

async function publishOut(bus: Bus, partition: number): Promise<void> {
  let n = await bus.out.lastN(partition);
  const results = new Uint8Array(FLUSH_BYTES);
  await measure(`publish to OUT, ${FLUSH_BYTES / 1_000} KB, one after the other`, FLUSH_BYTES, async () => {
    n++;
    await bus.out.publish(partition, [
      { n, flush: n, transactions: new Uint8Array(), results, settled: [], block: null, genesis: null, map: null },
    ]);
  });
}

for (const durability of ["process", "power"] as const) {
  const server = await testNatsServer({ durability });
  const options = { url: server.url, monitorUrl: server.monitorUrl, durability };
  const bus = await connectBus({ ...options, name: "writer" });
  const other = await connectBus({ ...options, name: "reader" });
  console.log(`durability ${durability}`);
  const taken = await bus.log.takeOver("bench", partitions(16));
  assert("writer" in taken, "nobody else is here");
  const { writer } = taken;
  await latency(writer, other);
  for (const count of [1, 2, 4, 8, 16]) {
    await measure(`append to ${count} log${count === 1 ? "" : "s"}, ${FLUSH_BYTES / 1_000} KB each`, FLUSH_BYTES * count, () =>
      appendTo(writer, count, FLUSH_BYTES),
    );
  }
  await readBacklog(other, 0, writer.position(0).n, FLUSH_BYTES);
  await publishOut(other, 0);
  await bus.close();
  await other.close();
  await server.stop();
}
