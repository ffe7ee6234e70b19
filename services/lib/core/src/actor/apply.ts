/**
 * How a partition applies its log.
 *
 * A1. State and records are a function of the log: the same messages give the same on every replica.
 * A2. A message is applied whole or not at all: what must stop a partition is found before anything of it is executed.
 * A3. One message makes exactly one record, so that `n` has no gap in OUT either.
 * A4. In a message nothing but `map` stands behind `block`: its transactions belong to the block that closes.
 * A5. What an entry does never changes. A partition that does not know an entry's kind or a block's rules stops before it.
 */
import { assert } from "../assert.ts";
import { concatBytes, sameBytes } from "../bytes.ts";
import type { Engine } from "../engine.ts";
import type { BlockEntry, Entry, GenesisEntry, LogMessage, LogPosition, OutRecord, SealEntry } from "../entries.ts";
import { RULES_VERSION } from "../entries.ts";
import type { RangeIndex, RangeMap } from "../ranges.ts";
import { indexRanges, ownedBy } from "../ranges.ts";
import { cellsOwnedBy } from "./cells.ts";
import type { PartitionState } from "./state.ts";
import { SEALS_MAX, mapOf, sealedBlock } from "./state.ts";

/** Why a partition cannot go on with its log. It stops for good and says so; a person has to look. */
export type LogRefusal =
  | { code: "FORMAT_UNKNOWN"; n: number; kind: string }
  | { code: "RULES_UNKNOWN"; n: number; rules: number; known: number }
  | { code: "LOG_INVALID"; n: number; text: string };

/** What applying one message makes necessary. */
export interface Applied {
  /** To be published; exactly one for each message. */
  record: OutRecord;
  /** Set if the message closed a block that every partition takes a snapshot at; `lattice` as in the record. */
  snapshot: { block: number; lattice: Uint8Array } | null;
}

/** Why `message` must not be applied, or null. Reads only; to be asked before `applyMessage`. */
export function refusalOf(state: PartitionState, message: LogMessage): LogRefusal | null {
  const invalid = (text: string): LogRefusal => ({ code: "LOG_INVALID", n: message.n, text });
  let isClosed = false;
  for (const entry of message.entries) {
    if ((entry.kind === "genesis") !== (message.n === 1)) return invalid(`entry ${entry.kind} in message ${message.n}`);
    if (isClosed && entry.kind !== "map") return invalid(`entry ${entry.kind} behind block`);
    if (!isClosed && entry.kind === "map") return invalid("entry map without block before it");
    const refusal = refusalOfEntry(state, entry, message.n);
    if (refusal !== null) return refusal;
    isClosed ||= entry.kind === "block";
  }
  if (message.n === 1 && message.entries.length !== 1) return invalid("message 1 is not one genesis entry");
  return null;
}

function refusalOfEntry(state: PartitionState, entry: Entry, n: number): LogRefusal | null {
  const invalid = (text: string): LogRefusal => ({ code: "LOG_INVALID", n, text });
  switch (entry.kind) {
    case "genesis":
      if (entry.chainId !== state.chainId) return invalid(`chain id ${entry.chainId} is not ${state.chainId}`);
      if (entry.opens.number !== 1) return invalid(`genesis opens block ${entry.opens.number}`);
      return null;
    case "term":
      return entry.term < state.term ? invalid(`term ${entry.term} behind term ${state.term}`) : null;
    case "run":
      return null;
    case "block":
      return refusalOfBlock(state, entry, n);
    case "map":
      return entry.map.version > mapOf(state).version
        ? null
        : invalid(`map version ${entry.map.version} behind ${mapOf(state).version}`);
    case "seal":
      return refusalOfSeal(state, entry, n);
    default:
      return { code: "FORMAT_UNKNOWN", n, kind: String((entry as { kind: unknown }).kind) };
  }
}

function refusalOfBlock(state: PartitionState, entry: BlockEntry, n: number): LogRefusal | null {
  const invalid = (text: string): LogRefusal => ({ code: "LOG_INVALID", n, text });
  if (entry.rules > RULES_VERSION) return { code: "RULES_UNKNOWN", n, rules: entry.rules, known: RULES_VERSION };
  if (state.open === null || entry.number !== state.open.number) {
    return invalid(`block ${entry.number} closes, open is ${state.open?.number ?? "none"}`);
  }
  if (entry.opens.number !== entry.number + 1) return invalid(`block ${entry.number} opens ${entry.opens.number}`);
  if (entry.opens.timestamp < state.open.timestamp) {
    return invalid(`timestamp ${entry.opens.timestamp} before ${state.open.timestamp}`);
  }
  return null;
}

