/**
 * Completes what is known of a missed transaction's accounts: it stopped at the first one that it may not touch, so it is called
 * once more beside the log, on the present state and with cells of other partitions. What comes of it decides nothing but which
 * accounts are declared next time, so it may be late, wrong or left out.
 */
import {
  CELL,
  DECLARED_BYTES,
  MODE,
  NONCE_CELL_BYTES,
  PENDING,
  TOUCH,
  TX,
  compareAddresses,
  concatBytes,
  touchAccounts,
  touchBytes,
  txCreates,
  txNonce,
  unionModes,
  writeU16,
  writeU32,
  writeU64,
} from "@meridian/core";
import type { MissedTransaction } from "@meridian/core";
import type { Caller } from "../calls.ts";
import type { ActorPorts } from "../ports.ts";

export interface TracePorts extends Pick<ActorPorts, "clock" | "callOf"> {
  caller: Caller;
}

/**
 * @param msMax bound of waiting; what is known then stays
 * @returns the same transaction with the union of what it touched then and now; the stronger mode wins, but see below
 */
export async function completed(
  missed: MissedTransaction,
  { caller, clock, callOf }: TracePorts,
  msMax: number,
): Promise<MissedTransaction> {
  const call = callOf(missed.record, 0, nonceOfCreation(missed.record));
  if (call === null) return missed;
  const { promise: late, resolve } = Promise.withResolvers<null>();
  const cancel = clock.after(msMax, () => resolve(null));
  try {
    const result = await Promise.race([caller.call(PENDING, call, {}), late]);
    if (result === null || !("access" in result) || result.access === null) return missed;
    const { touches } = result.access;
    const known = withoutGuesses(touchAccounts(missed.touch, 0), touches);
    return { ...missed, touch: withAccounts(missed.touch, unionModes(known, touches)) };
  } finally {
    cancel();
  }
}

/** Its nonce is used already; where a creation stands depends on the nonce before that. */
function nonceOfCreation(record: Uint8Array): Uint8Array {
  if (!txCreates(record, 0)) return new Uint8Array(0);
  const cell = new Uint8Array(NONCE_CELL_BYTES);
  cell[0] = CELL.nonce;
  cell.set(record.subarray(TX.sender, TX.sender + 20), 1);
  writeU64(cell, 21, txNonce(record, 0));
  return cell;
}

/**
 * What a miss has touched without reads that the call knows better: the account that it stopped at was not there, so whether it
 * would only run its code was a guess.
 */
function withoutGuesses(accounts: Uint8Array, touches: Uint8Array): Uint8Array {
  const kept: Uint8Array[] = [];
  for (let at = 0, other = 0; at < accounts.length; at += DECLARED_BYTES) {
    while (other < touches.length && compareAddresses(touches, other + 1, accounts, at + 1) < 0) other += DECLARED_BYTES;
    const isTraced = other < touches.length && compareAddresses(touches, other + 1, accounts, at + 1) === 0;
    if (accounts[at] === MODE.write || !isTraced) kept.push(accounts.subarray(at, at + DECLARED_BYTES));
  }
  return concatBytes(kept);
}

/** The touch record with other accounts. */
function withAccounts(touch: Uint8Array, accounts: Uint8Array): Uint8Array {
  const changed = new Uint8Array(TOUCH.accounts + accounts.length);
  changed.set(touch.subarray(0, Math.min(TOUCH.accounts, touchBytes(touch, 0))));
  changed.set(accounts, TOUCH.accounts);
  writeU32(changed, TOUCH.bytes, changed.length);
  writeU16(changed, TOUCH.count, accounts.length / DECLARED_BYTES);
  return changed;
}
