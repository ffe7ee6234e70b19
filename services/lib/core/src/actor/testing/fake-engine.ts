/**
 * An engine without an EVM, for tests of the rules around it. It keeps packed cells in a map and has one "contract": a
 * transaction adds 1 to slot 0 of its `to`; a call sums up slot 0 of the addresses in its data. Deterministic, with versions,
 * misses and a digest that does not depend on the cut, as the port asks.
 */
import { assert } from "../../assert.ts";
import { bytesOfHex, concatBytes, hexOf, readU16, readU64, writeU16, writeU32, writeU64 } from "../../bytes.ts";
import { CELL, NONCE_CELL_BYTES, SLOT_CELL_BYTES } from "../../cells.ts";
import type { BlockContext, CallRequest, CallResult, Engine, ExportChunk, OwnedRanges } from "../../engine.ts";
import { PENDING } from "../../engine.ts";
import { REASON, RESULT } from "../../results.ts";
import { NONCE, NONCE_BYTES, TX, txBytes, txIndex } from "../../transactions.ts";
import { cellBytes, keyBytes } from "../cells.ts";
import { VERSION_BLOCKS_MAX } from "../state.ts";

const LATTICE_BYTES = 2_048;
const EMPTY_CODE_HASH = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470";
/** What a fake call uses besides 100 for each address. */
const CALL_GAS = 21_000;

/** Cells by the hex of their key (kind, address, slot); values are whole packed cells. */
type Cells = Map<string, Uint8Array>;

export class FakeEngine implements Engine {
  /** Names of the mutating calls in order, with what tells them apart: "open 1", "run 2+1", "close 1", "seal 0". */
  readonly calls: string[] = [];
  private owned: OwnedRanges = { ranges: [], pinsIn: [], pinsOut: [] };
  private cells: Cells = new Map();
  private readonly versions = new Map<number, Cells>();
  private open: BlockContext | null = null;
  private closed = -1;

  setOwned(owned: OwnedRanges): void {
    this.owned = owned;
    this.calls.push(`own ${owned.ranges.length}`);
  }

  importCells(cells: Uint8Array): void {
    for (let at = 0; at < cells.length;) {
      const bytes = cellBytes(cells, at);
      this.put(cells.slice(at, at + bytes));
      at += bytes;
    }
    this.calls.push(`import ${cells.length}`);
  }

