// Snapshots of partitions: objects beside the log, and their manifests.
// Archive: blocks, transactions and receipts in LMDB.
export {};
