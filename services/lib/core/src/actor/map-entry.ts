/**
 * How ranges change hands: the old owner forgets, the new one takes in what the hand-over says, all go by the new map.
 *
 * M1. A `map` entry stands where nothing was executed since the last `block`, so what was handed over is what stands there.
 * M2. The chunks are objects. The shell fetches and checks them (SHA-256) before it applies the message.
 */
import { assert } from "../assert.ts";
import { bytesOfHex } from "../bytes.ts";
import type { Engine } from "../engine.ts";
import type { HandOver, LogMessage, MapEntry, MovedRange, OutRecord } from "../entries.ts";
import type { RangeIndex, RangeMap } from "../ranges.ts";
import { indexRanges, ownedBy } from "../ranges.ts";
import { cellsOwnedBy } from "./cells.ts";
import type { PartitionState } from "./state.ts";

/** Cells of hand-over chunks by object name. */
export type ChunkCells = ReadonlyMap<string, Uint8Array>;

/** The chunks that have to be fetched before this message can be applied; [] in the usual case. */
export function chunksFor(state: PartitionState, message: LogMessage): HandOver["chunks"] {
  return message.entries.flatMap((entry) => (entry.kind === "map" ? chunksIn(state, entry) : []));
}

/** The ranges that this partition has to write out as of the last closed block. */
export const movesOut = (state: PartitionState): MovedRange[] => state.moves.filter(({ from }) => from === state.partition);

/** @throws BugError if a chunk is not among `chunks` */
export function applyMap(state: PartitionState, entry: MapEntry, engine: Engine, record: OutRecord, chunks: ChunkCells): void {
  const lost = entry.handOvers.filter(({ from }) => from === state.partition);
  const isForgotten = state.rules.movedIsForgotten || lost.length === 0; // Rule movedIsForgotten
  const owners = indexRanges(entry.map);
  state.owners = owners;
  if (isForgotten) engine.setOwned(ownedBy(entry.map, state.partition));
  for (const { first, last } of isForgotten ? lost : []) engine.dropRange(bytesOfHex(first), bytesOfHex(last));
  for (const { object } of chunksIn(state, entry)) {
    const cells = chunks.get(object);
    assert(cells !== undefined, `the map entry is applied without its chunk ${object}`);
    engine.importCells(cellsOwnedBy(cells, (bytes, at) => owners.ownerOf(bytes, at) === state.partition));
  }
  const gained = entry.handOvers.filter(({ to }) => to === state.partition);
  state.arrivals = [...state.arrivals, ...gained.map(({ first, last }) => ({ first, last, block: state.closedBlock }))];
  state.moves = [];
  record.map = entry.map;
}

const chunksIn = (state: PartitionState, entry: MapEntry): HandOver["chunks"] =>
  entry.handOvers.filter(({ to }) => to === state.partition).flatMap(({ chunks }) => chunks);

export function own(state: PartitionState, map: RangeMap, engine: Engine): RangeIndex {
  const owners = indexRanges(map);
  state.owners = owners;
  engine.setOwned(ownedBy(map, state.partition));
  return owners;
}
