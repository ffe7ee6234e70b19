/** The rest of a leader's life: what partitions and archives say, time, and the end of the term. */
import type { Beat, Built, GroupProposal, Report, SubmitCode } from "../messages.ts";
import { SUBMIT } from "../messages.ts";
import { sendAsks } from "./asks.ts";
import { noteBuilt } from "./chain-blocks.ts";
import { fill } from "./flush.ts";
import { noteHeld, takeProposal, tickGroups } from "./groups.ts";
import { settled } from "./misses.ts";
import { noteHandOvers, tickMoves } from "./moves.ts";
import { isOutFull, noteReport } from "./partition-table.ts";
import { pump, unpark } from "./place.ts";
import { SENDER } from "./sender-table.ts";
import type { Sequencer, SequencerEffect } from "./state.ts";
import { ownerOfSender, settle, settleAll } from "./state.ts";
import { closeSubmit, isUndecided } from "./submits.ts";
import { WAIT, earliestDeadline, overdue, removeWaiting } from "./waiting.ts";

/** Takes what a partition says of itself. */
export function takeReport(sequencer: Sequencer, report: Report, now: number): void {
  const slot = noteReport(sequencer.partitions, report, now, sequencer.limits.silentMs);
  if (slot < 0) return;
  noteHeld(sequencer, report.partition, report.groups, now);
  noteHandOvers(sequencer, report);
  unpark(sequencer, now);
  settled(sequencer, slot, now);
}

/** What a group's home, or a partition of its misses, says: see `takeProposal`, `takeMisses`. */
export function takeGroupProposal(sequencer: Sequencer, proposal: GroupProposal, now: number): void {
  takeProposal(sequencer, proposal, now);
  pump(sequencer, now);
}

/** Takes a block that an archive built. */
export function takeBuilt(sequencer: Sequencer, built: Built): void {
  const first = noteBuilt(sequencer.blocks, built, sequencer.limits.unsealedMax);
  if (first === undefined) return;
  const { number, hash, archive } = built;
  sequencer.effects.push({ kind: "unequalBlocks", number, first, other: hash, archive });
}

/** Time went on: what waited too long is refused. Call it at least every 100 ms or so while something waits. */
export function tickSequencer(sequencer: Sequencer, now: number): void {
  const { waiting, partitions, limits } = sequencer;
  for (let node = overdue(waiting, now); node >= 0; node = overdue(waiting, now)) expire(sequencer, node, SUBMIT.busy);
  if (now < sequencer.fullUntil || isOutFull(partitions, now, limits.silentMs)) {
    // What waits for room, or for what was refused before it, would wait in vain.
    for (const reason of [WAIT.ready, WAIT.gap]) {
      for (let node = waiting.heads[reason]!; node >= 0; node = waiting.heads[reason]!) expire(sequencer, node, SUBMIT.logFull);
    }
  }
  tickGroups(sequencer, now);
  tickMoves(sequencer, now);
  fill(sequencer, now);
  sendAsks(sequencer, now);
}

/** When `tickSequencer` has something to refuse, ms; Infinity if nothing waits. */
export const nextDeadline = (sequencer: Sequencer): number => earliestDeadline(sequencer.waiting);

/** @param noRoom why those whose turn it is could not go */
function expire(sequencer: Sequencer, node: number, noRoom: SubmitCode): void {
  const { senders, waiting, partitions } = sequencer;
  const sender = waiting.sender[node]!;
  const submit = waiting.submit[node]!;
  const [record, records] = [waiting.record[node]!, waiting.records[node]!];
  const behindNext = waiting.nonce[node]! - senders.next[sender]!;
  if (senders.state[sender] === SENDER.asking) {
    const owner = partitions.ids[ownerOfSender(sequencer, sender)]!;
    settleAll(sequencer, submit, record, records, SUBMIT.partitionSilent, owner);
  } else if (behindNext < senders.ready[sender]!) {
    settleAll(sequencer, submit, record, records, noRoom, 0);
    senders.ready[sender] = behindNext; // The ones after it stand behind a gap now.
  } else if (noRoom === SUBMIT.logFull) {
    settleAll(sequencer, submit, record, records, noRoom, 0);
  } else {
    settleAll(sequencer, submit, record, records, SUBMIT.nonceTooHigh, senders.next[sender]!);
  }
  removeWaiting(waiting, senders, node);
}

/** This process writes no more: everything undecided is answered `notLeader`. Call nothing but `takeEffects` afterwards. */
export function stepDown(sequencer: Sequencer): void {
  const { submits } = sequencer;
  submits.payloads.forEach((payload, submit) => {
    if (payload === undefined) return;
    for (let record = 0; record < submits.codes[submit]!.length; record++) {
      if (isUndecided(submits, submit, record)) settle(sequencer, submit, record, SUBMIT.notLeader, 0);
    }
  });
}

/** What the shell has to do, in this order. */
export function takeEffects(sequencer: Sequencer): SequencerEffect[] {
  const { submits, term, positions } = sequencer;
  for (const submit of submits.decided) {
    sequencer.effects.push({ kind: "reply", submit, reply: { term, ...closeSubmit(submits, submit), positions } });
  }
  submits.decided = [];
  const { effects } = sequencer;
  sequencer.effects = [];
  return effects;
}

/** What the leader says to all. */
export function beatOf(sequencer: Sequencer, leader: string): Beat {
  const { blocks, term, flushAcknowledged, ranges, positions, partitions } = sequencer;
  return {
    term,
    leader,
    flush: flushAcknowledged,
    latest: { ...blocks.latest },
    open: { number: blocks.open.number, timestamp: blocks.open.timestamp },
    draining: sequencer.isDraining,
    missesTaken: partitions.lanes.flatMap(({ missesTaken }, slot) =>
      missesTaken > 0 ? [[partitions.ids[slot]!, missesTaken]] : [],
    ),
    mapVersion: ranges.map.version,
    positions,
  };
}
