/** A worker thread of the gateway: bodies with transactions come in, what `ingest` makes of them goes back. */
import { parentPort, workerData } from "node:worker_threads";
import { assert } from "@meridian/core";
import { loadEngine } from "@meridian/engine";
import type { EngineChoice } from "@meridian/engine";
import { ingest } from "./ingest.ts";
import type { Ingested, IngestLimits } from "./ingest.ts";

export interface WorkerSettings {
  engine: EngineChoice;
  limits: IngestLimits;
}
export interface WorkerRequest {
  id: number;
  body: Uint8Array;
}
/** Asks the thread to end. */
export type WorkerCommand = "close";

/** The first message says `ready`; after that one answer for each request, in any order. */
export type WorkerReply = { ready: "native" | "wasm" } | { id: number; ingested: Ingested } | { id: number; bug: string };

const port = parentPort;
assert(port !== null, "the gateway's worker runs as a thread");
const { engine: choice, limits } = workerData as WorkerSettings;
const engine = loadEngine(choice);

port.on("message", (request: WorkerRequest | WorkerCommand) => {
  if (request === "close") return port.close(); // Nothing is left to wait for, so the thread ends by itself.
  const { id, body } = request;
  const reply = answer(id, body);
  const transfers = "ingested" in reply ? buffersOf(reply.ingested) : [];
  port.postMessage(reply, transfers);
});
port.postMessage({ ready: engine.build } satisfies WorkerReply);

/** A bug in one request must not take the others of this thread with it. */
function answer(id: number, body: Uint8Array): WorkerReply {
  try {
    return { id, ingested: ingest(body, engine, limits) };
  } catch (error) {
    return { id, bug: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

/** Each of them stands in a buffer of its own, so it can change hands without a copy. */
function buffersOf({ records, answer: text, items, valued, values }: Ingested): ArrayBuffer[] {
  return [records, text, items, valued, values].map(({ buffer }) => buffer as ArrayBuffer);
}
