/** What one response still waits for, and what each answer of the archive says of it, packed for the client. */
import { OUTCOME_BYTES } from "@meridian/core";
import { callsOfKey, selectCalls } from "./keys.ts";
import type { CallKeys } from "./keys.ts";

/** 32-bit words of an outcome (core's outcomes.ts) and of a receipt as the client reads it; they differ in the first three. */
export const OUTCOME_WORDS = OUTCOME_BYTES / 4;

/** Number of the block of the outcome at a word; -1 if it is in none. */
export const blockAt = (outcomes: Uint32Array, at: number): number => outcomes[at]! + outcomes[at + 1]! * 0x1_0000_0000 - 1;

/** Receipts of one block, packed; `at` the word where the next one goes. */
interface Told {
  receipts: Uint32Array;
  at: number;
}

export class Followed {
  /** Of all calls, told or not. */
  readonly count: number;
  #calls: CallKeys;
  #fromBlock: number;

  /** @param fromBlock  no earlier block can have any of the calls */
  constructor(calls: CallKeys, fromBlock: number) {
    this.#calls = calls;
    this.#fromBlock = fromBlock;
    this.count = calls.count;
  }

  /** Calls that are not told yet. */
  get left(): number {
    return this.#calls.count;
  }
  /** Their keys. */
  get keys(): Uint8Array {
    return this.#calls.keys;
  }
  get fromBlock(): number {
    return this.#fromBlock;
  }

  /**
   * Takes the archive's answer to `keys`; what stands in blocks up to `latest` is told, and asked for no more.
   * @param outcomes  words from `start` on: `left` outcomes
   * @returns packed receipts by the number of their block, ascending
   */
  take(outcomes: Uint32Array, start: number, latest: number): [block: number, receipts: Uint8Array][] {
    const told = this.#place(outcomes, start, latest);
    this.#fromBlock = latest + 1;
    if (told.size === 0) return [];
    const left = this.left - this.#write(outcomes, start, told);
    const isOpen = (number: number) => !told.has(blockAt(outcomes, start + number * OUTCOME_WORDS));
    this.#calls = selectCalls(this.#calls, left === 0 ? () => false : isOpen);
    const blocks = [...told].sort(([one], [other]) => one - other);
    return blocks.map(([block, { receipts }]) => [block, new Uint8Array(receipts.buffer)]);
  }

  /** Room for the receipts of each block. */
  #place(outcomes: Uint32Array, start: number, latest: number): Map<number, Told> {
    const counts = new Map<number, number>();
    const end = start + this.left * OUTCOME_WORDS;
    for (let at = start; at < end;) {
      const block = blockAt(outcomes, at);
      const since = at;
      while (at < end && blockAt(outcomes, at) === block) at += OUTCOME_WORDS; // Neighbours mostly stand in one block.
      if (block >= 0 && block <= latest) counts.set(block, (counts.get(block) ?? 0) + at - since);
    }
    return new Map([...counts].map(([block, words]) => [block, { receipts: new Uint32Array(words), at: 0 }]));
  }

  /** Writes the receipts of what is told; returns how many. */
  #write(outcomes: Uint32Array, start: number, told: ReadonlyMap<number, Told>): number {
    const { keys, inputs, calls } = this.#calls;
    let written = 0;
    let [block, place] = [-1, undefined as Told | undefined];
    for (let key = 0, at = start; key < inputs.length; key++) {
      const [input, first, count] = [inputs[key]!, calls[key]!, callsOfKey(keys, key)];
      for (let call = 0; call < count; call++, at += OUTCOME_WORDS) {
        const own = blockAt(outcomes, at);
        if (own !== block) [block, place] = [own, told.get(own)];
        if (place === undefined) continue;
        place.at = writeReceipt(place, input | ((first + call) << 16), outcomes, at);
        written++;
      }
    }
    return written;
  }
}

/** u16 input, u16 call, u32 index in the block, u8 status, u8 reason, u16 0, u32 0, u64 gas used. */
function writeReceipt({ receipts, at: to }: Told, call: number, outcomes: Uint32Array, from: number): number {
  receipts[to] = call;
  receipts[to + 1] = outcomes[from + 2]!;
  receipts[to + 2] = outcomes[from + 3]!;
  receipts[to + 3] = 0;
  receipts[to + 4] = outcomes[from + 4]!;
  receipts[to + 5] = outcomes[from + 5]!;
  return to + OUTCOME_WORDS;
}
