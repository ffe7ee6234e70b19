/** Subjects, streams and buckets. Nobody else writes these texts. */
import { assert } from "@meridian/core";
import type { PartitionId } from "@meridian/core";

export const STREAM = { log: "LOG", out: "OUT" } as const;
export const BUCKET = { settings: "SETTINGS", objects: "OBJECTS" } as const;
/** The streams under the buckets, as the NATS clients name them. */
export const BUCKET_STREAM = { settings: "KV_SETTINGS", objects: "OBJ_OBJECTS" } as const;

export const SUBJECT = {
  /** Stream LOG: one partition's log. */
  log: (partition: PartitionId): string => `log.${partition}`,
  /** Stream OUT: what one partition made of its log. */
  out: (partition: PartitionId): string => `out.${partition}`,
  /** Requests to the leader of one term: bare packed transaction records. */
  submit: (term: number): string => `sched.submit.${term}`,
  beat: "sched.beat",
  report: (partition: PartitionId): string => `sched.report.${partition}`,
  /** Reports of all partitions; to subscribe only. */
  reports: "sched.report.*",
  built: "sched.built",
  /** From partitions: local transactions that missed. */
  misses: "sched.misses",
  /** From homes: what they make of their groups. */
  proposal: "sched.proposal",
  /** Requests to the leader about the range map. */
  admin: "sched.admin",
  read: (partition: PartitionId): string => `read.${partition}`,
  archiveQuery: "archive.query",
} as const;

/** Queue group of the archives on `archive.query`. */
export const ARCHIVE_QUEUE = "archive";

export const LOG_SUBJECTS = "log.*";
export const OUT_SUBJECTS = "out.*";

/** The partition of a log, out, report or read subject. */
export function partitionOf(subject: string): PartitionId {
  const partition = Number(subject.slice(subject.lastIndexOf(".") + 1));
  assert(Number.isSafeInteger(partition) && partition >= 0, `${subject} names no partition`);
  return partition;
}
