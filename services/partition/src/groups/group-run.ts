/**
 * One group at its home, from the moment its locks are held until its end stands in the log.
 *
 * G1. A proposal is what the engine made in one run of all members on granted cells; what is missing is fetched and everything
 *     runs again.
 * G2. It is only said: the state changes when `apply` is read. So it may be said, lost and said again at will.
 * G3. Every round brings cells that were missing. Members that need too many rounds or too much room are deferred, the later
 *     ones first; a single member always gets its turn.
 * G4. What is written without being read (that a sender's first transaction came to an end) is missing too, until its owner has
 *     granted: an owner where the group still waits must not get writes, for those before it in the queue come first.
 */
import { SUBJECT, encodeGroupProposal } from "@meridian/bus";
import { assert, cellsOwnedBy, commitEarly, concatBytes, loosened, proposalOf, txOffsets } from "@meridian/core";
import type { Clock, Engine, GroupProposal, Headers, OpenGroup, PartitionState, Proposal, Telemetry, Wire } from "@meridian/core";
import { wait } from "@meridian/process";
import type { PartitionMetrics } from "../metrics.ts";
import type { ActorLimits } from "../ports.ts";
import { spanOf } from "../span.ts";
import type { Turns } from "../turns.ts";
import { Grants } from "./grants.ts";
import { deferredTouches, messageOf, proposalBytes } from "./proposal.ts";

export interface GroupPorts {
  wire: Wire;
  clock: Clock;
  telemetry: Telemetry;
  metrics: PartitionMetrics;
  turns: Turns;
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
  #rounds = 0;

  constructor(ports: GroupPorts, source: GroupSource, limits: ActorLimits, group: OpenGroup) {
    this.#ports = ports;
    this.#source = source;
    this.#limits = limits;
    this.#group = group;
    this.#grants = new Grants(ports, source.state, limits, group);
    this.#offsets = txOffsets(group.transactions);
    this.#members = this.#offsets.length;
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
      span.set({ rounds: this.#rounds, proposed: proposal !== null });
      span.end();
      if (proposal === null) return;
      metrics.groupRounds(this.#rounds);
      metrics.proposalMs(clock.now() - startedAt);
      await this.#say(proposal, span.headers());
    } catch (error) {
      span.end(error);
      throw error;
    }
  }

  /** Runs the members until nothing is missing; null if the group ended first. */
  async #complete(headers: Headers): Promise<GroupProposal | null> {
    const { groupBytesMax, groupRoundsMax, soloRoundsMax } = this.#limits;
    const given: Uint8Array[] = [];
    for (let rounds = 1; ; rounds++) {
      const proposal = await this.#propose(given);
      if (proposal === null) return null;
      const deferred = deferredTouches(this.#group.transactions, this.#offsets, this.#members);
      const missing = proposal.missing.length > 0 ? proposal.missing : this.#grants.ungranted(proposal.writes); // G4
      const isComplete = missing.length === 0;
      const isTooMuch = isComplete ? proposalBytes(proposal, deferred) > groupBytesMax : rounds >= groupRoundsMax;
      if (isComplete && (!isTooMuch || this.#members === 1)) return this.#message(proposal, deferred);
      assert(rounds <= soloRoundsMax, "a group needs more rounds than its gas can pay for");
      if (isTooMuch && this.#members > 1) {
        this.#members = Math.ceil(this.#members / 2);
        rounds = 0;
        continue;
      }
      const cells = await this.#grants.fetch(missing, headers, this.ended);
      if (cells === null) return null;
      given.push(cells);
    }
  }

  #propose(given: readonly Uint8Array[]): Promise<Proposal | null> {
    this.#rounds++;
    return this.#ports.turns.take(() => (this.ended.signal.aborted ? null : this.#proposeNow(concatBytes(given))));
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

  #message(proposal: Proposal, deferred: Uint8Array): GroupProposal {
    const { state, engine } = this.#source;
    const { owners, partition, rules } = state;
    assert(owners !== null, "a group runs before genesis");
    const ownerOf = (bytes: Uint8Array, at: number) => owners.ownerOf(bytes, at);
    // Rule homeWaitsForApply.
    if (!rules.homeWaitsForApply) {
      const writes = cellsOwnedBy(proposal.writes, (bytes, at) => ownerOf(bytes, at) === partition);
      commitEarly(state, this.#group, writes, engine);
    }
    return messageOf(partition, this.#group.position, proposal, deferred, ownerOf);
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
