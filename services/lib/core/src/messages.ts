/** Messages that services send each other over core NATS. @meridian/bus encodes them with msgpackr; the table: docs/WIRE.md. */
import type { CallRequest, CallResult } from "./engine.ts";
import type { HandOver, MovedRange, Position } from "./entries.ts";
import type { PartitionId, RangeMap } from "./ranges.ts";

/**
 * What became of one submitted transaction; one byte for each in `SubmitReply.codes`. The text a wallet sees is the gateway's.
 * Every code from 2 on is a refusal without effect.
 */
export const SUBMIT = {
  accepted: 0, //         in LOG, durable
  known: 1, //            was in LOG before with this hash: the client's acknowledgement was lost; answered like `accepted`
  nonceTooLow: 2, //      detail: the sender's next nonce
  nonceTooHigh: 3, //     too far ahead, or the gap did not close in time; detail: the sender's next nonce
  alreadyKnown: 4, //     the same transaction waits for its turn
  replacement: 5, //      another transaction with this nonce waits for its turn
  senderLimit: 6, //      this sender has too many waiting, or sends too fast; detail: the limit
  busy: 7, //             scheduler or home partition has too much waiting
  partitionFull: 8, //    the home partition is at its memory bound; detail: partition
  partitionSilent: 9, //  the home partition, or the sender's, does not report; detail: partition
  logFull: 10, //         the server's disk or a stream's limit is reached: LOG's, or OUT's, as partitions say
  notLeader: 11, //       deposed or stopping: send again to the new leader
  gasLimit: 12, //        declares more gas than a block has; detail: the block gas limit
} as const;
export type SubmitCode = (typeof SUBMIT)[keyof typeof SUBMIT];

/**
 * Header of a submit: "refuse" answers `nonceTooHigh` at once where a nonce is ahead of its turn, instead of waiting for the gap
 * to close. A reply is sent when all of its records are decided, so a gateway that packs several clients' transactions into one
 * submit refuses gaps there, and sends those records again by themselves, without the header, to let them wait.
 */
export const GAP_HEADER = "meridian-gap";

/** Answer to a submit; the request's payload is bare packed transaction records. */
export interface SubmitReply {
  term: number;
  codes: Uint8Array; //    one SUBMIT code for each record
  details: Float64Array; // one number for each record
  /** n of each partition's log after the flushes that hold these transactions: a reader who waits for it reads its own writes. */
  positions: [PartitionId, number][];
}

/** Said by the leader to all, every `beatMs` and after every seal. */
export interface Beat {
  term: number;
  leader: string;
  flush: number;
  /** Last sealed block: what `latest` means. Number 0 is genesis. */
  latest: { number: number; hash: Uint8Array; timestamp: number };
  /** The open block. */
  open: { number: number; timestamp: number };
  /** The open block waits for everything to be resolved: report at once after every message. */
  draining: boolean;
  /** For each partition how many misses of the open block the leader has taken: those need not be said again. */
  missesTaken: [PartitionId, number][];
  mapVersion: number;
  positions: [PartitionId, number][];
}

/** A partition's state, said again and again: repeated state, not events. */
export interface Report {
  partition: PartitionId;
  host: string;
  n: number;
  flush: number;
  closedBlock: number;
  memoryBytes: number;
  memoryBytesMax: number;
  accounts: number;
  slots: number;
  transactions: number; // executed since the process started
  busyMs: number; //       time spent executing since the process started
  stopped: string | null; // why it stopped for good (gap, broken chain), null while it runs
  outFull: boolean; //     the server has no room for what it publishes to OUT; its log waits
  /** Up to this message no local transaction waits for its turn. */
  settledN: number;
  /** How many of its local transactions have missed in the open block. */
  misses: number;
  /** Groups that it takes part in and that are not resolved here; `held`: it holds the locks. */
  groups: { group: Position; held: boolean }[];
  /** What it has written out for the last `block` entry with moves; null if there is none, or not all of it is done. */
  handOvers: { block: number; ranges: HandOver[] } | null;
}

/**
 * Local transactions that missed, said again until the beat shows that they are taken. `first`: how many of the open block come
 * before these.
 */
export interface Misses {
  partition: PartitionId;
  block: number; // the open one
  first: number;
  missed: MissedTransaction[];
}
/** Cold path: one object each is fine. */
export interface MissedTransaction {
  flush: number;
  record: Uint8Array; // packed transaction, as it stands in LOG
  touch: Uint8Array; // packed touch record: what is known of its accounts now
}

/** What a group's home makes of it, said again until `apply` or `abort` stands in the log. The first one counts. */
export interface GroupProposal {
  home: PartitionId;
  group: Position;
  results: Uint8Array; // packed, of the members that came to an end
  touches: Uint8Array; // packed touch records of all members
  writes: [PartitionId, Uint8Array][]; // packed cells by owner
}

/** To the leader, if the admin namespace is on. */
export type AdminRequest =
  | { op: "map" }
  /** Places an account on a partition, from the next block boundary on; `partition` null: back to its range. */
  | { op: "pin"; address: Uint8Array; partition: PartitionId | null };
export type AdminReply =
  | { op: "map"; map: RangeMap; moving: boolean }
  /** Taken: the map with this version will show it. */
  | { op: "moving"; version: number }
  | { op: "failed"; text: string };

/** A block as an archive built it; said again until the beat shows it as latest. */
export interface Built {
  archive: string;
  number: number;
  hash: Uint8Array;
  timestamp: number;
}

