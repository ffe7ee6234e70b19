/** Signs a whole load outside of the measured time, in threads, into a file that k6 reads. */
import { open } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { IoError } from "@meridian/core";
import { type BodyOptions, ID_BYTES, slotBytesOf } from "./bodies.ts";
import { type LoadPlan, unitsOf } from "./plan.ts";
import type { ScenarioOptions } from "./scenarios/scenario.ts";

export interface GenerateOptions extends BodyOptions {
  scenario: string;
  scenarioOptions: ScenarioOptions;
  dataBytesMax: number;
  file: string;
  threads?: number;
  say: (text: string) => void;
}

export interface Generated {
  file: string;
  slotBytes: number;
  /** Hash of each unit, 32 bytes: of a single transaction, or the id of a batch. */
  ids: Uint8Array;
  seconds: number;
}

/** What a signing thread gets; `taken` and `done` count requests. */
export interface ThreadOrder extends BodyOptions {
  scenario: string;
  scenarioOptions: ScenarioOptions;
  file: string;
  slotBytes: number;
  ids: SharedArrayBuffer;
  counters: SharedArrayBuffer;
}

const SAY_MS = 5_000;

/** @throws IoError GENERATE if a thread fails */
export async function generate(options: GenerateOptions): Promise<Generated> {
  const { plan, file, say } = options;
  const startedAt = performance.now();
  const slotBytes = slotBytesOf(plan, options.dataBytesMax);
  const ids = new SharedArrayBuffer(unitsOf(plan) * ID_BYTES);
  const counters = new SharedArrayBuffer(8);
  const handle = await open(file, "w");
  await handle.truncate(plan.requests * slotBytes);
  await handle.close();
  const threads = Math.max(1, Math.min(options.threads ?? availableParallelism(), plan.requests));
  const { scenario, scenarioOptions, chainId, fees, isWaiting } = options;
  const order: ThreadOrder = {
    ...{ plan, chainId, fees, isWaiting, scenario, scenarioOptions },
    ...{ file, slotBytes, ids, counters },
  };
  const seconds = () => (performance.now() - startedAt) / 1000;
  const timer = setInterval(() => say(progress(plan, new Int32Array(counters)[1] ?? 0, seconds())), SAY_MS);
  try {
    await Promise.all(Array.from({ length: threads }, () => runThread(order)));
  } finally {
    clearInterval(timer);
  }
  return { file, slotBytes, ids: new Uint8Array(ids), seconds: seconds() };
}

function progress({ requests }: LoadPlan, done: number, seconds: number): string {
  const left = done === 0 ? "" : `, ${Math.round((seconds / done) * (requests - done))} s left`;
  return `signing: ${done} of ${requests} requests${left}`;
}

function runThread(order: ThreadOrder): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./generate-thread.ts", import.meta.url), { workerData: order });
    worker.once("error", (error) => reject(new IoError({ code: "GENERATE", text: String(error) }, "never", error)));
    worker.once("exit", (code) => {
      if (code === 0) resolve();
      else reject(new IoError({ code: "GENERATE", text: `a signing thread ended with code ${code}` }, "never"));
    });
  });
}
