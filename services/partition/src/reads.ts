/**
 * Answers reads beside the log.
 *
 * R1. A read waits, bounded, until the message it names is applied and the block it names is closed. The hashes of the blocks
 *     before that one are part of its state (EIP-2935), so their seals have to be here too.
 * R2. A read at a block is consistent over all partitions: what a call needs of others is fetched at the same block.
 * R3. What waits or runs is bounded, in number and bytes, each kind for itself: however many clients ask, grants, on which groups
 *     and blocks wait, have room. One more is answered BUSY. What can be answered at once takes no room.
 * R4. A grant is read while its group holds the locks, and at no other time.
 * R5. Accounts that were handed over to this partition have no history here: at a block before that they are PRUNED.
 */
import { SUBJECT, decodeReadRequest, encodeReadReply } from "@meridian/bus";
import { PENDING, arrivedAfter, assert, groupState, keyBytes, keyCount, oldestOf, sealedBlock } from "@meridian/core";
import type {
  CallResult,
  Clock,
  Engine,
  PartitionState,
  ReadReply,
  ReadRequest,
  Telemetry,
  Wire,
  WireMessage,
} from "@meridian/core";
import { Caller } from "./calls.ts";
import type { CallFailure } from "./calls.ts";
import type { PartitionMetrics } from "./metrics.ts";
import type { ActorLimits } from "./ports.ts";
import type { Progress } from "./progress.ts";
import { Room } from "./room.ts";
import { spanOf } from "./span.ts";

export interface ReadPorts {
  wire: Wire;
  clock: Clock;
  progress: Progress;
  telemetry: Telemetry;
  metrics: PartitionMetrics;
}

/** What the reads are of. `stopped`: why the partition does not go on. */
export interface ReadSource {
  state: PartitionState;
  engine: Engine;
  stopped: () => string | null;
}

type GrantRequest = Extract<ReadRequest, { op: "grant" }>;
type CallingRequest = Extract<ReadRequest, { op: "call" | "estimate" }>;

const ADDRESS_BYTES = 20;

export class Reads {
  readonly #ports: ReadPorts;
  readonly #source: ReadSource;
  readonly #limits: ActorLimits;
  readonly #signal: AbortSignal;
  readonly #caller: Caller;
  readonly #rooms: Record<ReadRequest["op"], Room>;

  constructor(ports: ReadPorts, source: ReadSource, limits: ActorLimits, signal: AbortSignal) {
    this.#ports = ports;
    this.#source = source;
    this.#limits = limits;
    this.#signal = signal;
    this.#caller = new Caller(ports.wire, source.state, source.engine, limits);
    const { readsMax, callsMax, grantsMax, readBytesMax } = limits;
    const calls = new Room(callsMax, readBytesMax);
    const [nonces, cells, grant] = [readsMax, readsMax, grantsMax].map((max) => new Room(max, readBytesMax)) as [
      Room,
      Room,
      Room,
    ];
    this.#rooms = { nonces, cells, grant, call: calls, estimate: calls };
  }

  /** How many wait or run. */
  get running(): number {
    return [...new Set(Object.values(this.#rooms))].reduce((sum, { count }) => sum + count, 0);
  }

  /** Answers until the returned function is called. */
  serve(): () => void {
    const { partition } = this.#source.state;
    return this.#ports.wire.subscribe(SUBJECT.read(partition), (message) => void this.#handle(message));
  }

  async #handle(message: WireMessage): Promise<void> {
    const { telemetry, clock, metrics } = this.#ports;
    const { partition } = this.#source.state;
    const startedAt = clock.now();
    try {
      const request = decodeReadRequest(message.payload);
      const reply = await this.#answer(request, message);
      message.respond(encodeReadReply(reply));
      metrics.readMs(clock.now() - startedAt, { op: request.op, outcome: reply.op === "failed" ? reply.failure.code : "ok" });
    } catch (error) {
      // Whoever asked hears nothing and asks again; what is wrong stands here.
      telemetry.log.error({ partition, error }, "A read could not be answered");
    }
  }

  async #answer(request: ReadRequest, { headers, payload }: WireMessage): Promise<ReadReply> {
    const { state } = this.#source;
    const tooLarge = this.#whyTooLarge(request);
    if (tooLarge !== null) return tooLarge;
    const leave = this.#isDue(request) && !isCall(request) ? () => undefined : this.#rooms[request.op].enter(payload.length);
    if (typeof leave !== "function") return busy(leave.limit);
    const span = spanOf(this.#ports.telemetry, `read ${request.op}`, {
      kind: "server",
      parent: headers,
      attributes: { partition: state.partition, block: "block" in request ? request.block : PENDING },
    });
    try {
      const reply = (await this.#refusal(request)) ?? (await this.#perform(request, span.headers()));
      span.set({ outcome: reply.op === "failed" ? reply.failure.code : "ok" });
      span.end();
      return reply;
    } catch (error) {
      span.end(error);
      throw error;
    } finally {
      leave();
    }
  }

  /** More cells or nonces than one request may have. */
  #whyTooLarge(request: ReadRequest): CallFailure | null {
    const { cellsMax } = this.#limits;
    if (isCall(request)) return null;
    const count = request.op === "nonces" ? request.addresses.length / ADDRESS_BYTES : keyCount(request.request);
    assert(count !== null, "a read request is malformed");
    return count > cellsMax ? busy(cellsMax) : null;
  }

