/** The addresses that open entries stand on, packed for the engine; kept while entries come and go. */
import { addressesOf } from "./keys.ts";
import type { Stander } from "./keys.ts";

const ADDRESS_BYTES = 20;

/** The addresses of one entry: where they stand in the list. */
interface Held {
  readonly places: Uint32Array;
}

export interface Barred {
  bytes: Uint8Array; // packed b20, room for more
  count: number;
  /** By place: whose address it is, and which of its own. */
  readonly holders: Held[];
  readonly numbers: number[];
  readonly byStander: Map<Stander, Held>;
}

export const emptyBarred = (): Barred => ({
  bytes: new Uint8Array(64 * ADDRESS_BYTES),
  count: 0,
  holders: [],
  numbers: [],
  byStander: new Map(),
});

/** Packed b20, any order, some perhaps twice; a view that the next change overwrites. */
export const barredAddresses = ({ bytes, count }: Barred): Uint8Array => bytes.subarray(0, count * ADDRESS_BYTES);

export function bar(barred: Barred, stander: Stander): void {
  const addresses = addressesOf(stander.keys.accounts);
  const added = addresses.length / ADDRESS_BYTES;
  const length = (barred.count + added) * ADDRESS_BYTES;
  if (length > barred.bytes.length) {
    const larger = new Uint8Array(Math.max(length, barred.bytes.length * 2));
    larger.set(barredAddresses(barred));
    barred.bytes = larger;
  }
  barred.bytes.set(addresses, barred.count * ADDRESS_BYTES);
  const held: Held = { places: new Uint32Array(added) };
  barred.byStander.set(stander, held);
  for (let number = 0; number < added; number++) {
    held.places[number] = barred.count;
    barred.holders[barred.count] = held;
    barred.numbers[barred.count++] = number;
  }
}

/** The last address of the list takes the place of each one that goes. */
export function unbar(barred: Barred, stander: Stander): void {
  const held = barred.byStander.get(stander);
  if (held === undefined) return;
  barred.byStander.delete(stander);
  const { bytes, holders, numbers } = barred;
  for (let number = held.places.length - 1; number >= 0; number--) {
    const place = held.places[number]!;
    const last = --barred.count;
    if (place !== last) {
      bytes.copyWithin(place * ADDRESS_BYTES, last * ADDRESS_BYTES, (last + 1) * ADDRESS_BYTES);
      holders[place] = holders[last]!;
      numbers[place] = numbers[last]!;
      holders[place].places[numbers[place]] = place;
    }
    holders.pop();
    numbers.pop();
  }
}
