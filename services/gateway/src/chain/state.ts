/** State as partitions own it: cells and calls, at a closed block or at present. */
import { decodeReadReply, encodeReadRequest, SUBJECT } from "@meridian/bus";
import type { CallRequest, CallResult, PartitionId, ReadFailure, ReadReply, ReadRequest, Wire } from "@meridian/core";
import { assert, CELL, PENDING, readU32, readU64 } from "@meridian/core";
import { hexData } from "../format/hex.ts";
import { limitExceeded, refused } from "../rpc/errors.ts";
import type { RpcError } from "../rpc/errors.ts";
import { ask } from "./ask.ts";
import type { AskOptions } from "./ask.ts";
import type { ChainView } from "./view.ts";

/** A value, or why it cannot be read, ready for the client; `oldest`: the first block it could be read at, if that is why. */
export type Read<T> = { value: T } | { error: RpcError; oldest?: number };

export interface State {
  ownerOf(address: Uint8Array): PartitionId;
  /** Packed cells for a packed read request (core, cells.ts) of accounts that one partition owns. */
  cells(partition: PartitionId, block: number, request: Uint8Array): Promise<Read<Uint8Array>>;
  balance(address: Uint8Array, block: number): Promise<Read<Uint8Array>>;
  nonce(address: Uint8Array, block: number): Promise<Read<number>>;
  code(address: Uint8Array, block: number): Promise<Read<Uint8Array>>;
  slot(address: Uint8Array, slot: Uint8Array, block: number): Promise<Read<Uint8Array>>;
  /** Runs on the partition that owns the callee, or the sender of a call that creates. */
  call(call: CallRequest, block: number): Promise<Read<CallResult>>;
  /** The gas a call needs, or how the call itself fails. */
  estimate(call: CallRequest, block: number): Promise<Read<{ gas: number } | { fails: CallResult }>>;
}

export function stateReader(wire: Wire, view: ChainView, options: AskOptions): State {
  const ownerOf = (address: Uint8Array): PartitionId => view.ranges().ownerOf(address, 0);
  /** A read of the present waits for everything that was acknowledged; one of a closed block needs only that block. */
  const atN = (partition: PartitionId, block: number): number => (block === PENDING ? view.position(partition) : 0);
  const read = async (partition: PartitionId, request: ReadRequest): Promise<ReadReply> =>
    decodeReadReply(await ask(wire, SUBJECT.read(partition), encodeReadRequest(request), options));

  const cells: State["cells"] = async (partition, block, request) => {
    const reply = await read(partition, { op: "cells", block, atN: atN(partition, block), request });
    return cellsOf(reply, partition, block);
  };
  /** Asks the owner of an account; if that says that it is not, the account has moved: its new owner, once that is known here. */
  const askOwner = async (
    account: Uint8Array,
    block: number,
    requestOf: (atN: number) => ReadRequest,
  ): Promise<{ partition: PartitionId; reply: ReadReply }> => {
    const deadlineAt = performance.now() + options.absentMsMax;
    for (;;) {
      const { version } = view.ranges().map;
      const partition = ownerOf(account);
      const reply = await read(partition, requestOf(atN(partition, block)));
      const hasMoved = reply.op === "failed" && reply.failure.code === "FOREIGN" && isSame(reply.failure.account, account);
      if (!hasMoved || !(await view.newerRanges(version, deadlineAt))) return { partition, reply };
    }
  };
  const cell = async (address: Uint8Array, block: number, request: Uint8Array): Promise<Read<Uint8Array>> => {
    const { partition, reply } = await askOwner(address, block, (atN) => ({ op: "cells", block, atN, request }));
    return cellsOf(reply, partition, block);
  };

  return {
    ownerOf,
    cells,
    balance: async (address, block) => {
      const read = await cell(address, block, cellKey(CELL.account, address));
      return "error" in read ? read : { value: read.value.subarray(21, 53) };
    },
    nonce: async (address, block) => {
      const read = await cell(address, block, cellKey(CELL.nonce, address));
      return "error" in read ? read : { value: readU64(read.value, 21) };
    },
    code: async (address, block) => {
      const read = await cell(address, block, cellKey(CELL.code, address));
      return "error" in read ? read : { value: read.value.subarray(25, 25 + readU32(read.value, 21)) };
    },
    slot: async (address, slot, block) => {
      const read = await cell(address, block, cellKey(CELL.slot, address, slot));
      return "error" in read ? read : { value: read.value.subarray(53, 85) };
    },
    call: async (call, block) => {
      const { partition, reply } = await askOwner(call.to ?? call.from, block, (atN) => ({ op: "call", block, atN, call }));
      if (reply.op === "failed") return readFailure(reply.failure, partition, block);
      assert(reply.op === "call", `partition ${partition} answered a call with ${reply.op}`);
      return { value: reply.result };
    },
    estimate: async (call, block) => {
      const { partition, reply } = await askOwner(call.to ?? call.from, block, (atN) => ({ op: "estimate", block, atN, call }));
      if (reply.op === "estimate") return { value: { gas: reply.gas } };
      assert(reply.op === "failed", `partition ${partition} answered an estimate with ${reply.op}`);
      if (reply.failure.code === "CALL") return { value: { fails: reply.failure.result } };
      return readFailure(reply.failure, partition, block);
    },
  };
}

function cellsOf(reply: ReadReply, partition: PartitionId, block: number): Read<Uint8Array> {
  if (reply.op === "failed") return readFailure(reply.failure, partition, block);
  assert(reply.op === "cells", `partition ${partition} answered cells with ${reply.op}`);
  return { value: reply.cells };
}

const isSame = (left: Uint8Array, right: Uint8Array): boolean => Buffer.compare(left, right) === 0;

/** A read request for one cell. */
export function cellKey(kind: number, address: Uint8Array, slot?: Uint8Array): Uint8Array {
  const key = new Uint8Array(slot === undefined ? 21 : 53);
  key[0] = kind;
  key.set(address, 1);
  if (slot !== undefined) key.set(slot, 21);
  return key;
}

function readFailure(failure: ReadFailure, partition: PartitionId, block: number): { error: RpcError; oldest?: number } {
  const error = readError(failure, partition, block);
  return failure.code === "PRUNED" ? { error, oldest: failure.oldest } : { error };
}

function readError(failure: ReadFailure, partition: PartitionId, block: number): RpcError {
  switch (failure.code) {
    case "PRUNED":
      return prunedState(block, failure.oldest);
    case "BEHIND":
      return refused(`partition ${partition} has not reached ${blockName(block)} yet, it is at ${failure.newest}: ask again`);
    case "BUSY":
      return limitExceeded(`partition ${partition} has ${failure.limit} reads waiting: ask again later`);
    case "STOPPED":
      return refused(`partition ${partition} has stopped: ${failure.text}`);
    case "FOREIGN":
      return refused(
        `account ${hexData(failure.account)} of another partition could not be read from partition ${partition}: ask again`,
      );
    case "RESOLVED":
    case "CALL":
      assert(false, `partition ${partition} answered a read with ${failure.code}`);
  }
}

/** geth's words when a state is gone begin with "missing trie node"; here the oldest that is kept is named instead. */
export const prunedState = (block: number, oldest: number): RpcError =>
  refused(`state of ${blockName(block)} is not kept any more, the oldest is of block ${oldest}`);

const blockName = (block: number): string => (block === PENDING ? "the present" : `block ${block}`);
