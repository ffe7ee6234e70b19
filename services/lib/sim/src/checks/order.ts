/**
 * What LOG itself must be: one order everywhere, one unresolved group on an account, nothing open across a block, each nonce
 * once and in turn. Read from LOG alone, so that it does not depend on what partitions make of it.
 */
import { MODE, NONCE, NONCE_BYTES, hexOf, readU32, readU64 } from "@meridian/core";
import type { ApplyEntry, AbortEntry, Entry, GroupEntry, LockEntry, PartitionId, Position, RunEntry } from "@meridian/core";
import { check } from "../system/failure.ts";
import type { PartitionHistory } from "./history.ts";

const ACCOUNT_BYTES = 21;

interface Standing {
  participants: readonly PartitionId[];
  accounts: string[];
  whole: boolean;
}

interface Order {
  /** Groups without `apply` or `abort`, by position. */
  open: Map<string, Standing>;
  /** Which open group stands on an account. */
  on: Map<string, string>;
  nonces: Map<string, number>;
  closed: number;
}

interface FlushEntries {
  partition: PartitionId;
  entries: readonly Entry[];
}

const at = ({ flush, index }: Position): string => `${flush}/${index}`;

export function checkOrder(histories: readonly PartitionHistory[]): void {
  const flushes = new Map<number, FlushEntries[]>();
  for (const { partition, log } of histories) {
    for (const { message } of log) {
      const list = flushes.get(message.flush) ?? [];
      flushes.set(message.flush, list);
      list.push({ partition, entries: message.entries });
    }
  }
  const order: Order = { open: new Map(), on: new Map(), nonces: new Map(), closed: 0 };
  for (const [flush, messages] of [...flushes].sort(([left], [right]) => left - right)) takeFlush(order, flush, messages);
}

function takeFlush(order: Order, flush: number, messages: readonly FlushEntries[]): void {
  const ended = new Set<string>();
  for (const { partition, entries } of messages) {
    checkAscending(flush, partition, entries);
    for (const entry of entries)
      if (entry.kind === "apply" || entry.kind === "abort") ended.add(endGroup(order, partition, entry));
  }
  for (const group of ended) release(order, group);
  for (const { entries } of messages) {
    for (const entry of entries) if (entry.kind === "group") openGroup(order, flush, entry, messages);
  }
  checkNonces(order, flush, messages);
  checkBlock(order, flush, messages);
}

/** Indexes rise; those of a group's members stand right behind it. */
function checkAscending(flush: number, partition: PartitionId, entries: readonly Entry[]): void {
  let last = -1;
  for (const entry of entries) {
    if (entry.kind === "run") continue; // Its records have indexes of their own, checked by whoever runs them.
    check(
      entry.index >= last,
      "positions out of order in a log",
      () => `${flush}/${entry.index} behind ${last} in log ${partition}`,
    );
    last = entry.index;
  }
}

function endGroup(order: Order, partition: PartitionId, { group }: ApplyEntry | AbortEntry): string {
  const standing = order.open.get(at(group));
  const isTold = standing === undefined || standing.participants.includes(partition);
  check(isTold, "a group ends where it never was", () => `${at(group)} in log ${partition}`);
  return at(group);
}

function release(order: Order, group: string): void {
  order.open.delete(group);
  for (const [account, standing] of order.on) if (standing === group) order.on.delete(account);
}

function openGroup(order: Order, flush: number, entry: GroupEntry, messages: readonly FlushEntries[]): void {
  const name = at({ flush, index: entry.index });
  const { participants, whole } = entry;
  for (const { partition, entries } of messages) {
    const lock = entries.find((other): other is LockEntry => other.kind === "lock" && other.index === entry.index);
    const isHome = entries.includes(entry);
    check(
      isHome || (lock !== undefined) === participants.includes(partition),
      "a group's locks are not in its participants' logs",
      () => name,
    );
  }
  const accounts: string[] = [];
  for (let place = 0; place < entry.accounts.length; place += ACCOUNT_BYTES) {
    if (entry.accounts[place] !== MODE.code) accounts.push(hexOf(entry.accounts, place + 1, place + ACCOUNT_BYTES));
  }
  for (const account of accounts) {
    const other = order.on.get(account);
    check(other === undefined, "two unresolved groups on an account", () => `${account} by ${other} and ${name}`);
    order.on.set(account, name);
  }
  check(!whole || order.open.size === 0, "the whole-system group is not alone", () => name);
  order.open.set(name, { participants, accounts, whole });
}

/** Each nonce stands in one nonce record, with the first sequencing of its transaction, and in turn. */
function checkNonces(order: Order, flush: number, messages: readonly FlushEntries[]): void {
  const found: { index: number; sender: string; nonce: number; following: number }[] = [];
  for (const { entries } of messages) {
    for (const { nonces } of entries.filter((entry): entry is RunEntry => entry.kind === "run")) {
      for (let place = 0; place < nonces.length; place += NONCE_BYTES) {
        const sender = hexOf(nonces, place + NONCE.sender, place + NONCE.sender + 20);
        const [index, following] = [readU32(nonces, place + NONCE.index), readU32(nonces, place + NONCE.following)];
        found.push({ index, sender, nonce: readU64(nonces, place + NONCE.nonce), following });
      }
    }
  }
  for (const { index, sender, nonce, following } of found.sort((left, right) => left.nonce - right.nonce)) {
    const next = order.nonces.get(sender) ?? 0;
    check(
      nonce === next,
      "a nonce record out of turn",
      () => `nonce ${nonce} of ${sender} at ${flush}/${index}, next is ${next}`,
    );
    order.nonces.set(sender, nonce + following + 1);
  }
}

function checkBlock(order: Order, flush: number, messages: readonly FlushEntries[]): void {
  const blocks = messages.flatMap(({ entries }) => entries.filter((entry) => entry.kind === "block"));
  const [first] = blocks;
  if (first === undefined) return;
  const isEverywhere = blocks.length === first.partitions.length && blocks.every(({ number }) => number === first.number);
  check(isEverywhere, "a block is not in every log", () => `block ${first.number} in flush ${flush}`);
  check(first.number === order.closed + 1, "blocks out of order", () => `block ${first.number} behind ${order.closed}`);
  order.closed = first.number;
  check(order.open.size === 0, "a group crosses a block", () => `${[...order.open.keys()].join()} at block ${first.number}`);
}
