/**
 * One group at its home, from the moment its locks are held until its end stands in the log.
 *
 * G1. A proposal is what the engine made in one run of all members on granted cells; what is missing is fetched and everything
 *     runs again.
 * G2. It is only said: the state changes when `apply` is read. So it may be said, lost and said again at will.
 * G3. Every round brings cells that were missing, and may show that more are. After too many rounds, or too much time of the
 *     engine, the members that are done are proposed and the others deferred, the later half of them first. If not even the
 *     first one is done, it is `exceeded`: a miss that counts as an attempt. So each group brings somebody further.
 *     Those for whom one run would take too long (pace.ts) are deferred from the beginning.
 *     What groups on the same accounts missed before is fetched first: usually the first run is the only one (seen-cells.ts).
 * G4. What is written without being read (that a sender's first transaction came to an end) is missing too, until its owner has
 *     granted: an owner where the group still waits must not get writes, for those before it in the queue come first.
 * G5. In the whole-system group nothing comes after `exceeded`: the first member goes on alone until its runs have cost too much
 *     gas, then it ends with this as its result (docs/adr/0021-bounded-rounds.md). No clock has a part in that.
 */
import { SUBJECT, encodeGroupProposal } from "@meridian/bus";
import { assert, cellsOwnedBy, commitEarly, concatBytes, loosened, proposalOf, txGasLimit, txOffsets } from "@meridian/core";
import type { Clock, Engine, GroupProposal, Headers, OpenGroup, PartitionState, Proposal, Telemetry, Wire } from "@meridian/core";
import { wait } from "@meridian/process";
import type { PartitionMetrics } from "../metrics.ts";
import type { ActorLimits } from "../ports.ts";
import { spanOf } from "../span.ts";
import type { Turns } from "../turns.ts";
import { Grants } from "./grants.ts";
import type { Pace } from "./pace.ts";
import { deferredTouches, exceededEnd, exceededMiss, messageOf, proposalBytes } from "./proposal.ts";
import type { SeenCells } from "./seen-cells.ts";

export interface GroupPorts {
  wire: Wire;
  clock: Clock;
  telemetry: Telemetry;
  metrics: PartitionMetrics;
  turns: Turns;
  pace: Pace;
  seen: SeenCells;
}

export interface GroupSource {
  state: PartitionState;
  engine: Engine;
}

export class GroupRun {
  readonly #ports: GroupPorts;
  readonly #source: GroupSource;
  readonly #limits: ActorLimits;
  readonly #group: OpenGroup;
  readonly #grants: Grants;
  readonly #offsets: Uint32Array;
  /** Aborted when the group is resolved here, or the partition ends. */
  readonly ended = new AbortController();
  /** How many members run; the others are deferred. */
  #members: number;
  #runs = 0;
  /** Time that the runs have taken, as far as it is these members'. */
  #engineMs = 0;

  constructor(ports: GroupPorts, source: GroupSource, limits: ActorLimits, group: OpenGroup) {
    this.#ports = ports;
    this.#source = source;
    this.#limits = limits;
    this.#group = group;
    this.#grants = new Grants(ports, source.state, limits, group);
    this.#offsets = txOffsets(group.transactions);
    this.#members = this.#affordable();
  }

