/**
 * The cap of one sender: a steady rate with a burst. Only what is sequenced or waits for it counts against a sender, not what was
 * sequenced before, comes twice or is refused at once: anybody can send a stranger's old transactions again.
 */
import type { Sequencer } from "./state.ts";

/** True if one more record of this sender is within its rate. `arrival` is when it would be due at the steady rate. */
export function isWithinRate({ senders, limits }: Sequencer, sender: number, now: number): boolean {
  const due = Math.max(senders.arrival[sender]!, now);
  return due - now <= ((limits.senderBurst - 1) * 1000) / limits.senderRatePerSecond;
}

/** Counts a record that was sequenced or waits. */
export function chargeSender({ senders, limits }: Sequencer, sender: number, now: number): void {
  senders.arrival[sender] = Math.max(senders.arrival[sender]!, now) + 1000 / limits.senderRatePerSecond;
}

/** Takes one `chargeSender` back. */
export function refundSender({ senders, limits }: Sequencer, sender: number): void {
  senders.arrival[sender]! -= 1000 / limits.senderRatePerSecond;
}
