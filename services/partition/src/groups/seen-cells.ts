/**
 * Which cells of others the groups at home here asked for: the next group on the same accounts will most likely read them too, so
 * they are asked for before it runs, and it runs once. Only advice: what a group reads beyond them it asks for as ever.
 *
 * S1. Asking first pays only if nothing else is missing then. So it is done where that would have been enough for the last group
 *     that read something of these accounts, whether it was done then or not.
 * S2. Bounded, by account and over all; those asked for first are forgotten first.
 */
import { CELL, DECLARED_BYTES, MODE, assert, concatBytes, hexOf, keyBytes } from "@meridian/core";

export interface SeenLimits {
  /** Of one account, and of one group. */
  seenKeysMax: number;
  /** Of all accounts. */
  seenKeysTotalMax: number;
}

interface Seen {
  /** Keys as in a read request, by their hex. */
  keys: Map<string, Uint8Array>;
  /** They were all that the last group missed of this account. */
  wereAll: boolean;
}

const ADDRESS_BYTES = 20;

export class SeenCells {
  readonly #limits: SeenLimits;
  readonly #accounts = new Map<string, Seen>();
  #total = 0;

  constructor(limits: SeenLimits) {
    this.#limits = limits;
  }

  /**
   * @param accounts  of a group, packed (u8 mode, b20 address)*
   * @param isForeign whether another partition owns the account at this place
   * @returns read request of what it will most likely miss; empty if that is not known well enough
   */
  likely(accounts: Uint8Array, isForeign: (accounts: Uint8Array, addressAt: number) => boolean): Uint8Array {
    const found: Seen[] = [];
    for (let at = 0; at < accounts.length; at += DECLARED_BYTES) {
      if (accounts[at] === MODE.code || !isForeign(accounts, at + 1)) continue;
      const seen = this.#accounts.get(hexOf(accounts, at + 1, at + DECLARED_BYTES));
      if (seen !== undefined) found.push(seen);
    }
    if (!found.every(({ wereAll }) => wereAll)) return NOTHING;
    const keys = found.flatMap((seen) => [...seen.keys.values()]);
    return keys.length <= this.#limits.seenKeysMax ? concatBytes(keys) : NOTHING;
  }

  /** @param missing what a group's first run missed */
  note(missing: Uint8Array): void {
    const accounts = new Map<string, boolean>();
    for (let at = 0; at < missing.length; at += lengthOf(missing, at)) {
      if (missing[at] === CELL.code) continue; // Known by its hash wherever it was read once.
      const account = hexOf(missing, at + 1, at + 1 + ADDRESS_BYTES);
      const isNew = this.#add(account, missing.slice(at, at + lengthOf(missing, at)));
      accounts.set(account, (accounts.get(account) ?? true) && !isNew);
    }
    for (const [account, wereAll] of accounts) {
      const seen = this.#accounts.get(account);
      if (seen !== undefined) seen.wereAll = wereAll;
    }
  }

  /** True if it was not there. */
  #add(account: string, key: Uint8Array): boolean {
    const seen: Seen = this.#accounts.get(account) ?? { keys: new Map(), wereAll: false };
    this.#accounts.set(account, seen);
    const name = hexOf(key);
    if (seen.keys.has(name)) return false;
    seen.keys.set(name, key);
    this.#total++;
    const { seenKeysMax, seenKeysTotalMax } = this.#limits;
    const [oldest] = seen.keys.keys();
    if (seen.keys.size > seenKeysMax && oldest !== undefined && seen.keys.delete(oldest)) this.#total--;
    for (const [other, { keys }] of this.#accounts) {
      if (this.#total <= seenKeysTotalMax) break;
      this.#accounts.delete(other);
      this.#total -= keys.size;
    }
    return true;
  }
}

const NOTHING = new Uint8Array(0);

function lengthOf(request: Uint8Array, at: number): number {
  const length = keyBytes(request, at);
  assert(length > 0, `read request is malformed at ${at}`);
  return length;
}
