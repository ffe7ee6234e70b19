/** The cluster that the suites of this folder run on, one after the other: to start one for each would take most of the time. */
import { type TestCluster, startTestCluster } from "../cluster.ts";

export const PARTITIONS = 8;

/** Set by `startShared`, before any test runs. */
export let on: TestCluster;

export async function startShared(): Promise<void> {
  on = await startTestCluster({ partitions: PARTITIONS, blockMs: 100, hosts: 2, archives: 2, gateways: 2 });
}

export const stopShared = (): Promise<void> => on.stop();
