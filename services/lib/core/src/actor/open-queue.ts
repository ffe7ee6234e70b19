/**
 * The entries that stand open on a partition, in log order, with what is asked about them. Changes with each that comes or goes,
 * so that nothing here looks at all of them.
 */
import type { Position } from "../entries.ts";
import { bar, barredAddresses, emptyBarred, unbar } from "./barred.ts";
import type { Barred } from "./barred.ts";
import { emptyStanding, isFirst, leave, stand } from "./keys.ts";
import type { Standing } from "./keys.ts";
import type { OpenEntry, OpenGroup, OpenLocal } from "./queue.ts";

export interface OpenQueue {
  /** In log order. */
  readonly entries: Set<OpenEntry>;
  readonly groups: Map<string, OpenGroup>;
  readonly locals: Set<OpenLocal>;
  /** Of those that keep others waiting: all of them, unless a rule is switched off. */
  readonly standing: Standing<OpenEntry>;
  readonly barred: Barred;
  /** Those whose turn may have come since `takeTurns` looked last. */
  next: OpenEntry[];
  /** Of the entry that came last, if one is open. */
  last: Position | null;
  /** How many have come. */
  came: number;
}

export const emptyQueue = (): OpenQueue => ({
  entries: new Set(),
  groups: new Map(),
  locals: new Set(),
  standing: emptyStanding(),
  barred: emptyBarred(),
  next: [],
  last: null,
  came: 0,
});

const nameOf = ({ flush, index }: Position): string => `${flush}/${index}`;

/** Takes one in behind all others; its `order` is `came`. */
export function enter(queue: OpenQueue, entry: OpenEntry, stands: boolean): void {
  queue.came++;
  queue.last = entry.position;
  queue.entries.add(entry);
  if (entry.kind === "group") queue.groups.set(nameOf(entry.position), entry);
  else queue.locals.add(entry);
  if (!stands) return;
  stand(queue.standing, entry);
  bar(queue.barred, entry);
}

/** It keeps nobody waiting any more. */
export function release(queue: OpenQueue, entry: OpenEntry): void {
  for (const next of leave(queue.standing, entry)) queue.next.push(next);
  unbar(queue.barred, entry);
}

export function exit(queue: OpenQueue, entry: OpenEntry): void {
  release(queue, entry);
  queue.entries.delete(entry);
  if (entry.kind === "group") queue.groups.delete(nameOf(entry.position));
  else queue.locals.delete(entry);
  if (queue.entries.size === 0) queue.last = null;
}

export const groupAt = (queue: OpenQueue, position: Position): OpenGroup | undefined => queue.groups.get(nameOf(position));

/** The first local transaction that waits. */
export const firstLocal = ({ locals }: OpenQueue): OpenLocal | undefined => locals.values().next().value;

/** True if it is open and its turn has come. */
export const isItsTurn = ({ entries, standing }: OpenQueue, entry: OpenEntry): boolean =>
  entries.has(entry) && (!standing.all.has(entry) || isFirst(standing, entry));

export const barredBy = ({ barred }: OpenQueue): Uint8Array => barredAddresses(barred);
