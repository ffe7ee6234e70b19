/** What a home says of its group: results, touches and writes, cut to what fits. Pure. */
import { TOUCH, WHY, cellBytes, concatBytes, txIndex, writeU16, writeU32 } from "@meridian/core";
import type { GroupProposal, PartitionId, Position, Proposal } from "@meridian/core";

/** Besides the packed bytes of a proposal. */
const MESSAGE_BYTES = 1_024;

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
  const touches = new Uint8Array((offsets.length - first) * TOUCH.accounts);
  for (let member = first, at = 0; member < offsets.length; member++, at += TOUCH.accounts) {
    writeU32(touches, at + TOUCH.bytes, TOUCH.accounts);
    writeU32(touches, at + TOUCH.index, txIndex(transactions, offsets[member]!));
    touches[at + TOUCH.why] = WHY.deferred;
    writeU16(touches, at + TOUCH.count, 0);
  }
  return touches;
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
