/** RLP of what this chain itself has checked before: raw transactions of its log, headers of its archive. */
import { RLP } from "@ethereumjs/rlp";
import { assert } from "@meridian/core";

/** An item of a decoded list: bytes or a nested list. */
export type RlpItem = Uint8Array | RlpItem[];

/** The items of an encoded list. */
export function rlpList(encoded: Uint8Array): RlpItem[] {
  const items = RLP.decode(encoded);
  assert(Array.isArray(items), "RLP of the chain is not a list");
  return items;
}

/** Item `index` of a list that has bytes there; undefined behind the end. */
export function rlpBytes(items: readonly RlpItem[], index: number): Uint8Array | undefined {
  const item = items[index];
  assert(item === undefined || item instanceof Uint8Array, `RLP item ${index} is a list`);
  return item;
}

/** Item `index` of a list that has a list there. */
export function rlpNested(items: readonly RlpItem[], index: number): RlpItem[] {
  const item = items[index];
  assert(Array.isArray(item), `RLP item ${index} is no list`);
  return item;
}
