import { noTelemetry, txCount } from "@meridian/core";
import { keccak256 } from "viem";
import { afterEach, expect, test } from "vitest";
import { startWorkerPool } from "../src/ingest/worker-pool.ts";
import type { Ingest, WorkerPoolOptions } from "../src/ingest/worker-pool.ts";
import { CHAIN_ID } from "./fake-chain.ts";
import { sign } from "./client.ts";

const LIMITS = {
  decode: { chainId: CHAIN_ID, gasLimitMax: 16_777_216, transactionBytesMax: 131_072 },
  batchMax: 1_000,
  callsMax: 100,
};
const OPTIONS: WorkerPoolOptions = {
  engine: "auto",
  limits: LIMITS,
  workers: 2,
  queueMax: 8,
  queueBytesMax: 1_000_000,
  queueSignaturesMax: 1_000,
  log: noTelemetry().log,
  onLost: () => undefined,
};

let pool: Ingest | undefined;
afterEach(() => pool?.close());

const bodyOf = (raws: readonly string[]): Uint8Array<ArrayBuffer> => {
  const batch = raws.map((raw, id) => ({ jsonrpc: "2.0", id, method: "eth_sendRawTransaction", params: [raw] }));
  return new Uint8Array(Buffer.from(JSON.stringify(batch)));
};

function binOf(raw: string): Uint8Array<ArrayBuffer> {
  const bytes = Buffer.from(raw.slice(2), "hex");
  return new Uint8Array([0xc5, bytes.length >>> 8, bytes.length & 255, ...bytes]);
}

test("a body goes to a thread and comes back as records and a prepared answer", async () => {
  pool = await startWorkerPool(OPTIONS);
  const raws = await Promise.all([0, 1].map((nonce) => sign({ nonce })));
  const body = bodyOf(raws);
  const running = pool.run(body);
  expect([pool.queued(), body.length]).toEqual([1, 0]); // The buffer has changed hands.
  const ingested = await running;
  expect(pool.queued()).toBe(0);
  expect(txCount(ingested?.records ?? new Uint8Array(0))).toBe(2);
  const answer = JSON.parse(Buffer.from(ingested?.answer ?? []).toString()) as unknown;
  expect(answer).toEqual(raws.map((raw, id) => ({ jsonrpc: "2.0", id, result: keccak256(raw) })));
});

test("many at once, each with its own answer; more than the bound is refused at once", async () => {
  pool = await startWorkerPool(OPTIONS);
  const raws = await Promise.all(Array.from({ length: 9 }, (_, nonce) => sign({ nonce })));
  const running = raws.map((raw) => pool?.run(bodyOf([raw])) ?? null);
  expect(running.map((result) => result === null)).toEqual([...Array<boolean>(8).fill(false), true]);
  const answers = await Promise.all(running.filter((result) => result !== null));
  answers.forEach((ingested, index) => {
    expect(Buffer.from(ingested?.answer ?? []).toString()).toContain(keccak256(raws[index] ?? "0x"));
  });
});

test("bytes are bounded too, but one body always goes", async () => {
  pool = await startWorkerPool({ ...OPTIONS, queueBytesMax: 10 });
  const first = pool.run(bodyOf([await sign()]));
  expect(pool.run(bodyOf([await sign()]))).toBeNull();
  expect((await first)?.recordCount).toBe(1);
});

test("parts of a binary body, on all threads, come back as one", async () => {
  pool = await startWorkerPool(OPTIONS);
  const raws = await Promise.all([0, 1, 2].map((nonce) => sign({ nonce })));
  const parts = raws.map((raw, first) => ({ bins: binOf(raw), start: 0, count: 1, first, hasHashes: true }));
  const running = pool.runParts([...parts, { bins: binOf("0xc0"), start: 0, count: 1, first: 3, hasHashes: true }]);
  expect(pool.queued()).toBe(4);
  const part = await running;
  expect([part?.recordCount, part?.inputs, part?.refusals.map(({ input }) => input)]).toEqual([
    3,
    new Uint32Array([0, 1, 2]),
    [3],
  ]);
  const hashes = raws.map((raw) => keccak256(raw).slice(2)).join("");
  expect(Buffer.from(part?.hashes ?? []).toString("hex")).toBe(hashes + "00".repeat(32));
  expect(await pool.runParts([])).toMatchObject({ recordCount: 0 });
});

test("signatures are bounded too, but one body always goes", async () => {
  pool = await startWorkerPool({ ...OPTIONS, queueSignaturesMax: 2 });
  const raw = await sign();
  const parts = () => [0, 1, 2].map((first) => ({ bins: binOf(raw), start: 0, count: 1, first, hasHashes: false }));
  const first = pool.runParts(parts());
  expect([pool.isFull(), pool.runParts(parts())]).toEqual([true, null]);
  expect((await first)?.recordCount).toBe(3);
  expect(pool.isFull()).toBe(false);
});

test("an answer to a whole body that needs no transaction leaves its thread too", async () => {
  pool = await startWorkerPool(OPTIONS);
  const ingested = await pool.run(new Uint8Array(Buffer.from("[]")));
  expect(Buffer.from(ingested?.answer ?? []).toString()).toContain("empty batch");
});

test("a worker that cannot start says so", async () => {
  const broken = { ...OPTIONS, engine: "nothing" as "auto", workers: 1, limits: null as unknown as typeof LIMITS };
  pool = await startWorkerPool(broken);
  await expect(pool.run(bodyOf(["0x"]))).rejects.toMatchObject({ detail: { code: "WORKER_BUG" } });
});
