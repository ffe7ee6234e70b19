/**
 * Entries: what stands in a partition's log. One LOG message is one flush's entries for one partition.
 *
 * E1. An entry's global position is (flush, index); every log holds its entries in that order.
 * E2. What an entry of a kind does never changes. New behaviour is a new kind or a higher rules version in `block`.
 * E3. `n` counts a partition's messages from 1 without gap, whoever wrote them; `flush` counts the flushes of all logs.
 */
import type { RangeMap, PartitionId } from "./ranges.ts";

/**
 * Format of messages and rules of execution that this code knows; a reader stops at others. Format 3: a nonce record stands for a
 * run. Rules 2: the history account of EIP-2935.
 */
export const FORMAT_VERSION = 3;
export const RULES_VERSION = 2;

/** The block that a `block` entry opens. */
export interface OpenedBlock {
  number: number;
  timestamp: number; // whole seconds, never decreasing
  prevrandao: Uint8Array; // 32 bytes, drawn by the leader
  gasLimit: number;
}

export interface GenesisEntry {
  kind: "genesis";
  index: number;
  chainId: number;
  /** SHA-256 of the genesis object in the object store. */
  genesisHash: Uint8Array;
  map: RangeMap;
  /** Block 1. Block 0 is the genesis block itself. */
  opens: OpenedBlock;
}
/** A new leader's first entry in every log: from here on an older leader's append is refused. */
export interface TermEntry {
  kind: "term";
  index: number;
  term: number;
  leader: string;
}
/** Where an entry stands in the one order of all logs. */
export interface Position {
  flush: number;
  index: number;
}

/** Local transactions of one flush, and nonce records of senders owned here; both packed, both ascending by index. */
export interface RunEntry {
  kind: "run";
  transactions: Uint8Array;
  nonces: Uint8Array;
}
/**
 * A group of transactions over several partitions, in the log of its home. Its members' indexes follow the entry's own without a
 * gap. `accounts`: packed (u8 mode, b20 address)*, ascending, the union of what the members declare, on all participants.
 */
export interface GroupEntry {
  kind: "group";
  index: number;
  participants: PartitionId[]; // ascending, the home among them
  accounts: Uint8Array;
  /** The whole-system group of a block boundary: all partitions take part, everything is locked, `accounts` is empty. */
  whole: boolean;
  transactions: Uint8Array;
}
/** The same group in the log of each other participant, at the same position. `accounts`: those it owns; none in mode `code`. */
export interface LockEntry {
  kind: "lock";
  index: number;
  home: PartitionId;
  accounts: Uint8Array;
  whole: boolean;
}
/** Ends a group: in the logs of all its participants. The first `apply` or `abort` of a group counts. */
export interface ApplyEntry {
  kind: "apply";
  index: number;
  group: Position; // of its `group` entry
  /** Packed cells that this partition owns. */
  writes: Uint8Array;
  /** On the home: packed results of the members that came to an end; elsewhere empty. */
  results: Uint8Array;
  /** On the home: packed u32 indexes of the members that missed; elsewhere empty. */
  misses: Uint8Array;
}
/** Ends a group without effect: all members miss, none of them by its own fault. In the logs of all its participants. */
export interface AbortEntry {
  kind: "abort";
  index: number;
  group: Position;
}
/** Addresses whose cells go from one partition to another at a block boundary. Bounds inclusive, 40 lower-case hex digits. */
export interface MovedRange {
  from: PartitionId;
  to: PartitionId;
  first: string;
  last: string;
}
/** The cells of a moved range as of the block that closed before the `map` entry, in address order, in objects. */
export interface HandOver extends MovedRange {
  chunks: { object: string; sha256: string; bytes: number }[];
}
/**
 * The range map from here on. Stands at a block boundary: between a `block` entry and anything that executes. Who gains a range
 * imports its hand-over's chunks, who loses it forgets it.
 */
export interface MapEntry {
  kind: "map";
  index: number;
  map: RangeMap;
  handOvers: HandOver[];
}
/** Closes the open block in every log: everything sequenced before it is resolved. Opens the next one. */
export interface BlockEntry {
  kind: "block";
  index: number;
  number: number; // the block that closes
  opens: OpenedBlock;
  rules: number;
  mapVersion: number;
  partitions: PartitionId[]; // all that take part in the closing block
  snapshot: boolean; // every partition takes a snapshot here
  /** Ranges that move behind this block: their owners write them out as of this block and say so in their reports. */
  moves: MovedRange[];
}
/** The hash of a closed block, as the archive computed it: BLOCKHASH(number) is known from here on. */
export interface SealEntry {
  kind: "seal";
  index: number;
  number: number;
  hash: Uint8Array; // 32 bytes
}
export type Entry =
  GenesisEntry | TermEntry | RunEntry | GroupEntry | LockEntry | ApplyEntry | AbortEntry | MapEntry | BlockEntry | SealEntry;

/** One message of LOG, checked and decoded. */
export interface LogMessage {
  partition: PartitionId;
  n: number;
  term: number;
  flush: number;
  entries: Entry[];
}

/** Last message of a partition's log that somebody stands at. n = 0 and a zero hash before the first. */
export interface LogPosition {
  n: number;
  flush: number;
  hash: Uint8Array; // SHA-256 of the message's payload
}

/** A block as one partition closed it: its part of the block's digest and counts. */
export interface PartitionBlock {
  entry: BlockEntry;
  /** The context the closing block ran in. */
  context: OpenedBlock;
  lattice: Uint8Array; // 2,048 bytes
}

/** Transactions of one earlier flush, ascending by index, one result each. */
export interface SettledRun {
  flush: number;
  transactions: Uint8Array;
  results: Uint8Array;
}

/** What one LOG message became: exactly one record for each message, so that `n` has no gap in OUT either. */
export interface OutRecord {
  n: number;
  flush: number;
  transactions: Uint8Array; // packed, as in LOG: those of this message's flush that came to an end in it
  results: Uint8Array; // packed, one for each transaction
  /** Transactions that came to an end here and stand at positions of earlier flushes: waiters, and members of groups. */
  settled: SettledRun[];
  block: PartitionBlock | null;
  /** Genesis of this partition's part: only in the record of the `genesis` entry. */
  genesis: { chainId: number; genesisHash: Uint8Array; lattice: Uint8Array; map: RangeMap; opens: OpenedBlock } | null;
  /** The map from this record's block on, if the message changed it. */
  map: RangeMap | null;
}
