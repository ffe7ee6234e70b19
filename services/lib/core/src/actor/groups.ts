/**
 * How a group ends: `apply` or `abort`.
 *
 * G1. The first one counts; later ones, and those of a group that is not open here, change nothing.
 * G2. Commit, results, misses and the end of the locks are one step, on the home as everywhere; then waiters have their turn.
 */
import { cellsOwnedBy } from "./cells.ts";
import { CELL } from "../cells.ts";
import { readU32 } from "../bytes.ts";
import type { AbortEntry, ApplyEntry } from "../entries.ts";
import { txBytes, txIndex } from "../transactions.ts";
import { closeEntry, openGroup } from "./queue.ts";
import type { OpenGroup } from "./queue.ts";
import { pump } from "./run-entry.ts";
import { addMissed, recordsWithout } from "./settle.ts";
import type { Turn } from "./settle.ts";

/** Applies an `apply` or `abort` entry. */
export function endGroup(turn: Turn, entry: ApplyEntry | AbortEntry): void {
  const { state } = turn;
  const group = openGroup(state, entry.group);
  const isWritten = group !== undefined || !state.rules.appliesOnce || !state.rules.abortsCount; // Rules appliesOnce, abortsCount
  if (entry.kind === "apply" && isWritten && group?.isEarly !== true) commit(turn, entry.writes);
  if (group === undefined) return;
  closeEntry(state, group);
  if (group.isHome) settleMembers(turn, group, entry);
  pump(turn);
}

function commit({ state, engine }: Turn, writes: Uint8Array): void {
  if (writes.length === 0) return;
  engine.applyWrites(writes);
  if (state.rules.noncesApart) return; // Rule noncesApart
  engine.importCells(cellsOwnedBy(writes, (cells, at) => cells[at - 1] === CELL.nonce && isOwned(state, cells, at)));
}

const isOwned = ({ owners, partition }: Turn["state"], bytes: Uint8Array, at: number): boolean =>
  owners?.ownerOf(bytes, at) === partition;

function settleMembers(turn: Turn, { position, transactions }: OpenGroup, entry: ApplyEntry | AbortEntry): void {
  const missed = entry.kind === "apply" ? indexesOf(entry.misses) : memberIndexes(transactions);
  addMissed(turn.state, position.flush, missed);
  if (entry.kind === "abort" || missed.length === memberIndexes(transactions).length) return;
  const ended = recordsWithout(transactions, new Set(missed));
  turn.ended.push({ flush: position.flush, transactions: ended, results: entry.results });
}

/** Numbers of a packed u32 list. */
export const indexesOf = (packed: Uint8Array): number[] =>
  Array.from({ length: packed.length / 4 }, (_, number) => readU32(packed, number * 4));

/** Indexes of packed transactions. */
export function memberIndexes(transactions: Uint8Array): number[] {
  const indexes: number[] = [];
  for (let at = 0; at < transactions.length; at += txBytes(transactions, at)) indexes.push(txIndex(transactions, at));
  return indexes;
}
