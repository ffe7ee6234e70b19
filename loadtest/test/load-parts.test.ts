/** The parts of `npm run load` without a cluster: what is generated, counted and refused. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type SerializedBatch, callHashes, parseBatch, recoverBatchSender } from "@meridian/client";
import { hexOf } from "@meridian/core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ID_BYTES, LENGTH_BYTES, writeSlot, slotBytesOf } from "../load/bodies.ts";
import { seconds } from "../load/flags.ts";
import { generate } from "../load/generate.ts";
import { readBinaryReply, readJsonReply } from "../load/k6/reply.ts";
import { Latencies } from "../load/latency.ts";
import { type Mode, callsOf, endNonceOf, nonceOf, senderOf, shapePlan, unitsOf } from "../load/plan.ts";
import { Receipts } from "../load/receipts.ts";
import { judge } from "../load/report/judge.ts";
import { type Measured, costsOf, numbersOf } from "../load/report/report.ts";
import { type LoadOptions, planLoad } from "../load/run.ts";
import { k6OptionsOf, outcomeOf } from "../load/run-k6.ts";
import { SCENARIOS } from "../load/scenarios/index.ts";
import { amountOut } from "../load/scenarios/swaps.ts";

const FREE = { tipWei: 0n, capWei: 0n };
let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "meridian-load-test-"))));
afterAll(() => rm(folder, { recursive: true, force: true }));

function optionsOf(scenario: string, mode: Mode, signedCalls: number): LoadOptions {
  const shape = { mode, rate: 120, seconds: 1, signedCalls, requestCalls: 12, senders: 20 };
  const chain = { partitions: 4, chainId: 31_337, fees: FREE, isWaiting: true };
  return { scenario, shape, warmUpSeconds: 0, contracts: 5, holders: 40, seed: "test", ...chain };
}

async function generated(options: LoadOptions, file: string, threads: number) {
  const { plan, scenario, scenarioOptions } = planLoad(options);
  const { chainId, fees, isWaiting } = options;
  const order = { plan, chainId, fees, isWaiting, scenario: options.scenario, scenarioOptions, threads };
  const made = await generate({ ...order, dataBytesMax: scenario.dataBytesMax, file: join(folder, file), say: () => undefined });
  return { ...made, plan, scenario, bytes: await readFile(made.file) };
}

test.each<[scenario: string, mode: Mode, signedCalls: number]>([
  ["erc20-uniform", "jsonrpc", 1],
  ["uniswap-pools", "singles", 1],
  ["mixed-defi", "batches", 12],
])("%s as %s: the same seed gives the same bytes with one thread and with two", async (scenario, mode, signedCalls) => {
  const one = await generated(optionsOf(scenario, mode, signedCalls), "one", 1);
  const two = await generated(optionsOf(scenario, mode, signedCalls), "two", 2);
  expect(two.bytes.equals(one.bytes)).toBe(true);
  expect(Buffer.from(two.ids).equals(one.ids)).toBe(true);
  const other = await generated({ ...optionsOf(scenario, mode, signedCalls), seed: "other" }, "other", 2);
  expect(other.bytes.equals(one.bytes)).toBe(false);
});

test("a generated batch is one that the client package reads, with the nonces and hashes of the plan", async () => {
  const { plan, scenario } = planLoad(optionsOf("erc20-uniform", "batches", 6));
  const slotBytes = slotBytesOf(plan, scenario.dataBytesMax);
  const target = Buffer.alloc(slotBytes);
  const ids = new Uint8Array(plan.units * ID_BYTES);
  const end = writeSlot(target, 3, scenario, { plan, chainId: 31_337, fees: FREE, isWaiting: true }, ids);
  expect(target.readUInt32LE(0)).toBe(end - LENGTH_BYTES);
  const length = target.readUInt32BE(LENGTH_BYTES + 8 + 1);
  const raw = `0x${hexOf(target.subarray(LENGTH_BYTES + 13, LENGTH_BYTES + 13 + length))}` as SerializedBatch;
  const unit = 3 * plan.units;
  const sender = scenario.senders[senderOf(plan, unit)];
  expect(parseBatch(raw)).toMatchObject({ chainId: 31_337, nonce: nonceOf(plan, unit) });
  expect(parseBatch(raw).calls).toHaveLength(6);
  expect((await recoverBatchSender(raw)).toLowerCase()).toBe(sender?.address);
  expect(callHashes(raw, 6)[5]).toBe(`0x${hexOf(ids.subarray(0, 30))}0005`);
});

test("units go to senders in turn, their nonces without a gap", () => {
  const shape = { mode: "batches" as const, rate: 100, seconds: 1, signedCalls: 4, requestCalls: 8, senders: 7 };
  const plan = { ...shapePlan(shape), firstNonces: [5, 0, 0, 0, 0, 0, 0] };
  const next = [...plan.firstNonces];
  for (let unit = 0; unit < unitsOf(plan); unit++) {
    expect(nonceOf(plan, unit)).toBe(next[senderOf(plan, unit)]);
    next[senderOf(plan, unit)]! += plan.signedCalls;
  }
  expect(next).toEqual(next.map((_, sender) => endNonceOf(plan, sender)));
  expect(callsOf(plan)).toBe(104); // Whole requests.
});

test.each(Object.keys(SCENARIOS))("%s: a call follows from its number, whoever was asked before", (name) => {
  const make = () => planLoad(optionsOf(name, "singles", 1)).scenario;
  const [one, other] = [make(), make()];
  const call = (scenario: typeof one, number: number) => {
    const { to, data, gasLimit } = scenario.call(number, number % 20);
    return [hexOf(to), hexOf(data), gasLimit];
  };
  for (let number = 0; number < 40; number++) call(one, number);
  for (const number of [7, 3, 39]) expect(call(one, number)).toEqual(call(other, number));
});

test("Uniswap's formula: its library's rounding", () => {
  expect(amountOut(1_000n, 10n ** 6n, 10n ** 6n)).toBe(996n);
  expect(amountOut(1n, 10n ** 6n, 10n ** 6n)).toBe(0n);
});

test("percentiles, times and costs", () => {
  const latencies = new Latencies();
  for (let ms = 1; ms <= 100; ms++) latencies.add(ms, 10);
  expect(latencies.spread()).toEqual({ p50: 50, p95: 95, p99: 99, max: 100 });
  expect(new Latencies().spread()).toEqual({ p50: 0, p95: 0, p99: 0, max: 0 });
  expect(["60s", "2m", "500ms", "7"].map(seconds)).toEqual([60, 120, 0.5, 7]);
  const sample = (at: number, cpuSeconds: number) => ({
    ...{ at, machineSeconds: 0, joules: undefined },
    processes: new Map([["host-0", { cpuSeconds, memoryMib: 10 + cpuSeconds, writtenBytes: cpuSeconds * 100 }]]),
  });
  // It was started again after 3 s: its counter fell.
  const costs = costsOf([sample(0, 5), sample(1_000, 6), sample(2_000, 7), sample(3_000, 0.5), sample(4_000, 1)], {
    ...{ from: 1_000, to: 4_000, calls: 1_000_000, blocks: 6 },
  });
  expect(costs).toMatchObject([{ name: "host-0", cpuSeconds: 1.5, microsecondsPerCall: 1.5, cores: 0.5, memoryMibMax: 17 }]);
});

/** Ten requests of 4 calls in two blocks a second apart; `change` spoils something. */
function measuredRun(change: (run: { hashes: Uint8Array[]; measured: Measured }) => void = () => undefined) {
  const shape = { mode: "batches" as const, rate: 40, seconds: 1, signedCalls: 4, requestCalls: 4, senders: 10 };
  const plan = { ...shapePlan(shape), firstNonces: Array.from({ length: 10 }, () => 0) };
  const ids = Uint8Array.from({ length: unitsOf(plan) * ID_BYTES }, (_, index) => (index * 7 + (index >> 5)) & 0xff);
  const hashes = Array.from({ length: callsOf(plan) }, (_, call) => {
    const unit = Math.floor(call / 4);
    return Uint8Array.of(...ids.subarray(unit * ID_BYTES, unit * ID_BYTES + 30), 0, call % 4);
  });
  const sent = Array.from({ length: plan.requests }, (_, request) => ({
    ...{ request, sentAt: 10_000 + request * 100, durationMs: 300, status: 200, accepted: 4, refused: 0 },
    ...{ receipts: 4, isEnded: true, why: "" },
  }));
  const heads = [0, 1, 2].map((index) => ({ number: 50 + index, seenAt: 10_050 + index * 1_000, transactions: 0 }));
  const measured: Measured = {
    ...{ plan, warmRequests: 0, rate: 20, isWaiting: true, k6: { sent, dropped: 0, vusMax: 10 }, heads, firstBlock: 50 },
    ...{ ownByBlock: [], receipts: new Receipts(plan, ids), samples: [], wattsPerCore: 8 },
  };
  const run = { hashes, measured };
  change(run);
  const block = (list: Uint8Array[], status = 1) => {
    return { hashes: Buffer.concat(list), statuses: new Uint8Array(list.length).fill(status) };
  };
  const third = [run.hashes.slice(0, 4), run.hashes.slice(4, 22), run.hashes.slice(22)];
  measured.ownByBlock = third.map((list, index) => measured.receipts.read(index, block(list)));
  return measured;
}

