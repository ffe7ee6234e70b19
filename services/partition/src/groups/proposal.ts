/** What a home says of its group: results, touches and writes, cut to what fits. Pure. */
import {
  CELL,
  DECLARED_BYTES,
  NONCE_CELL_BYTES,
  REASON,
  RESULT,
  TOUCH,
  TX,
  WHY,
  cellBytes,
  concatBytes,
  txDeclared,
  txGasLimit,
  txIndex,
  txNonce,
  writeU16,
  writeU32,
  writeU64,
} from "@meridian/core";
import type { GroupProposal, PartitionId, Position, Proposal } from "@meridian/core";

/** Besides the packed bytes of a proposal. */
const MESSAGE_BYTES = 1_024;
const NOTHING = new Uint8Array(0);

/** The cells by the partition that owns them, ascending by partition; the order of the cells stays. */
export function cellsByOwner(
  cells: Uint8Array,
  ownerOf: (bytes: Uint8Array, addressAt: number) => PartitionId,
): [PartitionId, Uint8Array][] {
  const parts = new Map<PartitionId, Uint8Array[]>();
  const take = (owner: PartitionId, part: Uint8Array): void => {
    const list = parts.get(owner);
    if (list === undefined) parts.set(owner, [part]);
    else list.push(part);
  };
  for (let at = 0; at < cells.length;) {
    // Neighbours of one owner go together: an account's cells stand behind each other.
    const start = at;
    const owner = ownerOf(cells, at + 1);
    do at += cellBytes(cells, at);
    while (at < cells.length && ownerOf(cells, at + 1) === owner);
    take(owner, cells.subarray(start, at));
  }
  return [...parts]
    .sort(([left], [right]) => left - right)
    .map(([owner, list]): [PartitionId, Uint8Array] => [owner, concatBytes(list)]);
}

/**
 * Touch records of the members from `first` on, for which there is no room.
 * @param offsets where each member's record starts in `transactions`
 */
export function deferredTouches(transactions: Uint8Array, offsets: Uint32Array, first: number): Uint8Array {
  return concatBytes([...offsets.subarray(first)].map((at) => touchOf(txIndex(transactions, at), WHY.deferred, NOTHING)));
}

/** What is said of a group's first member, if it alone is why the group took too long: a miss that counts. */
export const exceededMiss = (transactions: Uint8Array): Proposal => ({
  results: NOTHING,
  touches: touchOf(txIndex(transactions, 0), WHY.exceeded, NOTHING),
  writes: NOTHING,
  missing: NOTHING,
});

/**
 * The end of a whole-system group's first member that nothing can be made of: as with `void` its nonce and all its gas are used
 * up, and nothing else changes. What it would have touched is not known, so it is said to be what it has declared.
 */
export function exceededEnd(transactions: Uint8Array): Proposal {
  const result = new Uint8Array(RESULT.output);
  writeU32(result, RESULT.bytes, result.length);
  writeU32(result, RESULT.index, txIndex(transactions, 0));
  result[RESULT.reason] = REASON.exceeded;
  writeU32(result, RESULT.logsOffset, result.length);
  writeU64(result, RESULT.gasUsed, txGasLimit(transactions, 0));
  const declared = transactions.slice(TX.declaredSet, TX.declaredSet + txDeclared(transactions, 0) * DECLARED_BYTES);
  return {
    results: result,
    touches: touchOf(txIndex(transactions, 0), WHY.complete, declared),
    writes: txNonce(transactions, 0) === 0 ? firstNonce(transactions) : NOTHING,
    missing: NOTHING,
  };
}

/** Says to the sender's owner that its first transaction came to an end (docs/adr/0017-first-transaction-visibility.md). */
function firstNonce(transactions: Uint8Array): Uint8Array {
  const cell = new Uint8Array(NONCE_CELL_BYTES);
  cell[0] = CELL.nonce;
  cell.set(transactions.subarray(TX.sender, TX.sender + 20), 1);
  writeU64(cell, 21, 1);
  cell.set(transactions.subarray(TX.hash, TX.hash + 32), 29);
  return cell;
}

/** @param accounts packed (u8 mode, b20)*, ascending */
function touchOf(index: number, why: number, accounts: Uint8Array): Uint8Array {
  const touch = new Uint8Array(TOUCH.accounts + accounts.length);
  writeU32(touch, TOUCH.bytes, touch.length);
  writeU32(touch, TOUCH.index, index);
  touch[TOUCH.why] = why;
  writeU16(touch, TOUCH.count, accounts.length / DECLARED_BYTES);
  touch.set(accounts, TOUCH.accounts);
  return touch;
}

/**
 * @param proposal of the members before those that are deferred
 * @param deferred touch records of the others
 */
export function messageOf(
  home: PartitionId,
  group: Position,
  { results, touches, writes }: Proposal,
  deferred: Uint8Array,
  ownerOf: (bytes: Uint8Array, addressAt: number) => PartitionId,
): GroupProposal {
  return { home, group, results, touches: concatBytes([touches, deferred]), writes: cellsByOwner(writes, ownerOf) };
}

/** About how long the proposal is when it is encoded. */
export const proposalBytes = ({ results, touches, writes }: Proposal, deferred: Uint8Array): number =>
  MESSAGE_BYTES + results.length + touches.length + writes.length + deferred.length;
