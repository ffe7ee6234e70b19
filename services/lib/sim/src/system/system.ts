/**
 * The processes of a run: schedulers, partitions and archives, each the service's own loop over the ports of one simulated
 * process. A process that fails is started again, as its host or the cluster would do; one that met a bug ends the run.
 */
import { runArchive } from "@meridian/archive";
import type { RunningArchive } from "@meridian/archive";
import { BugError, assert, isIoError, noTelemetry } from "@meridian/core";
import type { Bus, Engine, EngineModule, Logger, PartitionId, Rules, Telemetry } from "@meridian/core";
import { runPartition } from "@meridian/partition";
import type { Actor } from "@meridian/partition";
import { wait } from "@meridian/process";
import { runScheduler } from "@meridian/scheduler";
import type { RunningScheduler } from "@meridian/scheduler";
import { withDoubledApplies } from "../kernel/doubled-applies.ts";
import { MemoryDisk, openMemoryArchive } from "../kernel/memory-archive.ts";
import type { Network } from "../kernel/network.ts";
import { SimProcess } from "../kernel/process.ts";
import type { Random } from "../kernel/random.ts";
import type { VirtualTime } from "../kernel/time.ts";
import type { Trace } from "../kernel/trace.ts";
import type { PortMutant } from "../planted.ts";
import type { World } from "../world/world.ts";
import { failureOf } from "./failure.ts";
import type { Failure } from "./failure.ts";
import { archiveOptions, partitionOptions, schedulerOptions } from "./settings.ts";
import type { Times } from "./times.ts";

export interface SystemPorts {
  time: VirtualTime;
  network: Network;
  trace: Trace;
  random: Random;
  module: EngineModule;
  /** The run ends with it. */
  fail: (failure: Failure) => void;
}

export interface SystemOptions {
  world: World;
  times: Times;
  rules: Readonly<Rules>;
  /** A planted bug. */
  port: PortMutant | null;
  schedulers: number;
  archives: number;
  /** The clock on the wall does. */
  standsStill?: boolean;
}

/** One process that is kept running. */
export interface Member {
  readonly name: string;
  readonly kind: "scheduler" | "partition" | "archive";
  /** Of a partition. */
  readonly partition: PartitionId | null;
  /** A second process for a partition that has one: somebody thought that the first one was gone. */
  readonly isTwin: boolean;
  /** The process it is now; a new one after each start. */
  process: SimProcess;
  isUp: boolean;
  startedAtMs: number;
}

/** Some partitions are slower than others. */
const LATE_MS = [0.2, 0.2, 6, 25];
const RESTART_MS = 20;
const PAUSE_MS_MAX = 0.1;
const DISK_MS_MAX = 2;
const WALL_CLOCK_MS = 1_700_000_000_000;

export class System {
  readonly members: Member[] = [];
  readonly disks: MemoryDisk[];
  readonly actors = new Map<string, Actor>();
  readonly schedulers = new Map<string, RunningScheduler>();
  readonly archives = new Map<string, RunningArchive>();
  readonly #ports: SystemPorts;
  readonly #options: SystemOptions;
  readonly #engines = new Map<SimProcess, Engine[]>();
  readonly #starts = new Map<Member, (process: SimProcess) => void>();

  constructor(ports: SystemPorts, options: SystemOptions) {
    this.#ports = ports;
    this.#options = options;
    this.disks = Array.from({ length: options.archives }, () => new MemoryDisk());
    for (let number = 0; number < options.schedulers; number++) {
      this.#add({ name: `s${number}`, kind: "scheduler" }, (process) => this.#startScheduler(process, number));
    }
    for (let partition = 0; partition < options.world.partitions; partition++) {
      this.#add({ name: `p${partition}`, kind: "partition", partition }, (process) => this.#startPartition(process, partition));
    }
    this.disks.forEach((disk, number) =>
      this.#add({ name: `a${number}`, kind: "archive" }, (process) => this.#startArchive(process, disk)),
    );
  }

