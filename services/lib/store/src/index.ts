// Snapshots of partitions: chunks as objects, manifests as a settings record.
export { openSnapshots } from "./snapshots.ts";
export type { KeptSnapshots, SnapshotDamage, SnapshotPorts, SnapshotStore } from "./snapshots.ts";
// Archive: blocks, transactions and receipts in LMDB.
