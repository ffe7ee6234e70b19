/**
 * A transaction at its turn: what it declares, hence which partitions take part. One object of this kind is used again and again,
 * so that a local transaction costs no object.
 *
 * D1. Declared is what the record says, what is predicted, and the sender of a first transaction whose account may not exist yet.
 * D2. It is local if one partition owns all accounts that it reads or writes, and all whose code it runs; else a group's member.
 */
import { DECLARED_BYTES, MODE, TX, TX_HEADER_BYTES, txBytes, txDeclared, txGasLimit, txNonce } from "../transactions.ts";
import { unionModes } from "../modes/union-modes.ts";
import type { RangeIndex } from "../ranges.ts";
import type { PartitionTable } from "./partition-table.ts";
import { slotOf } from "./partition-table.ts";
import { predict, withPrediction } from "./predict.ts";
import type { Retry } from "./retries.ts";
import { SENDER } from "./sender-table.ts";
import type { Sequencer } from "./state.ts";
import { ownerOfSender } from "./state.ts";

export interface Turn {
  payload: Uint8Array;
  at: number;
  sender: number;
  submit: number; // -1 for one that is sequenced again
  record: number;
  retry: Retry | null;
  /** Slot of the partition that gets the nonce record; -1 for one that is sequenced again. */
  owner: number;
  /** The declared set where it is not the record's own. */
  set: Uint8Array | null;
  /** Slot of the only partition that takes part; -1 for a group's member. */
  home: number;
  /** Slots of a member's participants, and of partitions that own code which it runs. */
  readonly participants: number[];
  readonly codeOwners: number[];
  bytes: number; // of the record as it will stand in LOG
  accountsBytes: number; // what its group's accounts grow by, at most; 0 for a local one
  gas: number;
}

export const openTurn = (): Turn => ({
  payload: new Uint8Array(0),
  at: 0,
  sender: -1,
  submit: -1,
  record: -1,
  retry: null,
  owner: -1,
  set: null,
  home: -1,
  participants: [],
  codeOwners: [],
  bytes: 0,
  accountsBytes: 0,
  gas: 0,
});

/** A submitted record's turn. */
export function turnOf(sequencer: Sequencer, sender: number, submit: number, record: number, at: number): Turn {
  const { turn } = sequencer;
  turn.payload = sequencer.submits.payloads[submit]!;
  turn.at = at;
  turn.sender = sender;
  turn.submit = submit;
  turn.record = record;
  turn.retry = null;
  turn.owner = ownerOfSender(sequencer, sender);
  turn.set = predictedSet(sequencer, turn);
  return route(sequencer, turn);
}

/** The turn of one that is sequenced again: its set is known. */
export function turnOfRetry(sequencer: Sequencer, retry: Retry): Turn {
  const { turn } = sequencer;
  turn.payload = retry.record;
  turn.at = 0;
  turn.sender = retry.sender;
  turn.submit = -1;
  turn.record = -1;
  turn.retry = retry;
  turn.owner = -1;
  turn.set = retry.set;
  return route(sequencer, turn);
}

/** The declared set that stands in a record, a view. */
export const declaredSetOf = (records: Uint8Array, at: number): Uint8Array =>
  records.subarray(at + TX.declaredSet, at + TX_HEADER_BYTES + DECLARED_BYTES * txDeclared(records, at));

/** Null in the usual case: the record's own set is all there is. */
function predictedSet(sequencer: Sequencer, { payload, at, sender }: Turn): Uint8Array | null {
  const { senders, rules } = sequencer;
  const predicted = predict(sequencer.predictor, payload, at);
  const isUnfunded = senders.funded[sender] === 0 && senders.state[sender] === SENDER.known;
  const isFirst = isUnfunded && txNonce(payload, at) === 0 && rules.firstDeclares; // Rule firstDeclares
  if (predicted === null && !isFirst) return null;
  const own = declaredSetOf(payload, at);
  let set = own;
  if (predicted !== null) {
    const all = withPrediction(payload, at, own, predicted);
    // A prediction is only advice: one that leads too far is not taken.
    if (all.length <= sequencer.limits.declaredMax * DECLARED_BYTES) set = all;
  }
  if (!isFirst) return set;
  const self = new Uint8Array(DECLARED_BYTES);
  self[0] = MODE.write;
  self.set(payload.subarray(at + TX.sender, at + TX.sender + 20), 1);
  return unionModes(set, self);
}

function route(sequencer: Sequencer, turn: Turn): Turn {
  const { payload, at, set } = turn;
  const { partitions, ranges } = sequencer;
  turn.gas = txGasLimit(payload, at);
  turn.bytes = txBytes(payload, at);
  const own = txDeclared(payload, at) * DECLARED_BYTES;
  if (set === null) turn.home = onlyHome(partitions, ranges, payload, at + TX.declaredSet, own);
  else {
    turn.bytes += set.length - own;
    turn.home = onlyHome(partitions, ranges, set, 0, set.length);
  }
  turn.accountsBytes = turn.home < 0 ? (set?.length ?? own) : 0;
  if (turn.home < 0) collect(partitions, ranges, turn, set ?? declaredSetOf(payload, at));
  return turn;
}

/** The one partition that owns everything in a set; -1 if there are several, or none. */
function onlyHome(partitions: PartitionTable, ranges: RangeIndex, set: Uint8Array, start: number, length: number): number {
  let home = -1;
  let hasCode = false;
  for (let at = start; at < start + length; at += DECLARED_BYTES) {
    if (set[at] === MODE.code) {
      hasCode = true;
      continue;
    }
    const slot = slotOf(partitions, ranges.ownerOf(set, at + 1));
    if (home >= 0 && slot !== home) return -1;
    home = slot;
  }
  if (!hasCode) return home;
  for (let at = start; at < start + length; at += DECLARED_BYTES) {
    if (set[at] === MODE.code && slotOf(partitions, ranges.ownerOf(set, at + 1)) !== home) return -1;
  }
  return home;
}

function collect(partitions: PartitionTable, ranges: RangeIndex, turn: Turn, set: Uint8Array): void {
  turn.participants.length = 0;
  turn.codeOwners.length = 0;
  for (let at = 0; at < set.length; at += DECLARED_BYTES) {
    const slot = slotOf(partitions, ranges.ownerOf(set, at + 1));
    const list = set[at] === MODE.code ? turn.codeOwners : turn.participants;
    if (!list.includes(slot)) list.push(slot);
  }
}
