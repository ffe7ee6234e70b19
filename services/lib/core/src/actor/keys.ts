/**
 * What an open entry stands on, and who has to wait for it.
 *
 * K1. A key is a declared account or, on the home, a sender; senders are keys of a kind of their own, apart from accounts.
 * K2. Accounts: `write` waits for all, `read` waits for `write`, `code` never waits. Senders wait for each other.
 * K3. What coming, going and asking cost hangs on one entry's own keys, not on how many entries stand.
 * K4. Keys are compared by their last 52 bits: two accounts that share them wait for each other without need, which costs time
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

/** Whoever has keys; of two the one with the lower `order` came first. */
export interface Stander {
  readonly keys: Keys;
  readonly order: number;
}

/** Those that stand on one key, in order. Nobody is in both lists. */
interface Lane<S> {
  readonly writers: S[];
  readonly readers: S[];
}

/** The keys of several entries together, kept while they come and go. */
export interface Standing<S extends Stander> {
  readonly accounts: Map<number, Lane<S>>;
  readonly senders: Map<number, Lane<S>>;
  /** All that stand here, in order. */
  readonly all: Set<S>;
  /** Those that stand on everything. */
  readonly wholes: S[];
}

export const emptyStanding = <S extends Stander>(): Standing<S> => ({
  accounts: new Map(),
  senders: new Map(),
  all: new Set(),
  wholes: [],
});

const ADDRESS_BYTES = 20;
const keyOf = (bytes: Uint8Array, at: number): number =>
  (readU32(bytes, at + 12) >>> 12) * 0x1_0000_0000 + readU32(bytes, at + 16);

/** Adds one behind all others. */
export function stand<S extends Stander>(standing: Standing<S>, stander: S): void {
  const { keys } = stander;
  standing.all.add(stander);
  if (keys.whole) standing.wholes.push(stander);
  for (let at = 0; at < keys.accounts.length; at += DECLARED_BYTES) {
    const mode = keys.accounts[at]!;
    if (mode !== MODE.code) join(laneOf(standing.accounts, keyOf(keys.accounts, at + 1)), stander, mode === MODE.write);
  }
  for (let at = 0; at < keys.senders.length; at += ADDRESS_BYTES) {
    join(laneOf(standing.senders, keyOf(keys.senders, at)), stander, true);
  }
}

function laneOf<S>(lanes: Map<number, Lane<S>>, key: number): Lane<S> {
  let lane = lanes.get(key);
  if (lane === undefined) lanes.set(key, (lane = { writers: [], readers: [] }));
  return lane;
}

/** One that has the same key twice (K4, or two members of one sender) stands there once, in its stronger mode. */
function join<S>({ writers, readers }: Lane<S>, stander: S, writes: boolean): void {
  if (writers.at(-1) === stander || (!writes && readers.at(-1) === stander)) return;
  if (writes && readers.at(-1) === stander) readers.pop();
  (writes ? writers : readers).push(stander);
}

/**
 * Takes one away, wherever it stands.
 * @returns those whose turn may have come by that: `isFirst` tells; the same one may be among them more than once
 */
export function leave<S extends Stander>(standing: Standing<S>, stander: S): S[] {
  const { keys } = stander;
  if (!standing.all.delete(stander)) return [];
  const next: S[] = [];
  for (let at = 0; at < keys.accounts.length; at += DECLARED_BYTES) {
    if (keys.accounts[at] !== MODE.code) leaveLane(standing.accounts, keyOf(keys.accounts, at + 1), stander, next);
  }
  for (let at = 0; at < keys.senders.length; at += ADDRESS_BYTES) {
    leaveLane(standing.senders, keyOf(keys.senders, at), stander, next);
  }
  if (!remove(standing.wholes, stander)) return standing.wholes.length > 0 ? [...next, standing.wholes[0]!] : next;
  return [...standing.all]; // At the end of a block, if at all: nothing else stands there.
}

function leaveLane<S extends Stander>(lanes: Map<number, Lane<S>>, key: number, stander: S, next: S[]): void {
  const lane = lanes.get(key);
  if (lane === undefined) return; // The same key again.
  const { writers, readers } = lane;
  const wrote = remove(writers, stander);
  if (!wrote && !remove(readers, stander)) return;
  const [writer] = writers;
  if (writer !== undefined && isBefore(writer, readers[0])) next.push(writer);
  // A reader that goes lets no other reader in.
  for (let place = 0; wrote && place < readers.length && !isBefore(writer, readers[place]); place++) next.push(readers[place]!);
  if (writers.length + readers.length === 0) lanes.delete(key);
}

const isBefore = (left: Stander | undefined, right: Stander | undefined): boolean =>
  left !== undefined && (right === undefined || left.order < right.order);

/** False if it is not in the list. */
function remove<S>(list: S[], one: S): boolean {
  const place = list.indexOf(one);
  if (place === 0) list.shift();
  else if (place > 0) list.splice(place, 1);
  return place >= 0;
}

/** True if one that stands conflicts with nobody before it. */
export function isFirst<S extends Stander>({ accounts, senders, all, wholes }: Standing<S>, stander: S): boolean {
  const { keys } = stander;
  if (isBefore(wholes[0], stander)) return false;
  if (keys.whole) return all.values().next().value === stander;
  for (let at = 0; at < keys.accounts.length; at += DECLARED_BYTES) {
    const mode = keys.accounts[at]!;
    if (mode === MODE.code) continue;
    const lane = accounts.get(keyOf(keys.accounts, at + 1));
    if (isBefore(lane?.writers[0], stander) || (mode === MODE.write && isBefore(lane?.readers[0], stander))) return false;
  }
  for (let at = 0; at < keys.senders.length; at += ADDRESS_BYTES) {
    if (isBefore(senders.get(keyOf(keys.senders, at))?.writers[0], stander)) return false;
  }
  return true;
}

/** True if one more with these keys has to wait for one of those that stand. */
export function conflicts<S extends Stander>(standing: Standing<S>, keys: Keys): boolean {
  if (standing.all.size === 0) return false;
  return (
    standing.wholes.length > 0 ||
    keys.whole ||
    accountsConflict(standing, keys.accounts, 0, keys.accounts.length) ||
    sendersConflict(standing, keys.senders, 0, keys.senders.length)
  );
}

/** The same for the transaction at `at`, without an object for it. */
export function recordConflicts<S extends Stander>(
  standing: Standing<S>,
  records: Uint8Array,
  at: number,
  withSender: boolean,
): boolean {
  const from = at + TX.declaredSet;
  const sender = at + TX.sender;
  return (
    standing.wholes.length > 0 ||
    accountsConflict(standing, records, from, from + txDeclared(records, at) * DECLARED_BYTES) ||
    (withSender && sendersConflict(standing, records, sender, sender + ADDRESS_BYTES))
  );
}

function accountsConflict<S extends Stander>({ accounts }: Standing<S>, bytes: Uint8Array, from: number, to: number): boolean {
  if (accounts.size === 0) return false;
  for (let at = from; at < to; at += DECLARED_BYTES) {
    const mode = bytes[at]!;
    if (mode === MODE.code) continue;
    const lane = accounts.get(keyOf(bytes, at + 1));
    if (lane !== undefined && (mode === MODE.write || lane.writers.length > 0)) return true;
  }
  return false;
}

function sendersConflict<S extends Stander>({ senders }: Standing<S>, bytes: Uint8Array, from: number, to: number): boolean {
  if (senders.size === 0) return false;
  for (let at = from; at < to; at += ADDRESS_BYTES) if (senders.has(keyOf(bytes, at))) return true;
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
