/**
 * What a partition knows besides its cells (those live in the engine): a pure function of its log, small enough to stand in
 * a snapshot's manifest.
 */
import { assert } from "../assert.ts";
import { FORMAT_VERSION } from "../entries.ts";
import type { LogPosition, MovedRange, OpenedBlock } from "../entries.ts";
import type { SnapshotManifest } from "../messages.ts";
import type { PartitionId, RangeIndex, RangeMap } from "../ranges.ts";
import { indexRanges } from "../ranges.ts";
import { ALL_RULES } from "../rules.ts";
import type { Rules } from "../rules.ts";
import { emptyQueue } from "./open-queue.ts";
import type { OpenQueue } from "./open-queue.ts";

/** Sealed hashes that are kept: BLOCKHASH reaches back 256 blocks. */
export const SEALS_MAX = 256;
/** Blocks before the last seal whose versions the engine keeps: the window of consistent reads and of a snapshot's export. */
export const VERSION_BLOCKS_MAX = 64;

export interface Seal {
  number: number;
  hash: Uint8Array; // 32 bytes
}

/** A range that was handed over to this partition. Addresses are 40 lower-case hex digits, bounds inclusive. */
export interface Arrival {
  first: string;
  last: string;
  /** It came as of the end of this block. */
  block: number;
}

export interface PartitionState {
  readonly partition: PartitionId;
  readonly chainId: number;
  /** All of them, except in the simulator. */
  readonly rules: Readonly<Rules>;
  /** After the last applied message. */
  position: LogPosition;
  term: number;
  /** Null before the `genesis` entry. */
  owners: RangeIndex | null;
  /** The block that transactions run in; null before the `genesis` entry. */
  block: OpenedBlock | null;
  /** Last closed block, -1 before genesis. */
  closedBlock: number;
  /** Closed and not sealed yet, ascending. */
  unsealed: number[];
  /** The last sealed hashes, ascending by number, at most SEALS_MAX. */
  seals: Seal[];
  /** Groups that are not resolved here and local transactions that wait for their turn, in log order. */
  readonly open: OpenQueue;
  /** Packed (u64 flush, u32 index)*: positions that missed in the open block. */
  missed: Uint8Array;
  /** How many local transactions have missed in the open block. */
  misses: number;
  /** Ranges of all partitions that move behind the last closed block; empty once the next block has begun to execute. */
  moves: MovedRange[];
  /** Nothing was executed since the last `block` entry: the one place where a `map` entry may stand. */
  isBetweenBlocks: boolean;
  /** What came here by hand-over within the window of readable blocks; after a snapshot's start nothing older is readable. */
  arrivals: readonly Arrival[];
}

/** A partition that stands before its log's first message. */
export function emptyState(partition: PartitionId, chainId: number, rules: Readonly<Rules> = ALL_RULES): PartitionState {
  return {
    partition,
    chainId,
    rules,
    position: { n: 0, flush: 0, hash: new Uint8Array(32) },
    term: 0,
    owners: null,
    block: null,
    closedBlock: -1,
    unsealed: [],
    seals: [],
    ...atBoundary([], false),
  };
}

/** Nothing is open, nothing has missed and nothing has come where a partition begins. */
const atBoundary = (moves: MovedRange[], isBetweenBlocks: boolean) => ({
  open: emptyQueue(),
  missed: new Uint8Array(0),
  misses: 0,
  moves,
  isBetweenBlocks,
  arrivals: [],
});

/** The map in force. Throws BugError before genesis. */
export function mapOf(state: PartitionState): RangeMap {
  assert(state.owners !== null, "the range map is asked for before genesis");
  return state.owners.map;
}

/** Number of the last sealed block, -1 if there is none. */
export const sealedBlock = (state: PartitionState): number => state.seals.at(-1)?.number ?? -1;

/**
 * The manifest of a snapshot at the block that just closed, without its chunks; everything in it is copied, so that the
 * state may go on.
 * @param lattice of the closed block, 2,048 bytes; what the imported chunks are checked against
 */
export function manifestOf(state: PartitionState, lattice: Uint8Array): SnapshotManifest {
  assert(state.block !== null && state.block.number === state.closedBlock + 1, "a snapshot stands between two blocks");
  const map = mapOf(state);
  return {
    format: FORMAT_VERSION,
    partition: state.partition,
    block: state.closedBlock,
    position: { ...state.position },
    term: state.term,
    mapVersion: map.version,
    map,
    opens: { ...state.block },
    seals: [...state.seals],
    unsealed: [...state.unsealed],
    moves: [...state.moves],
    lattice,
    chunks: [],
  };
}

/** The state that a snapshot was taken of. */
export function stateOfManifest(manifest: SnapshotManifest, chainId: number, rules: Readonly<Rules> = ALL_RULES): PartitionState {
  return {
    partition: manifest.partition,
    chainId,
    rules,
    position: { ...manifest.position },
    term: manifest.term,
    owners: indexRanges(manifest.map),
    block: { ...manifest.opens },
    closedBlock: manifest.block,
    unsealed: [...manifest.unsealed],
    seals: [...manifest.seals],
    ...atBoundary([...manifest.moves], true),
  };
}
