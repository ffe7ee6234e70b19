/**
 * An engine without an EVM, for tests of the rules around it. Transactions carry toy programs (toy-program.ts) in place of
 * contract calls; one without a program adds 1 to slot 0 of its `to`. Everything the port asks of execution is here: barred and
 * strict runs, misses with their touches, proposals on top of given cells, grants, write sets, nonces that do not show before
 * their transaction, versions, and a digest that does not depend on the cut. A call runs the program in its data; without one it
 * sums up slot 0 of the addresses in its data. Deterministic, and on the caller's thread.
 */
import { assert } from "../../assert.ts";
import { bytesOfHex, concatBytes, hexOf, readU32, readU64 } from "../../bytes.ts";
import { CELL } from "../../cells.ts";
import type {
  BlockContext,
  CallRequest,
  CallResult,
  Engine,
  ExportChunk,
  OwnedRanges,
  Proposal,
  ProposalRules,
  RunResult,
  RunRules,
} from "../../engine.ts";
import { NONCE_STATE_BYTES, PENDING } from "../../engine.ts";
import { REASON } from "../../results.ts";
import { TOUCH, WHY } from "../../touches.ts";
import { MODE, NONCE, NONCE_BYTES, txAfterFlush, txAfterIndex, txBytes, txCount, txIndex } from "../../transactions.ts";
import { cellBytes, keyBytes } from "../cells.ts";
import { VERSION_BLOCKS_MAX } from "../state.ts";
import type { Cells } from "./fake-cells.ts";
import {
  absentCell,
  balanceOf,
  cellKey,
  cellsByKey,
  fakeKey,
  fakeLattice,
  fakeNonceCell,
  fakeSlotKey,
  inAddressOrder,
  isEmpty,
  slotOf,
} from "./fake-cells.ts";
import { isToyProgram, runToy } from "./toy-program.ts";
import { TOY_GAS, Turn, hasPosition, modeCovers, modesOf, packedPosition, runTurn } from "./toy-turn.ts";
import type { TurnPorts } from "./toy-turn.ts";

/** BLOCKHASH reaches back so far; what is older is zero. */
const HASHES_MAX = 256;

export class FakeEngine implements Engine {
  /** Names of the mutating calls in order, with what tells them apart: "open 1", "run 2+1", "close 1", "seal 0". */
  readonly calls: string[] = [];
  private owned: { ranges: { first: string; last: string }[]; pinsIn: Set<string>; pinsOut: Set<string> };
  private cells: Cells = new Map();
  /** Accounts whose nonce record 0 stands here and whose first transaction has not come to an end. */
  private readonly fresh = new Set<string>();
  private readonly versions = new Map<number, Cells>();
  private readonly hashes = new Map<number, Uint8Array>();
  private open: BlockContext | null = null;
  private closed = -1;

  constructor() {
    this.owned = { ranges: [], pinsIn: new Set(), pinsOut: new Set() };
  }

  setOwned(owned: OwnedRanges): void {
    this.owned = {
      ranges: owned.ranges.map(({ first, last }) => ({ first: hexOf(first), last: hexOf(last) })),
      pinsIn: new Set(owned.pinsIn.map((pin) => hexOf(pin))),
      pinsOut: new Set(owned.pinsOut.map((pin) => hexOf(pin))),
    };
    this.calls.push(`own ${owned.ranges.length}`);
  }

  importCells(cells: Uint8Array): void {
    // Without undo record it shows at every version, as in the real engine.
    for (const [key, cell] of cellsByKey(cells))
      for (const version of [this.cells, ...this.versions.values()]) version.set(key, cell);
    this.calls.push(`import ${cells.length}`);
  }

  exportCells(block: number, first: Uint8Array, last: Uint8Array, bytesMax: number): ExportChunk {
    const version = this.versions.get(block);
    assert(version !== undefined, `fake engine has no version of block ${block}`);
    const inside = [...version].filter(([key]) => key.slice(2, 42) >= hexOf(first) && key.slice(2, 42) <= hexOf(last));
    inside.sort(([left], [right]) => inAddressOrder(left, right));
    const chunk: Uint8Array[] = [];
    let [bytes, address] = [0, ""];
    for (const [key, cell] of inside) {
      if (key.slice(2, 42) !== address && bytes >= bytesMax)
        return { cells: concatBytes(chunk), next: bytesOfHex(key.slice(2, 42)) };
      address = key.slice(2, 42);
      chunk.push(cell);
      bytes += cell.length;
    }
    return { cells: concatBytes(chunk), next: null };
  }

