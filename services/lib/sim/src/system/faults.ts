/**
 * What goes wrong in a run. Each seed has some kinds of trouble and not others, each often or seldom: runs differ more than if
 * every one had a little of everything.
 */
import type { Network } from "../kernel/network.ts";
import type { Random } from "../kernel/random.ts";
import type { VirtualTime } from "../kernel/time.ts";
import type { Trace } from "../kernel/trace.ts";
import type { Weather } from "../kernel/wire.ts";
import type { Mood } from "../world/moods.ts";
import type { Member, System } from "./system.ts";
import type { Times } from "./times.ts";

export interface FaultPorts {
  time: VirtualTime;
  network: Network;
  system: System;
  trace: Trace;
  random: Random;
}

/** Times on the way stay as they are: nothing has to be fast. */
const CALM = { lossChance: 0, copyChance: 0, stragglerChance: 0 };
const CALM_SERVER_MS = 0.5;
const COUNT_MAX = 4;

export const calmWeather = (): Weather => ({ ...CALM, copyMsMax: 0, delayMs: 1, stragglerMs: 0, proposalMs: 0 });

/** Locks are held long, or questions take long. */
const MOOD_WEATHER: Readonly<Record<Mood, Partial<Weather>>> = {
  any: {},
  contended: { delayMs: 3, proposalMs: 120, lossChance: 0 },
  crossed: { delayMs: 3, proposalMs: 120, lossChance: 0 },
  young: { delayMs: 30, proposalMs: 0, lossChance: 0 },
};

/** Makes the weather of the run and the times at which something happens; all of it ends at `quietMs`. */
export function planFaults(ports: FaultPorts, times: Times, mood: Mood): void {
  const { random, network, time } = ports;
  Object.assign(network.wire.weather, {
    lossChance: random.pick([0, 0, 0.02, 0.1, 0.3]),
    copyChance: random.pick([0, 0.05, 0.3]),
    copyMsMax: random.pick([5, 100, 400]),
    delayMs: random.pick([0.5, 3, 12, 30]),
    stragglerChance: random.pick([0, 0.02, 0.1]),
    stragglerMs: random.pick([30, 250]),
    proposalMs: random.pick([0, 30, 120]),
  } satisfies Weather);
  Object.assign(network.wire.weather, MOOD_WEATHER[mood]);
  network.serverMs = random.pick([0.2, 1, 4]);
  network.replicaMs = random.pick([0, 0, 5, 60]);
  for (const trouble of TROUBLES) {
    if (!random.chance(mood === "any" ? 0.4 : 0.15)) continue;
    for (let count = random.between(1, COUNT_MAX); count > 0; count--) {
      time.after(random.float() * times.quietMs, () => trouble(ports, times));
    }
  }
  time.after(times.quietMs, () => calm(ports));
}

/** Everything works again: what is dead starts, what stands still goes on. */
function calm({ network, system, trace, random }: FaultPorts): void {
  trace.event("all", "calm", 0);
  trace.line("all", () => "--- nothing fails from here on");
  Object.assign(network.wire.weather, CALM);
  network.serverMs = CALM_SERVER_MS;
  network.replicaMs = 0;
  network.wire.stillUntilMs = 0;
  network.setDown(false);
  for (const stream of ["LOG", "OUT"] as const) network.server.faults.full(stream, null);
  for (const member of system.members) {
    // A second process for a partition may stay for good.
    if (member.isTwin && random.chance(0.5)) system.kill(member);
    else if (!member.isUp) system.start(member);
    network.cut(member.process, false);
    member.process.resume();
    member.process.catchUp();
  }
}

type Trouble = (ports: FaultPorts, times: Times) => void;

const TROUBLES: readonly Trouble[] = [
  (ports, times) => kill(ports, times, ports.random.pick(ports.system.members)),
  (ports, times) => kill(ports, times, pickOf(ports, "partition")),
  (ports, times) => kill(ports, times, pickOf(ports, "scheduler")),
  (ports, times) => pause(ports, times, ports.random.pick(ports.system.members)),
  (ports, times) => pause(ports, times, pickOf(ports, "partition")),
  (ports, times) => pause(ports, times, pickOf(ports, "scheduler")),
  double,
  replace,
  cut,
  loseAnswer,
  crashInAppend,
  stopServer,
  restartServer,
  delayStore,
  lag,
  lag,
  fillUp,
  wipe,
];

const pickOf = ({ system, random }: FaultPorts, kind: Member["kind"]): Member =>
  random.pick(system.members.filter((member) => member.kind === kind));

function kill({ system, time, random, trace }: FaultPorts, times: Times, member: Member): void {
  if (!member.isUp) return;
  trace.line(member.name, () => "is killed");
  system.kill(member);
  time.after(random.float() * random.pick([5, 100, 500]), () => {
    if (time.now() < times.quietMs) system.start(member);
  });
}

function pause({ time, random, trace }: FaultPorts, times: Times, member: Member): void {
  const { process } = member;
  if (process.state !== "running") return;
  process.pause();
  trace.event(member.name, "pause", 0);
  trace.line(member.name, () => "stands still");
  time.after(random.float() * random.pick([20, 300, 1_000]), () => {
    if (time.now() >= times.quietMs || process.state !== "paused") return;
    trace.line(member.name, () => "goes on");
    process.resume();
  });
}