/** To a partition. `block`: a closed block, or PENDING (-1). `atN`: answer only after this message of the log is applied. */
export type ReadRequest =
  | { op: "nonces"; atN: number; addresses: Uint8Array }
  | { op: "cells"; block: number; atN: number; request: Uint8Array }
  /** From a group's home: present values of locked accounts, as soon as this participant holds the group's locks. */
  | { op: "grant"; group: Position; request: Uint8Array }
  | { op: "call"; block: number; atN: number; call: CallRequest }
  | { op: "estimate"; block: number; atN: number; call: CallRequest };
export type ReadReply =
  | { op: "nonces"; nonces: Uint8Array }
  | { op: "cells"; cells: Uint8Array }
  | { op: "grant"; cells: Uint8Array }
  | { op: "call"; result: CallResult }
  | { op: "estimate"; gas: number }
  | { op: "failed"; failure: ReadFailure };
export type ReadFailure =
  | { code: "PRUNED"; oldest: number }
  | { code: "BEHIND"; newest: number } // did not reach the block or position within the wait
  | { code: "BUSY"; limit: number }
  | { code: "STOPPED"; text: string }
  | { code: "RESOLVED" } // grant: the group has its `apply` or `abort` here already
  | { code: "FOREIGN"; account: Uint8Array } // a call touched an account that could not be fetched
  | { code: "CALL"; result: CallResult }; // estimate: the call itself fails

/**
 * To any archive. `atLeast`: wait (bounded) until this block is there. Numbers are block numbers. `from` and `count` cut a body
 * that is too large for one reply: transactions [from, from + count), fewer if the reply is full; ask again for the rest.
 */
export type ArchiveQuery =
  | { op: "head" }
  | { op: "block"; by: number | Uint8Array; atLeast: number; body: boolean; from?: number; count?: number }
  | { op: "headers"; first: number; count: number; atLeast: number }
  | { op: "transactions"; hashes: Uint8Array; atLeast: number } // packed b32
  | { op: "transactionAt"; block: number | Uint8Array; index: number; atLeast: number }
  | { op: "outcomes"; keys: Uint8Array; atLeast: number } // packed: outcomes.ts
  | { op: "logs"; filter: LogFilter; atLeast: number };
export interface LogFilter {
  first: number;
  last: number;
  blockHash: Uint8Array | null; // instead of first and last
  addresses: Uint8Array; // packed b20; empty for any
  topics: Uint8Array[]; // one packed b32 list for each place; empty for any
}
export interface ArchiveBlock {
  number: number;
  hash: Uint8Array;
  header: Uint8Array; // RLP
  timestamp: number;
  gasUsed: number;
  transactionCount: number;
  sizeBytes: number; // of the block's RLP encoding, as eth_getBlockByNumber reports it
  transactionHashes: Uint8Array; // packed b32, in published order; of the whole block, but empty in `headers` and if `from` > 0
  transactions: Uint8Array; // packed records in published order, from `from` on; empty unless asked for
  results: Uint8Array; // of the same transactions
}
/** A transaction with its place. `pending` has no block yet: OUT has it, its block is not built. */
export interface ArchiveTransaction {
  hash: Uint8Array;
  block: { number: number; hash: Uint8Array; timestamp: number } | null;
  index: number;
  cumulativeGasUsed: number;
  firstLogIndex: number;
  transaction: Uint8Array; // one packed record
  result: Uint8Array; // one packed record; not to be shown before its block is sealed
}
export interface ArchiveLog {
  block: { number: number; hash: Uint8Array; timestamp: number };
  transactionHash: Uint8Array;
  transactionIndex: number;
  logIndex: number;
  address: Uint8Array;
  topics: Uint8Array[];
  data: Uint8Array;
}
export type ArchiveReply =
  | { op: "head"; number: number; hash: Uint8Array; oldest: number }
  | { op: "block"; block: ArchiveBlock | null }
  | { op: "headers"; blocks: ArchiveBlock[] }
  | { op: "transactions"; transactions: (ArchiveTransaction | null)[] }
  | { op: "transactionAt"; transaction: ArchiveTransaction | null }
  | { op: "outcomes"; outcomes: Uint8Array } // packed, in the order of the keys: outcomes.ts
  | { op: "logs"; logs: ArchiveLog[] }
  | { op: "failed"; failure: ArchiveFailure };
export type ArchiveFailure =
  | { code: "BEHIND"; newest: number }
  | { code: "PRUNED"; oldest: number }
  | { code: "TOO_MANY_LOGS"; limit: number }
  | { code: "RANGE_TOO_LARGE"; limit: number } // more blocks, headers, hashes or reply bytes than one query may have
  | { code: "UNKNOWN_BLOCK" } // `logs` by the hash of a block that is not there
  | { code: "BUSY"; limit: number }
  | { code: "STOPPED"; text: string };

/**
 * A snapshot of one partition at a block boundary: its manifest (settings record `snapshot.<partition>`: the newest two), its
 * chunks are objects. Published only after OUT has everything up to `position`.
 */
export interface SnapshotManifest {
  format: number;
  partition: PartitionId;
  block: number;
  position: { n: number; flush: number; hash: Uint8Array };
  term: number;
  mapVersion: number;
  /** The map in force after `position`: a restart must not depend on the published copy, which may be newer. */
  map: RangeMap;
  opens: { number: number; timestamp: number; prevrandao: Uint8Array; gasLimit: number };
  /** The sealed hashes known here, newest last, at most 256. */
  seals: { number: number; hash: Uint8Array }[];
  /** Blocks closed and not sealed at this point. */
  unsealed: number[];
  /** Ranges that move behind `block`: a restart from here writes them out again. */
  moves: MovedRange[];
  lattice: Uint8Array;
  /** Chunks by range, in address order: a part of a range can be handed over as whole chunks. */
  chunks: { first: string; last: string; object: string; sha256: string; bytes: number }[];
}
