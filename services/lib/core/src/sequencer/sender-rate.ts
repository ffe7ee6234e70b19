/**
 * The cap of one sender: a steady rate with a burst. Only what is sequenced or waits for it counts against a sender, not what was
 * sequenced before, comes twice or is refused at once: anybody can send a stranger's old transactions again.
 */
import type { Sequencer } from "./state.ts";

/** How many more records of this sender are within its rate. `arrival` is when the next would be due at the steady rate. */
export function withinRate({ senders, limits }: Sequencer, sender: number, now: number): number {
  const ahead = Math.max(senders.arrival[sender]! - now, 0);
  // The clock's fractions must not cost a record of the burst.
  return Math.max(0, Math.floor(limits.senderBurst - (ahead * limits.senderRatePerSecond) / 1000 + 1e-6));
}

/** Counts records that were sequenced or wait. */
export function chargeSender({ senders, limits }: Sequencer, sender: number, count: number, now: number): void {
  senders.arrival[sender] = Math.max(senders.arrival[sender]!, now) + (count * 1000) / limits.senderRatePerSecond;
}

/** Takes so many back. */
export function refundSender({ senders, limits }: Sequencer, sender: number, count: number): void {
  senders.arrival[sender]! -= (count * 1000) / limits.senderRatePerSecond;
}
