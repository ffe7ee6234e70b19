/** The WebAssembly build: committed, so that a clone needs no Rust. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import secp256k1 from "secp256k1";
import type { Boundary, Operation } from "./boundary.ts";
import { NOTHING, OP } from "./boundary.ts";
import { PackedEngine } from "./engine.ts";
import { PackedModule } from "./module.ts";
import type { TaskPlace, ThreadPlace } from "./wasm-instance.ts";
import { WasmInstance, newMemory } from "./wasm-instance.ts";
import type { WasmMemory, WasmModule } from "./webassembly.ts";
import { Module } from "./webassembly.ts";

export const WASM_PATH = fileURLToPath(new URL("../wasm/engine.wasm", import.meta.url));
export const WASM_FACTS_PATH = fileURLToPath(new URL("../wasm/engine.json", import.meta.url));

/** What stands beside the committed module. */
export interface WasmFacts {
  /** Hash of the sources that it was built from (sources.ts). */
  sources: string;
  /** SHA-256 of the module itself. */
  wasm: string;
  bytes: number;
}

/** A call's stack. The EVM keeps its frames on the heap; the deepest native stacks are those of pairings. */
const STACK_BYTES = 4 * 1024 * 1024;
/** One record of a decode's first half: hash, signature, parity. */
const UNRECOVERED_BYTES = 97;
const KEY_BYTES = 64;

let compiled: WasmModule | null = null;

export function wasmModule(): PackedModule {
  compiled ??= new Module(readFileSync(WASM_PATH));
  const module = compiled;
  const stateless = new WasmBoundary(module);
  return new PackedModule({
    name: "wasm",
    stateless,
    decode: (raw, limits) => {
      const keys = recoverAll(stateless.perform(OP.decodeBegin, 0, 0, raw, limits));
      return stateless.perform(OP.decodeFinish, 0, 0, raw, limits, keys);
    },
    // A memory of its own for each engine: each has all 4 GiB, and closing one frees all that it held.
    // Engines that need no thread beside them can share one, which takes a thousandth of the time to open.
    open: (options) =>
      options.callsInline === true
        ? new PackedEngine(stateless, options, false)
        : new PackedEngine(new WasmBoundary(module), options, true),
  });
}

/** Public keys (64 bytes each, zero where none recovers) for the records of a decode's first half. */
function recoverAll(unrecovered: Uint8Array): Uint8Array {
  const count = unrecovered.length / UNRECOVERED_BYTES;
  const keys = new Uint8Array(count * KEY_BYTES);
  const key = new Uint8Array(KEY_BYTES + 1);
  for (let number = 0; number < count; number++) {
    const at = number * UNRECOVERED_BYTES;
    const hash = unrecovered.subarray(at, at + 32);
    const signature = unrecovered.subarray(at + 32, at + 96);
    try {
      secp256k1.ecdsaRecover(signature, unrecovered[at + 96]!, hash, false, key);
    } catch {
      key.fill(0); // The library throws where no key recovers; zeros say so to the second half.
    }
    keys.set(key.subarray(1), number * KEY_BYTES);
  }
  return keys;
}

/** What goes to wasm-worker.mjs at its start, with each operation, and what comes back; input and answer stay in the memory. */
export interface WorkerStart extends ThreadPlace {
  module: WasmModule;
  memory: WasmMemory;
}
export interface WorkerTask extends TaskPlace {
  id: number;
  operation: Operation;
  handle: number;
}
export type WorkerAnswer = { id: number } | { id: number; bug: string };

interface Waiting {
  place: TaskPlace;
  resolve: (answer: Uint8Array) => void;
  reject: (error: Error) => void;
}

class WasmBoundary implements Boundary {
  readonly #module: WasmModule;
  readonly #memory = newMemory();
  readonly #instance: WasmInstance;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | null = null;
  #tasks = 0;

  constructor(module: WasmModule) {
    this.#module = module;
    this.#instance = new WasmInstance(module, this.#memory);
  }

  perform(operation: Operation, handle: number, number: number, a = NOTHING, b = NOTHING, c = NOTHING): Uint8Array {
    return this.#instance.perform(operation, handle, number, a, b, c);
  }

  async performBeside(operation: Operation, handle: number, input: Uint8Array): Promise<Uint8Array> {
    const place = this.#instance.putTask(input);
    const worker = (this.#worker ??= this.#startWorker());
    const task: WorkerTask = { id: ++this.#tasks, operation, handle, ...place };
    worker.ref(); // A process may end while calls are idle, not while one runs.
    worker.postMessage(task);
    return new Promise((resolve, reject) => this.#waiting.set(task.id, { place, resolve, reject }));
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
  }

  #startWorker(): Worker {
    const place = this.#instance.newThreadPlace(STACK_BYTES);
    const start: WorkerStart = { module: this.#module, memory: this.#memory, ...place };
    const worker = new Worker(new URL("./wasm-worker.mjs", import.meta.url), { workerData: start });
    worker.on("message", (answer: WorkerAnswer) => this.#take(answer));
    worker.on("error", (error: unknown) => this.#fail(error));
    worker.unref();
    return worker;
  }

  #take(answer: WorkerAnswer): void {
    if ("bug" in answer) return this.#fail(answer.bug);
    const waiting = this.#waiting.get(answer.id);
    if (waiting === undefined) return; // It was failed with all others.
    try {
      waiting.resolve(this.#instance.takeTask(waiting.place));
    } catch (error) {
      return this.#fail(error); // Rejects this one too.
    }
    this.#waiting.delete(answer.id);
    if (this.#waiting.size === 0) this.#worker?.unref();
  }

  #fail(error: unknown): void {
    const bug = this.#instance.break(error);
    for (const { reject } of this.#waiting.values()) reject(bug);
    this.#waiting.clear();
    this.#worker?.unref();
  }
}
