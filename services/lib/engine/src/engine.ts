/** The engine port over a packed boundary; the same code for both builds. */
import type {
  BlockContext,
  CallAccess,
  CallRequest,
  CallResult,
  Engine,
  EngineOptions,
  ExportChunk,
  OwnedRanges,
  Proposal,
  ProposalRules,
  RunResult,
  RunRules,
} from "@meridian/core";
import { BugError, IoError, NONCE_STATE_BYTES, PENDING, assert, readU32, readU64 } from "@meridian/core";
import type { Boundary } from "./boundary.ts";
import { NOTHING, OP, partsOf } from "./boundary.ts";
import { Writer } from "./writer.ts";

/** Calls that may wait or run at once; one more is turned away, so that a burst of reads cannot eat the process. */
export const CALLS_MAX = 64;

const CALL = { success: 0, revert: 1, halt: 2, funds: 3, missing: 4, pruned: 5, unknownBlock: 6, unsealed: 7 } as const;
const READ = { cells: 0, pruned: 1, unknownBlock: 2, notOwned: 3 } as const;

export class PackedEngine implements Engine {
  readonly #boundary: Boundary;
  readonly #handle: number;
  readonly #ownsBoundary: boolean;
  readonly #callsInline: boolean;
  #calls = new Set<Promise<unknown>>();
  #isClosed = false;

  /** @param ownsBoundary  true if nobody else uses the instance, so that closing the engine closes it too */
  constructor(boundary: Boundary, options: EngineOptions, ownsBoundary: boolean) {
    this.#boundary = boundary;
    this.#ownsBoundary = ownsBoundary;
    this.#callsInline = options.callsInline === true;
    this.#handle = readU32(boundary.perform(OP.open, 0, options.chainId), 0);
  }

  setOwned(owned: OwnedRanges): void {
    const { ranges, pinsIn, pinsOut } = owned;
    const writer = new Writer(12 + ranges.length * 40 + (pinsIn.length + pinsOut.length) * 20).u32(ranges.length);
    for (const { first, last } of ranges) writer.bytes(first).bytes(last);
    for (const pins of [pinsIn, pinsOut]) {
      writer.u32(pins.length);
      for (const pin of pins) writer.bytes(pin);
    }
    this.#perform(OP.setOwned, 0, writer.done());
  }

  importCells(cells: Uint8Array): void {
    this.#perform(OP.import, 0, cells);
  }

  exportCells(block: number, first: Uint8Array, last: Uint8Array, bytesMax: number): ExportChunk {
    const answer = this.#perform(OP.export, block, new Writer(44).bytes(first).bytes(last).u32(bytesMax).done());
    return { cells: answer.subarray(21), next: answer[0] === 1 ? answer.subarray(1, 21) : null };
  }

  dropRange(first: Uint8Array, last: Uint8Array): void {
    this.#perform(OP.dropRange, 0, new Writer(40).bytes(first).bytes(last).done());
  }

  openBlock(context: BlockContext): void {
    this.#perform(OP.openBlock, 0, packContext(context));
  }

  run(transactions: Uint8Array, nonces: Uint8Array, rules: RunRules): RunResult {
    const { flush, strict, barred, missed } = rules;
    const packed = packRules(flush, strict, barred, missed);
    const answer = this.#perform(OP.run, 0, transactions, nonces, packed);
    const end = 4 + readU32(answer, 0);
    return { results: answer.subarray(4, end), misses: answer.subarray(end) };
  }

