/** Counts transactions that one partition alone could not have run: what the replay saw them touch, against the range map. */
import { type PartitionId, type RangeIndex, type RangeMap, indexRanges } from "@meridian/core";
import { addressBytes } from "./cells.ts";

export class Crossing {
  count = 0;
  readonly #ranges: RangeIndex;
  readonly #owners = new Map<string, PartitionId>();

  /** @param map the map in force now: an account that has moved since counts where it is */
  constructor(map: RangeMap) {
    this.#ranges = indexRanges(map);
  }

  /** @param touched addresses (0x) whose storage a transaction read or wrote, or whose balance or code it changed */
  note(touched: ReadonlySet<string>): void {
    let first: PartitionId | undefined;
    for (const address of touched) {
      const owner = this.#ownerOf(address);
      first ??= owner;
      if (owner === first) continue;
      this.count += 1;
      return;
    }
  }

  #ownerOf(address: string): PartitionId {
    const known = this.#owners.get(address);
    if (known !== undefined) return known;
    const owner = this.#ranges.ownerOf(addressBytes(address), 0);
    this.#owners.set(address, owner);
    return owner;
  }
}
