/** The thread beside the engine's: a second instance on the same memory, which runs calls one after the other. */
import { parentPort, workerData } from "node:worker_threads";
import type { Operation } from "./boundary.ts";
import type { ThreadPlace } from "./wasm-instance.ts";
import { WasmInstance } from "./wasm-instance.ts";
import type { WasmMemory, WasmModule } from "./webassembly.ts";

export interface WorkerStart {
  module: WasmModule;
  memory: WasmMemory;
  place: ThreadPlace;
}

export interface WorkerTask {
  id: number;
  operation: Operation;
  handle: number;
  input: Uint8Array;
}

export type WorkerAnswer = { id: number; answer: Uint8Array } | { id: number; bug: string };

const { module, memory, place } = workerData as WorkerStart;
const instance = new WasmInstance(module, memory, place);

parentPort?.on("message", ({ id, operation, handle, input }: WorkerTask) => {
  parentPort?.postMessage(perform(id, operation, handle, input));
});

function perform(id: number, operation: Operation, handle: number, input: Uint8Array): WorkerAnswer {
  try {
    return { id, answer: instance.perform(operation, handle, 0, input) };
  } catch (error) {
    return { id, bug: error instanceof Error ? error.message : String(error) };
  }
}
