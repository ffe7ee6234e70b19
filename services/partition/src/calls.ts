/** Calls and gas estimates: run in the engine beside the log, again with what other partitions own until nothing is missing. */
import { SUBJECT, decodeReadReply, encodeReadRequest } from "@meridian/bus";
import {
  answers,
  arrivedAfter,
  assert,
  concatBytes,
  isIoError,
  keyCount,
  oldestOf,
  requestByOwner,
  startEstimate,
  stepEstimate,
} from "@meridian/core";
import type {
  Arrival,
  CallRequest,
  CallResult,
  Engine,
  Headers,
  PartitionId,
  PartitionState,
  ReadFailure,
  ReadReply,
  Wire,
} from "@meridian/core";
import type { ActorLimits } from "./ports.ts";

/** Maps change once a block at most, and few calls take as long. */
const RUNS_MAX = 3;
const TOUCH_BYTES = 21; // u8 mode, b20 address
const NOTHING = new Uint8Array(0);

export type CallFailure = Extract<ReadReply, { op: "failed" }>;

export class Caller {
  readonly #wire: Wire;
  readonly #state: PartitionState;
  readonly #engine: Engine;
  readonly #limits: ActorLimits;

  constructor(wire: Wire, state: PartitionState, engine: Engine, limits: ActorLimits) {
    this.#wire = wire;
    this.#state = state;
    this.#engine = engine;
    this.#limits = limits;
  }

  /** @returns the result; or why there is none: a needed account could not be fetched, or too many calls run */
  async call(block: number, request: CallRequest, headers: Headers): Promise<CallResult | CallFailure> {
    const { result } = await this.#callWithFetch(block, request, headers);
    return result;
  }

  /** geth's search for the least gas; what was fetched for one run serves all of them. */
  async estimate(block: number, request: CallRequest, headers: Headers): Promise<ReadReply> {
    let estimate = startEstimate(request.gasLimit, request.data.length === 0 && request.to !== null);
    let given = request.given;
    for (;;) {
      const ran = await this.#callWithFetch(block, { ...request, given, gasLimit: estimate.gasLimit }, headers);
      given = ran.given;
      const { result } = ran;
      if ("op" in result) return result;
      if (result.status === "pruned") return failed({ code: "PRUNED", oldest: result.oldest });
      if (result.status === "unknownBlock") return failed({ code: "BEHIND", newest: result.newest });
      estimate = stepEstimate(estimate, result.status === "success", "gasUsed" in result ? result.gasUsed : 0);
      if (estimate.phase === "failed") return failed({ code: "CALL", result });
      if (estimate.phase === "done") return { op: "estimate", gas: estimate.gasLimit };
    }
  }

  async #callWithFetch(
    block: number,
    request: CallRequest,
    headers: Headers,
  ): Promise<{ result: CallResult | CallFailure; given: Uint8Array }> {
    const { givenRoundsMax, givenCellsMax } = this.#limits;
    let given = request.given;
    let cells = 0;
    for (let round = 0; ; round++) {
      const result = await this.#callOnce(block, { ...request, given });
      if ("op" in result || result.status !== "missing") return { result, given };
      cells += keyCount(result.cells) ?? 0;
      if (round === givenRoundsMax || cells > givenCellsMax) return { result: foreign(result.cells), given };
      const fetched = await this.#fetch(block, result.cells, headers);
      if (!(fetched instanceof Uint8Array)) return { result: fetched, given };
      given = concatBytes([given, fetched]);
    }
  }

  /** Again if the map changed meanwhile: what went away reads as empty then, and what came has no history. */
  async #callOnce(block: number, request: CallRequest): Promise<CallResult | CallFailure> {
    for (let runs = 0; runs < RUNS_MAX; runs++) {
      const { owners } = this.#state;
      const arrived = arrivedAfter(this.#state, block);
      const isTraced = request.traced || arrived.length > 0;
      const result = await this.#run(block, { ...request, traced: isTraced });
      if (this.#state.owners !== owners) continue;
      if ("op" in result) return result;
      const oldest = oldestMet(arrived, request, result);
      if (oldest !== null) return { status: "pruned", oldest };
      return "access" in result && !request.traced ? { ...result, access: null } : result;
    }
    return failed({ code: "FOREIGN", account: request.to ?? request.from });
  }

  async #run(block: number, request: CallRequest): Promise<CallResult | CallFailure> {
    try {
      return await this.#engine.call(block, request);
    } catch (error) {
      if (isIoError(error, "CALLS_MAX")) return failed({ code: "BUSY", limit: this.#limits.callsMax });
      throw error;
    }
  }

  /** The missing cells from their owners, asked all at once, at the same block. */
  async #fetch(block: number, missing: Uint8Array, headers: Headers): Promise<Uint8Array | CallFailure> {
    const { owners, partition } = this.#state;
    assert(owners !== null, "a call runs before genesis");
    const requests = [...requestByOwner(missing, (bytes, at) => owners.ownerOf(bytes, at), this.#limits.givenCodesMax)];
    // A range that was handed over while the call ran: the caller asks again and finds it here.
    if (requests.some(([owner]) => owner === partition)) return foreign(missing);
    const fetched = await Promise.all(requests.map(([owner, request]) => this.#fetchFrom(owner, block, request, headers)));
    const failure = fetched.find((answer) => !(answer instanceof Uint8Array));
    if (failure !== undefined && !(failure instanceof Uint8Array)) return failure;
    return concatBytes(fetched.filter((answer) => answer instanceof Uint8Array));
  }

  async #fetchFrom(owner: PartitionId, block: number, request: Uint8Array, headers: Headers): Promise<Uint8Array | CallFailure> {
    try {
      const payload = encodeReadRequest({ op: "cells", block, atN: 0, request });
      const reply = decodeReadReply(
        await this.#wire.request(SUBJECT.read(owner), payload, { timeoutMs: this.#limits.fetchMs, headers }),
      );
      if (reply.op === "cells" && answers(reply.cells, request)) return reply.cells;
      // What concerns the block or the load is worth another try; anything else is an account that cannot be had.
      if (reply.op === "failed" && ["PRUNED", "BEHIND", "BUSY"].includes(reply.failure.code)) return reply;
      return foreign(request);
    } catch (error) {
      if (!isIoError(error)) throw error;
      return foreign(request);
    }
  }
}

const failed = (failure: ReadFailure): CallFailure => ({ op: "failed", failure });

/** The newest block that an account came with which a call's result depends on; null if it depends on none of them. */
function oldestMet(arrived: readonly Arrival[], { from, to }: CallRequest, result: CallResult): number | null {
  if (arrived.length === 0 || result.status === "missing") return null;
  const oldest = [from, ...(to === null ? [] : [to])].map((account) => oldestOf(arrived, account, 0));
  const touches = "access" in result ? (result.access?.touches ?? NOTHING) : NOTHING;
  for (let at = 0; at < touches.length; at += TOUCH_BYTES) oldest.push(oldestOf(arrived, touches, at + 1));
  const met = oldest.filter((block) => block !== null);
  return met.length === 0 ? null : Math.max(...met);
}

/** Names the first account of a request. */
const foreign = (request: Uint8Array): CallFailure => failed({ code: "FOREIGN", account: request.slice(1, 21) });