  /** How many members have no more gas together than one run should have. */
  #affordable(): number {
    const { gasMax } = this.#ports.pace;
    let members = 1;
    for (let gas = this.#gasOf(0); members < this.#offsets.length; members++) {
      gas += this.#gasOf(members);
      if (gas > gasMax) break;
    }
    return members;
  }

  #gasOf(member: number): number {
    return txGasLimit(this.#group.transactions, this.#offsets[member] ?? 0);
  }

  /** @param headers  trace context of the message with the group's entry */
  async run(headers: Headers): Promise<void> {
    const { telemetry, clock, metrics } = this.#ports;
    const { partition } = this.#source.state;
    const { flush, index } = this.#group.position;
    const attributes = { partition, flush, index, members: this.#offsets.length };
    const span = spanOf(telemetry, "group", { kind: "internal", parent: headers, attributes });
    const startedAt = clock.now();
    try {
      const proposal = await this.#complete(span.headers());
      span.set({ rounds: this.#runs, proposed: proposal !== null });
      span.end();
      if (proposal === null) return;
      metrics.groupRounds(this.#runs);
      metrics.proposalMs(clock.now() - startedAt);
      await this.#say(proposal, span.headers());
    } catch (error) {
      span.end(error);
      throw error;
    }
  }

  /** Runs the members until nothing is missing or it takes too long; null if the group ended first. */
  async #complete(headers: Headers): Promise<GroupProposal | null> {
    const { transactions, whole } = this.#group;
    const given: Uint8Array[] = [];
    const likely = this.#likely();
    if (likely.length > 0) {
      const cells = await this.#grants.fetch(likely, headers, this.ended);
      if (cells === null) return null;
      given.push(cells);
    }
    for (;;) {
      const proposal = await this.#propose(given);
      if (proposal === null) return null;
      if (this.#runs === 1) this.#ports.seen.note(proposal.missing);
      const missing = proposal.missing.length > 0 ? proposal.missing : this.#grants.ungranted(proposal.writes); // G4
      const isDone = missing.length === 0;
      if (isDone && (this.#members === 1 || this.#fits(proposal))) return this.#message(proposal);
      if (isDone || (proposal.missing.length > 0 && this.#isTooLong(given.length))) {
        if (this.#members > 1) {
          this.#members = Math.ceil(this.#members / 2);
          this.#engineMs /= 2; // What the others took is not counted against those that are left.
          continue;
        }
        if (!whole) return this.#message(exceededMiss(transactions));
        if (this.#runs * this.#gasOf(0) >= this.#limits.exceededGas) return this.#exceeded(headers); // G5
      }
      const cells = await this.#grants.fetch(missing, headers, this.ended);
      if (cells === null) return null;
      given.push(cells);
    }
  }

  #likely(): Uint8Array {
    const { owners, partition } = this.#source.state;
    assert(owners !== null, "a group runs before genesis");
    return this.#ports.seen.likely(this.#group.accounts, (accounts, at) => owners.ownerOf(accounts, at) !== partition);
  }

  #isTooLong(rounds: number): boolean {
    const { groupRoundsMax, groupRoundsMin, groupMsMax } = this.#limits;
    return rounds >= groupRoundsMax || (rounds >= groupRoundsMin && this.#engineMs >= groupMsMax);
  }

  #fits(proposal: Proposal): boolean {
    return proposalBytes(proposal, this.#deferred()) <= this.#limits.groupBytesMax;
  }

  #deferred(): Uint8Array {
    return deferredTouches(this.#group.transactions, this.#offsets, this.#members);
  }

  async #exceeded(headers: Headers): Promise<GroupProposal | null> {
    const proposal = exceededEnd(this.#group.transactions);
    for (;;) {
      const missing = this.#grants.ungranted(proposal.writes); // G4
      if (missing.length === 0) return this.#message(proposal);
      if ((await this.#grants.fetch(missing, headers, this.ended)) === null) return null;
    }
  }

  #propose(given: readonly Uint8Array[]): Promise<Proposal | null> {
    this.#runs++;
    return this.#ports.turns.take(() => {
      if (this.ended.signal.aborted) return null;
      const startedAt = this.#ports.clock.now();
      const proposal = this.#proposeNow(concatBytes(given));
      const ms = this.#ports.clock.now() - startedAt;
      this.#engineMs += ms;
      let gas = 0;
      for (let member = 0; member < this.#members; member++) gas += this.#gasOf(member);
      this.#ports.pace.ran(gas, ms);
      return proposal;
    });
  }

  #proposeNow(given: Uint8Array): Proposal {
    const { state, engine } = this.#source;
    const { transactions, rules } = proposalOf(state, this.#group);
    const members = transactions.subarray(0, this.#offsets[this.#members] ?? transactions.length);
    let proposal = engine.propose(members, given, rules);
    // Rule membersAreStrict: without it a member may touch what the home owns and nobody waits for.
    for (let allowed = rules.allowed; ;) {
      const more = loosened(state, this.#group, allowed, proposal.touches);
      if (more === null) return proposal;
      allowed = more;
      proposal = engine.propose(members, given, { ...rules, allowed });
    }
  }

  #message(proposal: Proposal): GroupProposal {
    const { state, engine } = this.#source;
    const { owners, partition, rules } = state;
    assert(owners !== null, "a group runs before genesis");
    const ownerOf = (bytes: Uint8Array, at: number) => owners.ownerOf(bytes, at);
    // Rule homeWaitsForApply.
    if (!rules.homeWaitsForApply) {
      const writes = cellsOwnedBy(proposal.writes, (bytes, at) => ownerOf(bytes, at) === partition);
      commitEarly(state, this.#group, writes, engine);
    }
    return messageOf(partition, this.#group.position, proposal, this.#deferred(), ownerOf);
  }

  /** Again and again: a leader that is new, or did not hear it, needs it as well. */
  async #say(proposal: GroupProposal, headers: Headers): Promise<void> {
    const { wire, clock } = this.#ports;
    const { signal } = this.ended;
    const payload = encodeGroupProposal(proposal);
    while (!signal.aborted) {
      wire.publish(SUBJECT.proposal, payload, headers);
      if (!this.#source.state.rules.redelivers) return; // Rule redelivers
      await wait(clock, this.#limits.proposalRepeatMs, signal);
    }
  }
}