  /** True if nothing has to be waited for. */
  #isDue(request: ReadRequest): boolean {
    const { state, stopped } = this.#source;
    if (stopped() !== null) return true;
    if (request.op === "grant") {
      // Rule grantsAreHeld.
      return !state.rules.grantsAreHeld || ["held", "resolved"].includes(groupState(state, request.group));
    }
    const block = request.op === "nonces" ? PENDING : request.block;
    const isClosed = state.closedBlock >= block && sealedBlock(state) >= block - 1;
    return state.owners !== null && state.position.n >= request.atN && isClosed;
  }

  /** Waits for position and block; why the read cannot be done, or null. */
  async #refusal(request: ReadRequest): Promise<ReadReply | null> {
    if (request.op === "grant") return null; // It waits for its group instead, and looks by itself.
    const { state, stopped } = this.#source;
    const isReached = await this.#ports.progress.reach(() => this.#isDue(request), this.#limits.readWaitMs, this.#signal);
    const text = stopped();
    if (text !== null) return { op: "failed", failure: { code: "STOPPED", text } };
    return isReached ? null : { op: "failed", failure: { code: "BEHIND", newest: Math.max(0, state.closedBlock) } };
  }

  async #perform(request: ReadRequest, headers: Record<string, string>): Promise<ReadReply> {
    switch (request.op) {
      case "nonces":
        return this.#nonces(request.addresses);
      case "cells":
        return this.#cells(request.block, request.request);
      case "grant":
        return this.#grant(request);
      case "call":
        return resultReply(await this.#caller.call(request.block, request.call, headers));
      case "estimate":
        return this.#caller.estimate(request.block, request.call, headers);
    }
  }

  #nonces(addresses: Uint8Array): ReadReply {
    for (let at = 0; at < addresses.length; at += ADDRESS_BYTES) {
      if (!this.#isOwned(addresses, at)) return foreign(addresses, at);
    }
    return { op: "nonces", nonces: this.#source.engine.nonces(addresses) };
  }

  #cells(block: number, request: Uint8Array): ReadReply {
    const { state, engine } = this.#source;
    const arrived = arrivedAfter(state, block);
    for (let at = 0; at < request.length; at += keyBytes(request, at)) {
      if (!this.#isOwned(request, at + 1)) return foreign(request, at + 1);
      const oldest = oldestOf(arrived, request, at + 1); // R5
      if (oldest !== null) return { op: "failed", failure: { code: "PRUNED", oldest } };
    }
    const found = engine.read(block, request);
    if ("cells" in found) return { op: "cells", cells: found.cells };
    return "pruned" in found
      ? { op: "failed", failure: { code: "PRUNED", oldest: found.pruned } }
      : { op: "failed", failure: { code: "BEHIND", newest: found.unknownBlock } };
  }

  /** R4: the cells are read in the same turn in which it is seen that it holds its locks. */
  async #grant(asked: GrantRequest): Promise<ReadReply> {
    const { state, engine, stopped } = this.#source;
    const { group, request } = asked;
    await this.#ports.progress.reach(() => this.#isDue(asked), this.#limits.grantWaitMs, this.#signal);
    const text = stopped();
    if (text !== null) return { op: "failed", failure: { code: "STOPPED", text } };
    if (this.#signal.aborted || !this.#isDue(asked) || state.owners === null) {
      return { op: "failed", failure: { code: "BEHIND", newest: Math.max(0, state.closedBlock) } };
    }
    if (groupState(state, group) === "resolved") return { op: "failed", failure: { code: "RESOLVED" } };
    for (let at = 0; at < request.length; at += keyBytes(request, at)) {
      if (!this.#isOwned(request, at + 1)) return foreign(request, at + 1);
    }
    return { op: "grant", cells: engine.grant(request) };
  }

  #isOwned(bytes: Uint8Array, at: number): boolean {
    const { state } = this.#source;
    return state.owners?.ownerOf(bytes, at) === state.partition;
  }
}

const isCall = (request: ReadRequest): request is CallingRequest => request.op === "call" || request.op === "estimate";

const busy = (limit: number): CallFailure => ({ op: "failed", failure: { code: "BUSY", limit } });

const foreign = (bytes: Uint8Array, at: number): ReadReply => ({
  op: "failed",
  failure: { code: "FOREIGN", account: bytes.slice(at, at + ADDRESS_BYTES) },
});

/** A call's result as an answer: what concerns the block is a failure of the read. */
function resultReply(outcome: CallResult | Extract<ReadReply, { op: "failed" }>): ReadReply {
  if ("op" in outcome) return outcome;
  if (outcome.status === "pruned") return { op: "failed", failure: { code: "PRUNED", oldest: outcome.oldest } };
  if (outcome.status === "unknownBlock") return { op: "failed", failure: { code: "BEHIND", newest: outcome.newest } };
  return { op: "call", result: outcome };
}