function refusalOfSeal(state: PartitionState, entry: SealEntry, n: number): LogRefusal | null {
  if (entry.number > state.closedBlock) {
    return { code: "LOG_INVALID", n, text: `seal of block ${entry.number}, closed is ${state.closedBlock}` };
  }
  const known = state.seals.find(({ number }) => number === entry.number);
  if (known !== undefined && !sameBytes(known.hash, 0, entry.hash, 0, 32)) {
    return { code: "LOG_INVALID", n, text: `block ${entry.number} is sealed again with another hash` };
  }
  if (known === undefined && entry.number < sealedBlock(state)) {
    return { code: "LOG_INVALID", n, text: `seal of block ${entry.number} behind block ${sealedBlock(state)}` };
  }
  return null;
}

/**
 * Applies one message to the state and the engine. Mutates both; does no I/O.
 * @param message   next in this partition's log and not refused by `refusalOf`
 * @param position  after this message, as the log's reader computed it
 * @param genesis   the chain's genesis cells (all partitions'), needed for the `genesis` entry only
 * @returns the record to publish, or null if the message is already applied (delivery is at least once)
 * @throws BugError if a message was skipped
 */
export function applyMessage(
  state: PartitionState,
  message: LogMessage,
  position: LogPosition,
  engine: Engine,
  genesis: Uint8Array | null = null,
): Applied | null {
  if (message.n <= state.position.n) return null;
  assert(message.n === state.position.n + 1 && position.n === message.n, `gap in log: ${message.n} behind ${state.position.n}`);
  const record: OutRecord = {
    n: message.n,
    flush: message.flush,
    transactions: NOTHING,
    results: NOTHING,
    block: null,
    genesis: null,
    map: null,
  };
  const transactions: Uint8Array[] = [];
  const results: Uint8Array[] = [];
  for (const entry of message.entries) {
    if (entry.kind === "run") {
      results.push(engine.run(entry.transactions, entry.nonces));
      transactions.push(entry.transactions);
    } else {
      applyEntry(state, entry, engine, record, genesis);
    }
  }
  record.transactions = joined(transactions);
  record.results = joined(results);
  state.term = message.term;
  state.position = position;
  const closed = record.block;
  return { record, snapshot: closed?.entry.snapshot === true ? { block: closed.entry.number, lattice: closed.lattice } : null };
}

const NOTHING = new Uint8Array(0);
/** Without a copy in the usual case of one `run` a message. */
const joined = (parts: Uint8Array[]): Uint8Array =>
  parts.length === 1 ? parts[0]! : parts.length === 0 ? NOTHING : concatBytes(parts);

function applyEntry(
  state: PartitionState,
  entry: Exclude<Entry, { kind: "run" }>,
  engine: Engine,
  record: OutRecord,
  genesis: Uint8Array | null,
): void {
  switch (entry.kind) {
    case "genesis":
      assert(genesis !== null, "the genesis entry is applied without the genesis cells");
      return begin(state, entry, engine, record, genesis);
    case "term":
      state.term = entry.term;
      return;
    case "block":
      return close(state, entry, engine, record);
    case "map":
      own(state, entry.map, engine);
      record.map = entry.map;
      return;
    case "seal":
      return seal(state, entry, engine);
  }
}

/** Block 0 has no transactions: it is closed at once, so that its lattice and its cells can be read like any other block's. */
function begin(state: PartitionState, entry: GenesisEntry, engine: Engine, record: OutRecord, genesis: Uint8Array): void {
  const owners = own(state, entry.map, engine);
  engine.openBlock({ ...entry.opens, number: 0, prevrandao: new Uint8Array(32) });
  engine.importCells(cellsOwnedBy(genesis, (address, offset) => owners.ownerOf(address, offset) === state.partition));
  const lattice = engine.closeBlock();
  engine.openBlock(entry.opens);
  state.open = entry.opens;
  state.closedBlock = 0;
  state.unsealed = [0];
  const { chainId, genesisHash, map, opens } = entry;
  record.genesis = { chainId, genesisHash, lattice, map, opens };
}

function close(state: PartitionState, entry: BlockEntry, engine: Engine, record: OutRecord): void {
  assert(state.open !== null, "a block closes before genesis");
  record.block = { entry, context: state.open, lattice: engine.closeBlock() };
  engine.openBlock(entry.opens);
  state.open = entry.opens;
  state.closedBlock = entry.number;
  state.unsealed.push(entry.number);
}

function seal(state: PartitionState, entry: SealEntry, engine: Engine): void {
  // A new leader may say again what the old one had said.
  if (state.seals.some(({ number }) => number === entry.number)) return;
  engine.seal(entry.number, entry.hash);
  // Sealing goes in order of blocks: what is older needs no seal of its own any more.
  state.unsealed = state.unsealed.filter((number) => number > entry.number);
  state.seals.push({ number: entry.number, hash: entry.hash });
  if (state.seals.length > SEALS_MAX) state.seals.shift();
}

function own(state: PartitionState, map: RangeMap, engine: Engine): RangeIndex {
  const owners = indexRanges(map);
  state.owners = owners;
  engine.setOwned(ownedBy(map, state.partition));
  return owners;
}