/** Two processes work for one partition for a while; either of them may be the one that goes. */
function double({ system, time, random, trace }: FaultPorts, times: Times): void {
  const first = oneOf(random, firstsOf(system), ({ isUp }) => isUp);
  if (first === undefined) return;
  const twin = system.startTwin(first);
  trace.line(twin.name, () => `is started beside ${first.name}`);
  time.after(random.float() * times.quietMs, () => {
    if (time.now() < times.quietMs) system.kill(random.chance(0.5) ? twin : first);
  });
}

/** A process stands still so long that somebody takes it for dead and starts another one; then it goes on where it was. */
function replace(ports: FaultPorts, times: Times): void {
  const { system, time, random, trace } = ports;
  const first = oneOf(random, firstsOf(system), ({ process }) => process.state === "running");
  if (first === undefined) return;
  const { process } = first;
  process.pause();
  trace.event(first.name, "pause", 0);
  time.after(random.float() * times.silentMs, () => {
    if (time.now() >= times.quietMs || first.process !== process) return;
    const twin = system.startTwin(first);
    trace.line(twin.name, () => `is started for ${first.name}, which stands still`);
  });
  time.after(times.silentMs + random.float() * times.quietMs, () => process.resume());
}

function oneOf(random: Random, members: Member[], isFit: (member: Member) => boolean): Member | undefined {
  const fit = members.filter(isFit);
  return fit[random.below(fit.length)];
}

/** Of partitions, without those started beside another one. */
const firstsOf = ({ members }: System): Member[] => members.filter(({ kind, isTwin }) => kind === "partition" && !isTwin);

function cut({ network, system, time, random, trace }: FaultPorts): void {
  const { process, name } = random.pick(system.members);
  if (process.state === "dead") return;
  network.cut(process, true);
  trace.event(name, "cut", 0);
  trace.line(name, () => "is cut off");
  time.after(random.float() * random.pick([20, 300]), () => {
    trace.line(name, () => "is connected again");
    network.cut(process, false);
  });
}

function loseAnswer({ network, random, trace }: FaultPorts): void {
  const stream = random.pick(["LOG", "LOG", "OUT"] as const);
  const landed = random.chance(0.5);
  trace.line("server", () => `loses the next answer about ${stream}, ${landed ? "stored" : "not stored"}`);
  network.server.faults.loseAnswer(stream, { landed });
}

/** The leader dies while it does not know what became of an append. */
function crashInAppend(ports: FaultPorts, times: Times): void {
  const { network, time, random } = ports;
  loseAnswer(ports);
  network.onStoreFault = () => {
    time.after(random.float() * 8, () => {
      const { system } = ports;
      const leader = system.leader();
      if (leader !== undefined && time.now() < times.quietMs) kill(ports, times, leader);
    });
  };
}

/** The server stands still in the middle of an append: before it has it, or before it says so. */
function stopServer({ network, time, random, trace }: FaultPorts, times: Times): void {
  const stillMs = random.float() * random.pick([30, 200, 600]);
  network.onAppend = () => {
    time.after(random.float() * 2 * network.serverMs, () => {
      if (time.now() + stillMs > times.quietMs) return;
      trace.event("server", "stop", 0);
      trace.line("server", () => `stands still for ${stillMs.toFixed(1)} ms`);
      network.stop(stillMs);
    });
  };
}

/** The server dies in the middle of an append, and is there again after a while. */
function restartServer({ network, time, random, trace }: FaultPorts, times: Times): void {
  network.onAppend = () => {
    time.after(random.float() * 2 * network.serverMs, () => {
      if (time.now() >= times.quietMs) return;
      trace.event("server", "kill", 0);
      trace.line("server", () => "is killed");
      network.setDown(true);
      time.after(random.float() * random.pick([20, 200]), () => {
        trace.line("server", () => "is back");
        network.setDown(false);
      });
    });
  };
}

function delayStore({ network, random, trace }: FaultPorts): void {
  const stream = random.pick(["LOG", "LOG", "OUT"] as const);
  const delayMs = random.float() * random.pick([30, 400]);
  trace.line("server", () => `gets the next store of ${stream} ${delayMs.toFixed(1)} ms late`);
  network.server.faults.delay(stream, delayMs);
}

/** A process that is slow: what it asks of the server and of its clock comes late, messages of others do not. */
function lag({ system, time, random, trace }: FaultPorts, times: Times): void {
  const { process, name } = random.pick(system.members);
  process.lateMsMax = random.pick([5, 40]);
  trace.line(name, () => `lags by up to ${process.lateMsMax} ms`);
  time.after(random.float() * times.quietMs, () => process.catchUp());
}

function fillUp({ network, time, random, trace }: FaultPorts): void {
  const stream = random.pick(["LOG", "OUT"] as const);
  trace.line("server", () => `has no room for ${stream}`);
  network.server.faults.full(stream, "no room");
  time.after(random.float() * 150, () => network.server.faults.full(stream, null));
}

/** An archive's disk is gone. */
function wipe(ports: FaultPorts, times: Times): void {
  const { system, random, trace } = ports;
  const number = random.below(system.disks.length);
  const member = system.members.find(({ name }) => name === `a${number}`);
  if (member === undefined || !member.isUp) return;
  kill(ports, times, member);
  trace.line(member.name, () => "loses its disk");
  system.disks[number]?.wipe();
}
