/**
 * Which transactions of a sender are unresolved: sequenced, and neither come to an end nor missed as far as is known here.
 *
 * F1. A local transaction is resolved when its partition has reported that everything up to its message is settled and all misses
 *     up to there are taken; a member of a group when the group ends.
 * F2. Two transactions of one sender are unresolved together only with the same home.
 * F3. A sender with a miss gets nothing new before what missed stands in a flush again.
 */
import type { Sequencer } from "./state.ts";

/** True if nothing of a sender is unresolved. */
export function isResolved({ senders, partitions }: Sequencer, sender: number): boolean {
  if (senders.flightGroups[sender]! > 0) return false;
  const home = senders.flightHome[sender]!;
  return home < 0 || partitions.lanes[home]!.settled >= senders.flightN[sender]!;
}

/** Slot of the home that the sender's next transaction must have; -1 for any. */
export function demandedHome(sequencer: Sequencer, sender: number): number {
  if (!sequencer.rules.sendersStay || isResolved(sequencer, sender)) return -1; // Rule sendersStay
  return sequencer.senders.flightHome[sender]!;
}

/** A local transaction comes into the flush being filled. */
export function noteLocalFlight(sequencer: Sequencer, sender: number, home: number): void {
  const { senders } = sequencer;
  senders.flightHome[sender] = home;
  senders.flightN[sender] = appendedN(sequencer, home) + 1;
}

/** True if a local transaction of this sender is in the flush being filled. */
export function isFilling(sequencer: Sequencer, sender: number): boolean {
  const home = sequencer.senders.flightHome[sender]!;
  return home >= 0 && sequencer.senders.flightN[sender]! > appendedN(sequencer, home);
}

/** Number of the flush being filled. */
export const fillingFlush = ({ flushAcknowledged, flight }: Sequencer): number => flushAcknowledged + (flight === null ? 1 : 2);

/** The last message of a partition's log, the outstanding flush's too. */
const appendedN = ({ partitions, flight }: Sequencer, slot: number): number =>
  partitions.n[slot]! + (flight !== null && flight.bytes[slot]! > 0 ? 1 : 0);
