/**
 * One flush while it is filled and while its append is outstanding: which records are in it, in order, where they go, and what
 * has to be put back if the append fails. Records are copied only once, when the flush is built. Local transactions stand in
 * typed columns, neighbours in a submit with one sender and one home in one row; members of groups, and what is sequenced again,
 * are objects.
 */
import { NONCE_BYTES } from "../transactions.ts";
import type { Candidates } from "./candidates.ts";
import { clearCandidates, openCandidates } from "./candidates.ts";
import type { GroupEnd, OpenGroup } from "./groups.ts";
import type { Retry } from "./retries.ts";
import type { SenderTable } from "./sender-table.ts";
import type { Turn } from "./turn.ts";

export interface FlushBuffer {
  rows: number; //     of local transactions
  count: number; //    local transactions
  gas: number; //      sum of declared gas limits
  blockGas: number; // of those that the open block has not counted yet
  bytes: number; //    transactions, nonce records, accounts of groups, and what ends groups
  fresh: number; //    transactions that were not sequenced before
  hashes: number; //   entries that they have among the recent hashes
  firstAt: number; //  when the first one came, ms
  /** A transaction did not fit into the flush any more. */
  full: boolean;
  submit: Int32Array; // slot of its submit; -1 if it is sequenced again
  record: Int32Array; // which record of the submit is the row's first; or which one of `retried`
  records: Int32Array; // how many
  at: Int32Array; //     where the first starts in the payload
  length: Int32Array; // bytes of all
  home: Int32Array; //   slot of the partition that runs it
  owner: Int32Array; //  slot of the partition that owns the sender; -1 if it is sequenced again
  sender: Int32Array;
  set: Int32Array; //    its declared set's number in `sets` + 1; 0 if it is the record's own
  sets: Uint8Array[];
  homeBytes: Float64Array; // by slot: local transactions
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
    ...{ rows: 0, count: 0, gas: 0, blockGas: 0, bytes: 0, fresh: 0, hashes: 0, firstAt: 0, full: false, undoCount: 0 },
    ...{ submit: column(), record: column(), records: column(), at: column(), length: column() },
    ...{ home: column(), owner: column(), sender: column(), set: column() },
    sets: [],
    homeBytes: new Float64Array(partitions),
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
  buffer.rows = 0;
  buffer.count = 0;
  buffer.gas = 0;
  buffer.blockGas = 0;
  buffer.bytes = 0;
  buffer.fresh = 0;
  buffer.hashes = 0;
  buffer.firstAt = 0;
  buffer.full = false;
  buffer.sets = [];
  buffer.homeBytes.fill(0);
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
  buffer.bytes += NONCE_BYTES;
  buffer.blockGas += turn.gas;
  buffer.fresh++;
}

/** Adds a local transaction behind the others. `countTransaction` comes before. */
export function addLocal(buffer: FlushBuffer, turn: Turn): void {
  buffer.count++;
  buffer.homeBytes[turn.home]! += turn.bytes;
  if (continuesRow(buffer, turn)) {
    const row = buffer.rows - 1;
    buffer.records[row]!++;
    buffer.length[row]! += turn.bytes;
    buffer.bytes -= NONCE_BYTES; // One nonce record is enough for neighbours.
    return;
  }
  const row = buffer.rows++;
  buffer.submit[row] = turn.submit;
  buffer.record[row] = turn.retry === null ? turn.record : buffer.retried.length - 1;
  buffer.records[row] = 1;
  buffer.at[row] = turn.at;
  buffer.length[row] = turn.bytes;
  buffer.home[row] = turn.home;
  buffer.owner[row] = turn.owner;
  buffer.sender[row] = turn.sender;
  buffer.set[row] = turn.set === null ? 0 : buffer.sets.push(turn.set);
}

/** True if a transaction stands right behind the last row's in its submit and goes where they go, as it is. */
function continuesRow(buffer: FlushBuffer, { submit, at, sender, home, set }: Turn): boolean {
  const row = buffer.rows - 1;
  if (row < 0 || submit < 0 || set !== null || buffer.submit[row] !== submit || buffer.set[row] !== 0) return false;
  return buffer.at[row]! + buffer.length[row]! === at && buffer.sender[row] === sender && buffer.home[row] === home;
}

/** Takes `records` more, of `bytes` and `gas`, into the row that `addLocal` made last. */
export function lengthenRow(buffer: FlushBuffer, records: number, bytes: number, gas: number): void {
  const row = buffer.rows - 1;
  buffer.records[row]! += records;
  buffer.length[row]! += bytes;
  buffer.homeBytes[buffer.home[row]!]! += bytes;
  buffer.count += records;
  buffer.fresh += records;
  buffer.bytes += bytes;
  buffer.gas += gas;
  buffer.blockGas += gas;
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
