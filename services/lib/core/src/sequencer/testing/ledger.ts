/**
 * A stand-in for partitions: applies messages of LOG as far as the rules of nonces, indexes and blocks go, and answers nonces and
 * reports from that. It stops with an assertion where the log breaks a rule.
 */
import { assert } from "../../assert.ts";
import { hexOf, readU32, readU64, writeU32, writeU64 } from "../../bytes.ts";
import type { ApplyEntry, AbortEntry, Entry, MovedRange, Position } from "../../entries.ts";
import { NONCE_STATE_BYTES } from "../../engine.ts";
import type { GroupProposal, Report } from "../../messages.ts";
import type { PartitionId, RangeIndex, RangeMap } from "../../ranges.ts";
import { indexRanges } from "../../ranges.ts";
import { TOUCH } from "../../touches.ts";
import { NONCE, NONCE_BYTES, TX, txBytes, txCount, txIndex, txNonce } from "../../transactions.ts";

export interface LedgerLog {
  n: number;
  flush: number;
  open: number;
  sealed: number;
  /** Of the last block that named any. */
  moves: { block: number; ranges: MovedRange[] } | null;
}

export interface Ledger {
  ranges: RangeIndex;
  /** By partition: n of the last message applied, open block, last sealed block. */
  readonly logs: Map<PartitionId, LedgerLog>;
  /** Next nonce and last hash by sender, hex. */
  readonly nonces: Map<string, { next: number; hash: Uint8Array }>;
  /** Hashes of executed transactions with the partition, flush and index of each, hex. */
  readonly executed: Map<string, { partition: PartitionId; flush: number; index: number; sender: string; nonce: number }>;
  /** Groups without an end, by "flush/index": where they stand, and on their home the members. */
  readonly groups: Map<string, { position: Position; home: PartitionId; participants: PartitionId[]; transactions: Uint8Array }>;
  /** Groups without an end in one partition's log. */
  readonly locks: Map<PartitionId, Position[]>;
  /** Index after the last one seen, by flush: no two positions are the same. */
  readonly positions: Set<string>;
}

export function openLedger(map: RangeMap): Ledger {
  const logs = new Map(
    map.partitions.map(({ id }) => [id, { n: 0, flush: 0, open: 0, sealed: -1, moves: null as LedgerLog["moves"] }]),
  );
  const locks = new Map(map.partitions.map(({ id }): [PartitionId, Position[]] => [id, []]));
  return {
    ranges: indexRanges(map),
    logs,
    nonces: new Map(),
    executed: new Map(),
    positions: new Set(),
    groups: new Map(),
    locks,
  };
}

/** Applies the next message of one partition's log. */
export function applyToLedger(ledger: Ledger, partition: PartitionId, flush: number, entries: readonly Entry[]): void {
  const log = ledger.logs.get(partition);
  assert(log !== undefined, `no partition ${partition}`);
  assert(flush > log.flush || log.n === 0, `flush ${flush} after ${log.flush}`);
  log.n++;
  log.flush = flush;
  let last = -1;
  for (const entry of entries) {
    if (entry.kind === "run") {
      last = applyRun(ledger, partition, flush, entry.transactions, entry.nonces);
      continue;
    }
    assert(entry.index > last, `entry ${entry.kind} at index ${entry.index} after ${last}`);
    last = entry.index;
    if (entry.kind === "genesis") log.open = entry.opens.number;
    if (entry.kind === "seal") {
      assert(entry.number === log.sealed + 1 && entry.number < log.open, `seal ${entry.number} after ${log.sealed}`);
      log.sealed = entry.number;
    }
    if (entry.kind === "block") {
      assert(entry.number === log.open && entry.opens.number === log.open + 1, `block ${entry.number}, open is ${log.open}`);
      log.open = entry.opens.number;
      log.moves = entry.moves.length > 0 ? { block: entry.number, ranges: entry.moves } : null;
    }
    if (entry.kind === "map") ledger.ranges = indexRanges(entry.map);
    if (entry.kind === "group" || entry.kind === "lock") {
      const position = { flush, index: entry.index };
      ledger.locks.get(partition)?.push(position);
      if (entry.kind === "lock") continue;
      const { participants, transactions } = entry;
      ledger.groups.set(`${flush}/${entry.index}`, { position, home: partition, participants, transactions });
      last += txCount(transactions);
    }
    if (entry.kind === "apply" || entry.kind === "abort") endGroup(ledger, partition, entry);
  }
}

/** Members that did not miss have run at their own positions. */
function endGroup(ledger: Ledger, partition: PartitionId, entry: ApplyEntry | AbortEntry): void {
  const { flush, index } = entry.group;
  const locks = ledger.locks.get(partition) ?? [];
  const place = locks.findIndex((lock) => lock.flush === flush && lock.index === index);
  assert(place >= 0, `group ${flush}/${index} ends where it does not stand`);
  locks.splice(place, 1);
  const group = ledger.groups.get(`${flush}/${index}`);
  if (group?.home !== partition) return;
  ledger.groups.delete(`${flush}/${index}`);
  if (entry.kind === "abort") return;
  const missed = new Set<number>();
  for (let at = 0; at < entry.misses.length; at += 4) missed.add(readU32(entry.misses, at));
  const { transactions } = group;
  for (let at = 0; at < transactions.length; at += txBytes(transactions, at)) {
    if (!missed.has(txIndex(transactions, at))) noteExecuted(ledger, partition, flush, transactions, at);
  }
}

