/**
 * What is done to a running cluster, one fault at a time. Those of home, participant, leader and nats-server strike in the middle
 * of a group: it stands in LOG and has no end there.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Cluster } from "@meridian/launcher";
import { assert } from "@meridian/core";
import type { Group } from "./locks.ts";
import type { Moment, Watch } from "./watch.ts";

export const FAULTS = [
  "kill home",
  "kill participant",
  "kill scheduler leader",
  "kill nats-server",
  "pause home",
  "pause participant",
  "pause scheduler leader",
  "pause nats-server",
  "kill gateway",
  "kill archive",
  "kill all",
] as const;
export type Fault = (typeof FAULTS)[number];

/** Whether a fault is aimed at an open group, and may have to wait for one. */
export const isAimed = (fault: Fault): boolean => fault !== "kill gateway" && fault !== "kill archive";

export interface Scene {
  cluster: Cluster;
  watch: Watch;
  /** Numbers from 0 to 1. */
  draw: () => number;
}

/** A leader's is longer than a standby waits before it takes over, so that it wakes up deposed. */
const PAUSE_LEADER_MS = 3_000;
/** Shorter and longer than a partition may be silent before the leader aborts its groups. */
const PAUSE_MS = [1_500, 4_500];
/** Groups live about so long: strikes are spread over it. */
const GROUP_MS = 15;
const NO_GROUP_MS_MAX = 30_000;
const RECOVER_MS_MAX = 60_000;

/** What was hit, and what it was in the middle of. */
export interface Struck {
  fault: Fault;
  names: string[];
  at: number;
  groupsOpen: number;
  locksOpen: number;
  /** Of the leader at that time. */
  term: number;
  /** Numbers of the processes as they were. */
  pids: number[];
}

const isKill = (fault: Fault): boolean => fault.startsWith("kill");

/** Sends the signal. @throws IoError NO_GROUP, NO_LEADER */
export async function strike(fault: Fault, scene: Scene): Promise<Struck> {
  const { watch, draw, cluster } = scene;
  await watch.leader(RECOVER_MS_MAX);
  const act = (group: Group | null): Struck => {
    const names = victims(fault, scene, group);
    const pids = names.map((name) => pidOf(cluster, name));
    const { open } = watch.locks;
    for (const name of names) void send(cluster, name, isKill(fault) ? "SIGKILL" : "SIGSTOP");
    const at = performance.now();
    const locksOpen = watch.locks.heldAt(at).length;
    return { fault, names, at, groupsOpen: open.length, locksOpen, term: watch.beat.term, pids };
  };
  if (!isAimed(fault)) return act(null);
  const moment: Moment = draw() < 0.5 ? "entered" : "proposed";
  const isWanted = (group: Group) => !fault.endsWith("participant") || otherHost(watch, group) !== undefined;
  return watch.aim(moment, draw() * GROUP_MS, isWanted, act, NO_GROUP_MS_MAX);
}

/**
 * When it was over: a paused process goes on, of a killed one the first sign of life is heard, of each partition, of a leader.
 * @throws IoError NOT_RECOVERED
 */
export function recovery(struck: Struck, scene: Scene): Promise<number> {
  return isKill(struck.fault) ? returned(struck, scene) : resumed(struck, scene);
}

/** How reports call those that were hit. */
export const nameOf = ({ names }: Struck): string => (names.length === 1 ? (names[0] ?? "") : "every process");

/** A participant's host that is not the home's. */
function otherHost(watch: Watch, { home, locks }: Group): string | undefined {
  return locks.map(({ partition }) => watch.hostOf(partition)).find((host) => host !== watch.hostOf(home) && host !== "");
}

/** Names of the processes that a fault hits. */
function victims(fault: Fault, { cluster, watch }: Scene, group: Group | null): string[] {
  switch (fault) {
    case "kill home":
    case "pause home":
      return group === null ? [] : [watch.hostOf(group.home)];
    case "kill participant":
    case "pause participant":
      return group === null ? [] : [otherHost(watch, group) ?? ""];
    case "kill scheduler leader":
    case "pause scheduler leader":
      return [watch.beat.leader];
    case "kill nats-server":
    case "pause nats-server":
      return [NATS];
    case "kill gateway":
      return ["gateway-0"];
    case "kill archive":
      return ["archive-0"];
    case "kill all":
      return [...cluster.processes.keys(), NATS];
  }
}

const NATS = "nats-server";

function pidOf(cluster: Cluster, name: string): number {
  return name === NATS ? cluster.nats.pid : (cluster.processes.get(name)?.pid ?? 0);
}

/** The signal is sent before this returns; what is awaited is that a killed process is gone. */
function send(cluster: Cluster, name: string, signal: NodeJS.Signals): Promise<void> {
  if (name === NATS) return cluster.nats.kill(signal);
  const process = cluster.processes.get(name);
  assert(process !== undefined, `no process ${name}`);
  return process.kill(signal);
}

/** Ends the pause. Of a leader that was deposed meanwhile the recovery is the other one's first beat. */
async function resumed({ fault, names, term }: Struck, { cluster, watch, draw }: Scene): Promise<number> {
  const isLeader = fault === "pause scheduler leader";
  const led = isLeader ? heard(watch, () => watch.beat.term > term, "another leader") : undefined;
  await delay(isLeader ? PAUSE_LEADER_MS : (PAUSE_MS[draw() < 0.5 ? 0 : 1] ?? 0));
  await Promise.all(names.map((name) => send(cluster, name, "SIGCONT")));
  return led ?? performance.now();
}

/** When all that was killed has been heard of again. */
async function returned({ names, pids, term }: Struck, { cluster, watch }: Scene): Promise<number> {
  const led = names.some((name) => name.startsWith("scheduler-"))
    ? heard(watch, () => watch.beat.term > term, "another leader")
    : 0;
  const isBack = () => names.every((name, index) => ![0, pids[index]].includes(pidOf(cluster, name)));
  const backAt = await heard(watch, isBack, names.join(", "));
  const partitions = names.flatMap((name) => watch.partitionsOf(name));
  const times = partitions.map((partition) => heard(watch, () => watch.reportedAt(partition) > backAt, `partition ${partition}`));
  if (names.includes(NATS)) times.push(heard(watch, () => watch.beat.at > backAt, "a leader"));
  return Math.max(backAt, ...(await Promise.all([led, ...times])));
}

async function heard(watch: Watch, isHeard: () => boolean, what: string): Promise<number> {
  await watch.until(isHeard, RECOVER_MS_MAX, "NOT_RECOVERED", `${what} is not heard`);
  return performance.now();
}
