/**
 * Answers reads beside the log.
 *
 * R1. A read waits, bounded, until the message it names is applied and the block it names is closed.
 * R2. A read at a block is consistent over all partitions: what a call needs of others is fetched at the same block.
 * R3. What waits or runs is bounded; one more is answered BUSY.
 * R4. A grant is read while its group holds the locks, and at no other time.
 * R5. Accounts that were handed over to this partition have no history here: at a block before that they are PRUNED.
 */
import { SUBJECT, decodeReadRequest, encodeReadReply } from "@meridian/bus";
import { PENDING, arrivedAfter, assert, groupState, keyBytes, keyCount, oldestOf } from "@meridian/core";
import type {
  CallResult,
  Clock,
  Engine,
  PartitionState,
  Position,
  ReadReply,
  ReadRequest,
  Telemetry,
  Wire,
  WireMessage,
} from "@meridian/core";
import { Caller } from "./calls.ts";
import type { PartitionMetrics } from "./metrics.ts";
import type { ActorLimits } from "./ports.ts";
import type { Progress } from "./progress.ts";
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

const ADDRESS_BYTES = 20;

export class Reads {
  readonly #ports: ReadPorts;
  readonly #source: ReadSource;
  readonly #limits: ActorLimits;
  readonly #signal: AbortSignal;
  readonly #caller: Caller;
  #running = 0;
  #calls = 0;

  constructor(ports: ReadPorts, source: ReadSource, limits: ActorLimits, signal: AbortSignal) {
    this.#ports = ports;
    this.#source = source;
    this.#limits = limits;
    this.#signal = signal;
    this.#caller = new Caller(ports.wire, source.state, source.engine, limits);
  }

  get running(): number {
    return this.#running;
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
    this.#running++;
    try {
      const request = decodeReadRequest(message.payload);
      const reply = await this.#answer(request, message);
      message.respond(encodeReadReply(reply));
      metrics.readMs(clock.now() - startedAt, { op: request.op, outcome: reply.op === "failed" ? reply.failure.code : "ok" });
    } catch (error) {
      // Whoever asked hears nothing and asks again; what is wrong stands here.
      telemetry.log.error({ partition, error }, "A read could not be answered");
    } finally {
      this.#running--;
    }
  }

  async #answer(request: ReadRequest, { headers }: WireMessage): Promise<ReadReply> {
    const { readsMax, callsMax } = this.#limits;
    const { state } = this.#source;
    const isCall = request.op === "call" || request.op === "estimate";
    if (this.#running > readsMax) return { op: "failed", failure: { code: "BUSY", limit: readsMax } };
    if (isCall && this.#calls >= callsMax) return { op: "failed", failure: { code: "BUSY", limit: callsMax } };
    if (isCall) this.#calls++;
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
      if (isCall) this.#calls--;
    }
  }

  /** Waits for position and block; why the read cannot be done, or null. */
  async #refusal(request: ReadRequest): Promise<ReadReply | null> {
    if (request.op === "grant") return null; // It waits for its group instead, and looks by itself.
    const { state, stopped } = this.#source;
    const { progress } = this.#ports;
    const block = request.op === "nonces" ? PENDING : request.block;
    const isThere = () => state.owners !== null && state.position.n >= request.atN && state.closedBlock >= block;
    const isReached = await progress.reach(() => isThere() || stopped() !== null, this.#limits.readWaitMs, this.#signal);
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
        return this.#grant(request.group, request.request);
      case "call":
        return resultReply(await this.#caller.call(request.block, request.call, headers));
      case "estimate":
        return this.#caller.estimate(request.block, request.call, headers);
    }
  }

  #nonces(addresses: Uint8Array): ReadReply {
    const { cellsMax } = this.#limits;
    if (addresses.length > cellsMax * ADDRESS_BYTES) return { op: "failed", failure: { code: "BUSY", limit: cellsMax } };
    for (let at = 0; at < addresses.length; at += ADDRESS_BYTES) {
      if (!this.#isOwned(addresses, at)) return foreign(addresses, at);
    }
    return { op: "nonces", nonces: this.#source.engine.nonces(addresses) };
  }

  #cells(block: number, request: Uint8Array): ReadReply {
    const { cellsMax } = this.#limits;
    const count = keyCount(request);
    assert(count !== null, "a read request is malformed");
    if (count > cellsMax) return { op: "failed", failure: { code: "BUSY", limit: cellsMax } };
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
  async #grant(group: Position, request: Uint8Array): Promise<ReadReply> {
    const { state, engine, stopped } = this.#source;
    const { cellsMax, grantWaitMs } = this.#limits;
    const count = keyCount(request);
    assert(count !== null, "a grant's request is malformed");
    if (count > cellsMax) return { op: "failed", failure: { code: "BUSY", limit: cellsMax } };
    // Rule grantsAreHeld.
    const isDue = () => !state.rules.grantsAreHeld || ["held", "resolved"].includes(groupState(state, group));
    await this.#ports.progress.reach(() => isDue() || stopped() !== null, grantWaitMs, this.#signal);
    const text = stopped();
    if (text !== null) return { op: "failed", failure: { code: "STOPPED", text } };
    if (this.#signal.aborted || !isDue() || state.owners === null) {
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
