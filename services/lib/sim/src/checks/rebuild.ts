/** State and records are functions of the log alone: each partition is made anew from its first message, and must be the same. */
import { applyMessage, chunksFor, emptyState, refusalOf } from "@meridian/core";
import type { Engine, EngineModule, OutRecord, PartitionState, Rules } from "@meridian/core";
import { check } from "../system/failure.ts";
import { areEqual } from "./history.ts";
import type { PartitionHistory } from "./history.ts";

export interface RebuildPorts {
  module: EngineModule;
  chainId: number;
  rules: Readonly<Rules>;
  /** The object store: genesis and hand-over chunks. */
  objects: ReadonlyMap<string, Uint8Array>;
}

/** @throws CheckFailed at the first record that differs, and if something is left open at the end */
export function checkRebuild(ports: RebuildPorts, { partition, log, records }: PartitionHistory): void {
  const { module, chainId, rules, objects } = ports;
  const state = emptyState(partition, chainId, rules);
  const engine = module.open({ chainId, callsInline: true });
  try {
    for (const { message, position } of log) {
      const refusal = refusalOf(state, message);
      check(refusal === null, "a log cannot be applied", () => `partition ${partition}: ${JSON.stringify(refusal)}`);
      const chunks = new Map(chunksFor(state, message).map(({ object }) => [object, objects.get(object) ?? new Uint8Array(0)]));
      const applied = applyMessage(state, message, position, engine, objects.get("genesis") ?? null, chunks);
      const published = records[message.n - 1];
      if (applied === null || published === undefined) continue;
      const text = () => `record ${message.n} of partition ${partition}: ${difference(applied.record, published)}`;
      check(areEqual(applied.record, published), "a replay of the log alone differs", text);
    }
    checkClosed(state);
  } finally {
    closeEngine(engine);
  }
}

function checkClosed({ partition, open, position }: PartitionState): void {
  const text = () =>
    `partition ${partition} after message ${position.n}: ${open.map(({ position: at }) => `${at.flush}/${at.index}`).join()}`;
  check(open.length === 0, "a lock outlives its group", text);
}

export const closeEngine = (engine: Engine): void => void engine.close();

function difference(left: OutRecord, right: OutRecord): string {
  const fields = Object.keys(left) as (keyof OutRecord)[];
  const names = fields.filter((field) => JSON.stringify(left[field]) !== JSON.stringify(right[field]));
  return `${names.join(", ")} differ`;
}
