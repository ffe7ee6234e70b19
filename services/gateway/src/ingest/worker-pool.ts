/**
 * The gateway's worker threads: one message port each and a bound on what waits. No library: a pool of one function with
 * transferred buffers is these lines, and a request of one transaction costs 15 us here.
 *
 * W1. At most `queueMax` bodies (or parts of bodies), `queueBytesMax` bytes and about `queueSignaturesMax` signatures wait or
 *     run, unless it is one body alone; a further one is refused at once.
 * W2. A worker that dies fails what it had; another one takes its place.
 * W3. Parts of a body go to the workers that have least to do, so one large body uses all of them.
 */
import { Worker } from "node:worker_threads";
import type { Logger } from "@meridian/core";
import { assert, IoError } from "@meridian/core";
import { joinParts } from "../binary/decode-part.ts";
import type { Part, PartRequest } from "../binary/decode-part.ts";
import type { Ingested } from "./ingest.ts";
import type { WorkerCommand, WorkerReply, WorkerRequest, WorkerResult, WorkerSettings, WorkerTask } from "./worker.ts";

/** What turns bodies into packed records: the pool, or in tests the same functions in this thread. */
export interface Ingest {
  /**
   * @param body  JSON; handed over: the caller may not use it afterwards
   * @returns null if too much waits
   * @throws IoError WORKER_LOST, WORKER_BUG
   */
  run(body: Uint8Array<ArrayBuffer>): Promise<Ingested> | null;
  /** The same for a binary body, cut into parts. */
  runParts(parts: readonly PartRequest[]): Promise<Part> | null;
  /** So much waits that a further body is refused. */
  isFull(): boolean;
  /** Bodies and parts that wait or run. */
  queued(): number;
  close(): Promise<void>;
}

export interface WorkerPoolOptions extends WorkerSettings {
  workers: number;
  queueMax: number;
  queueBytesMax: number;
  queueSignaturesMax: number;
  log: Logger;
  /** A worker is gone and no other could take its place: the process is of no more use. */
  onLost(error: unknown): void;
}

/** What a task takes: memory, and signatures to recover, which take the time. */
interface Cost {
  bytes: number;
  signatures: number;
}
interface Waiting extends Cost {
  resolve: (result: WorkerResult) => void;
  reject: (error: Error) => void;
}
interface Seat {
  worker: Worker;
  waiting: Map<number, Waiting>;
  signatures: number;
}

/** JSON of one transfer is longer; of anything smaller there are not many. */
const JSON_BYTES_OF_ONE = 400;

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
  #queuedSignatures = 0;
  #isClosed = false;

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
  }

  run(body: Uint8Array<ArrayBuffer>): Promise<Ingested> | null {
    const cost = { bytes: body.length, signatures: Math.ceil(body.length / JSON_BYTES_OF_ONE) };
    return this.#hasRoom(cost) ? this.#send<Ingested>({ json: body }, body.buffer, cost) : null;
  }

  runParts(parts: readonly PartRequest[]): Promise<Part> | null {
    const costs = parts.map(({ bins, count }) => ({ bytes: bins.length, signatures: count }));
    const whole = { bytes: 0, signatures: 0 };
    for (const { bytes, signatures } of costs) {
      whole.bytes += bytes;
      whole.signatures += signatures;
    }
    if (!this.#hasRoom(whole)) return null;
    return Promise.all(parts.map((part, index) => this.#send<Part>({ part }, part.bins.buffer, costs[index]!))).then(joinParts);
  }

  isFull(): boolean {
    return !this.#hasRoom({ bytes: 1, signatures: 1 });
  }

  queued(): number {
    return this.#queued;
  }

  #hasRoom({ bytes, signatures }: Cost): boolean {
    const { queueMax, queueBytesMax, queueSignaturesMax } = this.#options;
    if (this.#isClosed || this.#seats.size === 0 || this.#queued >= queueMax) return false;
    if (this.#queued === 0) return true;
    return this.#queuedBytes + bytes <= queueBytesMax && this.#queuedSignatures + signatures <= queueSignaturesMax;
  }

  #send<Result extends WorkerResult>(task: WorkerTask, buffer: ArrayBuffer, cost: Cost): Promise<Result> {
    const seat = this.#leastBusy();
    const id = this.#nextId++;
    this.#queued++;
    this.#queuedBytes += cost.bytes;
    this.#queuedSignatures += cost.signatures;
    seat.signatures += cost.signatures;
    const result = new Promise<Result>((resolve, reject) => {
      seat.waiting.set(id, { ...cost, resolve: (result) => resolve(result as Result), reject });
    });
    seat.worker.postMessage({ id, ...task } satisfies WorkerRequest, [buffer]);
    return result;
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
    const seat: Seat = { worker, waiting: new Map(), signatures: 0 };
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

  #leastBusy(): Seat {
    const [first, ...others] = this.#seats;
    assert(first !== undefined, "a task without a worker");
    return others.reduce((best, seat) => (seat.signatures < best.signatures ? seat : best), first);
  }

  #receive(seat: Seat, reply: Exclude<WorkerReply, { ready: unknown }>): void {
    const waiting = this.#settle(seat, reply.id);
    if ("result" in reply) waiting?.resolve(reply.result);
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
    this.#queuedSignatures -= waiting.signatures;
    seat.signatures -= waiting.signatures;
    return waiting;
  }
}
