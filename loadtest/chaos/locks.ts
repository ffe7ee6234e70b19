/**
 * The locks of groups that cross partitions, as LOG and the partitions' own reports tell of them.
 *
 * L1. A lock is there from a partition's `group` or `lock` entry until that partition has applied the group's `apply` or `abort`,
 *     which its reports say: a report with that message's number, or a later one.
 * L2. Times are those at which this process heard of it: a lock never looks shorter than it was by more than one message's way.
 */
import type { LogMessage, PartitionId, Position } from "@meridian/core";

export interface Lock {
  partition: PartitionId;
  enteredAt: number;
  /** The end in this partition's log; null while there is none. */
  end: { n: number; at: number } | null;
  /** Null until the partition has said that it applied the end. */
  releasedAt: number | null;
}
export interface Group {
  key: string;
  home: PartitionId;
  locks: Lock[];
}
/** A partition's first report with this number or a later one. */
interface Mark {
  n: number;
  at: number;
}

/** Reports are remembered for locks whose end is read later than the report that speaks of it. */
const MARKS_MAX = 20_000;

export const keyOf = ({ flush, index }: Position): string => `${flush}:${index}`;

export class Locks {
  readonly #groups = new Map<string, Group>();
  readonly #open = new Map<string, Group>();
  /** Locks with an end that no report has confirmed yet. */
  readonly #unconfirmed = new Set<Lock>();
  readonly #marks = new Map<PartitionId, Mark[]>();

  /** Takes a message of LOG. @returns the groups that it is the first to tell of */
  read({ partition, n, flush, entries }: LogMessage, at: number): Group[] {
    const entered: Group[] = [];
    for (const entry of entries) {
      if (entry.kind === "group" || entry.kind === "lock") {
        const home = entry.kind === "group" ? partition : entry.home;
        const key = keyOf({ flush, index: entry.index });
        let group = this.#groups.get(key);
        if (group === undefined) {
          group = { key, home, locks: [] };
          this.#groups.set(key, group);
          this.#open.set(key, group);
          entered.push(group);
        }
        group.locks.push({ partition, enteredAt: at, end: null, releasedAt: null });
      } else if (entry.kind === "apply" || entry.kind === "abort") this.#end(keyOf(entry.group), partition, { n, at });
    }
    return entered;
  }

  /** A partition says that it has applied message `n` of its log. */
  reported(partition: PartitionId, n: number, at: number): void {
    let marks = this.#marks.get(partition);
    if (marks === undefined) this.#marks.set(partition, (marks = []));
    if (n <= (marks.at(-1)?.n ?? -1)) return;
    marks.push({ n, at });
    if (marks.length > MARKS_MAX) marks.splice(0, MARKS_MAX / 2);
    for (const lock of this.#unconfirmed) {
      if (lock.partition !== partition || lock.end === null || lock.end.n > n) continue;
      lock.releasedAt = at;
      this.#unconfirmed.delete(lock);
    }
  }

  /** Groups without an end in at least one of the logs that hold them. */
  get open(): Group[] {
    return [...this.#open.values()];
  }

  isOpen(key: string): boolean {
    return this.#open.has(key);
  }

  /** Locks that were there at a moment. */
  heldAt(at: number): Lock[] {
    return this.all.filter(({ enteredAt, releasedAt }) => enteredAt <= at && (releasedAt === null || releasedAt > at));
  }

  /** Every lock that was ever read of. */
  get all(): Lock[] {
    return [...this.#groups.values()].flatMap(({ locks }) => locks);
  }

  /** The first end counts (lock machine, L1). */
  #end(key: string, partition: PartitionId, end: { n: number; at: number }): void {
    const group = this.#groups.get(key);
    const lock = group?.locks.find((one) => one.partition === partition);
    if (group === undefined || lock === undefined || lock.end !== null) return;
    lock.end = end;
    const mark = this.#marks.get(partition)?.find(({ n }) => n >= end.n);
    if (mark === undefined) this.#unconfirmed.add(lock);
    else lock.releasedAt = mark.at;
    if (group.locks.every((one) => one.end !== null)) this.#open.delete(key);
  }
}

/** What became of the locks of a fault: groups that were open when it happened, and how long locks stayed after it was over. */
export interface LockRecord {
  groupsOpen: number;
  locksOpen: number;
  /** From the recovery until the last lock that was there at it was free; 0 if there was none any more. */
  freeAfterMs: number;
  /** The longest that one of them stayed after both its group's end stood in the log and the recovery. */
  outlivedMs: number;
}

/** @param locks those held at the recovery, all of them free by now */
export function lockRecord(groupsOpen: number, locksOpen: number, locks: readonly Lock[], recoveredAt: number): LockRecord {
  const most = (times: number[]) => Math.max(0, ...times);
  return {
    groupsOpen,
    locksOpen,
    freeAfterMs: most(locks.map(({ releasedAt }) => (releasedAt ?? Infinity) - recoveredAt)),
    outlivedMs: most(locks.map(({ releasedAt, end }) => (releasedAt ?? Infinity) - Math.max(end?.at ?? 0, recoveredAt))),
  };
}
