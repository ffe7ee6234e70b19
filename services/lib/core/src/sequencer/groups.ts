/**
 * Groups that stand in LOG or in the flush outstanding: on which accounts, what their lock machines decide, who waits for them.
 *
 * G1. At most one group stands on an account, from the flush that begins it to the flush that ends it; what wants the account
 *     meanwhile waits, and goes out in the flush of the group's `apply` or `abort`, behind it.
 * G2. A decision goes into the first flush with room for it, in the order of decisions. If that append fails, into the next:
 *     until it is in a flush again, its group stands as if it had never been in one.
 * G3. A group's members are unresolved until it ends; those that missed are retries from the decision on, and are sequenced again
 *     when the machine says so.
 */
import { sameBytes } from "../bytes.ts";
import { txBytes } from "../transactions.ts";
import type { GroupProposal } from "../messages.ts";
import type { Position } from "../entries.ts";
import type { PartitionId } from "../ranges.ts";
import { touchAccounts, touchBytes, touchIndex, touchWhy, WHY } from "../touches.ts";
import type { GroupMachine, LockEffect, LockEvent } from "./lock-machine.ts";
import { deadlineOf, isNews, stepGroup } from "./lock-machine.ts";
import { isSilent } from "./partition-table.ts";
import { unparkLater } from "./place.ts";
import { learn } from "./predict.ts";
import type { Retry } from "./retries.ts";
import { addRetry, retryOf } from "./retries.ts";
import { queueList, wake } from "./ready.ts";
import type { Sequencer } from "./state.ts";
import { declaredSetOf } from "./turn.ts";

export interface OpenGroup {
  readonly position: Position;
  readonly home: number; // slot
  readonly participants: readonly number[]; // slots, ascending by partition
  readonly whole: boolean;
  /** Packed (mode, address)*: on all participants. */
  readonly accounts: Uint8Array;
  /** Accounts on which it stands, hex; empty for the whole-system group. */
  readonly keys: readonly string[];
  readonly transactions: Uint8Array;
  readonly senders: Int32Array; // by member
  /** How often a member was in a group that was aborted; the most of any. */
  readonly aborts: number;
  machine: GroupMachine;
  inLogAt: number; // ms; -1 until it is appended
  proposedAt: number; // ms; when its home's proposal came; -1 until then
  /** No flush that ends it is built or being filled. */
  stands: boolean;
  /** What its end says has been noted: misses wait, the prediction has learned. */
  isNoted: boolean;
  /** Its misses, until the machine lets them go. */
  retries: Retry[];
  /** Senders who wait for an account of it; through SenderTable.link. */
  parkedFirst: number;
  parkedLast: number;
}

/** A group's end in a flush. */
export interface GroupEnd {
  group: OpenGroup;
  /** Null: it is aborted. */
  proposal: GroupProposal | null;
  bytes: number;
}

export interface Groups {
  byPosition: Map<string, OpenGroup>;
  /** By account, hex. */
  standing: Map<string, OpenGroup>;
  open: number; // those that stand
  /** The whole-system group, while it stands. */
  whole: OpenGroup | null;
  /** Decisions without room so far. */
  decided: GroupEnd[];
}

export const openGroups = (): Groups => ({ byPosition: new Map(), standing: new Map(), open: 0, whole: null, decided: [] });
export const positionKey = ({ flush, index }: Position): string => `${flush}/${index}`;

/** A group that the flush being built begins. */
export function beginGroup(sequencer: Sequencer, group: OpenGroup): void {
  sequencer.groups.byPosition.set(positionKey(group.position), group);
  stand(sequencer, group);
}

/** From here on its accounts are its own, and its senders have something unresolved. */
function stand({ groups, senders }: Sequencer, group: OpenGroup): void {
  group.stands = true;
  groups.open++;
  if (group.whole) groups.whole = group;
  for (const key of group.keys) groups.standing.set(key, group);
  for (const sender of group.senders) {
    if (senders.flightHome[sender] !== group.home) senders.flightN[sender] = 0;
    senders.flightHome[sender] = group.home;
    senders.flightGroups[sender]!++;
  }
}

