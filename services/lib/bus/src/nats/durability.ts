/**
 * Is the server as durable as configured? A client connection does not tell; only the server's HTTP monitor does, in `/varz`:
 * `jetstream.config.sync_always` (its `sync_interval` shows 2 minutes even then).
 */
import { IoError } from "@meridian/core";
import type { Durability } from "@meridian/core";
import type { StreamInfo } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";
import { STREAM } from "../names.ts";
import { ioErrorOf } from "./connection.ts";
import { askMonitors } from "./monitors.ts";

const KEEPERS_MS_MAX = 3_000;

/**
 * The server of this connection and every server that keeps LOG and is not down must say that they sync always.
 * @param monitorUrl comma-separated; without it port 8222 of every server that the connection knows
 * @throws IoError DURABILITY if a server syncs later than configured; DURABILITY_UNKNOWN if that cannot be learnt
 */
export async function checkDurability(nc: NatsConnection, durability: Durability, monitorUrl: string | undefined): Promise<void> {
  if (durability === "process") return;
  const [peers, answers] = await Promise.all([keepersOfLog(nc), askMonitors(nc, monitorUrl)]);
  const help = "name every server's HTTP monitor in MERIDIAN_NATS_MONITOR_URL, comma-separated, as http://host:8222";
  const wanted = new Set([nc.info?.server_name ?? "", ...peers]);
  for (const answer of answers) {
    if ("failed" in answer) continue;
    wanted.delete(answer.varz.server_name ?? "");
    if (answer.varz.jetstream?.config?.sync_always === true) continue;
    const server = `${answer.varz.server_name ?? "unnamed"} without sync_interval: always`;
    throw new IoError({ code: "DURABILITY", configured: durability, server, monitor: answer.monitor }, "never");
  }
  if (wanted.size === 0) return;
  const failed = answers.flatMap((answer) => ("failed" in answer ? [`${answer.monitor} (${answer.failed})`] : []));
  const facts = { configured: durability, servers: [...wanted].join(" "), monitors: failed.join(" ") || "none of these", help };
  throw new IoError({ code: "DURABILITY_UNKNOWN", ...facts }, "later");
}

/** Names of the servers that keep LOG, without those that the others count as down; empty on a single server. */
async function keepersOfLog(nc: NatsConnection): Promise<string[]> {
  const what = `STREAM.INFO.${STREAM.log}`;
  try {
    const reply = await nc.request(`$JS.API.${what}`, "", { timeout: KEEPERS_MS_MAX });
    const { cluster } = reply.json<Partial<StreamInfo>>();
    const others = (cluster?.replicas ?? []).filter(({ offline }) => offline !== true);
    return [...(cluster?.leader === undefined ? [] : [cluster.leader]), ...others.map(({ name }) => name)];
  } catch (error) {
    throw ioErrorOf(error, what, KEEPERS_MS_MAX);
  }
}