  propose(transactions: Uint8Array, given: Uint8Array, rules: ProposalRules): Proposal {
    const { flush, whole, allowed, missed } = rules;
    const packed = packRules(flush, whole, allowed, missed);
    const next = partsOf(this.#perform(OP.propose, 0, transactions, given, packed));
    return { results: next(), touches: next(), writes: next(), missing: next() };
  }

  /** @throws BugError if an account of the request is not owned: the caller asks the wrong partition */
  grant(request: Uint8Array): Uint8Array {
    const answer = this.#perform(OP.grant, 0, request);
    assert(answer[0] === 1, "grant of an account that this engine does not own");
    return answer.subarray(1);
  }

  applyWrites(writes: Uint8Array): void {
    this.#perform(OP.applyWrites, 0, writes);
  }

  closeBlock(): Uint8Array {
    return this.#perform(OP.closeBlock, 0);
  }

  seal(number: number, hash: Uint8Array): void {
    this.#perform(OP.seal, number, hash);
  }

  /** @throws BugError if an account is not owned: it must not read as new */
  nonces(addresses: Uint8Array): Uint8Array {
    const nonces = this.#perform(OP.nonces, 0, addresses);
    assert(nonces.length * 20 === addresses.length * NONCE_STATE_BYTES, "nonces of an account that this engine does not own");
    return nonces;
  }

  /** @throws BugError if an account of the request is neither owned nor here: the caller asks the wrong partition */
  read(block: number, request: Uint8Array): { cells: Uint8Array } | { pruned: number } | { unknownBlock: number } {
    const answer = this.#perform(OP.read, block === PENDING ? -1 : block, request);
    switch (answer[0]) {
      case READ.cells:
        return { cells: answer.subarray(9) };
      case READ.pruned:
        return { pruned: readU64(answer, 1) };
      case READ.unknownBlock:
        return { unknownBlock: readU64(answer, 1) };
      default:
        throw new BugError("bug: read of an account that this engine does not own");
    }
  }

  /** @throws IoError CALLS_MAX (retry later) when too many calls wait already */
  async call(block: number, request: CallRequest): Promise<CallResult> {
    if (this.#callsInline) return this.#callInline(block, request);
    if (this.#calls.size >= CALLS_MAX) throw new IoError({ code: "CALLS_MAX", max: CALLS_MAX }, "later");
    // The version is pinned now, on the engine's thread: what is run after this does not show.
    const begun = this.#perform(OP.callBegin, block === PENDING ? -1 : block);
    if (begun[0] === 1) return unpackCall(begun.subarray(1));
    const running = this.#boundary.performBeside(OP.callRun, this.#handle, packCall(begun.subarray(1), request));
    this.#calls.add(running);
    try {
      return unpackCall(await running);
    } finally {
      this.#calls.delete(running);
    }
  }

  #callInline(block: number, request: CallRequest): CallResult {
    const begun = this.#perform(OP.callBegin, block === PENDING ? -1 : block);
    if (begun[0] === 1) return unpackCall(begun.subarray(1));
    return unpackCall(this.#perform(OP.callRun, 0, packCall(begun.subarray(1), request)));
  }

  memory(): { bytes: number; accounts: number; slots: number } {
    const answer = this.#perform(OP.memory, 0);
    return { bytes: readU64(answer, 0), accounts: readU64(answer, 8), slots: readU64(answer, 16) };
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await Promise.allSettled(this.#calls);
    // An instance of its own goes as a whole, even after a bug; a shared one frees this engine's state.
    if (this.#ownsBoundary) await this.#boundary.close();
    else this.#boundary.perform(OP.close, this.#handle, 0);
  }

  #perform(operation: (typeof OP)[keyof typeof OP], number: number, a = NOTHING, b = NOTHING, c = NOTHING): Uint8Array {
    assert(!this.#isClosed, "the engine is closed");
    return this.#boundary.perform(operation, this.#handle, number, a, b, c);
  }
}

export function packContext(context: BlockContext): Uint8Array {
  const { number, timestamp, prevrandao, gasLimit } = context;
  return new Writer(56).u64(number).u64(timestamp).bytes(prevrandao).u64(gasLimit).done();
}

/** (u64 flush, u8 flag, u32 length, accounts, missed): of a run or of a proposal. */
function packRules(flush: number, flag: boolean, accounts: Uint8Array, missed: Uint8Array): Uint8Array {
  const writer = new Writer(13 + accounts.length + missed.length);
  return writer
    .u64(flush)
    .u8(flag ? 1 : 0)
    .part(accounts)
    .bytes(missed)
    .done();
}

function packCall(ticket: Uint8Array, request: CallRequest): Uint8Array {
  const { from, to, data, value, gasLimit, accessList, given, traced } = request;
  return new Writer(256 + data.length + accessList.length + given.length)
    .bytes(ticket)
    .bytes(from)
    .u8(to === null ? 0 : 1)
    .bytes(to ?? new Uint8Array(20))
    .bytes(value)
    .u64(gasLimit)
    .part(data)
    .part(accessList)
    .part(given)
    .u8(traced ? 1 : 0)
    .done();
}

function unpackCall(answer: Uint8Array): CallResult {
  const number = readU64(answer, 1);
  const bytes = answer.subarray(9);
  switch (answer[0]) {
    case CALL.success:
      return { status: "success", gasUsed: number, ...unpackExecuted(bytes) };
    case CALL.revert:
      return { status: "revert", gasUsed: number, ...unpackExecuted(bytes) };
    case CALL.halt: {
      const { output, access } = unpackExecuted(bytes);
      return { status: "halt", gasUsed: number, why: new TextDecoder().decode(output), access };
    }
    case CALL.unsealed:
      return { status: "unsealed", block: number };
    case CALL.funds:
      return { status: "funds" };
    case CALL.missing:
      return { status: "missing", cells: bytes };
    case CALL.pruned:
      return { status: "pruned", oldest: number };
    case CALL.unknownBlock:
      return { status: "unknownBlock", newest: number };
    default:
      throw new BugError(`bug: unknown status ${answer[0]} of a call`);
  }
}

/** u32 length, output; of a traced call then u32 length, access list and the touched accounts. */
function unpackExecuted(bytes: Uint8Array): { output: Uint8Array; access: CallAccess | null } {
  const end = 4 + readU32(bytes, 0);
  const output = bytes.subarray(4, end);
  if (end === bytes.length) return { output, access: null };
  const listEnd = end + 4 + readU32(bytes, end);
  return { output, access: { accessList: bytes.subarray(end + 4, listEnd), touches: bytes.subarray(listEnd) } };
}
