/**
 * The same load without any trouble, one transaction at a time on a clock that stands still: what it comes to must not depend on
 * how many partitions there are.
 */
import { SUBJECT, decodeBeat, decodeSubmitReply } from "@meridian/bus";
import { ALL_RULES, SUBMIT, hexOf, isIoError } from "@meridian/core";
import type { EngineModule, Wire } from "@meridian/core";
import { wait } from "@meridian/process";
import { checkRun } from "../checks/check-run.ts";
import type { Tally } from "../checks/tally.ts";
import { Network } from "../kernel/network.ts";
import { SimProcess } from "../kernel/process.ts";
import { Random } from "../kernel/random.ts";
import { VirtualTime } from "../kernel/time.ts";
import { Trace } from "../kernel/trace.ts";
import type { PlannedTransaction } from "../world/plan.ts";
import { makeWorld } from "../world/world.ts";
import { check, failureOf } from "./failure.ts";
import type { Failure } from "./failure.ts";
import { calmWeather } from "./faults.ts";
import { System } from "./system.ts";
import { drawTimes } from "./times.ts";

export interface OneByOne {
  failure: Failure | null;
  /** Of the state after the last transaction, lower-case hex; without the hashes of blocks, which contain times and draws. */
  digest: string;
  tally: Tally | null;
}

const REQUEST_MS_MAX = 500;
const LOOK_MS = 5;
const ALL_MS_MAX = 120_000;
const BLOCK_MS = 30;

export async function runOneByOne(module: EngineModule, seed: number, partitions: number): Promise<OneByOne> {
  const time = new VirtualTime();
  const trace = new Trace(() => time.now(), false);
  const world = makeWorld(module, new Random(seed, "world"), { isToy: false, isTimeless: true, partitionsFixed: partitions });
  const random = new Random(seed, "chance");
  const times = { ...drawTimes(random, false), blockMs: BLOCK_MS, takeOverMs: 5_000, silentMs: 2_000, lockMsMax: 5_000 };
  const network = new Network(time, random, trace, calmWeather());
  let failure: Failure | null = null;
  const fail = (found: Failure): void => void (failure ??= found);
  const options = { world, times, rules: ALL_RULES, port: null, schedulers: 1, archives: 1, standsStill: true };
  const system = new System({ time, network, trace, random, module, fail }, options);
  try {
    for (const member of system.members) system.start(member);
    const process = new SimProcess("one", time, random);
    let isDone = false;
    const sending = sendAll(process, network.wire.connect(process), system, world.transactions).then(
      () => (isDone = true),
      (error: unknown) => fail(failureOf("the client", error)),
    );
    await time.run(() => isDone || failure !== null, ALL_MS_MAX);
    if (failure !== null) return { failure, digest: "", tally: null };
    check(isDone, "not settled", () => "not all transactions came to an end");
    await sending;
    const { tally, digest } = await checkRun({ world, system, network, clients: [], seen: [], module, trace, rules: ALL_RULES });
    return { failure: null, digest: hexOf(digest), tally };
  } catch (error) {
    return { failure: failureOf("the run", error), digest: "", tally: null };
  } finally {
    system.killAll();
  }
}

/** Sends each when the one before it stands in a block. */
async function sendAll(
  process: SimProcess,
  wire: Wire,
  system: System,
  transactions: readonly PlannedTransaction[],
): Promise<void> {
  let term = 0;
  wire.subscribe(SUBJECT.beat, ({ payload }) => (term = decodeBeat(payload).term));
  for (const { hash, record } of transactions) {
    while (!(await isTaken(wire, term, record))) await wait(process.clock, LOOK_MS);
    while (!isPublished(system, hash)) await wait(process.clock, LOOK_MS);
  }
}

/** False if it has to be sent again. A nonce that a twin has used is as good as taken. */
async function isTaken(wire: Wire, term: number, record: Uint8Array): Promise<boolean> {
  try {
    const reply = await wire.request(SUBJECT.submit(term), record, { timeoutMs: REQUEST_MS_MAX });
    const [code] = decodeSubmitReply(reply).codes;
    return code === SUBMIT.accepted || code === SUBMIT.known;
  } catch (error) {
    if (isIoError(error)) return false;
    throw error;
  }
}

const isPublished = ({ disks }: System, hash: string): boolean =>
  disks[0]?.blocks.some(({ transactions, transactionOffsets, count }) =>
    Array.from({ length: count }, (_, index) =>
      hexOf(transactions, transactionOffsets[index]! + 32, transactionOffsets[index]! + 64),
    ).includes(hash),
  ) ?? false;
