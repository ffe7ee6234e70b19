/** One partition with the fake engine under a log written by hand, and what comes of it as short texts. */
import { assert } from "../../assert.ts";
import { concatBytes, hexOf, writeU32 } from "../../bytes.ts";
import { CELL } from "../../cells.ts";
import { PENDING } from "../../engine.ts";
import type { ApplyEntry, Entry, Position } from "../../entries.ts";
import type { RangeMap } from "../../ranges.ts";
import { evenRangeMap, indexRanges } from "../../ranges.ts";
import { REASON, resultBytes, resultReason } from "../../results.ts";
import { ALL_RULES } from "../../rules.ts";
import type { Rules } from "../../rules.ts";
import { WHY, touchBytes, touchIndex, touchWhy } from "../../touches.ts";
import { txBytes, txIndex } from "../../transactions.ts";
import { applyMessage } from "../apply.ts";
import type { Applied } from "../apply.ts";
import { cellsOwnedBy } from "../cells.ts";
import type { ChunkCells } from "../map-entry.ts";
import { loosened, openGroup, proposalOf } from "../queue.ts";
import { refusalOf } from "../refusal.ts";
import { emptyState, mapOf } from "../state.ts";
import type { PartitionState } from "../state.ts";
import { fakeKey, fakeSlotKey, nonceOf, slotOf } from "./fake-cells.ts";
import { FakeEngine } from "./fake-engine.ts";
import { TEST_CHAIN_ID, addressOf, applyEntry, genesisEntry, logMessage } from "./messages.ts";

/** An entry, or how to make it when the log has come to it. */
export type TestEntry = Entry | ((partition: TestPartition) => Entry);

export interface TestPartitionOptions {
  partition?: number;
  /** Rules that differ from `ALL_RULES`. */
  rules?: Partial<Rules>;
  /** Cells of all partitions at genesis. */
  genesis?: Uint8Array;
  map?: RangeMap;
}

export class TestPartition {
  readonly state: PartitionState;
  readonly engine = new FakeEngine();
  /** What each message came to; see `textOf`. A refused one is the last. */
  readonly texts: string[] = [];
  readonly applied: Applied[] = [];
  chunks: ChunkCells = new Map();

  /** Stands behind the genesis message; the next one is message 2 of flush 2. */
  constructor({ partition = 0, rules = {}, genesis = new Uint8Array(0), map = evenRangeMap(2) }: TestPartitionOptions = {}) {
    this.state = emptyState(partition, TEST_CHAIN_ID, { ...ALL_RULES, ...rules });
    const { message, position } = logMessage(1, [genesisEntry(map)]);
    applyMessage(this.state, message, position, this.engine, genesis);
  }

  /** Applies the next message, unless one was refused. Returns what came of it. */
  take(entries: readonly TestEntry[]): string {
    const n = this.state.position.n + 1;
    const made = entries.map((entry) => (typeof entry === "function" ? entry(this) : entry));
    const { message, position } = logMessage(n, made);
    const refusal = refusalOf(this.state, message);
    if (refusal !== null) {
      const { code, n: at, ...facts } = refusal;
      return this.#note(`${at} refused ${code} ${Object.values(facts).join(" ")}`);
    }
    const applied = applyMessage(this.state, message, position, this.engine, null, this.chunks);
    assert(applied !== null, `message ${n} is applied already`);
    this.applied.push(applied);
    return this.#note(textOf(applied));
  }

  #note(text: string): string {
    this.texts.push(text);
    return text;
  }

  /** Slot 0 of an account by two hex digits. */
  slot(account: string): number {
    return slotOf(this.cell(fakeSlotKey(addressOf(account))));
  }

  nonce(account: string): number {
    return nonceOf(this.cell(fakeKey(CELL.nonce, addressOf(account))));
  }

  cell(key: Uint8Array): Uint8Array {
    const answer = this.engine.read(PENDING, key);
    assert("cells" in answer, "the present can be read");
    return answer.cells;
  }

  /** What is open, as "group 2.1 held", "group 3.1", "local 3.4". */
  open(): string[] {
    return [...this.state.open.entries].map((open) => {
      const held = open.kind === "group" && open.held ? " held" : "";
      return `${open.kind} ${open.position.flush}.${open.position.index}${held}`;
    });
  }

  /** The `apply` that the home proposes for a group, with these cells of the others. */
  apply(group: Position, given: Uint8Array = new Uint8Array(0), index = 0): ApplyEntry {
    const open = openGroup(this.state, group);
    assert(open !== undefined, `group ${group.flush}.${group.index} is not open`);
    const { transactions, rules } = proposalOf(this.state, open);
    let proposal = this.engine.propose(transactions, given, rules);
    const allowed = loosened(this.state, open, rules.allowed, proposal.touches);
    if (allowed !== null) proposal = this.engine.propose(transactions, given, { ...rules, allowed });
    assert(proposal.missing.length === 0, `group ${group.flush}.${group.index} misses cells`);
    const { ownerOf } = indexRanges(this.map);
    const writes = cellsOwnedBy(proposal.writes, (bytes, at) => ownerOf(bytes, at) === this.state.partition);
    return applyEntry(index, group, { writes, results: proposal.results, misses: missesOf(proposal.touches) });
  }

  get map(): RangeMap {
    return mapOf(this.state);
  }
}

/** Packed u32 indexes of the members that did not come to an end. */
export function missesOf(touches: Uint8Array): Uint8Array {
  const misses: Uint8Array[] = [];
  for (let at = 0; at < touches.length; at += touchBytes(touches, at)) {
    if (touchWhy(touches, at) === WHY.complete) continue;
    const index = new Uint8Array(4);
    writeU32(index, 0, touchIndex(touches, at));
    misses.push(index);
  }
  return concatBytes(misses);
}

/**
 * What a message came to: its number; "flush.index" of all that ended, those of earlier flushes behind "settled", with their
 * reason if they failed; "missed" with why; what it closed and moved.
 */
export function textOf({ record, missed, moves }: Applied): string {
  const parts = [String(record.n), ...endedTexts(record.flush, record.transactions, record.results)];
  for (const run of record.settled) parts.push("settled", ...endedTexts(run.flush, run.transactions, run.results));
  for (const { flush, record: transaction, touch } of missed) {
    parts.push(`missed ${flush}.${txIndex(transaction, 0)} ${nameOf(WHY, touchWhy(touch, 0))}`);
  }
  if (record.block !== null) parts.push(`block ${record.block.entry.number}`);
  if (record.map !== null) parts.push(`map ${record.map.version}`);
  for (const { first, last } of moves) parts.push(`moves ${first.slice(0, 2)}-${last.slice(0, 2)}`);
  return parts.join(" ");
}

function endedTexts(flush: number, transactions: Uint8Array, results: Uint8Array): string[] {
  const texts: string[] = [];
  let resultAt = 0;
  for (let at = 0; at < transactions.length; at += txBytes(transactions, at)) {
    const reason = resultReason(results, resultAt);
    texts.push(`${flush}.${txIndex(transactions, at)}${reason === REASON.none ? "" : `!${nameOf(REASON, reason)}`}`);
    resultAt += resultBytes(results, resultAt);
  }
  assert(resultAt === results.length, `transactions and results of flush ${flush} pair: ${hexOf(results).length}`);
  return texts;
}

const nameOf = (names: Record<string, number>, code: number): string =>
  Object.entries(names).find(([, number]) => number === code)?.[0] ?? String(code);
