/** Puts a flush together: every partition's entries in the order of their indexes. */
import { hexOf, readU32, writeU16, writeU32, writeU64 } from "../bytes.ts";
import type { Entry, GroupEntry, LockEntry, RunEntry } from "../entries.ts";
import { DECLARED_BYTES, MODE, NONCE, NONCE_BYTES, setTxIndex, TX, TX_HEADER_BYTES, txBytes, txNonce } from "../transactions.ts";
import type { Candidate, Component } from "./candidates.ts";
import { componentsOf } from "./candidates.ts";
import type { FlushBuffer } from "./flush-buffer.ts";
import type { GroupEnd, OpenGroup } from "./groups.ts";
import { beginGroup, missesOf } from "./groups.ts";
import { openGroupMachine } from "./lock-machine.ts";
import { slotOf } from "./partition-table.ts";
import type { Retry } from "./retries.ts";
import type { Sequencer } from "./state.ts";

const NOTHING = new Uint8Array(0);

/** A flush being built. */
interface Build {
  sequencer: Sequencer;
  flush: number;
  /** Next index. */
  index: number;
  entries: Entry[][]; // by slot
  runs: (RunEntry | undefined)[]; // by slot
  nonceEnds: Int32Array; // by slot: bytes of nonce records written
  nonceSenders: Int32Array; // by slot: whose the last one is; -1 if it takes in no others
}

/**
 * The entries of the flush being filled but for seals and block, by slot. New buffers: the caller may keep them.
 * @returns also the next index
 */
export function buildEntries(sequencer: Sequencer, flush: number): { entries: Entry[][]; index: number } {
  const { filling, partitions } = sequencer;
  const slots = partitions.ids.length;
  const build: Build = {
    ...{ sequencer, flush, index: 0, runs: [], nonceEnds: new Int32Array(slots), nonceSenders: new Int32Array(slots).fill(-1) },
    entries: Array.from({ length: slots }, () => []),
  };
  for (const end of filling.ends) addEnd(build, end);
  buildRuns(build, filling);
  for (const { component, members } of componentsOf(filling.candidates)) addGroup(build, component, members);
  if (!sequencer.rules.oneOrder) build.entries.forEach((list, slot) => slot % 2 === 1 && turnGroups(list)); // Rule oneOrder
  return { entries: build.entries, index: build.index };
}

function addEnd(build: Build, { group, proposal }: GroupEnd): void {
  const { entries } = build;
  const { partitions } = build.sequencer;
  const index = build.index++;
  for (const slot of group.participants) {
    if (proposal === null) {
      entries[slot]!.push({ kind: "abort", index, group: group.position });
      continue;
    }
    const isHome = slot === group.home;
    entries[slot]!.push({
      ...{ kind: "apply", index, group: group.position },
      writes: proposal.writes.find(([id]) => id === partitions.ids[slot])?.[1] ?? NOTHING,
      results: isHome ? proposal.results : NOTHING,
      misses: isHome ? missesOf(proposal) : NOTHING,
    });
  }
}

/** The `run` entries: local transactions, and nonce records of all. */
function buildRuns(build: Build, buffer: FlushBuffer): void {
  const { sequencer, entries, runs } = build;
  const { submits, senders } = sequencer;
  const nonceCounts = countNonces(build, buffer);
  for (let slot = 0; slot < entries.length; slot++) {
    const [bytes, nonces] = [buffer.homeBytes[slot]!, nonceCounts[slot]!];
    if (bytes === 0 && nonces === 0) continue;
    runs[slot] = { kind: "run", transactions: new Uint8Array(bytes), nonces: new Uint8Array(nonces * NONCE_BYTES) };
    entries[slot]!.push(runs[slot]!);
  }
  const ends = new Int32Array(entries.length);
  for (let row = 0; row < buffer.rows; row++) {
    const submit = buffer.submit[row]!;
    const retry = submit < 0 ? buffer.retried[buffer.record[row]!]! : null;
    const payload = retry === null ? submits.payloads[submit]! : retry.record;
    const at = buffer.at[row]!;
    const home = buffer.home[row]!;
    const { transactions } = runs[home]!;
    const end = ends[home]!;
    const set = buffer.set[row]!;
    const records = buffer.records[row]!;
    const { index } = build;
    build.index += records;
    let last = at;
    if (records === 1) {
      ends[home] = end + copyRecord(payload, at, set === 0 ? null : buffer.sets[set - 1]!, transactions, end);
      setPlace(build, senders, transactions, end, buffer.sender[row]!, retry, index);
    } else {
      ends[home] = end + buffer.length[row]!;
      transactions.set(payload.subarray(at, at + buffer.length[row]!), end);
      last = at - end + setPlaces(build, senders, transactions, end, buffer.sender[row]!, records, index);
    }
    if (retry === null) addNonce(build, buffer.owner[row]!, buffer.sender[row]!, payload, last, records, index);
  }
}

