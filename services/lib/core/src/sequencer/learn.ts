/**
 * What a new leader learns from LOG after its `term` entry stands there: the open block, the blocks without a seal, the range
 * map, the declared gas so far, the hashes of the last transactions, and what stands in the open block (learn-work.ts).
 */
import { assert } from "../assert.ts";
import type { BlockEntry, GenesisEntry, LogMessage, OpenedBlock } from "../entries.ts";
import { hexOf } from "../bytes.ts";
import type { MovedRange } from "../entries.ts";
import type { PartitionId, RangeMap } from "../ranges.ts";
import { TX, txBytes, txGasLimit } from "../transactions.ts";
import type { ChainBlocks } from "./chain-blocks.ts";
import type { LearnedWork } from "./learn-work.ts";
import { learnWork } from "./learn-work.ts";
import type { SequencerLimits } from "./limits.ts";
import type { RecentHashes } from "./recent-hashes.ts";
import { addHash } from "./recent-hashes.ts";

/** The end of one partition's log. */
export interface LogEnd {
  partition: PartitionId;
  messages: LogMessage[]; // without gap, up to the last
}

export interface Learned {
  blocks: ChainBlocks;
  /** The map in force; null if the last change of it stands further back. */
  map: RangeMap | null;
  mapVersion: number;
  rulesVersion: number;
  positions: [PartitionId, number][];
  flush: number;
  work: LearnedWork;
  /** Ranges that the last block lets move, if neither a map nor anything to execute stands behind it: then they move still. */
  moves: MovedRange[];
}

/** True if these messages reach back to a block boundary: the declared gas of the open block stands in them whole. */
export const reachesBlock = (messages: readonly LogMessage[]): boolean =>
  messages.some(({ entries }) => entries.some(({ kind }) => kind === "block" || kind === "genesis"));

/**
 * True if these messages of one log tell everything about blocks: they hold the last seal and the opening of its block, hence
 * every block closed since, or they begin with genesis.
 */
export function reachesSeal(messages: readonly LogMessage[]): boolean {
  const { genesis, closed, seals } = scan(messages);
  if (genesis !== null) return true;
  const last = seals.at(-1)?.number;
  return last !== undefined && closed.some(({ number }) => number === last - 1);
}

interface Scan {
  genesis: GenesisEntry | null;
  closed: BlockEntry[];
  seals: { number: number; hash: Uint8Array }[];
  map: RangeMap | null;
}

function scan(messages: readonly LogMessage[]): Scan {
  const found: Scan = { genesis: null, closed: [], seals: [], map: null };
  for (const { entries } of messages) {
    for (const entry of entries) {
      if (entry.kind === "genesis") found.genesis = entry;
      else if (entry.kind === "block") found.closed.push(entry);
      else if (entry.kind === "seal") found.seals.push(entry);
      if (entry.kind === "genesis" || entry.kind === "map") found.map = entry.map;
    }
  }
  return found;
}

/**
 * @param ends all partitions' logs; the first one `reachesSeal`, the others at least `reachesBlock`
 * @param recent takes the hashes of all transactions found
 */
export function learnChain(ends: readonly LogEnd[], recent: RecentHashes, limits: SequencerLimits, now: number): Learned {
  const [lead] = ends;
  assert(lead !== undefined && reachesSeal(lead.messages), "the log does not reach back to a seal");
  const { genesis, closed, seals, map } = scan(lead.messages);
  const lastBlock = closed.at(-1);
  const open = lastBlock?.opens ?? genesis?.opens;
  assert(open !== undefined, "no block is open");
  const openings = [...(genesis === null ? [] : [genesis.opens]), ...closed.map(({ opens }) => opens)];
  const latest = latestOf(genesis, openings, seals.at(-1));
  const isSealed = seals.length > 0;
  const unsealed = openings
    .filter(({ number }) => number < open.number && number > latest.number)
    .map(({ number, timestamp }) => ({ number, timestamp }));
  if (!isSealed) unsealed.unshift({ number: 0, timestamp: latest.timestamp });
  const since = readTransactions(ends, recent, open.number);
  const work = learnWork(ends);
  return {
    blocks: {
      open,
      latest,
      unsealed,
      built: new Map(),
      gas: since.gas,
      isFull: false,
      dueAt: now,
      // Its time was fixed when it was opened, by the leader before; nothing new runs in it.
      closesFirst: true,
      snapshot: snapshotOf(lead.messages, ends, limits, now),
    },
    map,
    mapVersion: map?.version ?? lastBlock?.mapVersion ?? 0,
    rulesVersion: lastBlock?.rules ?? 0,
    positions: ends.map(({ partition, messages }) => [partition, messages.at(-1)?.n ?? 0]),
    flush: Math.max(...ends.map(({ messages }) => messages.at(-1)?.flush ?? 0)),
    work,
    moves: work.transactions.length === 0 && !isMapBehind(lead.messages) ? (lastBlock?.moves ?? []) : [],
  };
}