  dropRange(first: Uint8Array, last: Uint8Array): void {
    for (const key of this.cells.keys()) {
      const address = key.slice(2, 42);
      if (address >= hexOf(first) && address <= hexOf(last)) this.cells.delete(key);
    }
    this.calls.push("drop");
  }

  openBlock(context: BlockContext): void {
    assert(this.open === null, "fake engine has a block open");
    this.open = context;
    this.calls.push(`open ${context.number}`);
  }

  run(transactions: Uint8Array, nonces: Uint8Array, rules: RunRules): RunResult {
    const results: Uint8Array[] = [];
    const misses: Uint8Array[] = [];
    const barred = new Set(addresses(rules.barred));
    const missedHere = new Set<number>();
    const ports: TurnPorts = {
      read: (key) => this.seen(key),
      isAllowed: (address, mode, declared) =>
        this.isOwned(address) && (modeCovers(declared, mode) || (!rules.strict && !barred.has(address))),
      hashOf: (block) => this.hashOf(block),
      beginsSender: (sender) => this.fresh.has(hexOf(sender)),
    };
    let nonceAt = 0;
    for (let at = 0; at < transactions.length; at += txBytes(transactions, at)) {
      const index = txIndex(transactions, at);
      nonceAt = this.putNonces(nonces, nonceAt, index);
      const turn = runTurn(transactions, at, follows(transactions, at, rules, missedHere), ports);
      if (turn.result === null) {
        missedHere.add(index);
        misses.push(turn.touch);
        continue;
      }
      results.push(turn.result);
      for (const cell of turn.writes.values()) this.commit(cell);
    }
    this.putNonces(nonces, nonceAt, Infinity);
    this.calls.push(`run ${txCount(transactions)}+${nonces.length / NONCE_BYTES}`);
    return { results: concatBytes(results), misses: concatBytes(misses) };
  }

  /** Nonce records up to the one with this index; returns where the next one stands. */
  private putNonces(nonces: Uint8Array, from: number, index: number): number {
    let at = from;
    for (; at < nonces.length && readU32(nonces, at + NONCE.index) <= index; at += NONCE_BYTES) {
      const sender = nonces.slice(at + NONCE.sender, at + NONCE.sender + 20);
      const nonce = readU64(nonces, at + NONCE.nonce);
      const isNew = balanceOf(this.seen(fakeKey(CELL.account, sender))) === 0;
      if (nonce === 0 && isNew) this.fresh.add(hexOf(sender));
      const next = nonce + readU32(nonces, at + NONCE.following) + 1;
      this.put(fakeNonceCell(sender, next, nonces.slice(at + NONCE.hash, at + NONCE.hash + 32)));
    }
    return at;
  }

  propose(transactions: Uint8Array, given: Uint8Array, rules: ProposalRules): Proposal {
    const allowed = modesOf(rules.allowed);
    const isAllowed = (address: string, mode: number): boolean => rules.whole || modeCovers(allowed.get(address) ?? null, mode);
    const over: Cells = new Map();
    const cells = cellsByKey(given);
    const missing = new Map<string, Uint8Array>();
    const ports: TurnPorts = {
      read: (key) => {
        const name = hexOf(key);
        const known = over.get(name) ?? (this.isOwned(name.slice(2, 42)) ? this.seen(key) : cells.get(name));
        if (known === undefined) missing.set(name, key);
        return known ?? absentCell(key);
      },
      isAllowed,
      hashOf: (block) => this.hashOf(block),
      // Who owns the sender is not known here. Where its first transaction has to show, it is declared.
      beginsSender: (sender) => isAllowed(hexOf(sender), MODE.write),
    };
    const results: Uint8Array[] = [];
    const touches: Uint8Array[] = [];
    const missedHere = new Set<number>();
    for (let at = 0; at < transactions.length; at += txBytes(transactions, at)) {
      const turn = runTurn(transactions, at, follows(transactions, at, rules, missedHere), ports);
      touches.push(turn.touch);
      if (turn.result === null) missedHere.add(txIndex(transactions, at));
      else results.push(turn.result);
      for (const [key, cell] of turn.writes) over.set(key, cell);
    }
    const writes = [...over].sort(([left], [right]) => inAddressOrder(left, right)).map(([, cell]) => cell);
    return {
      results: concatBytes(results),
      touches: concatBytes(touches),
      writes: concatBytes(writes),
      missing: concatBytes([...missing.values()]),
    };
  }

