/** A signing thread: takes requests by number until none is left, and writes each to its slot. */
import { closeSync, openSync, writeSync } from "node:fs";
import { workerData } from "node:worker_threads";
import { ID_BYTES, writeSlot } from "./bodies.ts";
import type { ThreadOrder } from "./generate.ts";
import { scenarioKind } from "./scenarios/index.ts";

const order = workerData as ThreadOrder;
const { plan, slotBytes } = order;
const scenario = scenarioKind(order.scenario).open(order.scenarioOptions);
const counters = new Int32Array(order.counters);
const file = openSync(order.file, "r+");
const target = Buffer.alloc(slotBytes);
for (let request = Atomics.add(counters, 0, 1); request < plan.requests; request = Atomics.add(counters, 0, 1)) {
  const ids = new Uint8Array(order.ids, request * plan.units * ID_BYTES, plan.units * ID_BYTES);
  const bytes = writeSlot(target, request, scenario, order, ids);
  writeSync(file, target, 0, bytes, request * slotBytes);
  Atomics.add(counters, 1, 1);
}
closeSync(file);