/** True if a map stands behind the last block. */
function isMapBehind(messages: readonly LogMessage[]): boolean {
  const kinds = messages.flatMap(({ entries }) => entries.map(({ kind }) => kind));
  return kinds.lastIndexOf("map") > kinds.lastIndexOf("block");
}

function latestOf(
  genesis: GenesisEntry | null,
  openings: OpenedBlock[],
  seal: { number: number; hash: Uint8Array } | undefined,
): ChainBlocks["latest"] {
  const number = seal?.number ?? 0;
  // Block 0 has the timestamp of block 1, which the genesis entry opens.
  const timestamp = number === 0 ? genesis?.opens.timestamp : openings.find((opens) => opens.number === number)?.timestamp;
  assert(timestamp !== undefined, `the opening of block ${number} is not there`);
  return { number, hash: seal?.hash ?? new Uint8Array(32), timestamp };
}

/** Declared gas after the last block, and all hashes. */
function readTransactions(ends: readonly LogEnd[], recent: RecentHashes, openNumber: number): { gas: number } {
  let gas = 0;
  const counted = new Set<string>(); // One that is sequenced again counts once.
  for (const { partition, messages } of ends) {
    assert(reachesBlock(messages), `log of partition ${partition} does not reach back to a block`);
    let opened = 0;
    for (const { entries } of messages) {
      for (const entry of entries) {
        if (entry.kind === "block" || entry.kind === "genesis") opened = entry.opens.number;
        if (entry.kind !== "run" && entry.kind !== "group") continue;
        const records = entry.transactions;
        for (let at = 0; at < records.length; at += txBytes(records, at)) {
          const isOpen = opened === openNumber;
          const hash = isOpen ? hexOf(records, at + TX.hash, at + TX.hash + 32) : "";
          if (counted.has(hash)) continue;
          addHash(recent, records, at + TX.hash);
          if (!isOpen) continue;
          counted.add(hash);
          gas += txGasLimit(records, at);
        }
      }
    }
    assert(opened === openNumber, `partition ${partition} stands in block ${opened}, another in ${openNumber}`);
  }
  return { gas };
}

/**
 * What was appended since the last snapshot block. If that is further back than was read, a snapshot is due with the next block
 * that has transactions: too early once, but no leader change puts it off.
 */
function snapshotOf(lead: LogMessage[], ends: readonly LogEnd[], limits: SequencerLimits, now: number): ChainBlocks["snapshot"] {
  const last = lead
    .flatMap(({ flush, entries }) => entries.map((entry) => ({ flush, entry })))
    .findLast(({ entry }) => entry.kind === "genesis" || (entry.kind === "block" && entry.snapshot));
  if (last === undefined) return { block: Number.NEGATIVE_INFINITY, bytes: 0, transactions: 0, at: now - limits.snapshotMs };
  let bytes = 0;
  let transactions = 0;
  for (const { messages } of ends) {
    for (const { flush, entries } of messages) {
      if (flush <= last.flush) continue;
      for (const entry of entries) {
        if (entry.kind !== "run" && entry.kind !== "group" && entry.kind !== "apply") continue;
        if (entry.kind === "apply") bytes += entry.writes.length + entry.results.length;
        else bytes += entry.transactions.length + (entry.kind === "run" ? entry.nonces.length : 0);
        transactions += entry.kind !== "apply" && entry.transactions.length > 0 ? 1 : 0;
      }
    }
  }
  return { block: last.entry.kind === "block" ? last.entry.number : 0, bytes, transactions, at: now };
}