  grant(request: Uint8Array): Uint8Array {
    const cells = keysOf(request).map((key) => {
      assert(this.isOwned(hexOf(key, 1, 21)), `fake engine is asked to grant ${hexOf(key, 1, 21)}, which it does not own`);
      return this.seen(key);
    });
    return concatBytes(cells);
  }

  applyWrites(writes: Uint8Array): void {
    let count = 0;
    for (let at = 0; at < writes.length; at += cellBytes(writes, at), count++) {
      if (this.isOwned(hexOf(writes, at + 1, at + 21))) this.commit(writes.slice(at, at + cellBytes(writes, at)));
    }
    this.calls.push(`apply ${count}`);
  }

  /** A nonce that a nonce record wrote is not written again: its cell only says that the first transaction came to an end. */
  private commit(cell: Uint8Array): void {
    const address = hexOf(cell, 1, 21);
    if (cell[0] === CELL.erased) {
      for (const key of this.cells.keys()) if (key.slice(2, 42) === address) this.cells.delete(key);
    } else if (cell[0] === CELL.nonce && this.cells.has(cellKey(cell))) this.fresh.delete(address);
    else this.put(cell);
  }

  closeBlock(): Uint8Array {
    assert(this.open !== null, "fake engine has no block open");
    this.closed = this.open.number;
    this.versions.set(this.closed, new Map(this.cells));
    this.calls.push(`close ${this.closed}`);
    this.open = null;
    return this.lattice();
  }

  seal(number: number, hash: Uint8Array): void {
    this.calls.push(`seal ${number}`);
    this.hashes.set(number, hash.slice());
    for (const version of this.versions.keys()) if (version < number - VERSION_BLOCKS_MAX) this.versions.delete(version);
  }

  nonces(packed: Uint8Array): Uint8Array {
    const answer = new Uint8Array((packed.length / 20) * NONCE_STATE_BYTES);
    for (let at = 0, to = 0; at < packed.length; at += 20, to += NONCE_STATE_BYTES) {
      const nonce = this.cells.get(`02${hexOf(packed, at, at + 20)}`);
      if (nonce !== undefined) {
        answer.set(nonce.subarray(21, 29), to);
        answer.set(nonce.subarray(29), to + 9);
      }
      answer[to + 8] = balanceOf(this.seen(fakeKey(CELL.account, packed.slice(at, at + 20)))) > 0 ? 1 : 0;
    }
    return answer;
  }

  read(block: number, request: Uint8Array): { cells: Uint8Array } | { pruned: number } | { unknownBlock: number } {
    const cells = this.at(block);
    if ("pruned" in cells || "unknownBlock" in cells) return cells;
    return { cells: concatBytes(keysOf(request).map((key) => cells.found.get(hexOf(key)) ?? absentCell(key))) };
  }

  private at(block: number): { found: Cells } | { pruned: number } | { unknownBlock: number } {
    if (block === PENDING) return { found: this.cells };
    const found = this.versions.get(block);
    if (found !== undefined) return { found };
    return block > this.closed ? { unknownBlock: this.closed } : { pruned: Math.min(...this.versions.keys()) };
  }

  async call(block: number, request: CallRequest): Promise<CallResult> {
    await Promise.resolve();
    const cells = this.at(block);
    if ("pruned" in cells) return { status: "pruned", oldest: cells.pruned };
    if ("unknownBlock" in cells) return { status: "unknownBlock", newest: cells.unknownBlock };
    return isToyProgram(request.data) ? this.callToy(cells.found, request) : this.callSum(cells.found, request);
  }

  private callToy(cells: Cells, request: CallRequest): CallResult {
    const given = cellsByKey(request.given);
    const missing = new Map<string, Uint8Array>();
    const turn = new Turn(new Map(), {
      read: (key) => {
        const isOwned = this.isOwned(hexOf(key, 1, 21));
        if (!isOwned && !given.has(hexOf(key))) missing.set(hexOf(key), key);
        return (isOwned ? cells : given).get(hexOf(key)) ?? absentCell(key);
      },
      isAllowed: () => true,
      hashOf: (block) => this.hashOf(block),
      beginsSender: () => false,
    });
    const { why, value, status, reason, x, steps } = runToy(request.data, request.from, turn);
    if (missing.size > 0) return { status: "missing", cells: concatBytes([...missing.values()]) };
    if (why === WHY.unsealed) return { status: "unsealed", block: value };
    if (reason === REASON.void) return { status: "funds" };
    const output = new Uint8Array(32);
    new DataView(output.buffer).setUint32(28, x);
    const touches = turn.touchRecord(0, why, 0).slice(TOUCH.accounts);
    const access = request.traced ? { accessList: new Uint8Array(0), touches } : null;
    return { status: status === 1 ? "success" : "revert", gasUsed: TOY_GAS + steps * 100, output, access };
  }

