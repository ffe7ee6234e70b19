/**
 * What stands in the open block when a leader takes over: all of it is unresolved until reported, all before it is resolved.
 *
 * W1. The newest position of a transaction counts; the ones before it are misses that stand in LOG again.
 * W2. A group without `apply` or `abort` begins anew in `acquiring`. The members of a group that has ended and that missed there
 *     are sequenced again, unless they stand in LOG again. Why they missed is not in LOG: they are tried as they were.
 * W3. Local misses are said again by their partitions from the first of the block on.
 */
import { assert } from "../assert.ts";
import { hexOf, readU32 } from "../bytes.ts";
import type { Entry, GroupEntry, LogMessage, Position } from "../entries.ts";
import type { PartitionId } from "../ranges.ts";
import { DECLARED_BYTES, MODE, TX, txBytes, txIndex, txNonce } from "../transactions.ts";
import type { OpenGroup } from "./groups.ts";
import { positionKey, tell } from "./groups.ts";
import { openGroupMachine } from "./lock-machine.ts";
import { slotOf } from "./partition-table.ts";
import { addRetry, retryOf } from "./retries.ts";
import { addSender, findSender, SENDER } from "./sender-table.ts";
import type { Sequencer } from "./state.ts";

/** A transaction at one of its positions in the open block. */
interface Sequenced {
  record: Uint8Array;
  hash: string;
  position: Position;
  home: PartitionId;
  n: number;
  /** The `group` entry it stands behind; null for a local one. */
  group: LearnedGroup | null;
}
interface LearnedGroup {
  entry: GroupEntry;
  position: Position;
  home: PartitionId;
  end: { kind: "apply"; misses: Set<number> } | { kind: "abort" } | null;
}

export interface LearnedWork {
  /** Flush of the last block, or of genesis. */
  blockFlush: number;
  /** By partition: n of the message with that block. */
  blockN: [PartitionId, number][];
  /** In the order of positions. */
  transactions: Sequenced[];
  groups: LearnedGroup[];
}

/** Everything behind the last block of these logs. */
export function learnWork(ends: readonly { partition: PartitionId; messages: readonly LogMessage[] }[]): LearnedWork {
  const work: LearnedWork = { blockFlush: 0, blockN: [], transactions: [], groups: [] };
  const groups = new Map<string, LearnedGroup>();
  const endings: { partition: PartitionId; entry: Entry }[] = [];
  for (const { partition, messages } of ends) {
    const last = messages.findLastIndex(({ entries }) => entries.some(({ kind }) => kind === "block" || kind === "genesis"));
    const boundary = messages[last];
    assert(boundary !== undefined, `log of partition ${partition} does not reach back to a block`);
    work.blockFlush = boundary.flush;
    work.blockN.push([partition, boundary.n]);
    for (const message of messages.slice(last + 1)) {
      for (const entry of message.entries) {
        if (entry.kind === "run") addRecords(work, entry.transactions, partition, message, null);
        else if (entry.kind === "apply" || entry.kind === "abort") endings.push({ partition, entry });
        else if (entry.kind === "group") {
          const position = { flush: message.flush, index: entry.index };
          const group: LearnedGroup = { entry, position, home: partition, end: null };
          groups.set(positionKey(position), group);
          work.groups.push(group);
          addRecords(work, entry.transactions, partition, message, group);
        }
      }
    }
  }
  for (const { partition, entry } of endings) noteEnd(groups, partition, entry);
  work.transactions.sort((left, right) => comparePositions(left.position, right.position));
  return work;
}

const comparePositions = (left: Position, right: Position): number => left.flush - right.flush || left.index - right.index;

function addRecords(
  { transactions }: LearnedWork,
  records: Uint8Array,
  home: PartitionId,
  { n, flush }: LogMessage,
  group: LearnedGroup | null,
): void {
  for (let at = 0; at < records.length; at += txBytes(records, at)) {
    const record = records.subarray(at, at + txBytes(records, at));
    const hash = hexOf(record, TX.hash, TX.hash + 32);
    transactions.push({ record, hash, position: { flush, index: txIndex(record, 0) }, home, n, group });
  }
}

/** The home's log tells; the first end of a group counts. */
function noteEnd(groups: ReadonlyMap<string, LearnedGroup>, partition: PartitionId, entry: Entry): void {
  if (entry.kind !== "apply" && entry.kind !== "abort") return;
  const group = groups.get(positionKey(entry.group));
  if (group === undefined || group.home !== partition || group.end !== null) return;
  if (entry.kind === "abort") group.end = { kind: "abort" };
  else {
    const misses = new Set<number>();
    for (let at = 0; at < entry.misses.length; at += 4) misses.add(readU32(entry.misses, at));
    group.end = { kind: "apply", misses };
  }
}

