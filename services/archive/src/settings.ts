import { defineSettings, serviceSettings } from "@meridian/core";

export const archiveSettings = defineSettings({
  ...serviceSettings,
  dataFolder: { variable: "MERIDIAN_DATA", kind: "text", help: "Folder of this archive's database." },
  retentionBlocks: {
    variable: "MERIDIAN_RETENTION_BLOCKS",
    kind: "integer",
    default: 0,
    min: 0,
    help: "Blocks that are kept, at least 8; 0 keeps all. The same for all archives of a chain.",
  },
  snapshotBlocks: {
    variable: "MERIDIAN_SNAPSHOT_BLOCKS",
    kind: "integer",
    default: 2_000,
    min: 1,
    help: "An own snapshot is taken after so many blocks, and where partitions take theirs.",
  },
});
