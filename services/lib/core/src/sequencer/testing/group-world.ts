/**
 * A whole system in small, on one seed and without I/O: the real sequencer, real partitions with the fake engine, an archive that
 * seals, clients that send until they know. Transactions guess wrongly what they touch; messages are lost, doubled and late;
 * partitions lag, fall silent and start again from their logs; appends are refused; leaders change in the middle of everything;
 * accounts move. In the end everything has settled, and what was published is what one engine makes of it one after the other.
 */
import { heldHomeGroups, openGroups, settledN } from "../../actor/queue.ts";
import { genesisEntry, mix, sealHash } from "../../actor/testing/index.ts";
import { assert } from "../../assert.ts";
import { concatBytes, hexOf } from "../../bytes.ts";
import type { Entry } from "../../entries.ts";
import type { GroupProposal, Misses, Report } from "../../messages.ts";
import { SUBMIT } from "../../messages.ts";
import type { RangeIndex } from "../../ranges.ts";
import { evenRangeMap, indexRanges } from "../../ranges.ts";
import { ALL_RULES } from "../../rules.ts";
import type { Rules } from "../../rules.ts";
import { TX, txBytes } from "../../transactions.ts";
import { failNonces, takeNonces } from "../asks.ts";
import type { FlushPlan } from "../flush.ts";
import { flushAppended, flushFull, planFlush } from "../flush.ts";
import { stepDown, takeBuilt, takeEffects, takeGroupProposal, takeReport, tickSequencer } from "../lead.ts";
import { learnChain } from "../learn.ts";
import { sequencerLimits } from "../limits.ts";
import { takeMisses } from "../misses.ts";
import { takeAdmin } from "../moves.ts";
import { openRecentHashes } from "../recent-hashes.ts";
import type { Sequencer, SequencerEffect } from "../state.ts";
import { openSequencer } from "../state.ts";
import { submitRecords } from "../submit.ts";
import type { WorldTransaction } from "./serial.ts";
import type { Logged, WorldPartition } from "./world-partition.ts";
import { applyTo, openPartition, propose, reportOf } from "./world-partition.ts";
import { checkSerial, endedIn, makeAccounts, makeTransactions } from "./serial.ts";

type Wire = { to: "report"; report: Report } | { to: "misses"; misses: Misses } | { to: "proposal"; proposal: GroupProposal };

const STEPS_MAX = 40_000;
const QUIET_STEP = 1_500;
const WIRE_MAX = 60;
const LIMITS = {
  ...{ ...sequencerLimits, flushTransactionsMax: 12, groupMembersMax: 5, groupsMax: 6, sendersMax: 40, recentHashesMax: 100 },
  ...{ silentMs: 400, fullRetryMs: 10, lock: { askMs: 60, lockMsMax: 250, abortsMax: 5 }, moveMs: 600, retriesMax: 30 },
};

export class GroupWorld {
  readonly rules: Readonly<Rules>;
  readonly accounts: Uint8Array[];
  readonly transactions: WorldTransaction[];
  readonly genesis: Uint8Array;
  readonly partitions: WorldPartition[] = [];
  /** What happened, for the test to see that it did. */
  readonly seen = { groups: 0, whole: 0, aborts: 0, retries: 0, takeovers: 0, moves: 0, blocks: 0, refused: 0 };
  #owners: RangeIndex;
  readonly #logs: Logged[][] = [];
  readonly #chunks = new Map<string, Uint8Array>();
  #wire: Wire[] = [];
  #leader: Sequencer;
  #plan: FlushPlan | undefined;
  #asks: Extract<SequencerEffect, { kind: "ask" }>[] = [];
  readonly #submits = new Map<number, WorldTransaction[]>();
  readonly #acknowledged = new Set<WorldTransaction>();
  /** Hashes of everything that stands in LOG. */
  readonly #logged = new Set<string>();
  #wrong: string | null = null;
  #now = 0;
  #term = 0;
  #random: number;

