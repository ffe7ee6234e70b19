import { defineSettings, serviceSettings } from "@meridian/core";

const { natsUrl, natsMonitorUrl, instance, durability, replicas, logMaxMb, outMaxMb, healthPort } = serviceSettings;

export const schedulerSettings = defineSettings({
  natsUrl,
  natsMonitorUrl,
  instance,
  durability,
  replicas,
  logMaxMb,
  outMaxMb,
  healthPort,
  genesis: {
    variable: "MERIDIAN_GENESIS",
    kind: "text",
    optional: true,
    help: "Genesis file in geth's format; needed by one scheduler at the chain's first start.",
  },
  partitionCount: {
    variable: "MERIDIAN_PARTITION_COUNT",
    kind: "integer",
    default: 4,
    min: 1,
    max: 1_000,
    help: "First start only: partitions that the address space is cut into.",
  },
  blockMs: {
    variable: "MERIDIAN_BLOCK_MS",
    kind: "integer",
    default: 500,
    min: 20,
    max: 60_000,
    help: "First start only: time between blocks.",
  },
  flushMs: {
    variable: "MERIDIAN_FLUSH_MS",
    kind: "integer",
    default: 5,
    min: 0,
    max: 1_000,
    help: "How long a flush waits for more transactions.",
  },
  admin: {
    variable: "MERIDIAN_ADMIN",
    kind: "boolean",
    default: false,
    help: "Answer requests to move accounts between partitions.",
  },
  gapMs: {
    variable: "MERIDIAN_GAP_MS",
    kind: "integer",
    default: 2_000,
    min: 0,
    max: 10_000,
    help: "How long a transaction waits for its sender's missing nonces. Above 3000 a gateway's attempt (4 s) may end before.",
  },
});
