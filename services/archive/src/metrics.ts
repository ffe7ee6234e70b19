import type { Attributes, Telemetry } from "@meridian/core";

/** What an archive measures; the README's table has the same names. */
export interface ArchiveMetrics {
  buildMs: (value: number) => void;
  blockTransactions: (value: number) => void;
  putMs: (value: number) => void;
  queryMs: (value: number, attributes: Attributes) => void;
  snapshotMs: (value: number) => void;
  duplicates: (value: number, attributes: Attributes) => void;
  alarms: (value: number, attributes: Attributes) => void;
}

/** Figures observed whenever metrics are collected. */
export interface Observed {
  lagMessages: number;
  lagBlocks: number;
  tailBytes: number;
  tailRecords: number;
  databaseBytes: number;
  queries: number;
}

const named = (name: string) => `meridian.archive.${name}`;

export function archiveMetrics(telemetry: Telemetry): ArchiveMetrics {
  const histogram = (name: string, unit: string, description: string) => telemetry.histogram(named(name), unit, description);
  const counter = (name: string, unit: string, description: string) => telemetry.counter(named(name), unit, description);
  return {
    buildMs: histogram("block.build", "ms", "Assembling a block: order, roots, bloom, hash"),
    blockTransactions: histogram("block.transactions", "{transaction}", "Transactions of a block"),
    putMs: histogram("store.put", "ms", "Storing what was built meanwhile until it is committed"),
    queryMs: histogram("query", "ms", "Queries by `op` and `outcome`, with waiting"),
    snapshotMs: histogram("snapshot", "ms", "Taking a snapshot beside everything else"),
    duplicates: counter("duplicates", "{record}", "Records that came again, by whether they could still be compared"),
    alarms: counter("alarms", "{alarm}", "What cannot be, by `code`; the archive takes nothing more in after it"),
  };
}

export function observeArchive(telemetry: Telemetry, observe: () => Observed): void {
  const gauge = (name: string, unit: string, description: string, figure: keyof Observed) =>
    telemetry.gauge(named(name), unit, description, () => [{ value: observe()[figure] }]);
  gauge("lag.messages", "{message}", "Log messages that the last beat tells of and OUT has not brought yet", "lagMessages");
  gauge("lag.blocks", "{block}", "Closed blocks that are not stored yet", "lagBlocks");
  gauge("tail", "By", "Records that are in no block yet", "tailBytes");
  gauge("tail.records", "{record}", "Records that are in no block yet", "tailRecords");
  gauge("database", "By", "Size of the database file", "databaseBytes");
  gauge("queries", "{request}", "Queries running or waiting", "queries");
}
