/**
 * What an open entry stands on, and who has to wait for it.
 *
 * K1. A key is a declared account or, on the home, a sender; senders are keys of a kind of their own, apart from accounts.
 * K2. Accounts: `write` waits for all, `read` waits for `write`, `code` never waits. Senders wait for each other.
 * K3. Keys are compared by their last 52 bits: two accounts that share them wait for each other without need, which costs time
 *     and nothing else. What may be touched (`barred`) goes by whole addresses.
 */
import { readU32 } from "../bytes.ts";
import { DECLARED_BYTES, MODE, TX, txDeclared } from "../transactions.ts";

export interface Keys {
  /** Packed (u8 mode, b20)*. Those in mode `code` are passed over. */
  accounts: Uint8Array;
  /** Packed b20. */
  senders: Uint8Array;
  /** Stands on everything. */
  whole: boolean;
}

/** The keys of several entries together. */
export interface Standing {
  /** Stronger mode by account. */
  readonly accounts: Map<number, number>;
  readonly senders: Set<number>;
  /** How many entries stand here. */
  entries: number;
  isWhole: boolean;
}

export const emptyStanding = (): Standing => ({ accounts: new Map(), senders: new Set(), entries: 0, isWhole: false });

const ADDRESS_BYTES = 20;
const keyOf = (bytes: Uint8Array, at: number): number =>
  (readU32(bytes, at + 12) >>> 12) * 0x1_0000_0000 + readU32(bytes, at + 16);

/** Adds an entry's keys. */
export function stand(standing: Standing, keys: Keys): void {
  standing.entries++;
  standing.isWhole ||= keys.whole;
  for (let at = 0; at < keys.accounts.length; at += DECLARED_BYTES) {
    const mode = keys.accounts[at]!;
    if (mode === MODE.code) continue;
    const key = keyOf(keys.accounts, at + 1);
    if (mode === MODE.write || !standing.accounts.has(key)) standing.accounts.set(key, mode);
  }
  for (let at = 0; at < keys.senders.length; at += ADDRESS_BYTES) standing.senders.add(keyOf(keys.senders, at));
}

/** True if an entry with these keys has to wait for one of those that stand. */
export function conflicts(standing: Standing, keys: Keys): boolean {
  if (standing.entries === 0) return false;
  return (
    standing.isWhole ||
    keys.whole ||
    accountsConflict(standing, keys.accounts, 0, keys.accounts.length) ||
    sendersConflict(standing, keys.senders, 0, keys.senders.length)
  );
}

/** The same for the transaction at `at`, without an object for it. */
export function recordConflicts(standing: Standing, records: Uint8Array, at: number, withSender: boolean): boolean {
  const from = at + TX.declaredSet;
  const sender = at + TX.sender;
  return (
    standing.isWhole ||
    accountsConflict(standing, records, from, from + txDeclared(records, at) * DECLARED_BYTES) ||
    (withSender && sendersConflict(standing, records, sender, sender + ADDRESS_BYTES))
  );
}

function accountsConflict(standing: Standing, bytes: Uint8Array, from: number, to: number): boolean {
  if (standing.accounts.size === 0) return false;
  for (let at = from; at < to; at += DECLARED_BYTES) {
    const mode = bytes[at]!;
    if (mode === MODE.code) continue;
    const before = standing.accounts.get(keyOf(bytes, at + 1));
    if (before !== undefined && (before === MODE.write || mode === MODE.write)) return true;
  }
  return false;
}

function sendersConflict(standing: Standing, bytes: Uint8Array, from: number, to: number): boolean {
  if (standing.senders.size === 0) return false;
  for (let at = from; at < to; at += ADDRESS_BYTES) if (standing.senders.has(keyOf(bytes, at))) return true;
  return false;
}

/** The addresses of a packed (u8 mode, b20)* list without those in mode `code`: packed b20. */
export function addressesOf(accounts: Uint8Array): Uint8Array {
  const addresses = new Uint8Array((accounts.length / DECLARED_BYTES) * ADDRESS_BYTES);
  let to = 0;
  for (let at = 0; at < accounts.length; at += DECLARED_BYTES) {
    if (accounts[at] === MODE.code) continue;
    addresses.set(accounts.subarray(at + 1, at + DECLARED_BYTES), to);
    to += ADDRESS_BYTES;
  }
  return addresses.subarray(0, to);
}

/** The accounts of a packed (u8 mode, b20)* list that `isKept` accepts, in the same order. */
export function accountsWhere(
  accounts: Uint8Array,
  isKept: (bytes: Uint8Array, addressAt: number, mode: number) => boolean,
): Uint8Array {
  const kept = new Uint8Array(accounts.length);
  let to = 0;
  for (let at = 0; at < accounts.length; at += DECLARED_BYTES) {
    if (!isKept(accounts, at + 1, accounts[at]!)) continue;
    kept.set(accounts.subarray(at, at + DECLARED_BYTES), to);
    to += DECLARED_BYTES;
  }
  return kept.subarray(0, to);
}