  private callSum(cells: Cells, request: CallRequest): CallResult {
    const given = cellsByKey(request.given);
    const missing: Uint8Array[] = [];
    let sum = 0;
    for (const address of addresses(request.data)) {
      const key = fakeSlotKey(bytesOfHex(address));
      const isOwned = this.isOwned(address);
      if (!isOwned && !given.has(hexOf(key))) missing.push(key);
      else sum += slotOf((isOwned ? cells : given).get(hexOf(key)) ?? absentCell(key));
    }
    if (missing.length > 0) return { status: "missing", cells: concatBytes(missing) };
    const gasUsed = TOY_GAS + (request.data.length / 20) * 100;
    if (gasUsed > request.gasLimit) return { status: "halt", gasUsed: request.gasLimit, why: "out of gas", access: null };
    const output = new Uint8Array(32);
    new DataView(output.buffer).setUint32(28, sum);
    const touches = concatBytes(
      addresses(request.data).map((address) => concatBytes([Uint8Array.of(MODE.read), bytesOfHex(address)])),
    );
    return { status: "success", gasUsed, output, access: request.traced ? { accessList: new Uint8Array(0), touches } : null };
  }

  memory(): { bytes: number; accounts: number; slots: number } {
    const keys = [...this.cells.keys()];
    const bytes = [...this.cells.values()].reduce((sum, cell) => sum + cell.length, 0);
    return {
      bytes,
      accounts: new Set(keys.map((key) => key.slice(2, 42))).size,
      slots: keys.filter((key) => key.startsWith("03")).length,
    };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  private put(cell: Uint8Array): void {
    if (cell[0] === CELL.slot && isEmpty(cell)) this.cells.delete(cellKey(cell));
    else this.cells.set(cellKey(cell), cell);
  }

  /** A cell of the present as transactions see it: a nonce shows only once its transaction has come to an end. */
  private seen(key: Uint8Array): Uint8Array {
    const isHidden = key[0] === CELL.nonce && this.fresh.has(hexOf(key, 1, 21));
    return isHidden ? absentCell(key) : (this.cells.get(hexOf(key)) ?? absentCell(key));
  }

  private hashOf(block: number): number | null {
    const number = this.open?.number ?? 0;
    if (block >= number || block < number - HASHES_MAX) return 0;
    const hash = this.hashes.get(block);
    return hash === undefined ? null : readU32(hash, 0);
  }

  private isOwned(hex: string): boolean {
    const { ranges, pinsIn, pinsOut } = this.owned;
    return pinsIn.has(hex) || (!pinsOut.has(hex) && ranges.some(({ first, last }) => hex >= first && hex <= last));
  }

  private lattice(): Uint8Array {
    const owned = [...this.cells].filter(([key]) => this.isOwned(key.slice(2, 42)));
    return fakeLattice(owned.map(([, cell]) => cell));
  }
}

/** True if the one that the transaction names in `after` missed: before this run, or in it. */
function follows(
  transactions: Uint8Array,
  at: number,
  rules: { flush: number; missed: Uint8Array },
  missedHere: Set<number>,
): boolean {
  const flush = txAfterFlush(transactions, at);
  if (flush === 0) return false;
  const index = txAfterIndex(transactions, at);
  return (flush === rules.flush && missedHere.has(index)) || hasPosition(rules.missed, packedPosition(flush, index));
}

const addresses = (packed: Uint8Array): string[] =>
  Array.from({ length: packed.length / 20 }, (_, number) => hexOf(packed, number * 20, number * 20 + 20));

function keysOf(request: Uint8Array): Uint8Array[] {
  const keys: Uint8Array[] = [];
  for (let at = 0; at < request.length;) {
    const length = keyBytes(request, at);
    assert(length > 0, "fake engine is asked for a malformed cell");
    keys.push(request.slice(at, at + length));
    at += length;
  }
  return keys;
}
