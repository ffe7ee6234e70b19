/** One partition of `GroupWorld`: the rules of core's actor over the fake engine, and what its process would say. */
import { applyMessage } from "../../actor/apply.ts";
import { cellsOwnedBy, requestByOwner } from "../../actor/cells.ts";
import { groupState, loosened, openGroups, proposalOf, settledN } from "../../actor/queue.ts";
import type { OpenGroup } from "../../actor/queue.ts";
import { refusalOf } from "../../actor/refusal.ts";
import { emptyState, mapOf } from "../../actor/state.ts";
import type { PartitionState } from "../../actor/state.ts";
import { FakeEngine, TEST_CHAIN_ID } from "../../actor/testing/index.ts";
import { assert } from "../../assert.ts";
import { bytesOfHex, concatBytes } from "../../bytes.ts";
import { CELL } from "../../cells.ts";
import { PENDING } from "../../engine.ts";
import type { HandOver, LogMessage, LogPosition, OutRecord } from "../../entries.ts";
import type { GroupProposal, MissedTransaction, Report } from "../../messages.ts";
import type { RangeIndex } from "../../ranges.ts";
import { indexRanges } from "../../ranges.ts";
import type { Rules } from "../../rules.ts";

export interface Logged {
  message: LogMessage;
  position: LogPosition;
}

export interface WorldPartition {
  state: PartitionState;
  engine: FakeEngine;
  records: OutRecord[];
  /** Local misses of the open block. */
  missed: MissedTransaction[];
  handOvers: { block: number; ranges: HandOver[] } | null;
  /** Says and reads nothing before this time, ms. */
  pausedUntil: number;
}

export function openPartition(partition: number, rules: Readonly<Rules>): WorldPartition {
  const state = emptyState(partition, TEST_CHAIN_ID, rules);
  return { state, engine: new FakeEngine(), records: [], missed: [], handOvers: null, pausedUntil: 0 };
}

/** Applies the next message of its log. Returns why it was refused, null if it was not. */
export function applyTo(
  partition: WorldPartition,
  { message, position }: Logged,
  genesis: Uint8Array,
  chunks: Map<string, Uint8Array>,
): string | null {
  const { state, engine } = partition;
  const refusal = refusalOf(state, message);
  if (refusal !== null) return `partition ${state.partition} refuses ${JSON.stringify(refusal)}`;
  const applied = applyMessage(state, message, position, engine, genesis, chunks);
  assert(applied !== null, "a message is applied once");
  partition.records.push(applied.record);
  if (applied.record.block !== null) {
    partition.missed = [];
    partition.handOvers = { block: state.closedBlock, ranges: [] };
  }
  partition.missed.push(...applied.missed);
  for (const move of applied.moves) {
    const object = `${state.closedBlock}/${move.first}`;
    const { cells } = engine.exportCells(state.closedBlock, bytesOfHex(move.first), bytesOfHex(move.last), 1_000_000);
    chunks.set(object, cells);
    partition.handOvers?.ranges.push({ ...move, chunks: [{ object, sha256: "", bytes: cells.length }] });
  }
  return null;
}

/**
 * Executes a group on its home, with grants of those who hold it too; null if not everybody does.
 * @param heard another partition; null if it does not answer
 */
export function propose(
  group: OpenGroup,
  { state, engine }: WorldPartition,
  heard: (partition: number) => WorldPartition | null,
): GroupProposal | null {
  const { transactions, rules } = proposalOf(state, group);
  const { ownerOf } = indexRanges(mapOf(state));
  let given: Uint8Array = new Uint8Array(0);
  let { allowed } = rules;
  for (;;) {
    const proposal = engine.propose(transactions, given, { ...rules, allowed });
    if (proposal.missing.length > 0) {
      const fetched = fetchCells(group, proposal.missing, mapOf(state).version, ownerOf, heard);
      if (fetched === null) return null;
      given = concatBytes([given, fetched]);
      continue;
    }
    const more = loosened(state, group, allowed, proposal.touches);
    if (more === null) {
      const { results, touches } = proposal;
      const writes = group.participants.map((id): [number, Uint8Array] => [
        id,
        cellsOwnedBy(proposal.writes, (bytes, at) => ownerOf(bytes, at) === id),
      ]);
      return { home: state.partition, group: group.position, results, touches, writes };
    }
    allowed = more;
  }
}

function fetchCells(
  group: OpenGroup,
  missing: Uint8Array,
  mapVersion: number,
  ownerOf: RangeIndex["ownerOf"],
  heard: (partition: number) => WorldPartition | null,
): Uint8Array | null {
  const cells: Uint8Array[] = [];
  for (const [owner, request] of requestByOwner(missing, ownerOf, 1_000)) {
    const from = heard(owner);
    if (from === null) return null;
    const isLocked = groupState(from.state, group.position) === "held";
    if (!isLocked && (group.participants.includes(owner) || !isCode(request))) return null;
    // Code that is not there yet counts as read, not as code: the engine sees to it, the fake one does not.
    if (!isLocked && mapOf(from.state).version < mapVersion) return null;
    const answer = isLocked ? { cells: from.engine.grant(request) } : from.engine.read(PENDING, request);
    assert("cells" in answer, "the present can be read");
    cells.push(answer.cells);
  }
  return concatBytes(cells);
}

export function reportOf({ state, handOvers }: WorldPartition): Report {
  return {
    ...{ partition: state.partition, host: "world", n: state.position.n, flush: state.position.flush },
    ...{ closedBlock: state.closedBlock, memoryBytes: 0, memoryBytesMax: 1, accounts: 0, slots: 0, transactions: 0, busyMs: 0 },
    ...{ stopped: null, outFull: false, settledN: settledN(state), misses: state.misses, handOvers },
    groups: openGroups(state).map(({ position, held }) => ({ group: position, held })),
  };
}

function isCode(request: Uint8Array): boolean {
  for (let at = 0; at < request.length; at += 21) if (request[at] !== CELL.code) return false;
  return true;
}