/** The group ends with the flush being filled, or never was: its accounts and senders are free. */
export function releaseGroup(sequencer: Sequencer, group: OpenGroup): void {
  const { groups, senders } = sequencer;
  if (!group.stands) return;
  group.stands = false;
  if (groups.open >= sequencer.limits.groupsMax) unparkLater(sequencer); // Who waited for one group less.
  groups.open--;
  if (groups.whole === group) groups.whole = null;
  for (const key of group.keys) if (groups.standing.get(key) === group) groups.standing.delete(key);
  for (const sender of group.senders) {
    senders.flightGroups[sender]!--;
    if (senders.parked[sender] === 1 && senders.flightGroups[sender] === 0) wake(sequencer, sender);
  }
  queueList(sequencer, group.parkedFirst, group.parkedLast);
  group.parkedFirst = -1;
  group.parkedLast = -1;
}

/** The flush with these ends stands nowhere, and neither does what was sequenced behind them: G2. */
export function takeBackEnds(sequencer: Sequencer, ends: readonly GroupEnd[]): void {
  const { groups } = sequencer;
  for (const { group } of ends) if (!group.stands) stand(sequencer, group);
  const later = groups.decided.splice(0);
  for (const { group } of ends) tell(sequencer, group, { type: "appendFailed" });
  groups.decided.push(...later);
  takeEnds(sequencer);
}

/** Takes what a group's home makes of it. One of a group that has ended, or that does not fit the group, changes nothing. */
export function takeProposal(sequencer: Sequencer, proposal: GroupProposal, now: number): void {
  const group = sequencer.groups.byPosition.get(positionKey(proposal.group));
  if (group === undefined || group.inLogAt < 0) return;
  if (!fitsGroup(sequencer, group, proposal)) {
    sequencer.counts.unfitProposals++;
    return;
  }
  if (group.proposedAt < 0) group.proposedAt = now;
  tell(sequencer, group, { type: "proposed", proposal });
}

/** True if it speaks of all members, in order, writes only where the group holds locks, and fits a message. */
function fitsGroup({ partitions, limits }: Sequencer, group: OpenGroup, proposal: GroupProposal): boolean {
  const { home, touches, writes } = proposal;
  if (partitions.ids[group.home] !== home || bytesOf(proposal) > limits.endBytesMax) return false;
  let members = 0;
  for (let at = 0; at < touches.length; at += touchBytes(touches, at)) {
    if (touchBytes(touches, at) === 0 || touchIndex(touches, at) !== group.position.index + 1 + members++) return false;
  }
  return (
    members === group.senders.length && writes.every(([id]) => group.participants.some((slot) => partitions.ids[slot] === id))
  );
}

/** Steps a group's machine and does what it says. */
export function tell(sequencer: Sequencer, group: OpenGroup, event: LockEvent): void {
  if (!isNews(group.machine, event)) return;
  const { machine, effects } = stepGroup(group.machine, event);
  group.machine = machine;
  for (const effect of effects) perform(sequencer, group, effect);
}

function perform(sequencer: Sequencer, group: OpenGroup, effect: LockEffect): void {
  const { groups } = sequencer;
  switch (effect.kind) {
    case "askAgain":
      sequencer.effects.push({ kind: "askAgain" });
      return;
    case "apply":
    case "abort": {
      const proposal = effect.kind === "apply" ? effect.proposal : null;
      groups.decided.push({ group, proposal, bytes: bytesOf(proposal) });
      return takeEnds(sequencer);
    }
    case "retry":
      for (const retry of group.retries) retry.isReady = true;
      return;
    case "done":
      groups.byPosition.delete(positionKey(group.position));
      return;
    case "release": // Its accounts have been free since its end came into a flush: what follows stands behind it in every log.
      return;
  }
}

const bytesOf = (proposal: GroupProposal | null): number =>
  proposal === null ? 0 : proposal.writes.reduce((sum, [, cells]) => sum + cells.length, proposal.results.length);

/** Puts decisions into the flush being filled, as far as there is room; one that is too large alone still goes first. */
export function takeEnds(sequencer: Sequencer): void {
  const { groups, filling, limits } = sequencer;
  while (groups.decided.length > 0) {
    const end = groups.decided[0]!;
    if (filling.bytes > 0 && filling.bytes + end.bytes > limits.flushBytesMax) return;
    groups.decided.shift();
    filling.ends.push(end);
    filling.bytes += end.bytes;
    if (!end.group.stands) continue; // Only with rule abortsCount off.
    if (!end.group.isNoted) noteEnd(sequencer, end);
    releaseGroup(sequencer, end.group);
  }
}

