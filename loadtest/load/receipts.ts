/**
 * Whether each call that was sent has its receipt, from blocks alone.
 *
 * R1. A call counts as confirmed if a block holds a transaction with its hash; what the client was told counts for nothing here.
 * R2. A hash in two places, or one in our blocks that nobody sent, is a failure of its own.
 */
import { type LoadPlan, callsOf, unitsOf } from "./plan.ts";
import { ID_BYTES } from "./bodies.ts";
import type { BlockReceipts } from "./blocks.ts";

/** Of a batch's id, how much stands in the hashes of its calls; the number of the call follows. */
const ID_PART_BYTES = 30;
const MISSING = 0;
const SUCCEEDED = 1;
const FAILED = 2;

export class Receipts {
  readonly #plan: LoadPlan;
  readonly #ids: Uint8Array;
  readonly #view: DataView;
  /** Units by the first bytes of their ids, open addressing: unit + 1, 0 for nothing. */
  readonly #table: Uint32Array;
  readonly #states: Uint8Array;
  /** Calls in the order of the chain. */
  readonly order: Uint32Array;
  /** By call: number of its block minus the first one's. */
  readonly blocks: Uint32Array;
  confirmed = 0;
  failed = 0;
  twice = 0;
  /** Transactions in the blocks that are not of this load. */
  foreign = 0;

  constructor(plan: LoadPlan, ids: Uint8Array) {
    this.#plan = plan;
    this.#ids = ids;
    this.#view = new DataView(ids.buffer, ids.byteOffset, ids.byteLength);
    const units = unitsOf(plan);
    const size = 2 ** Math.ceil(Math.log2(2 * units + 2));
    this.#table = new Uint32Array(size);
    for (let unit = 0; unit < units; unit++) {
      let slot = this.#view.getUint32(unit * ID_BYTES) & (size - 1);
      while (this.#table[slot] !== 0) slot = (slot + 1) & (size - 1);
      this.#table[slot] = unit + 1;
    }
    const calls = callsOf(plan);
    this.#states = new Uint8Array(calls);
    this.order = new Uint32Array(calls);
    this.blocks = new Uint32Array(calls);
  }

  /** @param block its number minus the first one's. @returns transactions of this load in it */
  read(block: number, { hashes, statuses }: BlockReceipts): number {
    let own = 0;
    for (let index = 0; index < statuses.length; index++) {
      const call = this.#callOf(hashes, index * ID_BYTES);
      if (call < 0) this.foreign++;
      else if (this.#states[call] !== MISSING) this.twice++;
      else {
        own++;
        this.#states[call] = statuses[index] === 1 ? SUCCEEDED : FAILED;
        if (statuses[index] !== 1) this.failed++;
        this.blocks[call] = block;
        this.order[this.confirmed++] = call;
      }
    }
    return own;
  }

  hasReceipt(call: number): boolean {
    return this.#states[call] !== MISSING;
  }

  hasSucceeded(call: number): boolean {
    return this.#states[call] === SUCCEEDED;
  }

  get missing(): number {
    return this.#states.length - this.confirmed;
  }

  /** The call with this hash; -1 if there is none. */
  #callOf(hashes: Uint8Array, at: number): number {
    const { signedCalls, mode } = this.#plan;
    const isBatch = mode === "batches";
    const mask = this.#table.length - 1;
    const key = (hashes[at]! << 24) | (hashes[at + 1]! << 16) | (hashes[at + 2]! << 8) | hashes[at + 3]!;
    for (let slot = (key >>> 0) & mask; ; slot = (slot + 1) & mask) {
      const found = this.#table[slot]!;
      if (found === 0) return -1;
      const unit = found - 1;
      if (!this.#isSame(hashes, at, unit, isBatch ? ID_PART_BYTES : ID_BYTES)) continue;
      const number = isBatch ? (hashes[at + ID_PART_BYTES]! << 8) | hashes[at + ID_PART_BYTES + 1]! : 0;
      return number < signedCalls ? unit * signedCalls + number : -1;
    }
  }

  #isSame(hashes: Uint8Array, at: number, unit: number, bytes: number): boolean {
    for (let index = 0; index < bytes; index++) if (hashes[at + index] !== this.#ids[unit * ID_BYTES + index]) return false;
    return true;
  }
}
