/** Looking up transactions that OUT has and no block yet. There is no index: whoever asks often asks for all at once. */
import { readU32, sameBytes } from "../bytes.ts";
import { resultBytes } from "../results.ts";
import { TX, txBytes } from "../transactions.ts";
import type { Assembly } from "./assemble.ts";

export interface TailTransaction {
  hash: Uint8Array;
  transaction: Uint8Array; // one packed record
  result: Uint8Array; // one packed record
}

/**
 * For each packed hash its transaction, copied, or null if the tail has none. One walk over the tail for all of them; equal
 * hashes get the same copy.
 */
export function findInTail(assembly: Assembly, hashes: Uint8Array): (TailTransaction | null)[] {
  const found: (TailTransaction | null)[] = Array.from({ length: hashes.length / 32 }, () => null);
  const wanted = new Map<number, number[]>();
  found.forEach((_, number) => {
    const start = readU32(hashes, number * 32);
    const numbers = wanted.get(start);
    if (numbers === undefined) wanted.set(start, [number]);
    else numbers.push(number);
  });
  for (const { records } of assembly.tails.values()) {
    for (const { transactions, results } of records.flatMap(({ sources }) => sources)) {
      for (
        let at = 0, resultAt = 0;
        at < transactions.length;
        at += txBytes(transactions, at), resultAt += resultBytes(results, resultAt)
      ) {
        const numbers = wanted.get(readU32(transactions, at + TX.hash));
        if (numbers === undefined) continue;
        let hit: TailTransaction | null = null;
        for (const number of numbers) {
          if (!sameBytes(hashes, number * 32, transactions, at + TX.hash, 32)) continue;
          hit ??= {
            hash: copy(transactions, at + TX.hash, 32),
            transaction: copy(transactions, at, txBytes(transactions, at)),
            result: copy(results, resultAt, resultBytes(results, resultAt)),
          };
          found[number] = hit;
        }
      }
    }
  }
  return found;
}

const copy = (bytes: Uint8Array, at: number, length: number): Uint8Array => new Uint8Array(bytes.subarray(at, at + length));
