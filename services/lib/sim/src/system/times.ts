/** Times and bounds of a run. A small system with short times (virtual milliseconds): the same races in a tenth of the events. */
import type { Random } from "../kernel/random.ts";

export interface Times {
  blockMs: number;
  flushMs: number;
  beatMs: number;
  takeOverMs: number;
  reportMs: number;
  /** A partition is silent after this long. */
  silentMs: number;
  /** A group is aborted after this long. */
  lockMsMax: number;
  /** Small bounds cut flushes and groups where they are never cut otherwise. */
  flushTransactionsMax: number;
  groupMembersMax: number;
  /** Rounds of fetching before members of a group are deferred. */
  groupRoundsMax: number;
  /** A snapshot is due after this long. */
  snapshotMs: number;
  /** Failures happen until then... */
  quietMs: number;
  /** ...and within this time afterwards everything must have settled. */
  settleMs: number;
}

/** A standby waits up to this much longer than `takeOverMs`. */
export const TAKE_OVER_JITTER_MS = 100;

/** @param isContended  groups stay open long, and much comes meanwhile */
export function drawTimes(random: Random, isContended: boolean): Times {
  return { ...drawAny(random), ...(isContended ? { blockMs: 600, flushMs: 1, lockMsMax: 400, silentMs: 400 } : {}) };
}

function drawAny(random: Random): Times {
  return {
    blockMs: random.pick([80, 250, 600]),
    flushMs: random.pick([1, 5, 12]),
    beatMs: random.pick([25, 50]),
    takeOverMs: random.pick([150, 300]),
    reportMs: random.pick([25, 60]),
    silentMs: random.pick([150, 400]),
    lockMsMax: random.pick([40, 150, 400]),
    flushTransactionsMax: random.pick([2, 6, 64, 64]),
    groupMembersMax: random.pick([1, 3, 64, 64]),
    groupRoundsMax: random.pick([1, 3, 8]),
    snapshotMs: random.pick([40, 150, 400]),
    quietMs: random.pick([300, 500, 900]),
    settleMs: 20_000,
  };
}