/** Puts a new leader's bookkeeping where the old one's was, as far as LOG tells it. */
export function restoreWork(sequencer: Sequencer, work: LearnedWork, now: number): void {
  const { partitions, retries } = sequencer;
  for (const [partition, n] of work.blockN) partitions.lanes[slotOf(partitions, partition)]!.settled = n;
  retries.isLearning = work.transactions.length > 0;
  const newest = new Map<string, Sequenced>();
  for (const sequenced of work.transactions) {
    if (newest.has(sequenced.hash)) retries.sequencedAgain.set(sequenced.hash, sequenced.position);
    newest.set(sequenced.hash, sequenced);
  }
  const open = new Map<LearnedGroup, { opened: OpenGroup; members: Sequenced[] }>();
  const byGroup = Map.groupBy(work.transactions, ({ group }) => group);
  for (const group of work.groups) {
    const members = byGroup.get(group) ?? [];
    const senders = Int32Array.from(members, ({ record }) => senderOf(sequencer, record));
    open.set(group, { opened: openLearned(sequencer, group, senders, now), members });
  }
  for (const sequenced of work.transactions) restoreFlight(sequencer, sequenced);
  for (const [group, { opened, members }] of open) {
    const left = members.filter(({ hash, position }) => isLeft(group, position.index) && newest.get(hash)?.position === position);
    if (group.end === null) tell(sequencer, opened, { type: "appended", at: now });
    else endLearned(sequencer, opened, group.end.kind, left);
  }
}

const isLeft = ({ end }: LearnedGroup, index: number): boolean => end !== null && (end.kind === "abort" || end.misses.has(index));

/** The sender of a record that stands in the open block; its nonce is known from there. */
function senderOf({ senders, flushAcknowledged }: Sequencer, record: Uint8Array): number {
  const found = findSender(senders, record, TX.sender);
  if (found >= 0) return found;
  const sender = addSender(senders, record, TX.sender, flushAcknowledged);
  assert(sender >= 0, "the open block has more senders than are remembered");
  senders.state[sender] = SENDER.known;
  return sender;
}

function restoreFlight(sequencer: Sequencer, { record, position, home, n, group }: Sequenced): void {
  const { senders, partitions } = sequencer;
  const sender = senderOf(sequencer, record);
  const slot = slotOf(partitions, home);
  const nonce = txNonce(record, 0);
  if (nonce >= senders.next[sender]!) {
    senders.next[sender] = nonce + 1;
    senders.lastHash.set(record.subarray(TX.hash, TX.hash + 32), sender * 32);
  }
  senders.lastFlush[sender] = position.flush;
  senders.topFlush[sender] = position.flush;
  senders.topIndex[sender] = position.index;
  if (senders.flightHome[sender] !== slot) senders.flightN[sender] = 0;
  senders.flightHome[sender] = slot;
  if (group !== null) return;
  senders.flightN[sender] = n;
  const lane = partitions.lanes[slot]!;
  lane.workN = Math.max(lane.workN, n);
}

function openLearned(
  sequencer: Sequencer,
  { entry, position, home, end }: LearnedGroup,
  members: Int32Array,
  now: number,
): OpenGroup {
  const { partitions, groups, senders, limits, rules } = sequencer;
  const { participants, accounts, whole, transactions } = entry;
  const keys: string[] = [];
  for (let at = 0; at < accounts.length; at += DECLARED_BYTES) {
    if (accounts[at] !== MODE.code) keys.push(hexOf(accounts, at + 1, at + DECLARED_BYTES));
  }
  const lockGroup = { position, home, participants, members: members.length, aborts: 0 };
  const group: OpenGroup = {
    ...{ position, whole, accounts, keys, transactions, senders: members, aborts: 0, inLogAt: now, proposedAt: -1 },
    ...{ stands: end === null, isNoted: end !== null },
    ...{ home: slotOf(partitions, home), participants: participants.map((id) => slotOf(partitions, id)) },
    ...{ machine: openGroupMachine(lockGroup, limits.lock, rules), retries: [], parkedFirst: -1, parkedLast: -1 },
  };
  groups.byPosition.set(positionKey(position), group);
  if (end !== null) return group;
  groups.open++;
  if (whole) groups.whole = group;
  for (const key of keys) groups.standing.set(key, group);
  for (const sender of members) senders.flightGroups[sender]!++;
  return group;
}

/** A group that has ended: what missed and does not stand in LOG again is sequenced again. */
function endLearned(sequencer: Sequencer, group: OpenGroup, by: "apply" | "abort", left: readonly Sequenced[]): void {
  for (const { record } of left) {
    const retry = retryOf(sequencer, senderOf(sequencer, record), record, null);
    retry.origin = group;
    group.retries.push(retry);
    addRetry(sequencer, retry);
  }
  tell(sequencer, group, { type: "ended", by, members: left.map(({ position }) => position.index) });
}