const ALL = { checked: 5, wrong: [] };
const AS_EVER = { isOverload: false, blockMs: 0 };

test("confirmed TPS counts receipts of the blocks behind the first one; accepted is told apart", () => {
  const numbers = numbersOf(measuredRun());
  expect(numbers).toMatchObject({
    confirmedTps: 18,
    confirmed: 40,
    accepted: 40,
    seconds: 2,
    blocks: 2,
    signaturesPerSecond: 4.5,
  });
  expect(numbers.overallTps).toBeCloseTo(40 / 2.05);
  expect(numbers.latencyMs.receipt).toEqual({ p50: 300, p95: 300, p99: 300, max: 300 });
});

test.each<[what: string, change: Parameters<typeof measuredRun>[0], bad: string[], says: RegExp]>([
  ["nothing", undefined, [], /40 receipts, 0 missing/],
  ["a receipt is missing", (run) => run.hashes.pop(), ["receipts"], /1 missing/],
  ["a hash stands twice", (run) => void (run.hashes[39] = run.hashes[38]!), ["receipts"], /1 missing, 0 failed, 1 twice/],
  ["nobody sent it", (run) => void (run.hashes[39] = new Uint8Array(32)), ["receipts"], /1 of nobody/],
  ["a dropped iteration", (run) => void (run.measured.k6.dropped = 1), ["rate"], /1 dropped/],
  ["slower than asked", (run) => void (run.measured.rate = 19), ["rate"], /18 of 19 a second/],
  ["a refused call", (run) => void (run.measured.k6.sent[3]!.refused = 1), ["answers"], /1 requests were not/],
  ["a stream that was cut", (run) => void (run.measured.k6.sent[3]!.isEnded = false), ["answers"], /1 requests were not/],
])("%s: the run is judged by it", (_what, change, bad, says) => {
  const measured = measuredRun((run) => {
    run.measured.rate = 16;
    change?.(run);
  });
  const verdicts = judge(measured, numbersOf(measured), ALL, AS_EVER);
  expect(verdicts.filter(({ isGood }) => !isGood).map(({ name }) => name)).toEqual(bad);
  expect(verdicts.map(({ text }) => text).join("\n")).toMatch(says);
});

