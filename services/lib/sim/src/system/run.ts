/** One run: a world, its processes, trouble for a while, then quiet until everything has settled, then the checks. */
import { ALL_RULES } from "@meridian/core";
import type { EngineModule, Rules } from "@meridian/core";
import { checkRun } from "../checks/check-run.ts";
import { LockWatch } from "../checks/locks.ts";
import type { Tally } from "../checks/tally.ts";
import type { SeenCall } from "../checks/serial.ts";
import { Network } from "../kernel/network.ts";
import { SimProcess } from "../kernel/process.ts";
import { Random } from "../kernel/random.ts";
import { VirtualTime } from "../kernel/time.ts";
import { Trace } from "../kernel/trace.ts";
import type { Mutant } from "../planted.ts";
import { drawMood } from "../world/moods.ts";
import { makeWorld } from "../world/world.ts";
import type { World } from "../world/world.ts";
import { Client } from "./client.ts";
import { failureOf } from "./failure.ts";
import type { Failure } from "./failure.ts";
import { calmWeather, planFaults } from "./faults.ts";
import { startMover } from "./mover.ts";
import { startReader } from "./reader.ts";
import { isSettled } from "./settled.ts";
import { System } from "./system.ts";
import { drawTimes } from "./times.ts";
import type { Times } from "./times.ts";

export interface RunOptions {
  seed: number;
  module: EngineModule;
  /** The module is the toy one. */
  isToy?: boolean;
  /** A planted bug. */
  mutant?: Mutant;
  /** Keeps a line for each event. */
  traced?: boolean;
}

export interface RunResult {
  seed: number;
  failure: Failure | null;
  /** Of a run that went through all checks. */
  tally: Tally | null;
  /** The same for every run of a seed. */
  hash: string;
  lines: readonly string[];
  /** For measures. */
  events: number;
  virtualMs: number;
}

/** What the checks look at. */
export interface Run {
  world: World;
  system: System;
  network: Network;
  clients: Client[];
  seen: SeenCall[];
  module: EngineModule;
  trace: Trace;
  rules: Readonly<Rules>;
}

const NO_MUTANT: Mutant = { name: "none", bug: "none", rules: {}, port: null };
/** How often the end is looked for. */
const LOOK_MS = 20;

export async function runSeed({
  seed,
  module,
  isToy = false,
  mutant = NO_MUTANT,
  traced = false,
}: RunOptions): Promise<RunResult> {
  const time = new VirtualTime();
  const trace = new Trace(() => time.now(), traced);
  let failure: Failure | null = null;
  let tally: Tally | null = null;
  const fail = (found: Failure): void => {
    if (failure === null) trace.line("all", () => `FAILURE ${found.kind}: ${found.text}`);
    failure ??= found;
  };
  const stopListening = listenForBugs((error) => fail(failureOf("a process", error)));
  let system: System | null = null;
  try {
    const run = setUp({ seed, module, isToy, mutant }, time, trace, fail);
    system = run.system;
    const isOver = endOf(run, time, fail);
    await time.run(() => failure !== null || isOver.is, Infinity);
    if (failure === null && !isOver.is) fail({ kind: "stuck", text: "nothing happens any more" });
    if (failure === null) ({ tally } = await checkRun(run));
  } catch (error) {
    fail(failureOf("the run", error));
  } finally {
    system?.killAll();
    await turn(); // Rejections that nobody handles show after the queue of promises is empty.
    stopListening();
  }
  return { seed, failure, tally, hash: trace.hash(), lines: trace.lines, events: time.events, virtualMs: time.now() };
}

