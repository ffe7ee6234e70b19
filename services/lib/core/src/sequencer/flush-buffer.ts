/**
 * One flush while it is filled and while its append is outstanding: which records are in it, in order, where they go, and what
 * has to be put back if the append fails. Records are copied only once, when the flush is built. Local transactions stand in
 * typed columns; members of groups, and what is sequenced again, are objects.
 */
import { NONCE_BYTES } from "../transactions.ts";
import type { Candidates } from "./candidates.ts";
import { clearCandidates, openCandidates } from "./candidates.ts";
import type { GroupEnd, OpenGroup } from "./groups.ts";
import type { Retry } from "./retries.ts";
import type { SenderTable } from "./sender-table.ts";
import type { Turn } from "./turn.ts";

export interface FlushBuffer {
  count: number; //    local transactions
  gas: number; //      sum of declared gas limits
  blockGas: number; // of those that the open block has not counted yet
  bytes: number; //    transactions, nonce records, accounts of groups, and what ends groups
  fresh: number; //    transactions that were not sequenced before
  firstAt: number; //  when the first one came, ms
  /** A transaction did not fit into the flush any more. */
  full: boolean;
  submit: Int32Array; // slot of its submit; -1 if it is sequenced again
  record: Int32Array; // which record of the submit, or of `retried`
  at: Int32Array; //     where it starts in the payload
  home: Int32Array; //   slot of the partition that runs it
  owner: Int32Array; //  slot of the partition that owns the sender; -1 if it is sequenced again
  sender: Int32Array;
  set: Int32Array; //    its declared set's number in `sets` + 1; 0 if it is the record's own
  sets: Uint8Array[];
  homeBytes: Float64Array; // by slot: local transactions
  ownerCount: Int32Array; //  by slot: nonce records
  /** Transactions sequenced again, local or not. */
  retried: Retry[];
  /** Members of new groups. */
  candidates: Candidates;
  /** Groups that this flush ends, in the order of their entries. */
  ends: GroupEnd[];
  /** Groups that this flush begins; known when it is built. */
  begun: OpenGroup[];
  /** Pairs (submit, record) of transactions that came again: they are in this flush or the one before. */
  repeats: number[];
  /** Senders as they were before this flush, in the order in which they first appear in it. */
  undoCount: number;
  undoSender: Int32Array;
  undoNext: Float64Array;
  undoFlush: Float64Array;
  undoTopFlush: Float64Array;
  undoTopIndex: Int32Array;
  undoHome: Int32Array;
  undoN: Float64Array;
  undoHash: Uint8Array;
}

export function openFlushBuffer(transactionsMax: number, partitions: number): FlushBuffer {
  const column = () => new Int32Array(transactionsMax);
  const wide = () => new Float64Array(transactionsMax);
  return {
    ...{ count: 0, gas: 0, blockGas: 0, bytes: 0, fresh: 0, firstAt: 0, full: false, undoCount: 0 },
    ...{ submit: column(), record: column(), at: column(), home: column(), owner: column(), sender: column(), set: column() },
    sets: [],
    homeBytes: new Float64Array(partitions),
    ownerCount: new Int32Array(partitions),
    retried: [],
    candidates: openCandidates(),
    ends: [],
    begun: [],
    repeats: [],
    ...{ undoSender: column(), undoNext: wide(), undoFlush: wide(), undoTopFlush: wide(), undoTopIndex: column() },
    ...{ undoHome: column(), undoN: wide() },
    undoHash: new Uint8Array(transactionsMax * 32),
  };
}

/** Transactions of all kinds. */
export const rowsOf = (buffer: FlushBuffer): number => buffer.count + buffer.candidates.members.length;

export function clearFlush(buffer: FlushBuffer): void {
  buffer.count = 0;
  buffer.gas = 0;
  buffer.blockGas = 0;
  buffer.bytes = 0;
  buffer.fresh = 0;
  buffer.firstAt = 0;
  buffer.full = false;
  buffer.sets = [];
  buffer.homeBytes.fill(0);
  buffer.ownerCount.fill(0);
  buffer.retried = [];
  clearCandidates(buffer.candidates);
  buffer.ends = [];
  buffer.begun = [];
  buffer.repeats = [];
  buffer.undoCount = 0;
}

/** Counts a transaction of either kind. */
export function countTransaction(buffer: FlushBuffer, turn: Turn, now: number): void {
  if (buffer.fresh === 0 && buffer.retried.length === 0) buffer.firstAt = now;
  buffer.bytes += turn.bytes + turn.accountsBytes;
  buffer.gas += turn.gas;
  if (turn.retry !== null) {
    buffer.retried.push(turn.retry);
    return;
  }
  buffer.ownerCount[turn.owner]!++;
  buffer.bytes += NONCE_BYTES;
  buffer.blockGas += turn.gas;
  buffer.fresh++;
}

/** Adds a local transaction behind the others. `countTransaction` comes before. */
export function addLocal(buffer: FlushBuffer, turn: Turn): void {
  const row = buffer.count++;
  buffer.submit[row] = turn.submit;
  buffer.record[row] = turn.retry === null ? turn.record : buffer.retried.length - 1;
  buffer.at[row] = turn.at;
  buffer.home[row] = turn.home;
  buffer.owner[row] = turn.owner;
  buffer.sender[row] = turn.sender;
  buffer.set[row] = turn.set === null ? 0 : buffer.sets.push(turn.set);
  buffer.homeBytes[turn.home]! += turn.bytes;
}

/** Remembers a sender as it is before its first transaction in this flush. */
export function rememberSender(buffer: FlushBuffer, senders: SenderTable, sender: number): void {
  const row = buffer.undoCount++;
  buffer.undoSender[row] = sender;
  buffer.undoNext[row] = senders.next[sender]!;
  buffer.undoFlush[row] = senders.lastFlush[sender]!;
  buffer.undoTopFlush[row] = senders.topFlush[sender]!;
  buffer.undoTopIndex[row] = senders.topIndex[sender]!;
  buffer.undoHome[row] = senders.flightHome[sender]!;
  buffer.undoN[row] = senders.flightN[sender]!;
  for (let index = 0; index < 32; index++) buffer.undoHash[row * 32 + index] = senders.lastHash[sender * 32 + index]!;
}

/** Puts all senders back as they were before this flush; later flushes must have been put back before. */
export function restoreSenders(buffer: FlushBuffer, senders: SenderTable): void {
  for (let row = buffer.undoCount - 1; row >= 0; row--) {
    const sender = buffer.undoSender[row]!;
    senders.next[sender] = buffer.undoNext[row]!;
    senders.lastFlush[sender] = buffer.undoFlush[row]!;
    senders.topFlush[sender] = buffer.undoTopFlush[row]!;
    senders.topIndex[sender] = buffer.undoTopIndex[row]!;
    senders.flightHome[sender] = buffer.undoHome[row]!;
    senders.flightN[sender] = buffer.undoN[row]!;
    for (let index = 0; index < 32; index++) senders.lastHash[sender * 32 + index] = buffer.undoHash[row * 32 + index]!;
  }
}
