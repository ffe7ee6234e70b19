/**
 * The gateway's worker threads: one message port each and a bound on what waits. No library: a pool of one function with
 * transferred buffers is these lines, and a request of one transaction costs 15 us here.
 *
 * W1. At most `queueMax` bodies and `queueBytesMax` bytes wait or run; a further one is refused at once.
 * W2. A worker that dies fails what it had; another one takes its place.
 */
import { Worker } from "node:worker_threads";
import type { Logger } from "@meridian/core";
import { IoError } from "@meridian/core";
import type { Ingested } from "./ingest.ts";
import type { WorkerCommand, WorkerReply, WorkerRequest, WorkerSettings } from "./worker.ts";

/** What turns bodies into packed records: the pool, or in tests the same function in this thread. */
export interface Ingest {
  /**
   * @param body  handed over: the caller may not use it afterwards
   * @returns null if too much waits
   * @throws IoError WORKER_LOST, WORKER_BUG
   */
  run(body: Uint8Array<ArrayBuffer>): Promise<Ingested> | null;
  /** Bodies that wait or run. */
  queued(): number;
  close(): Promise<void>;
}

export interface WorkerPoolOptions extends WorkerSettings {
  workers: number;
  queueMax: number;
  queueBytesMax: number;
  log: Logger;
  /** A worker is gone and no other could take its place: the process is of no more use. */
  onLost(error: unknown): void;
}

interface Waiting {
  bytes: number;
  resolve: (ingested: Ingested) => void;
  reject: (error: Error) => void;
}
interface Seat {
  worker: Worker;
  waiting: Map<number, Waiting>;
}

/** Resolves when every worker has its engine. @throws IoError WORKER_LOST if one cannot start */
export async function startWorkerPool(options: WorkerPoolOptions): Promise<Ingest> {
  const pool = new WorkerPool(options);
  await Promise.all(Array.from({ length: options.workers }, () => pool.seat()));
  return pool;
}

const END_MS_MAX = 1_000;
const CLOSE: WorkerCommand = "close";

/** Lets a thread end by itself, for a while: one that is cut off inside the secp256k1 addon takes the process with it. */
async function end(worker: Worker): Promise<void> {
  const ended = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
  const timer = setTimeout(() => void worker.terminate(), END_MS_MAX);
  worker.postMessage(CLOSE);
  await ended;
  clearTimeout(timer);
}

class WorkerPool implements Ingest {
  readonly #options: WorkerPoolOptions;
  readonly #seats = new Set<Seat>();
  #nextId = 1;
  #queued = 0;
  #queuedBytes = 0;
  #isClosed = false;

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
  }

  run(body: Uint8Array<ArrayBuffer>): Promise<Ingested> | null {
    const { queueMax, queueBytesMax } = this.#options;
    const { length: bytes } = body;
    const isFull = this.#queued >= queueMax || (this.#queued > 0 && this.#queuedBytes + bytes > queueBytesMax);
    const seat = this.#leastBusy();
    if (this.#isClosed || isFull || seat === null) return null;
    const id = this.#nextId++;
    this.#queued++;
    this.#queuedBytes += bytes;
    const result = new Promise<Ingested>((resolve, reject) => seat.waiting.set(id, { bytes, resolve, reject }));
    seat.worker.postMessage({ id, body } satisfies WorkerRequest, [body.buffer]);
    return result;
  }

  queued(): number {
    return this.#queued;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#seats].map(({ worker }) => end(worker)));
  }

  /** Starts one worker; resolves when its engine is loaded. */
  async seat(): Promise<void> {
    const { engine, limits } = this.#options;
    const workerData: WorkerSettings = { engine, limits };
    const worker = new Worker(new URL("./worker.ts", import.meta.url), { workerData, name: "ingest" });
    const seat: Seat = { worker, waiting: new Map() };
    await new Promise<void>((resolve, reject) => {
      let cause: Error | undefined;
      worker.on("error", (error: Error) => (cause = error));
      worker.on("exit", () => {
        const failure = new IoError({ code: "WORKER_LOST", text: cause?.message ?? "it ended" }, "now", cause);
        if (this.#seats.has(seat)) this.#leave(seat, failure);
        else reject(failure);
      });
      worker.on("message", (reply: WorkerReply) => {
        if ("ready" in reply) this.#seats.add(seat);
        else this.#receive(seat, reply);
        resolve();
      });
    });
  }

  #leastBusy(): Seat | null {
    let best: Seat | null = null;
    for (const seat of this.#seats) if (best === null || seat.waiting.size < best.waiting.size) best = seat;
    return best;
  }

  #receive(seat: Seat, reply: Exclude<WorkerReply, { ready: unknown }>): void {
    const waiting = this.#settle(seat, reply.id);
    if ("ingested" in reply) waiting?.resolve(reply.ingested);
    else waiting?.reject(new IoError({ code: "WORKER_BUG", text: reply.bug }, "never"));
  }

  #leave(seat: Seat, failure: IoError): void {
    this.#seats.delete(seat);
    for (const id of [...seat.waiting.keys()]) this.#settle(seat, id)?.reject(failure);
    if (this.#isClosed) return;
    this.#options.log.error({ ...failure.detail }, "An ingest worker is gone; starting another.");
    this.seat().catch((error: unknown) => this.#options.onLost(error));
  }

  #settle(seat: Seat, id: number): Waiting | undefined {
    const waiting = seat.waiting.get(id);
    if (waiting === undefined) return undefined;
    seat.waiting.delete(id);
    this.#queued--;
    this.#queuedBytes -= waiting.bytes;
    return waiting;
  }
}