test("a wrong balance fails the run; with more than fits only what was accepted must be there", () => {
  const measured = measuredRun();
  const wrong = judge(measured, numbersOf(measured), { checked: 5, wrong: ["token says 1, want 2"] }, AS_EVER);
  expect(wrong.at(-1)).toEqual({ name: "balances", isGood: false, text: "1 of 5 are wrong: token says 1, want 2" });
  const refused = measuredRun(({ hashes, measured: { k6 } }) => {
    hashes.splice(36, 4);
    Object.assign(k6.sent[9]!, { status: 429, accepted: 0, isEnded: false, why: "HTTP 429" });
  });
  const overload = { isOverload: true, blockMs: 0 };
  expect(judge(refused, numbersOf(refused), ALL, overload).filter(({ isGood }) => !isGood)).toEqual([]);
  const lost = measuredRun(({ hashes }) => void hashes.splice(39, 1));
  expect(judge(lost, numbersOf(lost), ALL, overload).filter(({ isGood }) => !isGood)).toMatchObject([{ name: "receipts" }]);
});

test("answers are read by their lengths", () => {
  const text = (value: string) => [0xa0 + value.length, ...Buffer.from(value)];
  const refusal = [0x96, 2, 0, 0xd1, 0x82, 0xfb, ...text("busy"), 0x90, 4];
  const accepted = [0x94, ...text("accepted"), 0xcd, 0x01, 0x00, 0xc0, 0x91, ...refusal];
  const receipts = [0x93, ...text("receipts"), 0x93, 5, 0xc4, 2, 1, 2, 0xcb, 0, 0, 0, 0, 0, 0, 0, 0, 0xc4, 3, 9, 9, 9];
  const bytes = Uint8Array.of(...accepted, ...receipts, 0x92, ...text("end"), 0xcd, 0x01, 0x00);
  const want = { accepted: 256, refused: 1, receipts: 256, isEnded: true, why: "busy" };
  expect(readBinaryReply(bytes.buffer)).toEqual(want);
  expect(readBinaryReply(Uint8Array.of(...accepted).buffer)).toMatchObject({ isEnded: false, receipts: 0 });
  const hash = { jsonrpc: "2.0", id: 0, result: "0x12" };
  expect(readJsonReply(JSON.stringify([hash, hash]))).toMatchObject({ accepted: 2, refused: 0, why: "" });
  const busy = { jsonrpc: "2.0", id: 1, error: { code: -32_005, message: "busy" } };
  expect(readJsonReply(JSON.stringify([hash, busy]))).toMatchObject({ accepted: 1, refused: 1, why: "-32005 busy" });
});

test("k6 gets an open rate in whole requests, and its lines are read back", () => {
  const options = k6OptionsOf({ requests: 6_349, arrival: { kind: "rate", seconds: 65, clientsMax: 1_000 } });
  const load = { executor: "constant-arrival-rate", rate: 6_349, timeUnit: "65s", duration: "65006ms", preAllocatedVUs: 391 };
  expect(options).toMatchObject({ scenarios: { load } });
  const summary = JSON.stringify({ metrics: { dropped_iterations: { values: { count: 2 } }, vus_max: { values: { max: 9 } } } });
  expect(outcomeOf('sent [4,1000,12.5,200,8,0,8,1,""]\nother\n', summary)).toEqual({
    ...{ dropped: 2, vusMax: 9 },
    sent: [
      { request: 4, sentAt: 1_000, durationMs: 12.5, status: 200, accepted: 8, refused: 0, receipts: 8, isEnded: true, why: "" },
    ],
  });
});