  #add(
    { name, kind, partition = null, isTwin = false }: Pick<Member, "name" | "kind"> & Partial<Member>,
    start: (process: SimProcess) => void,
  ): Member {
    const { time, random } = this.#ports;
    const member: Member = {
      name,
      kind,
      partition,
      isTwin,
      process: new SimProcess(name, time, random),
      isUp: false,
      startedAtMs: 0,
    };
    member.process.kill();
    this.members.push(member);
    this.#starts.set(member, start);
    return member;
  }

  /** Starts a second process for a partition, beside the one that it has. */
  startTwin({ name, partition }: Member): Member {
    assert(partition !== null, `${name} is no partition`);
    const twin = { name: `${name}.${this.members.length}`, kind: "partition", partition, isTwin: true } as const;
    const member = this.#add(twin, (process) => this.#startPartition(process, partition));
    this.start(member);
    return member;
  }

  /** Starts it anew, from what the server and its disk have. */
  start(member: Member): void {
    const { time, random, trace } = this.#ports;
    if (member.isUp) return;
    member.isUp = true;
    member.startedAtMs = time.now();
    member.process = new SimProcess(member.name, time, random);
    if (member.kind === "partition") member.process.lateMsMax = random.pick(LATE_MS);
    trace.event(member.name, "start", 0);
    trace.line(member.name, () => "starts");
    this.#starts.get(member)?.(member.process);
  }

  /** Ends it at once: nothing it does afterwards has any effect. */
  kill(member: Member): void {
    const { network, trace } = this.#ports;
    if (!member.isUp) return;
    member.isUp = false;
    trace.event(member.name, "kill", 0);
    member.process.kill();
    network.drop(member.process);
    for (const engine of this.#engines.get(member.process) ?? []) void engine.close();
    this.#engines.delete(member.process);
    this.actors.delete(member.name);
  }

  killAll(): void {
    for (const member of this.members) this.kill(member);
  }

  #startScheduler(process: SimProcess, number: number): void {
    const { random, time } = this.#ports;
    const skewMs = number * 700; // Clocks of machines differ.
    const ports = {
      ...this.#common(process),
      unixMs: () => Math.round(WALL_CLOCK_MS + (this.#options.standsStill === true ? 0 : time.now() + skewMs)),
      randomBytes: (count: number) => random.bytes(count),
    };
    const { world, times, rules, port } = this.#options;
    if (port === "applies") ports.bus = { ...ports.bus, log: withDoubledApplies(ports.bus.log) };
    const running = runScheduler(ports, { ...schedulerOptions(process.name, world, times), rules });
    this.schedulers.set(process.name, running);
    this.#watch(process, running.done);
  }

  #startPartition(process: SimProcess, partition: PartitionId): void {
    const { module, trace } = this.#ports;
    const engines: Engine[] = [];
    this.#engines.set(process, engines);
    const open: EngineModule["open"] = (options) => {
      const engine = module.open({ ...options, callsInline: true });
      engines.push(engine);
      return engine;
    };
    const { times, rules } = this.#options;
    const common = this.#common(process);
    const started = runPartition(
      { ...common, engines: { open }, pause: () => this.#pause(process) },
      { ...partitionOptions(process.name, partition, times), rules },
    );
    this.#watch(
      process,
      started.then((actor) => {
        this.actors.set(process.name, actor);
        trace.line(process.name, () => `has recovered at message ${actor.status().n}`);
        return actor.done;
      }),
    );
  }

  #startArchive(process: SimProcess, disk: MemoryDisk): void {
    const { random, module } = this.#ports;
    const store = openMemoryArchive(disk, () => wait(process.clock, random.float() * DISK_MS_MAX));
    const ports = { ...this.#common(process), engine: module, store, pause: () => this.#pause(process) };
    const running = runArchive(ports, archiveOptions(process.name));
    this.archives.set(process.name, running);
    this.#watch(process, running.done);
  }

  #common(process: SimProcess): { bus: Bus; telemetry: Telemetry; clock: SimProcess["clock"] } {
    const { network, trace } = this.#ports;
    return { bus: network.connect(process), telemetry: noTelemetry(logger(trace, process)), clock: process.clock };
  }

  #pause(process: SimProcess): Promise<void> {
    return wait(process.clock, this.#ports.random.float() * PAUSE_MS_MAX);
  }

  /** Archives end when something is wrong with what they get. */
  #why(process: SimProcess): string {
    return this.archives.get(process.name)?.status().text ?? "nobody asked it to";
  }

  /** Why a partition does not go on; null while all do. */
  stopped(): string | null {
    for (const [name, actor] of this.actors) {
      const { stopped } = actor.status();
      if (stopped !== null) return `partition ${name}: ${stopped}`;
    }
    return null;
  }

  /** Whoever leads now. */
  leader(): Member | undefined {
    return this.members.find(({ name, isUp }) => isUp && this.schedulers.get(name)?.status().role === "leader");
  }

  /** A process that ends by itself has failed: it is started again, unless it met a bug. */
  #watch(process: SimProcess, done: Promise<void>): void {
    const member = this.members.find(({ name }) => name === process.name);
    const ended = (error: unknown): void => {
      if (process.state === "dead" || member?.process !== process) return;
      const { time, trace, fail } = this.#ports;
      if (!isIoError(error) || error.detail.code === "STOPPED") return fail(failureOf(process.name, error));
      trace.line(process.name, () => `fails: ${error.message}`);
      this.kill(member);
      time.after(RESTART_MS, () => this.start(member));
    };
    done.then(() => ended(new BugError(`bug: ${process.name.slice(0, 1)} ended by itself: ${this.#why(process)}`)), ended);
  }
}

function logger(trace: Trace, process: SimProcess): Logger {
  const at = (level: string) => (facts: Record<string, unknown>, text: string) =>
    trace.line(process.name, () => `${level} ${text} ${describe(facts)}`);
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

const describe = (facts: Record<string, unknown>): string =>
  Object.entries(facts)
    .map(([name, value]) => `${name}=${value instanceof Error ? value.message : JSON.stringify(value)}`)
    .join(" ");