/** Of the members that did what was predicted one in so many is learned from: the others say the same. */
const LEARNED_OF = 8;
const isAsDeclared = (record: Uint8Array, touch: Uint8Array): boolean =>
  isSame(touchAccounts(touch, 0), declaredSetOf(record, 0));
const isSame = (left: Uint8Array, right: Uint8Array): boolean =>
  left.length === right.length && sameBytes(left, 0, right, 0, left.length);

/** Counts and learns from a group's end; its misses wait from here on, until the machine lets them go. */
function noteEnd(sequencer: Sequencer, { group, proposal }: GroupEnd): void {
  const { counts, predictor } = sequencer;
  group.isNoted = true;
  const touches = proposal?.touches;
  if (touches === undefined) counts.aborts++;
  let [at, touchAt] = [0, 0];
  for (let member = 0; member < group.senders.length; member++) {
    const record = group.transactions.subarray(at, at + txBytes(group.transactions, at));
    at += record.length;
    let touch: Uint8Array | null = null;
    if (touches !== undefined) {
      touch = touches.subarray(touchAt, touchAt + touchBytes(touches, touchAt));
      touchAt += touch.length;
      const why = touchWhy(touch, 0);
      counts.ends[why]!++;
      const teaches = why === WHY.outside || member % LEARNED_OF === 0 || !isAsDeclared(record, touch);
      if (teaches && (why === WHY.complete || why === WHY.outside)) learn(predictor, record, touch);
      if (why === WHY.complete) continue;
    }
    const retry = retryOf(sequencer, group.senders[member]!, record, touch);
    retry.origin = group;
    if (touch === null) retry.aborts = group.aborts + 1;
    group.retries.push(retry);
    addRetry(sequencer, retry);
  }
}

/** Indexes of the members that missed, packed u32. */
export function missesOf({ touches }: GroupProposal): Uint8Array {
  const missed: number[] = [];
  for (let at = 0; at < touches.length; at += touchBytes(touches, at)) {
    if (touchWhy(touches, at) !== WHY.complete) missed.push(touchIndex(touches, at));
  }
  const packed = new Uint8Array(missed.length * 4);
  const view = new DataView(packed.buffer);
  missed.forEach((index, number) => view.setUint32(number * 4, index, true));
  return packed;
}

/** Time went on: deadlines, and partitions that fell silent or are back. */
export function tickGroups(sequencer: Sequencer, now: number): void {
  const { groups, partitions, limits } = sequencer;
  partitions.lanes.forEach((lane, slot) => {
    const isNowSilent = isSilent(partitions, slot, now, limits.silentMs);
    if (isNowSilent === lane.isToldSilent) return;
    lane.isToldSilent = isNowSilent;
    const participant = partitions.ids[slot]!;
    for (const group of [...groups.byPosition.values()]) {
      tell(sequencer, group, { type: isNowSilent ? "silent" : "back", participant });
    }
  });
  for (const group of [...groups.byPosition.values()]) {
    const at = deadlineOf(group.machine);
    if (at !== null && at <= now) tell(sequencer, group, { type: "deadline", at: now });
  }
}

/** What a report says of groups: who holds its locks. */
export function noteHeld(
  sequencer: Sequencer,
  participant: PartitionId,
  said: readonly { group: Position; held: boolean }[],
  now: number,
): void {
  for (const { group: position, held } of said) {
    if (!held) continue;
    const group = sequencer.groups.byPosition.get(positionKey(position));
    if (group !== undefined) tell(sequencer, group, { type: "heldBy", participant, at: now });
  }
}

/** The flush that begins or ends these groups is in LOG. */
export function groupsAppended(sequencer: Sequencer, begun: readonly OpenGroup[], ends: readonly GroupEnd[], now: number): void {
  const { partitions, counts } = sequencer;
  for (const group of begun) {
    group.inLogAt = now;
    tell(sequencer, group, { type: "appended", at: now });
    for (const slot of group.participants) {
      if (partitions.lanes[slot]!.isToldSilent) tell(sequencer, group, { type: "silent", participant: partitions.ids[slot]! });
    }
  }
  for (const { group, proposal } of ends) {
    if (counts.heldMs.length < HELD_MAX) {
      counts.heldMs.push(now - group.inLogAt);
      if (proposal !== null) counts.proposedMs.push(group.proposedAt - group.inLogAt);
    }
    tell(sequencer, group, { type: proposal === null ? "abortAppended" : "applyAppended" });
  }
}

/** Measures kept until the shell takes them. */
const HELD_MAX = 4_096;
