/**
 * One flush while it is filled and while its append is outstanding: which records are in it, in order of index, where they go,
 * and what has to be put back if the append fails. Records are copied only once, when the flush is built.
 */
import { writeU32 } from "../bytes.ts";
import type { RunEntry } from "../entries.ts";
import { NONCE_BYTES, setTxIndex, TX, txBytes } from "../transactions.ts";
import type { SenderTable } from "./sender-table.ts";
import type { Submits } from "./submits.ts";

export interface FlushBuffer {
  count: number; //   transactions; their indexes are 0 to count - 1
  gas: number; //     sum of declared gas limits
  bytes: number; //   transactions and nonce records
  firstAt: number; // when the first one came, ms
  /** No room for the next transaction in the open block: the block closes with this flush. */
  closes: boolean;
  /** A transaction did not fit into the flush any more. */
  full: boolean;
  submit: Int32Array; // slot of its submit
  record: Int32Array; // which record of the submit
  at: Int32Array; //     where it starts in the submit's payload
  home: Int32Array; //   slot of the partition that runs it
  owner: Int32Array; //  slot of the partition that owns the sender
  homeBytes: Float64Array; // by slot: transactions
  ownerCount: Int32Array; //  by slot: nonce records
  /** Pairs (submit, record) of transactions that came again: they are in this flush or the one before. */
  repeats: number[];
  /** Senders as they were before this flush, in the order in which they first appear in it. */
  undoCount: number;
  undoSender: Int32Array;
  undoNext: Float64Array;
  undoFlush: Float64Array;
  undoHash: Uint8Array;
}

export function openFlushBuffer(transactionsMax: number, partitions: number): FlushBuffer {
  return {
    count: 0,
    gas: 0,
    bytes: 0,
    firstAt: 0,
    closes: false,
    full: false,
    submit: new Int32Array(transactionsMax),
    record: new Int32Array(transactionsMax),
    at: new Int32Array(transactionsMax),
    home: new Int32Array(transactionsMax),
    owner: new Int32Array(transactionsMax),
    homeBytes: new Float64Array(partitions),
    ownerCount: new Int32Array(partitions),
    repeats: [],
    undoCount: 0,
    undoSender: new Int32Array(transactionsMax),
    undoNext: new Float64Array(transactionsMax),
    undoFlush: new Float64Array(transactionsMax),
    undoHash: new Uint8Array(transactionsMax * 32),
  };
}

export function clearFlush(buffer: FlushBuffer): void {
  buffer.count = 0;
  buffer.gas = 0;
  buffer.bytes = 0;
  buffer.firstAt = 0;
  buffer.closes = false;
  buffer.full = false;
  buffer.homeBytes.fill(0);
  buffer.ownerCount.fill(0);
  buffer.repeats = [];
  buffer.undoCount = 0;
}

/** Adds a transaction at the next index. */
export function addTransaction(
  buffer: FlushBuffer,
  submit: number,
  record: number,
  at: number,
  home: number,
  owner: number,
  recordBytes: number,
  gas: number,
): void {
  const index = buffer.count++;
  buffer.submit[index] = submit;
  buffer.record[index] = record;
  buffer.at[index] = at;
  buffer.home[index] = home;
  buffer.owner[index] = owner;
  buffer.homeBytes[home]! += recordBytes;
  buffer.ownerCount[owner]!++;
  buffer.bytes += recordBytes + NONCE_BYTES;
  buffer.gas += gas;
}

/** Remembers a sender as it is before its first transaction in this flush. */
export function rememberSender(buffer: FlushBuffer, senders: SenderTable, sender: number): void {
  const row = buffer.undoCount++;
  buffer.undoSender[row] = sender;
  buffer.undoNext[row] = senders.next[sender]!;
  buffer.undoFlush[row] = senders.lastFlush[sender]!;
  for (let index = 0; index < 32; index++) buffer.undoHash[row * 32 + index] = senders.lastHash[sender * 32 + index]!;
}

/** Puts all senders back as they were before this flush; later flushes must have been put back before. */
export function restoreSenders(buffer: FlushBuffer, senders: SenderTable): void {
  for (let row = buffer.undoCount - 1; row >= 0; row--) {
    const sender = buffer.undoSender[row]!;
    senders.next[sender] = buffer.undoNext[row]!;
    senders.lastFlush[sender] = buffer.undoFlush[row]!;
    for (let index = 0; index < 32; index++) senders.lastHash[sender * 32 + index] = buffer.undoHash[row * 32 + index]!;
  }
}

/** The `run` entry of each partition by slot; undefined where nothing goes. New buffers: the caller may keep them. */
export function buildRuns(buffer: FlushBuffer, submits: Submits, partitions: number): (RunEntry | undefined)[] {
  const runs = Array.from({ length: partitions }, (_, slot): RunEntry | undefined => {
    const [bytes, nonces] = [buffer.homeBytes[slot]!, buffer.ownerCount[slot]!];
    if (bytes === 0 && nonces === 0) return undefined;
    return { kind: "run", transactions: new Uint8Array(bytes), nonces: new Uint8Array(nonces * NONCE_BYTES) };
  });
  const [ends, nonceEnds] = [new Int32Array(partitions), new Int32Array(partitions)];
  for (let index = 0; index < buffer.count; index++) {
    const payload = submits.payloads[buffer.submit[index]!]!;
    const at = buffer.at[index]!;
    const [home, owner] = [buffer.home[index]!, buffer.owner[index]!];
    const { transactions } = runs[home]!;
    const end = ends[home]!;
    ends[home] = end + copyRecord(payload, at, transactions, end);
    setTxIndex(transactions, end, index);
    writeNonce(runs[owner]!.nonces, nonceEnds[owner]!, payload, at, index);
    nonceEnds[owner]! += NONCE_BYTES;
  }
  return runs;
}

function copyRecord(from: Uint8Array, at: number, to: Uint8Array, end: number): number {
  const bytes = txBytes(from, at);
  for (let index = 0; index < bytes; index++) to[end + index] = from[at + index]!;
  return bytes;
}

/** Layout of NONCE: u32 index, b20 sender, u64 nonce, b32 hash. */
function writeNonce(to: Uint8Array, end: number, record: Uint8Array, at: number, index: number): void {
  writeU32(to, end, index);
  for (let byte = 0; byte < 20; byte++) to[end + 4 + byte] = record[at + TX.sender + byte]!;
  for (let byte = 0; byte < 8; byte++) to[end + 24 + byte] = record[at + TX.nonce + byte]!;
  for (let byte = 0; byte < 32; byte++) to[end + 32 + byte] = record[at + TX.hash + byte]!;
}