/** Nonce records by slot: neighbours of one sender have one together. */
function countNonces({ entries }: Build, buffer: FlushBuffer): Int32Array {
  const counts = new Int32Array(entries.length);
  const senders = new Int32Array(entries.length).fill(-1);
  for (let row = 0; row < buffer.rows; row++) {
    const owner = buffer.owner[row]!;
    if (owner < 0 || senders[owner] === buffer.sender[row]) continue;
    senders[owner] = buffer.sender[row]!;
    counts[owner]!++;
  }
  for (const { owner } of buffer.candidates.members) if (owner >= 0) counts[owner]!++;
  return counts;
}

/** The same as `setPlace` for neighbours of one sender, sequenced for the first time; returns where the last one stands. */
function setPlaces(
  build: Build,
  senders: Sequencer["senders"],
  records: Uint8Array,
  at: number,
  sender: number,
  count: number,
  index: number,
): number {
  setPlace(build, senders, records, at, sender, null, index);
  const view = new DataView(records.buffer, records.byteOffset, records.length);
  const [low, high] = [build.flush % 0x1_0000_0000, Math.floor(build.flush / 0x1_0000_0000)];
  let place = at;
  for (let number = 1; number < count; number++) {
    place += view.getUint32(place, true);
    view.setUint32(place + TX.index, index + number, true);
    view.setUint32(place + TX.afterFlush, low, true);
    view.setUint32(place + TX.afterFlush + 4, high, true);
    view.setUint32(place + TX.afterIndex, index + number - 1, true);
    view.setUint8(place + TX.attempt, 0);
  }
  senders.topIndex[sender] = index + count - 1;
  return place;
}

/** Index, predecessor and attempt of a record in its place; the sender's newest position is this one now. */
function setPlace(
  { sequencer, flush }: Build,
  senders: Sequencer["senders"],
  records: Uint8Array,
  at: number,
  sender: number,
  retry: Retry | null,
  index: number,
): void {
  setTxIndex(records, at, index);
  // Whatever stands behind the last block names its predecessor; before the block everything is resolved. The first of a sender's
  // retries has none: what came before it has come to an end.
  const top = senders.topFlush[sender]!;
  const hasBefore = top > sequencer.blockFlush && !(retry?.isFirst ?? false);
  writeU64(records, at + TX.afterFlush, hasBefore ? top : 0);
  writeU32(records, at + TX.afterIndex, hasBefore ? senders.topIndex[sender]! : 0);
  records[at + TX.attempt] = retry === null ? 0 : retry.attempt;
  senders.topFlush[sender] = flush;
  senders.topIndex[sender] = index;
}

/** Copies a record, with another declared set if one is given; returns the bytes written. */
function copyRecord(from: Uint8Array, at: number, set: Uint8Array | null, to: Uint8Array, end: number): number {
  const bytes = txBytes(from, at);
  if (set === null) {
    to.set(from.subarray(at, at + bytes), end);
    return bytes;
  }
  for (let index = 0; index < TX_HEADER_BYTES; index++) to[end + index] = from[at + index]!;
  to.set(set, end + TX.declaredSet);
  const rawFrom = at + TX_HEADER_BYTES + DECLARED_BYTES * (from[at + TX.declared]! | (from[at + TX.declared + 1]! << 8));
  const rawOffset = TX_HEADER_BYTES + set.length;
  to.set(from.subarray(rawFrom, at + bytes), end + rawOffset);
  const written = rawOffset + at + bytes - rawFrom;
  writeU32(to, end, written);
  writeU16(to, end + TX.declared, set.length / DECLARED_BYTES);
  writeU32(to, end + TX.rawOffset, rawOffset);
  return written;
}

/**
 * A nonce record for `count` neighbours, the last of which stands at `at`; or more in the one before it, if that is the same
 * sender's.
 * @param sender -1 for one that is never taken together with others
 */
function addNonce(
  build: Build,
  owner: number,
  sender: number,
  record: Uint8Array,
  at: number,
  count: number,
  index: number,
): void {
  const { runs, nonceEnds, nonceSenders } = build;
  const to = runs[owner]!.nonces;
  let place = nonceEnds[owner]! - NONCE_BYTES;
  if (sender >= 0 && nonceSenders[owner] === sender) {
    writeU32(to, place + NONCE.following, readU32(to, place + NONCE.following) + count);
  } else {
    place += NONCE_BYTES;
    nonceEnds[owner] = place + NONCE_BYTES;
    nonceSenders[owner] = sender;
    writeU32(to, place + NONCE.index, index);
    for (let byte = 0; byte < 20; byte++) to[place + NONCE.sender + byte] = record[at + TX.sender + byte]!;
    writeU64(to, place + NONCE.nonce, txNonce(record, at) - (count - 1));
    writeU32(to, place + NONCE.following, count - 1);
  }
  for (let byte = 0; byte < 32; byte++) to[place + NONCE.hash + byte] = record[at + TX.hash + byte]!;
}

