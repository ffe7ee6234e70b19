/** HTTP monitors of the servers: they tell what a client connection does not. */
import type { NatsConnection } from "@nats-io/nats-core";

const MONITOR_MS_MAX = 3_000;
const MONITOR_PORT = 8222;

/** What is read of a server's `/varz`. */
export interface Varz {
  server_id?: string;
  server_name?: string;
  cluster?: { name?: string };
  /** `max_storage`: the server's `max_file_store`, bytes. */
  jetstream?: { config?: { sync_always?: boolean; max_storage?: number } };
}

/** One monitor's answer, or why there is none. */
export type MonitorAnswer = { monitor: string; varz: Varz } | { monitor: string; failed: string };

/** @param monitorUrl comma-separated; without it port 8222 of every server that the connection knows */
export function askMonitors(nc: NatsConnection, monitorUrl: string | undefined): Promise<MonitorAnswer[]> {
  const monitors = monitorUrl === undefined ? defaultMonitors(nc) : monitorUrl.split(",").map((url) => url.trim());
  return Promise.all(monitors.map(askMonitor));
}

async function askMonitor(monitor: string): Promise<MonitorAnswer> {
  try {
    const response = await fetch(new URL("/varz", monitor), { signal: AbortSignal.timeout(MONITOR_MS_MAX) });
    if (!response.ok) return { monitor, failed: `status ${response.status}` };
    return { monitor, varz: (await response.json()) as Varz };
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
    return { monitor, failed: cause };
  }
}

function defaultMonitors(nc: NatsConnection): string[] {
  const servers = [nc.getServer(), ...(nc.info?.connect_urls ?? [])];
  const hosts = servers.map((server) => new URL(server.includes("://") ? server : `nats://${server}`).hostname);
  return [...new Set(hosts)].map((host) => `http://${host}:${MONITOR_PORT}`);
}
