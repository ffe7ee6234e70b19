import type { Attributes, Telemetry } from "@meridian/core";

/** What a partition measures; the README's table has the same names. */
export interface PartitionMetrics {
  batchMessages: (value: number) => void;
  batchTransactions: (value: number) => void;
  transactions: (value: number) => void;
  applyMs: (value: number) => void;
  publishMs: (value: number) => void;
  readMs: (value: number, attributes: Attributes) => void;
  snapshotMs: (value: number) => void;
  snapshotBytes: (value: number) => void;
  groupRounds: (value: number) => void;
  proposalMs: (value: number) => void;
  lockHeldMs: (value: number) => void;
  misses: (value: number, attributes: Attributes) => void;
}

/** Figures observed whenever metrics are collected. */
export interface Observed {
  lag: number;
  memoryBytes: number;
  accounts: number;
  slots: number;
  waitingReads: number;
  outBytes: number;
  waitingEntries: number;
}

export function partitionMetrics(telemetry: Telemetry, partition: number, observe: () => Observed): PartitionMetrics {
  const of = { partition };
  const named = (name: string) => `meridian.partition.${name}`;
  const histogram = (name: string, unit: string, description: string) => {
    const record = telemetry.histogram(named(name), unit, description);
    return (value: number, attributes: Attributes = {}) => record(value, { ...of, ...attributes });
  };
  const gauge = (name: string, unit: string, description: string, figure: keyof Observed) =>
    telemetry.gauge(named(name), unit, description, () => [{ value: observe()[figure], attributes: of }]);
  gauge("lag", "{message}", "Messages of the log that are not applied yet, as the last beat says", "lag");
  gauge("memory", "By", "Memory of the engine", "memoryBytes");
  gauge("accounts", "{account}", "Accounts", "accounts");
  gauge("slots", "{slot}", "Storage slots", "slots");
  gauge("reads.waiting", "{request}", "Reads waiting or running", "waitingReads");
  gauge("out.waiting", "By", "Records waiting for OUT", "outBytes");
  gauge("entries.waiting", "{entry}", "Groups and local transactions that stand open", "waitingEntries");
  const transactions = telemetry.counter(named("transactions"), "{transaction}", "Transactions executed");
  const misses = telemetry.counter(named("misses"), "{transaction}", "Local transactions that missed, by `why`");
  return {
    batchMessages: histogram("batch.messages", "{message}", "Log messages applied in one go"),
    batchTransactions: histogram("batch.transactions", "{transaction}", "Transactions executed in one go"),
    transactions: (value) => transactions(value, of),
    applyMs: histogram("apply", "ms", "Executing the messages of one go"),
    publishMs: histogram("publish", "ms", "Publishing to OUT until the server has it"),
    readMs: histogram("read", "ms", "Reads by `op`, with waiting"),
    snapshotMs: histogram("snapshot", "ms", "Taking a snapshot beside the log"),
    snapshotBytes: histogram("snapshot.size", "By", "Chunks of a snapshot"),
    groupRounds: histogram("group.rounds", "{round}", "Runs of a group at its home until nothing was missing"),
    proposalMs: histogram("group.proposal", "ms", "From a group's start at its home to its proposal"),
    lockHeldMs: histogram("lock.held", "ms", "Locks of a group, from held to resolved, at home and elsewhere"),
    misses: (value, attributes) => misses(value, { ...of, ...attributes }),
  };
}