function addGroup(build: Build, component: Component, members: readonly Candidate[]): void {
  const { sequencer, flush, entries } = build;
  const { senders, partitions, filling, rules, limits } = sequencer;
  const { whole } = filling.candidates;
  const union = unionOf(sequencer, members);
  const home = component.home >= 0 ? component.home : union.home;
  const position = { flush, index: build.index++ };
  const transactions = new Uint8Array(members.reduce((sum, { bytes }) => sum + bytes, 0));
  let end = 0;
  for (const { payload, at, set, sender, retry, owner } of members) {
    const bytes = copyRecord(payload, at, set, transactions, end);
    const index = build.index++;
    setPlace(build, senders, transactions, end, sender, retry, index);
    if (retry === null) addNonce(build, owner, -1, payload, at, 1, index);
    end += bytes;
  }
  const slots = whole ? partitions.ids.map((_, slot) => slot) : [...component.participants].sort((left, right) => left - right);
  const participants = slots.map((slot) => partitions.ids[slot]!);
  const aborts = Math.max(...members.map(({ retry }) => retry?.aborts ?? 0));
  const lockGroup = { position, home: partitions.ids[home]!, participants, members: members.length, aborts };
  const group: OpenGroup = {
    ...{ position, home, participants: slots, whole, transactions, aborts },
    ...{ accounts: whole ? NOTHING : union.accounts, keys: whole ? [] : union.keys },
    ...{ senders: Int32Array.from(members, ({ sender }) => sender), machine: openGroupMachine(lockGroup, limits.lock, rules) },
    ...{ inLogAt: -1, proposedAt: -1, stands: true, isNoted: false, retries: [], parkedFirst: -1, parkedLast: -1 },
  };
  filling.begun.push(group);
  beginGroup(sequencer, group);
  const { index } = position;
  for (const slot of slots) {
    const locked = (whole ? undefined : union.owned.get(slot)) ?? NOTHING;
    entries[slot]!.push(
      slot === home
        ? { kind: "group", index, participants, accounts: group.accounts, whole, transactions }
        : { kind: "lock", index, home: partitions.ids[home]!, accounts: locked, whole },
    );
  }
}

interface Union {
  accounts: Uint8Array;
  /** Those read or written, hex. */
  keys: string[];
  /** The same by slot of their owner, packed with modes. */
  owned: Map<number, Uint8Array>;
  /** Slot of the partition that owns most written ones; the lowest of several. */
  home: number;
}

/** What the members declare together; the stronger mode of an account wins. */
function unionOf({ partitions, ranges }: Sequencer, members: readonly Candidate[]): Union {
  const modes = new Map<string, Uint8Array>();
  for (const { set } of members) {
    for (let at = 0; at < set.length; at += DECLARED_BYTES) {
      const key = hexOf(set, at + 1, at + DECLARED_BYTES);
      const known = modes.get(key);
      if (known === undefined || isStronger(set[at]!, known[0]!)) modes.set(key, set.subarray(at, at + DECLARED_BYTES));
    }
  }
  const sorted = [...modes].sort(([left], [right]) => (left < right ? -1 : 1));
  const parts = new Map<number, Uint8Array[]>();
  const written = new Int32Array(partitions.ids.length);
  const keys: string[] = [];
  for (const [key, account] of sorted) {
    if (account[0] === MODE.code) continue;
    keys.push(key);
    const slot = slotOf(partitions, ranges.ownerOf(account, 1));
    if (account[0] === MODE.write) written[slot]!++;
    const list = parts.get(slot);
    if (list === undefined) parts.set(slot, [account]);
    else list.push(account);
  }
  const home = [...parts.keys()].reduce((best, slot) => (isBetterHome(written, slot, best) ? slot : best));
  const owned = new Map([...parts].map(([slot, accounts]) => [slot, packed(accounts)]));
  return { accounts: packed(sorted.map(([, account]) => account)), keys, owned, home };
}

const isBetterHome = (written: Int32Array, slot: number, than: number): boolean =>
  written[slot]! > written[than]! || (written[slot] === written[than] && slot < than);
const isStronger = (mode: number, than: number): boolean =>
  mode === MODE.write ? than !== MODE.write : mode === MODE.read && than === MODE.code;

function packed(accounts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(accounts.length * DECLARED_BYTES);
  accounts.forEach((account, index) => bytes.set(account, index * DECLARED_BYTES));
  return bytes;
}

/** Turns the order of groups and locks in one log round. */
function turnGroups(entries: Entry[]): void {
  const places = entries.flatMap((entry, place) => (entry.kind === "group" || entry.kind === "lock" ? [place] : []));
  const turned = places.map((place) => entries[place] as GroupEntry | LockEntry).reverse();
  places.forEach((place, number) => (entries[place] = turned[number]!));
}
