/** What has to be fetched before a message of the log can be applied; usually nothing. */
import type { Bus, ChunkCells, LogMessage, PartitionState } from "@meridian/core";
import { handedOver } from "./hand-overs.ts";
import { genesisCells } from "./recovery.ts";

export interface Needs {
  genesis: Uint8Array | null;
  handOvers: ChunkCells;
}

/** @throws IoError GENESIS_DAMAGED, HAND_OVER_DAMAGED, retry "never"; what the bus throws if it cannot be asked */
export async function needsOf(bus: Bus, state: PartitionState, message: LogMessage): Promise<Needs> {
  const [entry] = message.entries;
  const genesis = entry?.kind === "genesis" ? await genesisCells(bus, entry) : null;
  return { genesis, handOvers: await handedOver(bus, state, message) };
}
