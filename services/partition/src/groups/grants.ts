/**
 * Cells of other partitions for a group: asked for until they are there or the group has come to an end.
 *
 * C1. Locked accounts are granted by their owner once it holds the group's locks; only code that stood at the last block
 *     boundary is read without them.
 * C2. A request that fails is made again as long as the group is open here; an owner that has read the group's end says so, and
 *     then this home will read it too.
 */
import { SUBJECT, decodeReadReply, encodeReadRequest } from "@meridian/bus";
import {
  CELL,
  DECLARED_BYTES,
  MODE,
  PENDING,
  answers,
  assert,
  cellBytes,
  concatBytes,
  hexOf,
  isIoError,
  keyBytes,
  requestByOwner,
} from "@meridian/core";
import type { Clock, Headers, PartitionId, PartitionState, Position, ReadRequest, Wire } from "@meridian/core";
import { wait } from "@meridian/process";
import type { ActorLimits } from "../ports.ts";

export interface GrantPorts {
  wire: Wire;
  clock: Clock;
}

/** Whose cells are asked for. */
export interface GrantGroup {
  position: Position;
  /** Packed (u8 mode, b20 address)*. */
  accounts: Uint8Array;
}

interface Question {
  owner: PartitionId;
  keys: Uint8Array;
  request: ReadRequest;
}

export class Grants {
  readonly #ports: GrantPorts;
  readonly #state: PartitionState;
  readonly #limits: ActorLimits;
  readonly #group: GrantGroup;
  /** Hex of the accounts in mode `code`. */
  readonly #codes: ReadonlySet<string>;
  /** Those that have granted: they hold the group's locks. */
  readonly #granted = new Set<PartitionId>();

  constructor(ports: GrantPorts, state: PartitionState, limits: ActorLimits, group: GrantGroup) {
    this.#ports = ports;
    this.#state = state;
    this.#limits = limits;
    this.#group = group;
    this.#codes = codesOf(group.accounts);
  }

  /**
   * @param missing well-formed read request of accounts that others own
   * @param ended   aborts when the group is resolved, and is aborted here when an owner says that it is
   * @returns packed cells; null if the group ended first
   */
  async fetch(missing: Uint8Array, headers: Headers, ended: AbortController): Promise<Uint8Array | null> {
    const fetched = await Promise.all(this.#questions(missing).map((question) => this.#ask(question, headers, ended)));
    const cells = fetched.filter((part) => part !== null);
    return cells.length === fetched.length && !ended.signal.aborted ? concatBytes(cells) : null;
  }

  /** Read request of written accounts whose owners have not granted anything yet. */
  ungranted(writes: Uint8Array): Uint8Array {
    const { owners, partition } = this.#state;
    assert(owners !== null, "a group runs before genesis");
    const keys: Uint8Array[] = [];
    for (let at = 0; at < writes.length; at += cellBytes(writes, at)) {
      const owner = owners.ownerOf(writes, at + 1);
      if (owner === partition || this.#granted.has(owner)) continue;
      const key = writes.slice(at, at + ACCOUNT_KEY_BYTES);
      key[0] = CELL.account;
      keys.push(key);
    }
    return concatBytes(keys);
  }

  #questions(missing: Uint8Array): Question[] {
    const { owners, partition } = this.#state;
    assert(owners !== null, "a group runs before genesis");
    const { locked, codes } = this.#split(missing);
    const { givenCodesMax, cellsMax } = this.#limits;
    const group = this.#group.position;
    const questions: Question[] = [];
    const add = (request: Uint8Array, of: (keys: Uint8Array) => ReadRequest): void => {
      for (const [owner, all] of requestByOwner(request, (bytes, at) => owners.ownerOf(bytes, at), givenCodesMax)) {
        assert(owner !== partition, "an own cell is missing in a group");
        for (const keys of cutRequest(all, cellsMax)) questions.push({ owner, keys, request: of(keys) });
      }
    };
    add(locked, (request) => ({ op: "grant", group, request }));
    // No queue orders a look at code: only what stood at the last block boundary counts, for all positions of the open block.
    const block = this.#state.rules.codeIsOld ? this.#state.closedBlock : PENDING; // Rule codeIsOld
    add(codes, (request) => ({ op: "cells", block, atN: 0, request }));
    return questions;
  }

  /** What needs the locks, and what stands in mode `code`. */
  #split(missing: Uint8Array): { locked: Uint8Array; codes: Uint8Array } {
    if (this.#codes.size === 0) return { locked: missing, codes: NOTHING };
    const locked: Uint8Array[] = [];
    const codes: Uint8Array[] = [];
    for (let at = 0; at < missing.length;) {
      const end = at + keyLength(missing, at);
      const list = this.#codes.has(hexOf(missing, at + 1, at + 21)) ? codes : locked;
      list.push(missing.subarray(at, end));
      at = end;
    }
    return { locked: concatBytes(locked), codes: concatBytes(codes) };
  }

  async #ask({ owner, keys, request }: Question, headers: Headers, ended: AbortController): Promise<Uint8Array | null> {
    const { wire, clock } = this.#ports;
    const { grantMs, grantPauseMsMin, grantPauseMsMax } = this.#limits;
    const payload = encodeReadRequest(request);
    for (let pauseMs = grantPauseMsMin; !ended.signal.aborted; pauseMs = Math.min(pauseMs * 2, grantPauseMsMax)) {
      try {
        const reply = decodeReadReply(await wire.request(SUBJECT.read(owner), payload, { timeoutMs: grantMs, headers }));
        if ((reply.op === "grant" || reply.op === "cells") && answers(reply.cells, keys)) {
          if (reply.op === "grant") this.#granted.add(owner);
          return reply.cells;
        }
        if (reply.op === "failed" && reply.failure.code === "RESOLVED") {
          ended.abort();
          return null;
        }
        // An owner that is behind has waited already: it is asked again at once.
        if (reply.op === "failed" && reply.failure.code === "BEHIND") pauseMs = grantPauseMsMin;
      } catch (error) {
        if (!isIoError(error)) throw error; // Silent, starting, gone: whether to go on waiting is the scheduler's to decide.
      }
      await wait(clock, pauseMs, ended.signal);
    }
    return null;
  }
}

const NOTHING = new Uint8Array(0);
const ACCOUNT_KEY_BYTES = 21;

function codesOf(accounts: Uint8Array): Set<string> {
  const codes = new Set<string>();
  for (let at = 0; at < accounts.length; at += DECLARED_BYTES) {
    if (accounts[at] === MODE.code) codes.add(hexOf(accounts, at + 1, at + DECLARED_BYTES));
  }
  return codes;
}

function keyLength(request: Uint8Array, at: number): number {
  const length = keyBytes(request, at);
  assert(length > 0, `read request is malformed at ${at}`);
  return length;
}

/** Pieces of at most `keysMax` keys, as views: no partition answers more at once. */
function cutRequest(request: Uint8Array, keysMax: number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let start = 0;
  for (let at = 0, keys = 0; at < request.length;) {
    at += keyLength(request, at);
    if (++keys < keysMax && at < request.length) continue;
    pieces.push(request.subarray(start, at));
    [start, keys] = [at, 0];
  }
  return pieces;
}
