/** Lists of senders whose turn it is, or who wait for something before it can be: through SenderTable.link. */
import type { Sequencer } from "./state.ts";

/** Their turn is behind that of all others. */
export function queueLast(sequencer: Sequencer, sender: number): void {
  const { senders } = sequencer;
  senders.queued[sender] = 1;
  senders.link[sender] = -1;
  if (sequencer.readyLast < 0) sequencer.readyFirst = sender;
  else senders.link[sequencer.readyLast] = sender;
  sequencer.readyLast = sender;
}

/** A whole list has its turn; -1, -1 if it is empty. */
export function queueList(sequencer: Sequencer, first: number, last: number): void {
  if (first < 0) return;
  if (sequencer.readyLast < 0) sequencer.readyFirst = first;
  else sequencer.senders.link[sequencer.readyLast] = first;
  sequencer.readyLast = last;
}

/** A sender that waited for its own transactions has its turn. */
export function wake(sequencer: Sequencer, sender: number): void {
  sequencer.senders.parked[sender] = 0;
  queueLast(sequencer, sender);
}
