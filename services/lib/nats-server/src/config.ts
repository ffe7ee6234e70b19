import type { Durability } from "@meridian/core";

const MIB = 1024 * 1024;

export interface ServerConfig {
  serverName: string;
  host: string;
  port: number;
  monitorPort: number;
  storeFolder: string;
  logFile: string;
  durability: Durability;
  maxPayloadBytes: number;
  /** Most bytes JetStream may keep on disk. */
  jetstreamBytesMax: number;
}

/** The server's configuration file. Texts are written as JSON strings, which the format reads. */
export function configText(config: ServerConfig): string {
  const lines = [
    `server_name: ${JSON.stringify(config.serverName)}`,
    `host: ${JSON.stringify(config.host)}`,
    `port: ${config.port}`,
    `http: ${JSON.stringify(`${config.host}:${config.monitorPort}`)}`,
    `max_payload: ${config.maxPayloadBytes}`,
    `log_file: ${JSON.stringify(config.logFile)}`,
    `log_size_limit: ${8 * MIB}`,
    `log_max_num: 4`,
    `jetstream {`,
    `  store_dir: ${JSON.stringify(config.storeFolder)}`,
    `  max_memory_store: ${256 * MIB}`,
    `  max_file_store: ${config.jetstreamBytesMax}`,
  ];
  // Every acknowledged write is on the disk, not only in the operating system's memory.
  if (config.durability === "power") lines.push(`  sync_interval: always`);
  lines.push(`}`, "");
  return lines.join("\n");
}
