/** A worker thread of the gateway: bodies with transactions come in, what `ingest` and `decodePart` make of them goes back. */
import { parentPort, workerData } from "node:worker_threads";
import { assert } from "@meridian/core";
import { loadEngine } from "@meridian/engine";
import type { EngineChoice } from "@meridian/engine";
import { decodePart } from "../binary/decode-part.ts";
import type { Part, PartRequest } from "../binary/decode-part.ts";
import { ingest } from "./ingest.ts";
import type { Ingested, IngestLimits } from "./ingest.ts";

export interface WorkerSettings {
  engine: EngineChoice;
  limits: IngestLimits;
}
/** JSON, or a part of a binary body. */
export type WorkerTask = { json: Uint8Array } | { part: PartRequest };
export type WorkerRequest = WorkerTask & { id: number };
export type WorkerResult = Ingested | Part;
/** Asks the thread to end. */
export type WorkerCommand = "close";

/** The first message says `ready`; after that one answer for each request, in any order. */
export type WorkerReply = { ready: "native" | "wasm" } | { id: number; result: WorkerResult } | { id: number; bug: string };

const port = parentPort;
assert(port !== null, "the gateway's worker runs as a thread");
const { engine: choice, limits } = workerData as WorkerSettings;
const engine = loadEngine(choice);

port.on("message", (request: WorkerRequest | WorkerCommand) => {
  if (request === "close") return port.close(); // Nothing is left to wait for, so the thread ends by itself.
  const reply = answer(request);
  port.postMessage(reply, "result" in reply ? buffersOf(reply.result) : []);
});
port.postMessage({ ready: engine.build } satisfies WorkerReply);

/** A bug in one request must not take the others of this thread with it. */
function answer(request: WorkerRequest): WorkerReply {
  const { id } = request;
  try {
    return { id, result: "json" in request ? ingest(request.json, engine, limits) : decodePart(request.part, engine, limits) };
  } catch (error) {
    return { id, bug: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

/** What is packed stands in buffers of this thread's own, so they can change hands without a copy; each once. */
function buffersOf(result: WorkerResult): ArrayBuffer[] {
  const views = Object.values(result).filter((value: unknown) => ArrayBuffer.isView(value));
  return [...new Set(views.map(({ buffer }) => buffer as ArrayBuffer))];
}
