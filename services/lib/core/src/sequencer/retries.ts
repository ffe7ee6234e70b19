/**
 * Transactions that missed, until they stand in LOG again. They are accepted: nobody is asked and none is refused.
 *
 * R1. A sender's retries are sequenced in the order of their nonces, and before anything newer of that sender.
 * R2. They begin when everything of the sender is resolved: then all that follow a miss have missed too and are here.
 * R3. Only a miss for what it touched, or for how long it took to find that out (`exceeded`), counts as an attempt. After
 *     `ATTEMPTS_MAX` a transaction waits for the whole-system group.
 * R4. After a takeover they begin when all local transactions found in LOG are settled: until then a miss may not be known.
 * R5. One that asked for the hash of a block without a seal waits until that seal stands in LOG.
 */
import { hexOf } from "../bytes.ts";
import { unionModes } from "../modes/union-modes.ts";
import { touchAccounts, touchValue, touchWhy, WHY } from "../touches.ts";
import { ATTEMPTS_MAX, DECLARED_BYTES, TX, txAttempt, txGasLimit, txNonce } from "../transactions.ts";
import { fillingFlush, isResolved } from "./flights.ts";
import type { OpenGroup } from "./groups.ts";
import { areSettled } from "./partition-table.ts";
import { PLACED, placeTurn } from "./place.ts";
import { wake } from "./ready.ts";
import type { Sequencer } from "./state.ts";
import { declaredSetOf, turnOfRetry } from "./turn.ts";

export interface Retry {
  readonly sender: number;
  readonly nonce: number;
  readonly record: Uint8Array;
  readonly set: Uint8Array;
  readonly attempt: number;
  readonly gas: number;
  /** Number of the block whose seal it waits for; -1 for none. */
  readonly seal: number;
  /** How often it was in a group that was aborted. */
  aborts: number;
  /** The group in which it missed, if it was one. */
  origin: OpenGroup | null;
  isReady: boolean;
  /** No predecessor of it is unresolved. */
  isFirst: boolean;
  /** The group that stood in its way last. */
  behind: OpenGroup | null;
}

/** One sender's retries. */
export interface Retrying {
  items: Retry[]; // by nonce
  /** Others that follow may still come. */
  isCollecting: boolean;
}

export interface Retries {
  bySender: Map<number, Retrying>;
  count: number;
  /** After a takeover: hashes that stand in the open block more than once, with the flush and index of the last. */
  sequencedAgain: Map<string, { flush: number; index: number }>;
  /** After a takeover: local misses of the open block may not be known yet. */
  isLearning: boolean;
}

export const openRetries = (): Retries => ({ bySender: new Map(), count: 0, sequencedAgain: new Map(), isLearning: false });

/** Factor of `declaredMax` up to which what was touched is declared; above it the whole-system group is the better way. */
const TOUCHED_FACTOR = 4;

/** @param touch packed touch record of the miss; null for a member of an aborted group */
export function retryOf({ limits }: Sequencer, sender: number, record: Uint8Array, touch: Uint8Array | null): Retry {
  const why = touch === null ? WHY.deferred : touchWhy(touch, 0);
  let set = declaredSetOf(record, 0);
  let attempt = txAttempt(record, 0);
  if (why === WHY.exceeded) attempt = Math.min(attempt + 1, ATTEMPTS_MAX);
  if (touch !== null && why === WHY.outside) {
    const larger = unionModes(set, touchAccounts(touch, 0));
    const isTooLarge = larger.length > limits.declaredMax * TOUCHED_FACTOR * DECLARED_BYTES;
    attempt = isTooLarge ? ATTEMPTS_MAX : Math.min(attempt + 1, ATTEMPTS_MAX);
    if (!isTooLarge) set = larger;
  }
  const seal = touch !== null && why === WHY.unsealed ? touchValue(touch, 0) : -1;
  return {
    ...{ sender, record, set, attempt, seal, nonce: txNonce(record, 0), gas: txGasLimit(record, 0) },
    ...{ aborts: 0, origin: null, isReady: false, isFirst: false, behind: null },
  };
}

/** Puts one into its sender's list. */
export function addRetry(sequencer: Sequencer, retry: Retry): void {
  const { retries, senders } = sequencer;
  let retrying = retries.bySender.get(retry.sender);
  if (retrying === undefined) {
    retrying = { items: [], isCollecting: true };
    retries.bySender.set(retry.sender, retrying);
  }
  const behind = retrying.items.findIndex(({ nonce }) => nonce > retry.nonce);
  retrying.items.splice(behind < 0 ? retrying.items.length : behind, 0, retry);
  retrying.isCollecting = true;
  senders.careful[retry.sender] = 1;
  retries.count++;
}