function setUp(
  { seed, module, isToy, mutant }: { seed: number; module: EngineModule; isToy: boolean; mutant: Mutant },
  time: VirtualTime,
  trace: Trace,
  fail: (failure: Failure) => void,
): Run & { times: Times } {
  const rules = { ...ALL_RULES, ...mutant.rules };
  // Rare races need worlds that are made for them.
  const mood = drawMood(new Random(seed, "mood"));
  const isContended = mood !== "any";
  const world = makeWorld(module, new Random(seed, "world"), { isToy, mood });
  const random = new Random(seed, "chance");
  const times = drawTimes(random, isContended);
  trace.line("all", () => describeWorld(world, times));
  const network = new Network(time, random, trace, calmWeather());
  if (mutant.port === "fence") network.dropFence();
  const options = { world, times, rules, port: mutant.port, schedulers: random.between(2, 3), archives: random.pick([1, 2]) };
  const system = new System({ time, network, trace, random, module, fail }, options);
  for (const member of system.members) time.after(random.float() * 5, () => system.start(member));
  planFaults({ time, network, system, trace, random }, times, mood);
  const clients = startClients(world, times, isContended, { time, trace, random, network });
  const moves = random.pick([0, 2, 6]);
  const mover = new SimProcess("adm", time, random);
  startMover(mover, network.wire.connect(mover), { random, trace }, world, { count: moves, untilMs: times.quietMs });
  const reader = new SimProcess("rd", time, random);
  const reads = { count: isToy ? 0 : random.pick([0, 4]), untilMs: times.quietMs };
  const seen = startReader(reader, network.wire.connect(reader), { random, trace }, world, reads);
  return { seen, world, times, network, system, clients, module, trace, rules };
}

function startClients(
  world: World,
  times: Times,
  isContended: boolean,
  { time, trace, random, network }: { time: VirtualTime; trace: Trace; random: Random; network: Network },
): Client[] {
  const count = random.between(1, 3);
  const options = {
    batchMax: random.pick([1, 4, 12]),
    aheadMax: random.pick([0, 1, 3]),
    againChance: random.pick([0, 0.1]),
    tickMs: random.pick([5, 15, 30]),
    untilMs: times.quietMs,
  };
  const spread = isContended ? random.pick([0.4, 0.4, 1]) : random.pick([0.05, 0.3, 0.7]); // All at once, or one after another.
  return Array.from({ length: count }, (_, number) => {
    const process = new SimProcess(`c${number}`, time, random);
    // A sender's transactions come from different clients now and then.
    const own = world.transactions.filter(({ sender, id }) => (clientOf(sender) + (id % 7 === 0 ? 1 : 0)) % count === number);
    return new Client(process, network.wire.connect(process), { random, trace, options }, own, times.quietMs * spread);
  });
}

const clientOf = (sender: string): number => Number.parseInt(sender.slice(-2), 16);

/** Looks now and then whether all has settled; what takes too long after the last trouble is stuck. */
function endOf(run: Run & { times: Times }, time: VirtualTime, fail: (failure: Failure) => void): { is: boolean } {
  const over = { is: false };
  const { quietMs, settleMs } = run.times;
  const locks = new LockWatch(run.times);
  const look = (): void => {
    const stopped = run.system.stopped();
    const late = locks.look(run.network, run.system, time.now());
    const missing = isSettled(run);
    if (late !== null) fail({ kind: "a lock outlives its group", text: late });
    else if (stopped !== null) fail({ kind: `a partition stopped: ${stopped.split(" ")[2]}`, text: stopped });
    else if (missing === null) over.is = true;
    else if (time.now() > quietMs + settleMs) fail({ kind: "not settled", text: missing });
    else time.after(LOOK_MS, look);
  };
  time.after(quietMs + 1, look);
  return over;
}

function describeWorld({ partitions, senders, contracts, transactions }: World, times: Times): string {
  const accounts = `${senders.length} senders, ${contracts.length} contracts, ${transactions.length} transactions`;
  return `${partitions} partitions, ${accounts}, ${JSON.stringify(times)}`;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** What a process would die of. */
function listenForBugs(found: (error: unknown) => void): () => void {
  process.on("uncaughtException", found);
  process.on("unhandledRejection", found);
  return () => {
    process.off("uncaughtException", found);
    process.off("unhandledRejection", found);
  };
}
