/**
 * No lock outlives its group by more than a second, which is a tenth of one here, as all times are: from the moment at which
 * nothing fails any more a group comes to its end in LOG in time, and every process of its partitions lets go of its locks soon
 * after. Looked at while a run settles.
 */
import { decodeLogMessage } from "@meridian/bus";
import type { Entry, PartitionId, Position } from "@meridian/core";
import type { Network } from "../kernel/network.ts";
import type { System } from "../system/system.ts";
import { TAKE_OVER_JITTER_MS } from "../system/times.ts";
import type { Times } from "../system/times.ts";

/** Milliseconds that a lock may stay behind its group. */
const LATE_MS_MAX = 100;
/** And a group behind its deadline: an append on its way when the last thing fails is settled within this time. */
const APPEND_MS_MAX = 1_500;
/** A process that starts may take this long; it looks for its chain every 200 ms. */
const START_MS_MAX = 400;

/** A lock in one log: the messages that begin and end its group, and when the second came. */
interface Lock {
  beginN: number;
  endN: number;
  atMs: number;
}

export class LockWatch {
  readonly #times: Times;
  /** So many of the stored messages are read. */
  #read = 0;
  /** When the groups without an end were begun. */
  readonly #open = new Map<string, number>();
  /** By partition and group: the message that begins it. */
  readonly #begun = new Map<string, number>();
  /** By partition, those whose group has an end, in its order. */
  readonly #locks = new Map<PartitionId, Lock[]>();

  constructor(times: Times) {
    this.#times = times;
  }

  /** What is wrong at this moment; null if nothing is. */
  look({ kept }: Network, system: System, nowMs: number): string | null {
    for (; this.#read < kept.length; this.#read++) {
      const { stream, payload, atMs } = kept[this.#read]!;
      if (stream === "LOG") this.#take(payload, atMs);
    }
    return this.#lateGroup(nowMs) ?? this.#lateProcess(system, nowMs);
  }

  #take(payload: Uint8Array, atMs: number): void {
    const { partition, n, flush, entries } = decodeLogMessage(payload).message;
    for (const entry of entries) {
      if (entry.kind === "group") this.#open.set(keyOf({ flush, index: entry.index }), atMs);
      if (entry.kind === "group" || entry.kind === "lock") {
        this.#begun.set(`${partition} ${keyOf({ flush, index: entry.index })}`, n);
      }
      if (!endsGroup(entry)) continue;
      const group = keyOf(entry.group);
      this.#open.delete(group);
      const beginN = this.#begun.get(`${partition} ${group}`);
      if (beginN === undefined) continue;
      this.#begun.delete(`${partition} ${group}`); // Of several ends the first counts.
      const locks = this.#locks.get(partition) ?? [];
      this.#locks.set(partition, locks);
      locks.push({ beginN, endN: n, atMs });
    }
  }

  /** A leader that is new has to take over first, and gives a group its time anew. */
  #lateGroup(nowMs: number): string | null {
    const { quietMs, takeOverMs, lockMsMax } = this.#times;
    const allowedMs = takeOverMs + TAKE_OVER_JITTER_MS + lockMsMax + APPEND_MS_MAX;
    for (const [group, atMs] of this.#open) {
      const sinceMs = Math.max(atMs, quietMs);
      if (nowMs > sinceMs + allowedMs) return `group ${group} has no end ${(nowMs - sinceMs).toFixed(0)} ms after it began`;
    }
    return null;
  }

  #lateProcess(system: System, nowMs: number): string | null {
    const dueMs = nowMs - LATE_MS_MAX;
    if (dueMs < this.#times.quietMs) return null;
    for (const { name, partition, isUp, startedAtMs } of system.members) {
      if (!isUp || partition === null) continue;
      const actor = system.actors.get(name);
      const beganMs = actor === undefined ? Math.max(startedAtMs, this.#times.quietMs) : startedAtMs;
      if (nowMs < beganMs + START_MS_MAX) continue;
      const n = actor?.status().n ?? 0;
      const held = this.#locks.get(partition)?.findLast(({ beginN, endN, atMs }) => beginN <= n && n < endN && atMs <= dueMs);
      if (held !== undefined) return `${name} at message ${n} holds what message ${held.endN} ended`;
    }
    return null;
  }
}

const keyOf = ({ flush, index }: Position): string => `${flush}/${index}`;

const endsGroup = (entry: Entry): entry is Extract<Entry, { kind: "apply" | "abort" }> =>
  entry.kind === "apply" || entry.kind === "abort";
