/** One flush of the toy scheduler in the making, and lookups that must find something. */
import { assert } from "../../assert.ts";
import { concatBytes } from "../../bytes.ts";
import type { Entry, RunEntry } from "../../entries.ts";

/** One flush in the making. Neighbouring local transactions and nonce records of a partition become one `run` entry. */
export class Draft {
  index = 1;
  readonly #lists: (Entry | { transactions: Uint8Array[]; nonces: Uint8Array[] })[][];

  constructor(partitions: number) {
    this.#lists = Array.from({ length: partitions }, () => []);
  }

  add(partition: number, entry: Entry): void {
    itemOf(this.#lists, partition).push(entry);
  }

  addLocal(partition: number, record: Uint8Array): void {
    this.#run(partition).transactions.push(record);
  }

  addNonce(partition: number, record: Uint8Array): void {
    this.#run(partition).nonces.push(record);
  }

  #run(partition: number): { transactions: Uint8Array[]; nonces: Uint8Array[] } {
    const list = itemOf(this.#lists, partition);
    const last = list.at(-1);
    if (last !== undefined && !("kind" in last)) return last;
    const run = { transactions: [], nonces: [] };
    list.push(run);
    return run;
  }

  entries(): Entry[][] {
    return this.#lists.map((list) =>
      list.map((item): Entry => {
        if ("kind" in item) return item;
        const run: RunEntry = { kind: "run", transactions: concatBytes(item.transactions), nonces: concatBytes(item.nonces) };
        return run;
      }),
    );
  }
}

export function mapOf<K, V>(maps: Map<number, Map<K, V>>, key: number): Map<K, V> {
  const found = maps.get(key) ?? new Map<K, V>();
  maps.set(key, found);
  return found;
}

export function itemIn<K, V>(map: Map<K, V>, key: K): V {
  const found = map.get(key);
  assert(found !== undefined, `${String(key)} is not there`);
  return found;
}

export function itemOf<T>(list: readonly T[], index: number): T {
  const found = list[index];
  assert(found !== undefined, `item ${index} is not there`);
  return found;
}
