/** The cluster of one run: as `npm start` has it, with every write synced, in a folder that is removed afterwards. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { IoError, type RangeMap } from "@meridian/core";
import { type Cluster, type ClusterOptions, RpcClient, pin, startCluster } from "@meridian/launcher";

export interface LoadCluster {
  rpcUrl: string;
  folder: string;
  pids: () => ReadonlyMap<string, number>;
  stop(): Promise<void>;
}

type Wanted = Pick<
  ClusterOptions,
  "partitions" | "hosts" | "gateways" | "schedulers" | "blockMs" | "engine" | "durability" | "pins" | "chainId"
> & { profile: string | undefined };

const READY_MS_MAX = 120_000;
const PIN_MS_MAX = 30_000;

export const temporaryFolder = (): Promise<string> => mkdtemp(join(tmpdir(), "meridian-load-"));

export async function startLoadCluster({ profile, ...wanted }: Wanted, folder: string): Promise<LoadCluster> {
  if (profile !== undefined) await mkdir(profile, { recursive: true });
  const env: Record<string, string> = profile === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${profile}` };
  // One address sends everything: no limit on what it may.
  const envByService = { gateway: { MERIDIAN_RATE_LIMIT: "0" } };
  const cluster = await startCluster({ dataFolder: join(folder, "cluster"), port: 0, env, envByService, ...wanted });
  const stop = async () => {
    await cluster.stop();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await cluster.ready(READY_MS_MAX);
  } catch (error) {
    await cluster.stop(); // The folder stays: its logs tell why.
    throw error;
  }
  return { rpcUrl: cluster.rpcUrl, folder, pids: () => pidsOf(cluster), stop };
}

function pidsOf(cluster: Cluster): Map<string, number> {
  const services = [...cluster.processes.values()].map(({ name, pid }) => [name, pid] as const);
  return new Map([...services, ["nats-server", cluster.nats.pid]]);
}

/** A cluster that runs already: what the plan needs to know of it. */
export async function inspect(url: string): Promise<{ chainId: number; partitions: number }> {
  const rpc = new RpcClient(url);
  try {
    const chainId = Number(await rpc.call<string>("eth_chainId"));
    const { partitions } = await rpc.call<RangeMap>("meridian_rangeMap");
    return { chainId, partitions: partitions.length };
  } finally {
    rpc.close();
  }
}

/** Moves accounts where the scenario wants them. @throws IoError PINS if that cluster does not let anybody */
export async function pinAll(rpc: RpcClient, pins: Readonly<Record<string, number>>, say: (text: string) => void): Promise<void> {
  const all = Object.entries(pins);
  if (all.length > 0) say(`pinning ${all.length} accounts`);
  for (const [address, partition] of all) {
    try {
      await pin(rpc, address, partition, PIN_MS_MAX);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const help = "start it with MERIDIAN_ADMIN=true";
      const text = `this scenario says where its contracts stand, and the cluster does not pin them (${why}); ${help}`;
      throw new IoError({ code: "PINS", text }, "never", error);
    }
  }
}