  constructor(seed: number, rules: Partial<Rules> = {}) {
    this.#random = mix(seed, 101);
    this.rules = { ...ALL_RULES, ...rules };
    const isTight = this.chance(0.5); // Few accounts, much contention.
    const count = isTight ? 2 : 2 + this.below(3);
    const map = evenRangeMap(count);
    this.#owners = indexRanges(map);
    ({ accounts: this.accounts, genesis: this.genesis } = makeAccounts(this, count, isTight));
    this.transactions = makeTransactions(this, this.accounts, (account) => this.ownerOf(account));
    const gasLimit = this.chance(0.3) ? 1_000_000 : 1_000_000_000;
    const genesis = { ...genesisEntry(map), opens: { ...genesisEntry(map).opens, gasLimit } };
    for (let partition = 0; partition < count; partition++) {
      this.#logs.push([]);
      this.partitions.push(openPartition(partition, this.rules));
    }
    this.#append(
      1,
      map.partitions.map(({ id }) => ({ partition: id, entries: [genesis] })),
    );
    this.#leader = this.#lead();
  }

  /** A number from 0 to `limit` - 1. */
  below(limit: number): number {
    this.#random = (Math.imul(this.#random, 1_664_525) + 1_013_904_223) >>> 0;
    return mix(this.#random, 3) % limit;
  }
  chance(share: number): boolean {
    return this.below(1_000_000) < share * 1_000_000;
  }
  pick<T>(list: readonly T[]): T {
    const picked = list[this.below(list.length)];
    assert(picked !== undefined, "nothing to pick from");
    return picked;
  }
  ownerOf(account: Uint8Array): number {
    return this.#owners.ownerOf(account, 0);
  }

  /** Runs until everything has settled. Returns what is wrong, null if nothing. */
  run(): string | null {
    for (let step = 0; step < STEPS_MAX; step++) {
      const isQuiet = step >= QUIET_STEP;
      const wrong = this.#step(isQuiet);
      if (wrong !== null || this.#wrong !== null) return wrong ?? this.#wrong;
      if (isQuiet && step % 50 === 0 && this.#isSettled()) return this.#check();
    }
    return `something never settled: ${this.#describe()}`;
  }

  #step(isQuiet: boolean): string | null {
    this.#now += this.below(4);
    const kind = this.below(1_000);
    if (kind < 150) this.#submit();
    else if (kind < 350) this.#flush(isQuiet);
    else if (kind < 560) return this.#consume(this.pick(this.partitions));
    else if (kind < 740) this.#speak(this.pick(this.partitions));
    else if (kind < 950) this.#hear(isQuiet);
    else if (kind < 975) this.#seal();
    else if (kind < 985) tickSequencer(this.#leader, this.#now);
    else if (!isQuiet) return this.#accident(kind);
    this.#perform();
    return null;
  }

  #accident(kind: number): string | null {
    if (kind < 988) return this.#restart(this.below(this.partitions.length));
    if (kind < 991) this.#takeOver();
    else if (kind < 993) this.pick(this.partitions).pausedUntil = this.#now + this.below(1_000);
    else if (kind < 995) {
      const partition = this.chance(0.3) ? null : this.below(this.partitions.length);
      takeAdmin(this.#leader, { op: "pin", address: this.pick(this.accounts), partition });
    }
    return null;
  }

  #submit(): void {
    const first = this.pick(this.transactions);
    // Mostly in order: a sender's next ones.
    const same = this.transactions.filter(({ sender, nonce }) => sender === first.sender && nonce >= first.nonce);
    const sent = this.chance(0.5) ? [first] : same.slice(0, 1 + this.below(4));
    if (sent.every((transaction) => this.#acknowledged.has(transaction)) && !this.chance(0.02)) return;
    const records = concatBytes(sent.map(({ record }) => record));
    const submit = submitRecords(this.#leader, records, this.chance(0.5), this.#now);
    assert(submit >= 0, "a submit is malformed");
    this.#submits.set(submit, sent);
  }

  #flush(isQuiet: boolean): void {
    if (this.#plan === undefined) {
      const unixMs = 1_700_000_000_000 + this.#now;
      this.#plan = planFlush(this.#leader, this.#now, unixMs, () => new Uint8Array(32));
      this.#perform(); // Nobody may be told of it yet: what is answered here counts against `answersAfterAppend`.
      return;
    }
    const plan = this.#plan;
    this.#plan = undefined;
    if (!isQuiet && this.chance(0.02)) return flushFull(this.#leader, this.#now);
    this.#append(plan.flush, plan.messages);
    if (!isQuiet && this.chance(0.004)) return this.#takeOver(); // In LOG, but the leader never hears of it.
    flushAppended(this.#leader, this.#now);
    const { ranges } = this.#leader;
    this.#owners = ranges;
    if (plan.closes !== null) this.seen.blocks++;
  }

  #append(flush: number, messages: FlushPlan["messages"]): void {
    for (const { partition, entries } of messages) {
      const log = this.#logs[partition]!;
      const n = log.length + 1;
      const hash = new Uint8Array(32).fill(n & 255);
      const message = { partition, n, term: this.#term, flush, entries };
      log.push({ message, position: { n, flush, hash } });
      for (const entry of entries) {
        if (entry.kind === "map") this.seen.moves++;
        if (entry.kind !== "run" && entry.kind !== "group") continue;
        const records = entry.transactions;
        for (let at = 0; at < records.length; at += txBytes(records, at)) this.#logged.add(hashOf(records, at));
      }
    }
  }

  #lead(): Sequencer {
    const flush = Math.max(...this.#logs.map((log) => log.at(-1)?.message.flush ?? 0)) + 1;
    this.#term++;
    const entries: Entry[] = [{ kind: "term", index: 0, term: this.#term, leader: "test" }];
    this.#append(
      flush,
      this.partitions.map((_, partition) => ({ partition, entries })),
    );
    const recent = openRecentHashes(LIMITS.recentHashesMax);
    const ends = this.#logs.map((log, partition) => ({ partition, messages: log.map(({ message }) => message) }));
    const learned = learnChain(ends, recent, LIMITS, this.#now);
    const { map } = learned;
    assert(map !== null, "no map in the log");
    this.#owners = indexRanges(map);
    const start = { ...learned, limits: LIMITS, term: this.#term, blockMs: 100, map, recent, seed: 5, rules: this.rules };
    return openSequencer(start, this.#now);
  }

  #takeOver(): void {
    this.#count();
    stepDown(this.#leader);
    this.#hearAnswers();
    this.#plan = undefined;
    this.#asks = [];
    this.#submits.clear();
    if (this.chance(0.5)) this.#wire = []; // Else the new leader hears what was said to the old one.
    this.seen.takeovers++;
    this.#leader = this.#lead();
  }

  #perform(): void {
    this.#hearAnswers();
    if (this.#asks.length === 0 || this.chance(0.7)) return;
    const { partition, atN, addresses } = this.#asks.shift()!;
    const { state, engine, pausedUntil } = this.partitions[partition]!;
    const isThere = state.position.n >= atN && this.#now >= pausedUntil;
    if (isThere) takeNonces(this.#leader, partition, engine.nonces(addresses), this.#now);
    else failNonces(this.#leader, partition, this.#now);
  }

  #hearAnswers(): void {
    for (const effect of takeEffects(this.#leader)) {
      if (effect.kind === "ask") this.#asks.push(effect);
      if (effect.kind !== "reply") continue;
      const sent = this.#submits.get(effect.submit);
      this.#submits.delete(effect.submit);
      sent?.forEach((transaction, index) => {
        const code = effect.reply.codes[index];
        const isAcknowledged = code === SUBMIT.accepted || code === SUBMIT.known;
        if (!isAcknowledged) this.seen.refused++;
        else if (this.#logged.has(hashOf(transaction.record, 0))) this.#acknowledged.add(transaction);
        else this.#wrong = "acknowledged before it stands in LOG";
      });
    }
  }

  #consume(partition: WorldPartition): string | null {
    if (this.#now < partition.pausedUntil) return null;
    const next = this.#logs[partition.state.partition]![partition.state.position.n];
    return next === undefined ? null : this.#apply(partition, next);
  }

  #apply(partition: WorldPartition, logged: Logged): string | null {
    return applyTo(partition, logged, this.genesis, this.#chunks);
  }

  /** A partition says what it has to say; some of it is lost. */
  #speak(partition: WorldPartition): void {
    if (this.#now < partition.pausedUntil) return;
    const { state, missed } = partition;
    const said: Wire[] = [{ to: "report", report: reportOf(partition) }];
    if (missed.length > 0) {
      const first = this.below(missed.length);
      const misses = { partition: state.partition, block: state.block!.number, first, missed: missed.slice(first) };
      said.push({ to: "misses", misses: this.chance(0.5) ? misses : { ...misses, first: 0, missed: [...missed] } });
    }
    for (const group of heldHomeGroups(state)) {
      const proposal = this.chance(0.7) ? propose(group, partition, (owner) => this.#heard(owner)) : null;
      if (proposal !== null) said.push({ to: "proposal", proposal });
    }
    for (const one of said) if (this.chance(0.9)) this.#wire.push(one);
    if (this.#wire.length > WIRE_MAX) this.#wire = this.#wire.slice(-WIRE_MAX / 2);
  }

  /** A partition that answers; null if it is silent. */
  #heard(number: number): WorldPartition | null {
    const partition = this.partitions[number]!;
    return this.#now < partition.pausedUntil ? null : partition;
  }

  /** The leader hears something, in any order, sometimes twice. */
  #hear(isQuiet: boolean): void {
    if (this.#wire.length === 0) return;
    const at = this.below(this.#wire.length);
    const said = this.#wire[at]!;
    if (isQuiet || this.chance(0.9)) this.#wire.splice(at, 1);
    if (!isQuiet && this.chance(0.1)) return;
    if (said.to === "report") takeReport(this.#leader, said.report, this.#now);
    else if (said.to === "misses") takeMisses(this.#leader, said.misses, this.#now);
    else takeGroupProposal(this.#leader, said.proposal, this.#now);
  }

  #seal(): void {
    const { unsealed } = this.#leader.blocks;
    const closed = Math.min(...this.partitions.map(({ state }) => state.closedBlock));
    for (const { number } of unsealed) {
      if (number <= closed) takeBuilt(this.#leader, { archive: "a", number, hash: sealHash(number), timestamp: 0 });
    }
  }

  /** A partition starts again from its log. */
  #restart(number: number): string | null {
    const old = this.partitions[number]!;
    const again = openPartition(number, this.rules);
    for (const item of this.#logs[number]!.slice(0, old.state.position.n)) {
      const wrong = this.#apply(again, item);
      if (wrong !== null) return wrong;
    }
    this.partitions[number] = again;
    return null;
  }

  #count(): void {
    const { counts } = this.#leader;
    for (const name of ["groups", "whole", "aborts", "retries"] as const) this.seen[name] += counts[name];
  }

  #isSettled(): boolean {
    const ended = this.partitions.flatMap(({ records }) => records).reduce((sum, record) => sum + endedIn(record).length, 0);
    const isRead = this.partitions.every(({ state }) => state.position.n === this.#logs[state.partition]!.length);
    const { groups, retries } = this.#leader;
    return isRead && ended >= this.transactions.length && groups.open === 0 && retries.count === 0 && this.#plan === undefined;
  }

  #check(): string | null {
    this.#count();
    for (const [number, { records }] of this.partitions.entries()) {
      const wrong = this.#restart(number);
      if (wrong !== null) return wrong;
      const again = this.partitions[number]!;
      if (again.records.length !== records.length) return `a replay of log ${number} gives other records`;
      if (again.state.open.entries.size > 0) return `something is open on partition ${number}`;
    }
    return checkSerial(this, this.#owners);
  }

  #describe(): string {
    const { groups, retries, isDraining, blocks, partitions, moving, filling, flight, waiting } = this.#leader;
    const lanes = partitions.lanes.map(({ settled, workN, missesTaken, reportedMisses }) => [
      settled,
      workN,
      missesTaken,
      reportedMisses,
    ]);
    const ended = this.partitions.flatMap(({ records }) => records).reduce((sum, record) => sum + endedIn(record).length, 0);
    const states = this.partitions.map(({ state }) => [
      state.position.n,
      settledN(state),
      openGroups(state).length,
      state.misses,
    ]);
    const open = [...groups.byPosition].map(([key, { machine, stands }]) => `${key} ${String(machine.value)} ${stands}`);
    const items = [...retries.bySender.values()].flatMap((one) =>
      one.items.map(({ sender, nonce, attempt, isReady, seal }) => ({
        sender,
        nonce,
        attempt,
        isReady,
        seal,
        c: one.isCollecting,
      })),
    );
    const rows = [filling.count, filling.candidates.members.length, flight !== null, waiting.count];
    return JSON.stringify({
      ended,
      of: this.transactions.length,
      open,
      items,
      isDraining,
      unsealed: blocks.unsealed.length,
      lanes,
      states,
      moving: moving?.block,
      rows,
    });
  }
}

const hashOf = (records: Uint8Array, at: number): string => hexOf(records, at + TX.hash, at + TX.hash + 32);