  exportCells(block: number, first: Uint8Array, last: Uint8Array, bytesMax: number): ExportChunk {
    const version = this.versions.get(block);
    assert(version !== undefined, `fake engine has no version of block ${block}`);
    const inside = [...version].filter(([key]) => key.slice(2, 42) >= hexOf(first) && key.slice(2, 42) <= hexOf(last));
    inside.sort(([left], [right]) => (sortKey(left) < sortKey(right) ? -1 : 1));
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
      if (key.slice(2, 42) >= hexOf(first) && key.slice(2, 42) <= hexOf(last)) this.cells.delete(key);
    }
    this.calls.push("drop");
  }

  openBlock(context: BlockContext): void {
    assert(this.open === null, "fake engine has a block open");
    this.open = context;
    this.calls.push(`open ${context.number}`);
  }

  run(transactions: Uint8Array, nonces: Uint8Array): Uint8Array {
    const results: Uint8Array[] = [];
    for (let at = 0; at < transactions.length; at += txBytes(transactions, at)) results.push(this.runOne(transactions, at));
    for (let at = 0; at < nonces.length; at += NONCE_BYTES) {
      const cell = new Uint8Array(NONCE_CELL_BYTES);
      cell[0] = CELL.nonce;
      cell.set(nonces.subarray(at + NONCE.sender, at + NONCE.sender + 20), 1);
      writeU64(cell, 21, readU64(nonces, at + NONCE.nonce) + 1);
      cell.set(nonces.subarray(at + NONCE.hash, at + NONCE.hash + 32), 29);
      this.put(cell);
    }
    this.calls.push(`run ${results.length}+${nonces.length / NONCE_BYTES}`);
    return concatBytes(results);
  }

  private runOne(transactions: Uint8Array, at: number): Uint8Array {
    const to = transactions.subarray(at + TX.to, at + TX.to + 20);
    const result = new Uint8Array(RESULT.output);
    writeU32(result, RESULT.bytes, RESULT.output);
    writeU32(result, RESULT.index, txIndex(transactions, at));
    writeU32(result, RESULT.logsOffset, RESULT.output);
    writeU64(result, RESULT.gasUsed, CALL_GAS);
    if (!this.isOwned(to)) {
      result[RESULT.reason] = REASON.foreign;
      result.set(to, RESULT.address);
      return result;
    }
    result[RESULT.status] = 1;
    const cell = fakeSlotCell(to, fakeSlotValue(this.cells, to) + 1);
    this.put(cell);
    return result;
  }

  propose(): never {
    assert(false, "fake engine has no groups");
  }

  applyWrites(): never {
    assert(false, "fake engine has no groups");
  }

  closeBlock(): Uint8Array {
    assert(this.open !== null, "fake engine has no block open");
    this.closed = this.open.number;
    this.versions.set(this.closed, new Map(this.cells));
    this.calls.push(`close ${this.closed}`);
    this.open = null;
    return this.lattice();
  }

  seal(number: number): void {
    this.calls.push(`seal ${number}`);
    for (const version of this.versions.keys()) if (version < number - VERSION_BLOCKS_MAX) this.versions.delete(version);
  }

  nonces(addresses: Uint8Array): Uint8Array {
    const answer = new Uint8Array((addresses.length / 20) * 40);
    for (let at = 0; at < addresses.length; at += 20) {
      const cell = this.cells.get(`02${hexOf(addresses, at, at + 20)}`);
      if (cell !== undefined) answer.set(cell.subarray(21), (at / 20) * 40);
    }
    return answer;
  }

  read(block: number, request: Uint8Array): { cells: Uint8Array } | { pruned: number } | { unknownBlock: number } {
    const cells = this.at(block);
    if ("pruned" in cells || "unknownBlock" in cells) return cells;
    const found: Uint8Array[] = [];
    for (let at = 0; at < request.length;) {
      const length = keyBytes(request, at);
      assert(length > 0, "fake engine is asked for a malformed cell");
      found.push(cells.found.get(hexOf(request, at, at + length)) ?? absent(request.subarray(at, at + length)));
      at += length;
    }
    return { cells: concatBytes(found) };
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
    const given: Cells = new Map();
    for (let at = 0; at < request.given.length; at += cellBytes(request.given, at)) {
      given.set(
        hexOf(request.given, at, at + keyBytes(request.given, at)),
        request.given.slice(at, at + cellBytes(request.given, at)),
      );
    }
    const missing: Uint8Array[] = [];
    let sum = 0;
    for (let at = 0; at < request.data.length; at += 20) {
      const address = request.data.subarray(at, at + 20);
      const key = fakeSlotKey(address);
      if (!this.isOwned(address) && !given.has(hexOf(key))) missing.push(key);
      else sum += fakeSlotValue(this.isOwned(address) ? cells.found : given, address);
    }
    if (missing.length > 0) return { status: "missing", cells: concatBytes(missing) };
    const gasUsed = CALL_GAS + (request.data.length / 20) * 100;
    if (gasUsed > request.gasLimit) return { status: "halt", gasUsed: request.gasLimit, why: "out of gas" };
    const output = new Uint8Array(32);
    new DataView(output.buffer).setUint32(28, sum);
    return { status: "success", gasUsed, output };
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
    this.cells.set(hexOf(cell, 0, keyBytes(cell, 0)), cell);
  }

  private isOwned(address: Uint8Array): boolean {
    const hex = hexOf(address);
    if (this.owned.pinsIn.some((pin) => hexOf(pin) === hex)) return true;
    if (this.owned.pinsOut.some((pin) => hexOf(pin) === hex)) return false;
    return this.owned.ranges.some(({ first, last }) => hex >= hexOf(first) && hex <= hexOf(last));
  }

  /** Lane-wise sum over the cells owned, each spread over the lanes by a small generator. */
  private lattice(): Uint8Array {
    const sum = new Uint8Array(LATTICE_BYTES);
    for (const cell of this.cells.values()) {
      if (!this.isOwned(cell.subarray(1, 21))) continue;
      let seed = 2_166_136_261;
      for (const byte of cell) seed = Math.imul(seed ^ byte, 16_777_619) >>> 0;
      for (let lane = 0; lane < LATTICE_BYTES; lane += 2) {
        seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
        writeU16(sum, lane, (readU16(sum, lane) + (seed >>> 16)) & 0xffff);
      }
    }
    return sum;
  }
}

/** Accounts stay together, in the order account, nonce, slots, code. */
const sortKey = (key: string): string => key.slice(2, 42) + key.slice(0, 2) + key.slice(42);

/** Read key of slot 0 of an account. */
export function fakeSlotKey(address: Uint8Array): Uint8Array {
  const key = new Uint8Array(53);
  key[0] = CELL.slot;
  key.set(address, 1);
  return key;
}

/** Slot 0 of an account as a packed cell. */
export function fakeSlotCell(address: Uint8Array, value: number): Uint8Array {
  const cell = new Uint8Array(SLOT_CELL_BYTES);
  cell.set(fakeSlotKey(address));
  new DataView(cell.buffer).setUint32(SLOT_CELL_BYTES - 4, value);
  return cell;
}

function fakeSlotValue(cells: Cells, address: Uint8Array): number {
  const cell = cells.get(hexOf(fakeSlotKey(address)));
  return cell === undefined ? 0 : new DataView(cell.buffer, cell.byteOffset).getUint32(SLOT_CELL_BYTES - 4);
}

function absent(key: Uint8Array): Uint8Array {
  switch (key[0]) {
    case CELL.slot:
      return concatBytes([key, new Uint8Array(32)]);
    case CELL.account:
      return concatBytes([key, new Uint8Array(32), bytesOfHex(EMPTY_CODE_HASH)]);
    case CELL.nonce:
      return concatBytes([key, new Uint8Array(40)]);
    default:
      return concatBytes([key, new Uint8Array(4)]);
  }
}
