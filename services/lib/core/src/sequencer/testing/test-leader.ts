/** A leader without a shell, for tests: a sequencer, the logs that it appends to, and a ledger that applies them at once. */
import { assert } from "../../assert.ts";
import type { Entry, LogMessage, MovedRange } from "../../entries.ts";
import type { SubmitReply } from "../../messages.ts";
import { SUBMIT } from "../../messages.ts";
import type { PartitionId } from "../../ranges.ts";
import { evenRangeMap } from "../../ranges.ts";
import { takeNonces } from "../asks.ts";
import type { FlushPlan } from "../flush.ts";
import { flushAppended, flushFull, planFlush } from "../flush.ts";
import { takeBuilt, takeEffects, takeReport, tickSequencer } from "../lead.ts";
import { learnChain } from "../learn.ts";
import { startMove } from "../moves.ts";
import type { SequencerLimits } from "../limits.ts";
import { sequencerLimits } from "../limits.ts";
import { openRecentHashes } from "../recent-hashes.ts";
import type { Sequencer, SequencerEffect } from "../state.ts";
import { openSequencer } from "../state.ts";
import { submitRecords } from "../submit.ts";
import type { Ledger } from "./ledger.ts";
import { applyToLedger, noncesInLedger, openLedger, reportOf } from "./ledger.ts";
import type { TestTransfer } from "./records.ts";
import { transferRecords } from "./records.ts";

const codeNames = Object.fromEntries(Object.entries(SUBMIT).map(([name, code]) => [code, name]));

export interface TestChain {
  logs: Map<PartitionId, LogMessage[]>;
  ledger: Ledger;
}

export interface TestLeader {
  chain: TestChain;
  sequencer: Sequencer;
  now: number;
  /** False: `ask` effects stay unanswered in `asks`. */
  answers: boolean;
  asks: { partition: PartitionId; atN: number; addresses: Uint8Array }[];
  replies: Map<number, SubmitReply>;
  others: SequencerEffect[];
  plan: FlushPlan | undefined;
}

/** Logs with their genesis entries. */
export function testChain(partitions = 4, gasLimit = 1_000_000_000): TestChain {
  const map = evenRangeMap(partitions);
  const opens = { number: 1, timestamp: 1_000, prevrandao: new Uint8Array(32), gasLimit };
  const genesis: Entry = { kind: "genesis", index: 0, chainId: 31_337, genesisHash: new Uint8Array(32), map, opens };
  const chain: TestChain = { logs: new Map(map.partitions.map(({ id }) => [id, []])), ledger: openLedger(map) };
  for (const { id } of map.partitions) appendTo(chain, id, 1, [genesis], 0);
  return chain;
}

function appendTo(chain: TestChain, partition: PartitionId, flush: number, entries: Entry[], term: number): void {
  const log = logOf(chain, partition);
  log.push({ partition, n: log.length + 1, term, flush, entries });
  applyToLedger(chain.ledger, partition, flush, entries);
}

/** Takes over: appends `term` everywhere and learns from the last `messages` messages of each log. */
export function lead(
  chain: TestChain,
  limits: Partial<SequencerLimits> = {},
  term = 1,
  now = 0,
  messages = 1_000_000,
): TestLeader {
  const all = { ...sequencerLimits, ...limits };
  const flush = Math.max(...[...chain.logs.values()].map((log) => log.at(-1)?.flush ?? 0)) + 1;
  for (const partition of chain.logs.keys()) {
    appendTo(chain, partition, flush, [{ kind: "term", index: 0, term, leader: "test" }], term);
  }
  const recent = openRecentHashes(all.recentHashesMax);
  const ends = [...chain.logs].map(([partition, log]) => ({ partition, messages: log.slice(-messages) }));
  const learned = learnChain(ends, recent, all, now);
  const map = learned.map ?? chain.ledger.ranges.map;
  const sequencer = openSequencer({ ...learned, limits: all, term, blockMs: 500, map, recent, seed: 12_345 }, now);
  return { chain, sequencer, now, answers: true, asks: [], replies: new Map(), others: [], plan: undefined };
}

/** A leader whose first flush closed the block it found open. */
export function leadFresh(partitions = 4, limits: Partial<SequencerLimits> = {}, gasLimit = 1_000_000_000): TestLeader {
  const leader = lead(testChain(partitions, gasLimit), limits);
  flush(leader);
  return leader;
}

