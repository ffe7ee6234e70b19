/** The engine port over a packed boundary; the same code for both builds. */
import type { BlockContext, CallRequest, CallResult, Engine, ExportChunk, OwnedRanges, Proposal } from "@meridian/core";
import { BugError, IoError, PENDING, assert, readU64 } from "@meridian/core";
import type { Boundary } from "./boundary.ts";
import { NOTHING, OP, unpackThree } from "./boundary.ts";
import { Writer } from "./writer.ts";

/** Calls that may wait or run at once; one more is turned away, so that a burst of reads cannot eat the process. */
export const CALLS_MAX = 64;

const CALL = { success: 0, revert: 1, halt: 2, funds: 3, missing: 4, pruned: 5, unknownBlock: 6 } as const;
const READ = { cells: 0, pruned: 1, unknownBlock: 2, notOwned: 3 } as const;

export class PackedEngine implements Engine {
  readonly #boundary: Boundary;
  readonly #handle: number;
  readonly #ownsBoundary: boolean;
  #calls = new Set<Promise<unknown>>();
  #isClosed = false;

  /** @param ownsBoundary  true if nobody else uses the instance, so that closing the engine closes it too */
  constructor(boundary: Boundary, chainId: number, ownsBoundary: boolean) {
    this.#boundary = boundary;
    this.#ownsBoundary = ownsBoundary;
    this.#handle = readU32Of(boundary.perform(OP.open, 0, chainId));
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

  run(transactions: Uint8Array, nonces: Uint8Array): Uint8Array {
    return this.#perform(OP.run, 0, transactions, nonces);
  }

  propose(transactions: Uint8Array, given: Uint8Array): Proposal {
    const [results, writes, missing] = unpackThree(this.#perform(OP.propose, 0, transactions, given));
    return { results, writes, missing };
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
    assert(nonces.length === addresses.length * 2, "nonces of an account that this engine does not own");
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

  #perform(operation: (typeof OP)[keyof typeof OP], number: number, a = NOTHING, b = NOTHING): Uint8Array {
    assert(!this.#isClosed, "the engine is closed");
    return this.#boundary.perform(operation, this.#handle, number, a, b);
  }
}

export function packContext(context: BlockContext): Uint8Array {
  const { number, timestamp, prevrandao, gasLimit } = context;
  return new Writer(56).u64(number).u64(timestamp).bytes(prevrandao).u64(gasLimit).done();
}

function packCall(ticket: Uint8Array, request: CallRequest): Uint8Array {
  const { from, to, data, value, gasLimit, accessList, given } = request;
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
    .done();
}

function unpackCall(answer: Uint8Array): CallResult {
  const number = readU64(answer, 1);
  const bytes = answer.subarray(9);
  switch (answer[0]) {
    case CALL.success:
      return { status: "success", gasUsed: number, output: bytes };
    case CALL.revert:
      return { status: "revert", gasUsed: number, output: bytes };
    case CALL.halt:
      return { status: "halt", gasUsed: number, why: new TextDecoder().decode(bytes) };
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

const readU32Of = (bytes: Uint8Array): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
