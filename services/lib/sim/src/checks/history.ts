/** Everything that was ever stored in LOG and OUT, decoded. */
import { decodeLogMessage, decodeOutMessage, decodeOutRecords, encodeOutRecord, hashOf } from "@meridian/bus";
import { concatBytes } from "@meridian/core";
import type { LogMessage, LogPosition, OutRecord, PartitionId } from "@meridian/core";
import type { Kept } from "../kernel/network.ts";
import { check } from "../system/failure.ts";

export interface LoggedMessage {
  message: LogMessage;
  position: LogPosition;
  atMs: number;
}

export interface PartitionHistory {
  partition: PartitionId;
  log: LoggedMessage[];
  /** One for each n, from 1. */
  records: OutRecord[];
}

/** By partition. @throws CheckFailed if a log or OUT is not what its readers may rely on */
export function historyOf(kept: readonly Kept[]): PartitionHistory[] {
  const histories = new Map<PartitionId, PartitionHistory>();
  const of = (partition: PartitionId): PartitionHistory => {
    const known = histories.get(partition) ?? { partition, log: [], records: [] };
    histories.set(partition, known);
    return known;
  };
  let parts: Uint8Array[] = [];
  for (const stored of kept) {
    if (stored.stream === "LOG") {
      takeLog(of, stored);
      continue;
    }
    const message = decodeOutMessage(stored.payload);
    parts = message.part === 0 ? [message.body] : [...parts, message.body];
    if (message.part < message.parts - 1) continue;
    for (const record of decodeOutRecords(concatBytes(parts))) takeRecord(of(message.partition), record);
  }
  return [...histories.values()].sort((left, right) => left.partition - right.partition);
}

function takeLog(of: (partition: PartitionId) => PartitionHistory, { payload, atMs }: Kept): void {
  const { message, previousHash } = decodeLogMessage(payload);
  const { log } = of(message.partition);
  const before = log.at(-1);
  const where = `message ${message.n} of log ${message.partition}`;
  check(message.n === log.length + 1, "log has a gap", () => `${where} behind ${log.length}`);
  const isLinked = before === undefined || Buffer.compare(before.position.hash, previousHash) === 0;
  check(isLinked, "log chain is broken", () => where);
  check(before === undefined || message.term >= before.message.term, "a deposed leader wrote", () => where);
  check(before === undefined || message.flush > before.message.flush, "flushes out of order", () => where);
  log.push({ message, position: { n: message.n, flush: message.flush, hash: hashOf(payload) }, atMs });
}

function takeRecord({ partition, records }: PartitionHistory, record: OutRecord): void {
  const known = records[record.n - 1];
  const where = `record ${record.n} of partition ${partition}`;
  if (known !== undefined) {
    return check(areEqual(known, record), "two owners of a partition published different records", () => where);
  }
  check(record.n === records.length + 1, "OUT has a gap", () => `${where} behind ${records.length}`);
  records.push(record);
}

export const areEqual = (left: OutRecord, right: OutRecord): boolean =>
  Buffer.compare(encodeOutRecord(left), encodeOutRecord(right)) === 0;
