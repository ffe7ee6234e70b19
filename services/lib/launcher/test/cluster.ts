/** A whole cluster of real processes for one test file. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RangeIndex, type RangeMap, indexRanges } from "@meridian/core";
import { type Cluster, startCluster } from "../src/cluster.ts";
import type { ClusterOptions } from "../src/options.ts";
import { RpcClient } from "../src/workload/rpc.ts";

export const CHAIN_ID = 31_337;

export interface TestCluster {
  cluster: Cluster;
  rpc: RpcClient;
  ranges: RangeIndex;
  /** Ends all processes and removes the folder. */
  stop(): Promise<void>;
}

/** Starts a cluster and waits for its first block. What happens to its processes is printed if the start fails. */
export async function startTestCluster(options: Partial<ClusterOptions> = {}): Promise<TestCluster> {
  const dataFolder = options.dataFolder ?? (await mkdtemp(join(tmpdir(), "meridian-cluster-")));
  const events: string[] = [];
  const onEvent: ClusterOptions["onEvent"] = (event) => {
    events.push(JSON.stringify(event));
    options.onEvent?.(event);
  };
  const cluster = await startCluster({ port: 0, blockMs: 200, ...options, dataFolder, onEvent });
  const rpc = new RpcClient(cluster.rpcUrl);
  const stop = async (): Promise<void> => {
    rpc.close();
    await cluster.stop();
    if (options.dataFolder === undefined) await rm(dataFolder, { recursive: true, force: true });
  };
  try {
    await cluster.ready();
    return { cluster, rpc, ranges: indexRanges(await rpc.call<RangeMap>("meridian_rangeMap")), stop };
  } catch (error) {
    console.error(events.join("\n"));
    await stop();
    throw error;
  }
}
