/** What a local cluster is made of. Defaults are those of `npm start`. */
import type { Durability } from "@meridian/core";

export interface ClusterOptions {
  /** Everything the cluster keeps: streams, archive, logs, pid files. */
  dataFolder: string;
  /** Of the JSON-RPC server; 0 takes a free one. */
  port: number;
  chainId: number;
  partitions: number;
  hosts: number;
  schedulers: number; // the first to take over leads, the others stand by
  archives: number;
  gateways: number; // the first one listens on `port`, the others on free ports
  blockMs: number;
  /** How many test accounts own ETH in a new chain, from the first on. */
  funded: number;
  /** Accounts that a new chain places on chosen partitions, by 0x address. */
  pins: Record<string, number>;
  /** The `admin_` methods of gateways and schedulers, which move accounts. */
  admin: boolean;
  durability: Durability;
  engine: "auto" | "native" | "wasm";
  /** JetStream's bound on disk use; undefined for the server's own. */
  jetstreamBytesMax: number | undefined;
  /** A nats-server binary to use instead of a found or fetched one: the value of MERIDIAN_NATS_SERVER. */
  natsServer: string | undefined;
  /** Further environment variables of all services, by name; `byService` wins. */
  env: Record<string, string>;
  envByService: Partial<Record<ServiceKind, Record<string, string>>>;
  /** Ended unwanted more often than this within a minute, a process is given up. */
  crashesPerMinuteMax: number;
  onEvent: (event: ClusterEvent) => void;
}

export type ServiceKind = "scheduler" | "partition" | "archive" | "gateway";

/** What happens to the processes, for whoever shows it. */
export type ClusterEvent =
  | { kind: "note"; text: string }
  | { kind: "starting"; name: string }
  | { kind: "started"; name: string; pid: number; ms: number }
  | { kind: "ended"; name: string; how: string; restartMs: number }
  | { kind: "gaveUp"; name: string; how: string; crashes: number; logFile: string; tail: string };

export const clusterDefaults: Omit<ClusterOptions, "dataFolder"> = {
  port: 8545,
  chainId: 31_337,
  partitions: 4,
  hosts: 2,
  schedulers: 2,
  archives: 1,
  gateways: 1,
  blockMs: 500,
  funded: 20,
  pins: {},
  admin: false,
  durability: "process",
  engine: "auto",
  jetstreamBytesMax: undefined,
  natsServer: undefined,
  env: {},
  envByService: {},
  crashesPerMinuteMax: 5,
  onEvent: () => undefined,
};
