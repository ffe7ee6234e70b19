/**
 * How a partition applies its log.
 *
 * A1. State and records are a function of the log: the same messages give the same on every replica.
 * A2. A message is applied whole or not at all: what must stop a partition is found before anything of it is executed.
 * A3. One message makes exactly one record, so that `n` has no gap in OUT either.
 * A4. In a message nothing but `map` stands behind `block`: its transactions belong to the block that closes. A `map` entry may
 *     also come in a later message, as long as nothing was executed in between.
 * A5. What an entry does never changes. A partition that does not know an entry's kind or a block's rules stops before it.
 */
import { assert } from "../assert.ts";
import type { Engine } from "../engine.ts";
import type {
  BlockEntry,
  Entry,
  GenesisEntry,
  GroupEntry,
  LockEntry,
  LogMessage,
  LogPosition,
  MovedRange,
  OutRecord,
  SealEntry,
} from "../entries.ts";
import { HISTORY_ADDRESS, cellsOfClose, writtenBlock } from "../history/history-account.ts";
import type { MissedTransaction } from "../messages.ts";
import { arrivalsKept } from "./arrivals.ts";
import { cellsOwnedBy } from "./cells.ts";
import { endGroup } from "./groups.ts";
import { applyMap, movesOut, own } from "./map-entry.ts";
import type { ChunkCells } from "./map-entry.ts";
import { openEntry } from "./queue.ts";
import type { OpenGroup } from "./queue.ts";
import { runEntry } from "./run-entry.ts";
import { beginTurn, endTurn } from "./settle.ts";
import type { Turn } from "./settle.ts";
import type { PartitionState } from "./state.ts";
import { SEALS_MAX } from "./state.ts";

/** What applying one message makes necessary. */
export interface Applied {
  /** To be published; exactly one for each message. */
  record: OutRecord;
  /** Set if the message closed a block that every partition takes a snapshot at; `lattice` as in the record. */
  snapshot: { block: number; lattice: Uint8Array } | null;
  /** Local transactions that missed in this message, in the order in which they ran; to be reported to the scheduler. */
  missed: MissedTransaction[];
  /** Groups that hold their locks here from this message on; in log order, but for those that waited: they come first. */
  held: OpenGroup[];
  /** Ranges that this partition has to write out as of the block that the message closed. */
  moves: MovedRange[];
}

/**
 * Applies one message to the state and the engine. Mutates both; does no I/O.
 * @param message   next in this partition's log and not refused by `refusalOf`
 * @param position  after this message, as the log's reader computed it
 * @param genesis   the chain's genesis cells (all partitions'), needed for the `genesis` entry only
 * @param chunks    cells of the objects that `chunksFor` names, needed for a `map` entry only
 * @returns the record to publish, or null if the message is already applied (delivery is at least once)
 * @throws BugError if a message was skipped
 */
export function applyMessage(
  state: PartitionState,
  message: LogMessage,
  position: LogPosition,
  engine: Engine,
  genesis: Uint8Array | null = null,
  chunks: ChunkCells = new Map(),
): Applied | null {
  if (message.n <= state.position.n) return null;
  assert(message.n === state.position.n + 1 && position.n === message.n, `gap in log: ${message.n} behind ${state.position.n}`);
  const turn = beginTurn(state, message, engine);
  for (const entry of message.entries) applyEntry(turn, entry, genesis, chunks);
  endTurn(turn);
  state.term = message.term;
  state.position = position;
  const { record, missed, held, moves } = turn;
  const closed = record.block;
  const snapshot = closed?.entry.snapshot === true ? { block: closed.entry.number, lattice: closed.lattice } : null;
  return { record, snapshot, missed, held, moves };
}

function applyEntry(turn: Turn, entry: Entry, genesis: Uint8Array | null, chunks: ChunkCells): void {
  const { state, engine, record } = turn;
  switch (entry.kind) {
    case "genesis":
      assert(genesis !== null, "the genesis entry is applied without the genesis cells");
      return begin(state, entry, engine, record, genesis);
    case "term":
      state.term = entry.term;
      return;
    case "run":
      beginExecution(state);
      return runEntry(turn, entry);
    case "group":
    case "lock":
      beginExecution(state);
      return open(turn, entry);
    case "apply":
    case "abort":
      beginExecution(state);
      return endGroup(turn, entry);
    case "block":
      return close(turn, entry);
    case "map":
      return applyMap(state, entry, engine, record, chunks);
    case "seal":
      return seal(state, entry, engine);
  }
}

function open({ state, message, held }: Turn, entry: GroupEntry | LockEntry): void {
  const group = openEntry(state, entry, message.n, message.flush);
  if (group.held) held.push(group);
}

/** From here on the map does not change until the next block: a move that has not come by now does not come. */
function beginExecution(state: PartitionState): void {
  if (!state.isBetweenBlocks) return;
  state.isBetweenBlocks = false;
  state.moves = [];
}

/** Block 0 has no transactions: it is closed at once, so that its lattice and its cells can be read like any other block's. */
function begin(state: PartitionState, entry: GenesisEntry, engine: Engine, record: OutRecord, genesis: Uint8Array): void {
  const owners = own(state, entry.map, engine);
  engine.openBlock({ ...entry.opens, number: 0, prevrandao: new Uint8Array(32) });
  engine.importCells(cellsOwnedBy(genesis, (address, offset) => owners.ownerOf(address, offset) === state.partition));
  const lattice = engine.closeBlock();
  engine.openBlock(entry.opens);
  state.block = entry.opens;
  state.closedBlock = 0;
  state.unsealed = [0];
  const { chainId, genesisHash, map, opens } = entry;
  record.genesis = { chainId, genesisHash, lattice, map, opens };
}

function close(turn: Turn, entry: BlockEntry): void {
  const { state, engine, record } = turn;
  assert(state.block !== null, "a block closes before genesis");
  assert(state.open.entries.size === 0, "a block closes with entries open");
  writeHistory(state, entry.number, engine);
  record.block = { entry, context: state.block, lattice: engine.closeBlock() };
  engine.openBlock(entry.opens);
  state.block = entry.opens;
  state.closedBlock = entry.number;
  state.unsealed.push(entry.number);
  state.missed = new Uint8Array(0);
  state.misses = 0;
  state.moves = [...entry.moves];
  state.isBetweenBlocks = true;
  turn.moves = movesOut(state);
}

/** What the history account's owner writes when a block closes. */
function writeHistory(state: PartitionState, closing: number, engine: Engine): void {
  if (state.owners?.ownerOf(HISTORY_ADDRESS, 0) !== state.partition) return;
  const hash = state.seals.findLast(({ number }) => number === writtenBlock(closing))?.hash;
  engine.applyWrites(cellsOfClose(closing, hash ?? null));
}

function seal(state: PartitionState, entry: SealEntry, engine: Engine): void {
  // A new leader may say again what the old one had said.
  if (state.seals.some(({ number }) => number === entry.number)) return;
  engine.seal(entry.number, entry.hash);
  // Sealing goes in order of blocks: what is older needs no seal of its own any more.
  state.unsealed = state.unsealed.filter((number) => number > entry.number);
  state.seals.push({ number: entry.number, hash: entry.hash });
  if (state.seals.length > SEALS_MAX) state.seals.shift();
  state.arrivals = arrivalsKept(state.arrivals, entry.number);
}
