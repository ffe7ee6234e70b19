/**
 * Receipts that fail by a rule of this chain (docs/adr/0007): the transaction uses up its nonce and all of its gas, and changes
 * nothing else. They are not believed: each reason is shown to apply, or it is a difference.
 */
import type { TypedTransaction } from "@ethereumjs/tx";
import { REASON, type RangeIndex } from "@meridian/core";
import { addressBytes } from "./cells.ts";
import type { Replayer } from "./replay.ts";
import type { ReplayState } from "./state.ts";

export interface RuleFailure {
  reason: number;
  /** `foreign`: the account that is said to belong to another partition; 0x address. */
  account: string;
  /** `unsealed`: the block that is said to have been asked for. */
  asked: number;
}

export interface RuleContext {
  state: ReplayState;
  replayer: Replayer;
  ranges: RangeIndex;
  blockNumber: number;
}

/** Blocks that may be unsealed at once: older hashes are always known. */
const UNSEALED_MAX = 8;

/** The name of a reason in differences. */
export const REASON_NAME: Record<number, string> = Object.fromEntries(Object.entries(REASON).map(([name, code]) => [code, name]));

/** Why the rule does not apply; null if it does. `home`: callee or created address, whose owner is the home partition. */
export async function refuteRule(
  { state, replayer, ranges, blockNumber }: RuleContext,
  transaction: TypedTransaction,
  sender: string,
  home: string,
  failure: RuleFailure,
): Promise<string | null> {
  const ownerOf = (address: string) => ranges.ownerOf(addressBytes(address), 0);
  const isForeign = (address: string) => ownerOf(address) !== ownerOf(home);
  const sendsForeign = transaction.value > 0n && isForeign(sender);

  if (failure.reason === REASON.funds) {
    if (sendsForeign) return `the sender's balance belongs to partition ${ownerOf(sender)}, so the reason would be foreign`;
    const balance = state.balanceOf(sender);
    return balance < transaction.value ? null : `the sender's balance ${balance} covers the value ${transaction.value}`;
  }
  if (failure.reason === REASON.foreign) {
    if (!isForeign(failure.account)) return `${failure.account} belongs to the home partition ${ownerOf(home)}`;
    if (sendsForeign && failure.account === sender) return null;
  }
  const outcome = await replayer.tryRun(transaction, sender);
  if (failure.reason === REASON.foreign) return outcome.touched.has(failure.account) ? null : `${failure.account} is not touched`;
  if (!outcome.hashesAsked.has(failure.asked)) return `BLOCKHASH(${failure.asked}) is not asked for`;
  const isRecent = failure.asked < blockNumber && failure.asked >= blockNumber - UNSEALED_MAX;
  return isRecent ? null : `block ${failure.asked} must be sealed at block ${blockNumber}`;
}
