/**
 * What a run came to: arithmetic over what was sent, seen in blocks and sampled. No clock, no I/O.
 *
 * P1. Confirmed TPS counts receipts in blocks: those of the blocks behind the first one seen in the measured time, up to the last
 *     one of the load, over the time between these two. What was accepted is told apart.
 * P2. Costs are of the same stretch of time, over the calls confirmed in it.
 */
import type { HeadFollower } from "../heads.ts";
import { Latencies, type Spread } from "../latency.ts";
import { type LoadPlan, callsOf, callsPerRequest, requestOf } from "../plan.ts";
import type { ProcessSample, Sample } from "../processes.ts";
import type { Receipts } from "../receipts.ts";
import type { K6Outcome, Sent } from "../run-k6.ts";

export interface Measured {
  plan: LoadPlan;
  /** Requests of the warm-up, which come first. */
  warmRequests: number;
  rate: number;
  isWaiting: boolean;
  k6: K6Outcome;
  heads: HeadFollower["heads"];
  /** Number of the first block that was read, and the load's calls in each from there on. */
  firstBlock: number;
  ownByBlock: readonly number[];
  receipts: Receipts;
  samples: readonly Sample[];
  /** Watts of a busy core, where the machine does not tell its energy. */
  wattsPerCore: number;
}

export interface ProcessCost {
  name: string;
  cpuSeconds: number;
  microsecondsPerCall: number;
  cores: number;
  memoryMibMax: number;
  writtenBytes: number;
}

export interface LoadNumbers {
  calls: number;
  signatures: number;
  requests: number;
  droppedIterations: number;
  /** Accepted calls a second while requests were sent. */
  acceptedTps: number;
  accepted: number;
  refused: number;
  confirmedTps: number;
  /** From the first request to the last receipt, warm-up, start and end included. */
  overallTps: number;
  signaturesPerSecond: number;
  confirmed: number;
  seconds: number;
  blocks: number;
  /** From the last request until the last receipt was seen. */
  drainSeconds: number;
  latencyMs: {
    /** From k6: until the last byte of the answer. With a streamed answer these are all receipts of the request. */
    answer: Spread;
    /** Until the call's block could be read; for streamed answers the same as `answer`. */
    receipt: Spread;
  };
  processes: ProcessCost[];
  microsecondsPerCall: number;
  machineCores: number;
  writtenBytesPerCall: number;
  joulesPerCall: number;
  isEnergyEstimated: boolean;
  series: Series;
}

/** One value for each second of the run. */
export interface Series {
  confirmed: number[];
  sent: number[];
  answerMs: number[];
  cores: Record<string, number[]>;
  memoryMib: Record<string, number[]>;
}

interface Stretch {
  from: number; // ms since 1970
  to: number;
  calls: number;
  blocks: number;
}

