/** When the open block may close: everything that was sequenced is resolved (B1). */
import { rowsOf } from "./flush-buffer.ts";
import { isHeldUp } from "./moves.ts";
import { areSettled } from "./partition-table.ts";
import { isWholeDue } from "./retries.ts";
import type { Sequencer } from "./state.ts";

/** True if nothing is unresolved but retries. */
export function isQuiet({ groups, filling, partitions }: Sequencer): boolean {
  if (groups.open > 0 || groups.decided.length > 0 || rowsOf(filling) > 0) return false;
  return areSettled(partitions);
}

/** True if the open block may close as far as what was sequenced goes. */
export function isDrained(sequencer: Sequencer): boolean {
  const { groups, filling, retries } = sequencer;
  // Rule blocksDrain
  if (!sequencer.rules.blocksDrain) return groups.open === 0 && filling.candidates.members.length === 0;
  return retries.count === 0 && isQuiet(sequencer);
}

/** True if the block is due; what is being handed over comes first. */
export function isBlockDue(sequencer: Sequencer, now: number): boolean {
  const { blocks } = sequencer;
  return !isHeldUp(sequencer) && (now >= blocks.dueAt || blocks.isFull || blocks.closesFirst);
}

/** True if it can close with a flush that has so many seals. */
export const mayClose = (sequencer: Sequencer, seals: number): boolean =>
  sequencer.blocks.unsealed.length - seals < sequencer.limits.unsealedMax && isDrained(sequencer);

/** True if the time of the whole-system group has come: the block waits for nothing else. */
export const isWholeTurn = (sequencer: Sequencer): boolean =>
  sequencer.isDraining && sequencer.retries.count > 0 && isQuiet(sequencer) && isWholeDue(sequencer);
