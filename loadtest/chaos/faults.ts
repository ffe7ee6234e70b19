/** What is done to a running cluster, one fault at a time. */
import { setTimeout as delay } from "node:timers/promises";
import type { Cluster, SupervisedProcess } from "@meridian/launcher";
import { assert } from "@meridian/core";

export const FAULTS = [
  "kill host",
  "kill scheduler leader",
  "kill gateway",
  "kill archive",
  "kill nats-server",
  "pause scheduler leader",
  "pause host",
  "kill all",
] as const;
export type Fault = (typeof FAULTS)[number];

/** Longer than a standby waits before it takes over, so that the paused leader wakes up deposed. */
const PAUSE_MS = 3_000;

/** @param pick a number from 0 to 1 that chooses among equals @returns the name of the process it was done to */
export async function inflict(fault: Fault, cluster: Cluster, leader: string, pick: number): Promise<string> {
  const hosts = [...cluster.processes.values()].filter(({ name }) => name.startsWith("host-"));
  const host = hosts[Math.floor(pick * hosts.length)];
  assert(host !== undefined, "a cluster has a host");
  switch (fault) {
    case "kill host":
      return kill(host);
    case "kill scheduler leader":
      return kill(named(cluster, leader));
    case "kill gateway":
      return kill(named(cluster, "gateway-0"));
    case "kill archive":
      return kill(named(cluster, "archive-0"));
    case "kill nats-server":
      await cluster.crashNats();
      return "nats-server";
    case "pause scheduler leader":
      return pause(named(cluster, leader));
    case "pause host":
      return pause(host);
    case "kill all":
      await Promise.all([...[...cluster.processes.values()].map((process) => kill(process)), cluster.crashNats()]);
      return "every process";
  }
}

function named(cluster: Cluster, name: string): SupervisedProcess {
  const process = cluster.processes.get(name);
  assert(process !== undefined, `no process ${name}`);
  return process;
}

async function kill(process: SupervisedProcess): Promise<string> {
  await process.kill("SIGKILL");
  return process.name;
}

async function pause(process: SupervisedProcess): Promise<string> {
  await process.kill("SIGSTOP");
  await delay(PAUSE_MS);
  await process.kill("SIGCONT");
  return process.name;
}