export function numbersOf(measured: Measured): LoadNumbers {
  const { plan, k6, receipts, warmRequests } = measured;
  const main = k6.sent.filter(({ request }) => request >= warmRequests);
  const sentFrom = least(main.map(({ sentAt }) => sentAt));
  const stretch = stretchOf(measured, sentFrom);
  const seconds = (stretch.to - stretch.from) / 1000;
  const all = k6.sent.map(({ sentAt }) => sentAt);
  const lastSeen = stretch.to;
  const sendSeconds = Math.max(0.001, (greatest(main.map(({ sentAt }) => sentAt)) - sentFrom) / 1000);
  const accepted = sum(main.map((sent) => sent.accepted));
  const costs = costsOf(measured.samples, stretch);
  const { joules, isEstimated } = energyOf(measured, stretch, sum(costs.map(({ cpuSeconds }) => cpuSeconds)));
  const perCall = (value: number) => (stretch.calls === 0 ? 0 : value / stretch.calls);
  const confirmedTps = seconds > 0 ? stretch.calls / seconds : 0;
  return {
    calls: callsOf(plan),
    signatures: callsOf(plan) / plan.signedCalls,
    requests: plan.requests,
    droppedIterations: k6.dropped,
    acceptedTps: accepted / sendSeconds,
    accepted,
    refused: sum(k6.sent.map((sent) => sent.refused)),
    confirmedTps,
    overallTps: all.length === 0 ? 0 : receipts.confirmed / Math.max(0.001, (lastSeen - least(all)) / 1000),
    signaturesPerSecond: confirmedTps / plan.signedCalls,
    confirmed: receipts.confirmed,
    seconds,
    blocks: stretch.blocks,
    drainSeconds: all.length === 0 ? 0 : Math.max(0, (lastSeen - greatest(all)) / 1000),
    latencyMs: latenciesOf(measured, main),
    processes: costs,
    microsecondsPerCall: sum(costs.map(({ microsecondsPerCall }) => microsecondsPerCall)),
    machineCores: seconds > 0 ? machineSecondsOf(measured.samples, stretch) / seconds : 0,
    writtenBytesPerCall: perCall(sum(costs.map(({ writtenBytes }) => writtenBytes))),
    joulesPerCall: perCall(joules),
    isEnergyEstimated: isEstimated,
    series: seriesOf(measured),
  };
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const least = (values: readonly number[]): number => values.reduce((low, value) => Math.min(low, value), Infinity);
const greatest = (values: readonly number[]): number => values.reduce((high, value) => Math.max(high, value), -Infinity);

function stretchOf({ heads, firstBlock, ownByBlock }: Measured, sentFrom: number): Stretch {
  const owned = heads.map((head) => ({ ...head, own: ownByBlock[head.number - firstBlock] ?? 0 }));
  const first = owned.find(({ seenAt, own }) => seenAt >= sentFrom && own > 0);
  const last = owned.findLast(({ own }) => own > 0);
  if (first === undefined || last === undefined) return { from: sentFrom, to: sentFrom, calls: 0, blocks: 0 };
  const inside = owned.filter(({ number, own }) => number > first.number && number <= last.number && own > 0);
  return { from: first.seenAt, to: last.seenAt, calls: sum(inside.map(({ own }) => own)), blocks: inside.length };
}

function latenciesOf({ plan, heads, firstBlock, receipts, isWaiting }: Measured, main: readonly Sent[]) {
  const answer = new Latencies();
  const receipt = new Latencies();
  const seenAt = new Map(heads.map((head) => [head.number - firstBlock, head.seenAt]));
  const sentAt = new Map(main.map((sent) => [sent.request, sent.sentAt]));
  for (const { durationMs, status, accepted } of main) if (status === 200) answer.add(durationMs, accepted);
  if (isWaiting) return { answer: answer.spread(), receipt: answer.spread() };
  for (let index = 0; index < receipts.confirmed; index++) {
    const call = receipts.order[index]!;
    const from = sentAt.get(requestOf(plan, call));
    const to = seenAt.get(receipts.blocks[call]!);
    if (from !== undefined && to !== undefined) receipt.add(to - from);
  }
  return { answer: answer.spread(), receipt: receipt.spread() };
}

/** The last sample that was taken at or before `at`, else the first one. */
const sampleAt = (samples: readonly Sample[], at: number): Sample | undefined =>
  samples.findLast((sample) => sample.at <= at) ?? samples[0];

export function costsOf(samples: readonly Sample[], stretch: Stretch): ProcessCost[] {
  const start = sampleAt(samples, stretch.from);
  const inside = samples.filter(
    ({ at }) => at >= (start?.at ?? 0) && at <= (samples.find((s) => s.at >= stretch.to)?.at ?? Infinity),
  );
  const names = [...new Set(inside.flatMap(({ processes }) => [...processes.keys()]))];
  const seconds = Math.max(0.001, (stretch.to - stretch.from) / 1000);
  return names.map((name) => {
    const of = (value: (sample: ProcessSample) => number) =>
      inside.map(({ processes }) => {
        const sample = processes.get(name);
        return sample === undefined ? 0 : value(sample);
      });
    const cpuSeconds = grown(of((sample) => sample.cpuSeconds));
    return {
      name,
      cpuSeconds,
      microsecondsPerCall: stretch.calls === 0 ? 0 : (cpuSeconds / stretch.calls) * 1e6,
      cores: cpuSeconds / seconds,
      memoryMibMax: greatest(of((sample) => sample.memoryMib)),
      writtenBytes: grown(of((sample) => sample.writtenBytes)),
    };
  });
}

/** How much a counter grew; one that falls belongs to a process that ended or began anew. */
function grown(counters: readonly number[]): number {
  let total = 0;
  for (let index = 1; index < counters.length; index++) {
    const step = (counters[index] ?? 0) - (counters[index - 1] ?? 0);
    if (step > 0 && (counters[index - 1] ?? 0) > 0) total += step;
  }
  return total;
}

function machineSecondsOf(samples: readonly Sample[], { from, to }: Stretch): number {
  return (sampleAt(samples, to)?.machineSeconds ?? 0) - (sampleAt(samples, from)?.machineSeconds ?? 0);
}

function energyOf({ samples, wattsPerCore }: Measured, { from, to }: Stretch, cpuSeconds: number) {
  const [start, end] = [sampleAt(samples, from)?.joules, sampleAt(samples, to)?.joules];
  // The counters of RAPL begin anew when they are full.
  if (start !== undefined && end !== undefined && end >= start) return { joules: end - start, isEstimated: false };
  return { joules: cpuSeconds * wattsPerCore, isEstimated: true };
}

function seriesOf({ plan, k6, heads, firstBlock, ownByBlock, samples }: Measured): Series {
  const from = least([...k6.sent.map(({ sentAt }) => sentAt), ...heads.slice(0, 1).map(({ seenAt }) => seenAt)]);
  const to = greatest([...heads.map(({ seenAt }) => seenAt), ...k6.sent.map(({ sentAt }) => sentAt)]);
  const count = Number.isFinite(to - from) ? Math.floor((to - from) / 1000) + 1 : 0;
  const empty = () => Array.from({ length: count }, () => 0);
  const second = (at: number) => Math.min(count - 1, Math.max(0, Math.floor((at - from) / 1000)));
  const [confirmed, sent, answerMs] = [empty(), empty(), empty()];
  for (const head of heads) confirmed[second(head.seenAt)]! += ownByBlock[head.number - firstBlock] ?? 0;
  for (const { sentAt, durationMs } of k6.sent) {
    sent[second(sentAt)]! += callsPerRequest(plan);
    answerMs[second(sentAt)] = Math.max(answerMs[second(sentAt)]!, Math.round(durationMs));
  }
  const cores: Series["cores"] = {};
  const memoryMib: Series["memoryMib"] = {};
  for (const [index, sample] of samples.entries()) {
    for (const [name, now] of sample.processes) {
      (memoryMib[name] ??= empty())[second(sample.at)] = now.memoryMib;
      const before = samples[index - 1]?.processes.get(name);
      const used = before === undefined ? 0 : now.cpuSeconds - before.cpuSeconds;
      if (used > 0) (cores[name] ??= empty())[second(sample.at)]! += used;
    }
  }
  return { confirmed, sent, answerMs, cores, memoryMib };
}
