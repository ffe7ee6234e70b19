// Snapshots of partitions: chunks as objects, manifests as a settings record.
export { openSnapshots } from "./snapshots.ts";
export type { KeptSnapshots, SnapshotDamage, SnapshotPorts, SnapshotStore } from "./snapshots.ts";
// Archive: blocks, transactions and receipts in LMDB.
export { openArchive } from "./archive.ts";
export type { ArchiveStore } from "./archive.ts";
export type { StoredBlock } from "./archive-layout.ts";
export type { LogBudget } from "./archive-logs.ts";
export type { StoredBody, StoredTransaction } from "./archive-read.ts";
export type { ArchiveStoreFailure } from "./archive-tables.ts";
export { needsRestore, readArchiveSnapshots, restoreArchive, takeArchiveSnapshot } from "./archive-snapshots.ts";
export type { ArchiveManifest, KeptArchives } from "./archive-snapshots.ts";