/** Performs effects until none is left. */
export function settleEffects(leader: TestLeader): void {
  for (let effects = takeEffects(leader.sequencer); effects.length > 0; effects = takeEffects(leader.sequencer)) {
    for (const effect of effects) {
      if (effect.kind === "reply") leader.replies.set(effect.submit, effect.reply);
      else if (effect.kind === "ask") leader.asks.push(effect);
      else leader.others.push(effect);
    }
    if (leader.answers) answerAsks(leader);
  }
}

export function answerAsks(leader: TestLeader): void {
  for (const { partition, atN, addresses } of leader.asks.splice(0)) {
    const { ledger } = leader.chain;
    assert(atN <= (ledger.logs.get(partition)?.n ?? 0), "nonces are asked at a position that nobody acknowledged");
    takeNonces(leader.sequencer, partition, noncesInLedger(ledger, addresses), leader.now);
  }
}

/** Submits; returns the number that `repliesOf` takes. */
export function submit(leader: TestLeader, transfers: readonly TestTransfer[], refusesGaps = false): number {
  const number = submitRecords(leader.sequencer, transferRecords(transfers), refusesGaps, leader.now);
  leader.replies.delete(number);
  settleEffects(leader);
  return number;
}

/** One partition's log. */
export function logOf({ logs }: TestChain, partition: PartitionId): LogMessage[] {
  const log = logs.get(partition);
  assert(log !== undefined, `no log ${partition}`);
  return log;
}

/** The only request for nonces that is out. */
export function onlyAsk({ asks }: TestLeader): TestLeader["asks"][number] {
  const [ask, ...others] = asks;
  assert(ask !== undefined && others.length === 0, `${asks.length} requests are out`);
  return ask;
}

/** The codes of a submit by name, with their details where there are any; undefined if it is not answered. */
export function codesOf(leader: TestLeader, submit: number): string[] | undefined {
  const reply = leader.replies.get(submit);
  if (reply === undefined) return undefined;
  return Array.from(reply.codes, (code, index) => {
    const detail = reply.details[index]!;
    return detail === 0 ? codeNames[code]! : `${codeNames[code]!} ${detail}`;
  });
}

/** Starts the flush that is due, if one is. */
export function startFlush(leader: TestLeader): FlushPlan | undefined {
  const unixMs = 1_000_000 + leader.now;
  leader.plan = planFlush(leader.sequencer, leader.now, unixMs, () => new Uint8Array(32).fill(leader.now & 255));
  settleEffects(leader);
  return leader.plan;
}

/** Lets everything that partition 0 owns move to partition 1 with the next block. */
export function moveAll({ sequencer }: TestLeader): MovedRange[] {
  const next = sequencer.ranges.map.ranges[1]?.first ?? "";
  const last = (BigInt(`0x${next}`) - 1n).toString(16).padStart(40, "0");
  const moves = [{ from: 0, to: 1, first: "0".repeat(40), last }];
  startMove(sequencer, moves);
  return moves;
}

/** The outcome of the flush that was started. */
export function endFlush(leader: TestLeader, outcome: "appended" | "full" = "appended"): void {
  assert(leader.plan !== undefined, "no flush was started");
  if (outcome === "full") flushFull(leader.sequencer, leader.now);
  else {
    for (const { partition, entries } of leader.plan.messages) {
      appendTo(leader.chain, partition, leader.plan.flush, entries, leader.sequencer.term);
    }
    flushAppended(leader.sequencer, leader.now);
  }
  leader.plan = undefined;
  settleEffects(leader);
}

/** Lets all flushes happen that are due, at most `max`; returns how many there were. */
export function flush(leader: TestLeader, max = 100): number {
  let count = 0;
  while (count < max && startFlush(leader) !== undefined) {
    endFlush(leader);
    count++;
  }
  return count;
}

/** Lets `ms` pass: partitions report, then what is due is flushed. */
export function pass(leader: TestLeader, ms: number, reports = true): void {
  leader.now += ms;
  if (reports)
    for (const id of leader.chain.logs.keys()) takeReport(leader.sequencer, reportOf(leader.chain.ledger, id), leader.now);
  tickSequencer(leader.sequencer, leader.now);
  settleEffects(leader);
  flush(leader);
}

/** An archive says that it built block `number`; its hash is made of the number and `salt`. */
export function built(leader: TestLeader, number: number, salt = 0): void {
  const hash = new Uint8Array(32).fill(number + 1 + salt * 16);
  takeBuilt(leader.sequencer, { archive: "test", number, hash, timestamp: 0 });
  settleEffects(leader);
}
