/**
 * Accounts that came here by hand-over. They came as of the end of a block: of blocks before it nothing of them is known here,
 * and their old owner has forgotten them. So a read at an older block that meets one of them has no answer. All other accounts
 * are read as before.
 */
import { hexOf } from "../bytes.ts";
import { VERSION_BLOCKS_MAX } from "./state.ts";
import type { Arrival, PartitionState } from "./state.ts";

/** Those that a read at `block` (or PENDING) must not meet; [] in the usual case. */
export const arrivedAfter = ({ arrivals }: PartitionState, block: number): Arrival[] =>
  block < 0 ? [] : arrivals.filter((arrival) => arrival.block > block);

/**
 * The oldest block that an account can be read at, as far as these arrivals go; null if it is in none of them.
 * @param bytes the account's address stands in them at `at`
 */
export function oldestOf(arrived: readonly Arrival[], bytes: Uint8Array, at: number): number | null {
  if (arrived.length === 0) return null;
  const address = hexOf(bytes, at, at + 20);
  const blocks = arrived.filter(({ first, last }) => first <= address && address <= last).map(({ block }) => block);
  return blocks.length === 0 ? null : Math.max(...blocks);
}

/** Those that still matter once a block is sealed: of blocks outside the window nothing is kept anyway. */
export const arrivalsKept = (arrivals: readonly Arrival[], sealed: number): readonly Arrival[] =>
  arrivals.every(({ block }) => block > sealed - VERSION_BLOCKS_MAX)
    ? arrivals
    : arrivals.filter(({ block }) => block > sealed - VERSION_BLOCKS_MAX);
