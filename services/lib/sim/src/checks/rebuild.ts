/** State and records are functions of the log alone: each partition is made anew from its first message, and must be the same. */
import { DECLARED_BYTES, WHY, applyMessage, chunksFor, emptyState, refusalOf, touchAccounts, touchWhy } from "@meridian/core";
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

/** Misses for accounts that the partition itself owns. */
export interface LocalMisses {
  strictMisses: number;
  barredMisses: number;
}

/** @throws CheckFailed at the first record that differs, and if something is left open at the end */
export function checkRebuild(ports: RebuildPorts, { partition, log, records }: PartitionHistory): LocalMisses {
  const { module, chainId, rules, objects } = ports;
  const misses = { strictMisses: 0, barredMisses: 0 };
  const state = emptyState(partition, chainId, rules);
  const engine = module.open({ chainId, callsInline: true });
  try {
    for (const { message, position } of log) {
      const refusal = refusalOf(state, message);
      check(refusal === null, "a log cannot be applied", () => `partition ${partition}: ${JSON.stringify(refusal)}`);
      const chunks = new Map(chunksFor(state, message).map(({ object }) => [object, objects.get(object) ?? new Uint8Array(0)]));
      const applied = applyMessage(state, message, position, engine, objects.get("genesis") ?? null, chunks);
      const published = records[message.n - 1];
      for (const missed of applied?.missed ?? []) {
        if (!isLocal(state, missed.touch)) continue;
        if (missed.flush < message.flush) misses.strictMisses++;
        else misses.barredMisses++;
      }
      if (applied === null || published === undefined) continue;
      const text = () => `record ${message.n} of partition ${partition}: ${difference(applied.record, published)}`;
      check(areEqual(applied.record, published), "a replay of the log alone differs", text);
    }
    checkClosed(state);
    return misses;
  } finally {
    closeEngine(engine);
  }
}

/** True if it missed for something that its partition owns. */
function isLocal({ owners, partition }: PartitionState, touch: Uint8Array): boolean {
  if (touchWhy(touch, 0) !== WHY.outside) return false;
  const accounts = touchAccounts(touch, 0);
  for (let at = 0; at < accounts.length; at += DECLARED_BYTES) {
    if (owners?.ownerOf(accounts, at + 1) !== partition) return false;
  }
  return true;
}

function checkClosed({ partition, open, position }: PartitionState): void {
  const names = [...open.entries].map(({ position: at }) => `${at.flush}/${at.index}`);
  const text = () => `partition ${partition} after message ${position.n}: ${names.join()}`;
  check(open.entries.size === 0, "a lock outlives its group", text);
}

export const closeEngine = (engine: Engine): void => void engine.close();

function difference(left: OutRecord, right: OutRecord): string {
  const fields = Object.keys(left) as (keyof OutRecord)[];
  const names = fields.filter((field) => JSON.stringify(left[field]) !== JSON.stringify(right[field]));
  return `${names.join(", ")} differ`;
}