/** Sequences what can be. Goes on while a block drains: it is what the block waits for. Costs the same however many wait. */
export function pumpRetries(sequencer: Sequencer, now: number): void {
  const { retries, groups, filling, limits } = sequencer;
  retries.isLearning &&= !areSettled(sequencer.partitions);
  if (retries.isLearning || retries.count === 0 || groups.whole !== null || filling.candidates.whole) return;
  for (const sender of firstSenders(retries, limits.retrySendersMax)) {
    const retrying = retries.bySender.get(sender);
    if (retrying === undefined) continue;
    if (!pumpRetrying(sequencer, sender, retrying, now)) return; // It keeps its place.
    if (retries.bySender.size <= limits.retrySendersMax || !retries.bySender.delete(sender)) continue;
    retries.bySender.set(sender, retrying); // Behind those that were not looked at.
  }
}

function firstSenders({ bySender }: Retries, max: number): number[] {
  const senders: number[] = [];
  for (const sender of bySender.keys()) if (senders.push(sender) >= max) break;
  return senders;
}

/** One sender's turn; false if there is no room. */
function pumpRetrying(sequencer: Sequencer, sender: number, retrying: Retrying, now: number): boolean {
  if (isBlocked(sequencer, sender, retrying)) return true;
  while (retrying.items.length > 0) {
    const retry = retrying.items[0]!;
    if (!mayGo(sequencer, retry) || retry.attempt >= ATTEMPTS_MAX) return true;
    const outcome = placeTurn(sequencer, turnOfRetry(sequencer, retry), now);
    if (outcome === PLACED.noRoom) return false;
    if (outcome === PLACED.behindGroup) retry.behind = sequencer.inTheWay;
    if (outcome !== PLACED.sequenced) return true;
    takeFirst(sequencer, sender, retrying);
  }
  return true;
}

/** True while a sender's retries cannot begin. */
function isBlocked(sequencer: Sequencer, sender: number, retrying: Retrying): boolean {
  if (!retrying.isCollecting) return false;
  // A member of a group that is not built yet counts from its build on; it follows what missed.
  if (!isResolved(sequencer, sender) || sequencer.senders.memberFlush[sender] === fillingFlush(sequencer)) return true;
  retrying.isCollecting = false;
  retrying.items.forEach((retry, index) => (retry.isFirst = index === 0));
  return false;
}

const mayGo = ({ blocks }: Sequencer, { isReady, seal, behind }: Retry): boolean =>
  isReady && (seal < 0 || seal <= blocks.latest.number) && (behind === null || !behind.stands);

function takeFirst(sequencer: Sequencer, sender: number, retrying: Retrying): void {
  const { retries, senders } = sequencer;
  retrying.items.shift();
  retries.count--;
  if (retrying.items.length > 0) return;
  retries.bySender.delete(sender);
  if (senders.parked[sender] === 1) wake(sequencer, sender);
}

/** True if everything left waits for the whole-system group: its turn has come. */
export function isWholeDue(sequencer: Sequencer): boolean {
  const { retries } = sequencer;
  if (retries.count === 0) return false;
  for (const [sender, { items }] of retries.bySender) {
    const first = items[0]!;
    if (first.attempt < ATTEMPTS_MAX || !mayGo(sequencer, first) || !isResolved(sequencer, sender)) return false;
  }
  return true;
}

/** Makes the whole-system group of what waits for it, as far as one group goes. */
export function placeWhole(sequencer: Sequencer, now: number): void {
  const { retries, filling } = sequencer;
  filling.candidates.whole = true;
  for (const [sender, retrying] of [...retries.bySender]) {
    if (isBlocked(sequencer, sender, retrying)) continue;
    while (retrying.items.length > 0 && retrying.items[0]!.attempt >= ATTEMPTS_MAX && mayGo(sequencer, retrying.items[0]!)) {
      if (placeTurn(sequencer, turnOfRetry(sequencer, retrying.items[0]!), now) !== PLACED.sequenced) break;
      takeFirst(sequencer, sender, retrying);
    }
  }
  if (filling.candidates.members.length === 0) filling.candidates.whole = false;
}

/** After a takeover: true if the transaction stands in LOG again behind this miss. */
export function isSequencedAgain({ retries }: Sequencer, record: Uint8Array, flush: number, index: number): boolean {
  if (retries.sequencedAgain.size === 0) return false;
  const last = retries.sequencedAgain.get(hexOf(record, TX.hash, TX.hash + 32));
  return last !== undefined && (last.flush > flush || (last.flush === flush && last.index > index));
}