function noteExecuted(ledger: Ledger, partition: PartitionId, flush: number, transactions: Uint8Array, at: number): void {
  const index = txIndex(transactions, at);
  const position = `${flush}/${index}`;
  assert(!ledger.positions.has(position), `position ${position} is taken twice`);
  ledger.positions.add(position);
  const hash = hexOf(transactions, at + TX.hash, at + TX.hash + 32);
  assert(!ledger.executed.has(hash), `transaction ${hash} runs twice`);
  const sender = hexOf(transactions, at + TX.sender, at + TX.sender + 20);
  ledger.executed.set(hash, { partition, flush, index, sender, nonce: txNonce(transactions, at) });
}

/** Transactions and nonce records of one run; returns the highest index of a transaction. */
function applyRun(ledger: Ledger, partition: PartitionId, flush: number, transactions: Uint8Array, nonces: Uint8Array): number {
  let last = -1;
  for (let at = 0; at < transactions.length; at += txBytes(transactions, at)) {
    const index = txIndex(transactions, at);
    assert(index > last, "transactions are not in order of index");
    last = index;
    assert(ledger.ranges.ownerOf(transactions, at + TX.to) === partition, "a transaction stands in a foreign log");
    noteExecuted(ledger, partition, flush, transactions, at);
  }
  let lastNonce = -1;
  for (let at = 0; at < nonces.length; at += NONCE_BYTES) {
    const index = readU32(nonces, at + NONCE.index);
    assert(index > lastNonce, "nonce records are not in order of index");
    lastNonce = index;
    assert(ledger.ranges.ownerOf(nonces, at + NONCE.sender) === partition, "a nonce record stands in a foreign log");
    const sender = hexOf(nonces, at + NONCE.sender, at + NONCE.sender + 20);
    const nonce = readU64(nonces, at + NONCE.nonce);
    const next = ledger.nonces.get(sender)?.next ?? 0;
    assert(nonce === next, `sender ${sender}: nonce ${nonce}, next is ${next}`);
    const following = readU32(nonces, at + NONCE.following);
    ledger.nonces.set(sender, { next: nonce + following + 1, hash: nonces.slice(at + NONCE.hash, at + NONCE.hash + 32) });
  }
  return last;
}

/** Packed (u64 next nonce, u8 has a balance, b32 hash) for packed addresses; all have a balance. */
export function noncesInLedger(ledger: Ledger, addresses: Uint8Array): Uint8Array {
  const answer = new Uint8Array((addresses.length / 20) * NONCE_STATE_BYTES);
  for (let at = 0, to = 0; at < addresses.length; at += 20, to += NONCE_STATE_BYTES) {
    const found = ledger.nonces.get(hexOf(addresses, at, at + 20));
    writeU64(answer, to, found?.next ?? 0);
    answer[to + 8] = 1;
    if (found !== undefined) answer.set(found.hash, to + 9);
  }
  return answer;
}

/** What a home says of the groups that it leads and that all participants hold: every member comes to an end. */
export function proposalsOf(ledger: Ledger, home: PartitionId): GroupProposal[] {
  const isHeld = (participant: PartitionId, { flush, index }: Position) =>
    (ledger.locks.get(participant) ?? []).some((lock) => lock.flush === flush && lock.index === index);
  const groups = [...ledger.groups.values()].filter((group) => group.home === home);
  return groups
    .filter(({ position, participants }) => participants.every((participant) => isHeld(participant, position)))
    .map(({ position, transactions }) => {
      const touches = new Uint8Array(txCount(transactions) * TOUCH.accounts);
      for (let at = 0, member = 1; at < touches.length; at += TOUCH.accounts, member++) {
        writeU32(touches, at, TOUCH.accounts);
        writeU32(touches, at + TOUCH.index, position.index + member);
      }
      return { home, group: position, results: new Uint8Array(0), touches, writes: [] };
    });
}

const handOversOf = (partition: PartitionId, ranges: readonly MovedRange[]) =>
  ranges.filter(({ from }) => from === partition).map((range) => ({ ...range, chunks: [] }));

export function reportOf(ledger: Ledger, partition: PartitionId, changes: Partial<Report> = {}): Report {
  const log = ledger.logs.get(partition);
  assert(log !== undefined, `no partition ${partition}`);
  return {
    partition,
    host: "ledger",
    n: log.n,
    flush: log.flush,
    closedBlock: Math.max(0, log.open - 1),
    memoryBytes: 0,
    memoryBytesMax: 1_000_000_000,
    accounts: ledger.nonces.size,
    slots: 0,
    transactions: ledger.executed.size,
    busyMs: 0,
    stopped: null,
    outFull: false,
    settledN: log.n,
    misses: 0,
    groups: (ledger.locks.get(partition) ?? []).map((group) => ({ group, held: true })),
    handOvers: log.moves === null ? null : { block: log.moves.block, ranges: handOversOf(partition, log.moves.ranges) },
    ...changes,
  };
}
