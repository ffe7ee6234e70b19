/** An engine with genesis cells and an open block 1, and the words that the tests use about it. */
import type { CallRequest, CallResult, Engine, EngineModule, RunResult } from "@meridian/core";
import {
  CELL,
  MODE,
  PENDING,
  TX,
  WHY,
  assert,
  concatBytes,
  readU16,
  resultBytes,
  resultGasUsed,
  resultIndex,
  resultOutput,
  resultReason,
  resultStatus,
  touchAccounts,
  touchBytes,
  touchCount,
  touchIndex,
  touchValue,
  touchWhy,
  txRaw,
  writeU16,
  writeU32,
  writeU64,
} from "@meridian/core";
import { loadEngine } from "../src/load.ts";
import { hasNative } from "../src/native.ts";
import * as chain from "./chain.ts";

/** Both builds if the addon is built, else WebAssembly alone: rows of the tests, never a skipped one. */
export const BUILDS: [build: string, module: EngineModule][] = (
  hasNative() ? (["native", "wasm"] as const) : (["wasm"] as const)
).map((build) => [build, loadEngine(build)]);

export interface Opened {
  module: EngineModule;
  engine: Engine;
}

/** Genesis stands in block 0; block 1 is open. */
export function open(module: EngineModule, genesis: Uint8Array[], owned = chain.EVERYTHING): Opened {
  const engine = module.open({ chainId: chain.CHAIN_ID });
  engine.setOwned(owned);
  engine.openBlock(chain.context(0));
  engine.importCells(concatBytes(genesis));
  engine.closeBlock();
  engine.seal(0, new Uint8Array(32).fill(0xb0));
  engine.openBlock(chain.context(1));
  return { module, engine };
}

/** Owns everything but the given addresses. */
export const without = (...addresses: Uint8Array[]): typeof chain.EVERYTHING => ({
  ...chain.EVERYTHING,
  pinsOut: addresses as never[],
});

export interface Sent {
  from: chain.Key;
  tx: chain.TxFields;
}

/** Records of signed transactions. */
export const recordsOf = ({ module }: Opened, sent: Sent[]): Uint8Array =>
  chain.records(
    module,
    sent.map(({ from, tx }) => chain.sign(tx, from)),
  );

const declaredBytes = (declared: readonly string[]): Uint8Array =>
  concatBytes(
    declared
      .map((entry) => {
        const [mode, address] = entry.split(" ");
        return concatBytes([Uint8Array.of(MODE_NAMES.indexOf(mode!)), chain.bytes(address!)]);
      })
      .sort((left, right) => Buffer.compare(left.subarray(1), right.subarray(1))),
  );

/** "mode address" packed as in a declared set. */
export const packModes = declaredBytes;

/** One record with another declared set ("mode address"), and with the position of the one before it. */
export function declaring(
  record: Uint8Array,
  declared: readonly string[],
  after: [flush: number, index: number] = [0, 0],
): Uint8Array {
  const set = declaredBytes(declared);
  const changed = concatBytes([record.subarray(0, TX.declaredSet), set, txRaw(record, 0)]);
  writeU32(changed, TX.bytes, changed.length);
  writeU16(changed, TX.declared, declared.length);
  writeU32(changed, TX.rawOffset, TX.declaredSet + set.length);
  writeU64(changed, TX.afterFlush, after[0]);
  writeU32(changed, TX.afterIndex, after[1]);
  return changed;
}

/** Runs signed transactions with their nonce records; the results of those that came to an end. */
export function run(opened: Opened, sent: Sent[], hasNonces = true): Uint8Array {
  const transactions = recordsOf(opened, sent);
  return opened.engine.run(transactions, hasNonces ? chain.nonceRecords(transactions) : NONE, chain.FREE_RUN).results;
}

const NONE: Uint8Array = new Uint8Array(0);
const WHY_NAMES = Object.keys(WHY);
const MODE_NAMES = Object.keys(MODE);

export interface TouchFacts {
  index: number;
  why: string;
  value: number;
  /** "mode address", in the record's order. */
  touched: string[];
}

/** (u8 mode, b20 address)* in words. */
export const modesOf = (packed: Uint8Array): string[] =>
  Array.from({ length: packed.length / 21 }, (_, number) => {
    const entry = packed.subarray(number * 21, number * 21 + 21);
    return `${MODE_NAMES[entry[0]!]} ${chain.hex(entry.subarray(1))}`;
  });

/** An EIP-2930 list in words: "address slot,slot". */
export function accessListOf(packed: Uint8Array): string[] {
  const list: string[] = [];
  for (let at = 0; at < packed.length;) {
    const count = readU16(packed, at + 20);
    const slots = Array.from({ length: count }, (_, number) => packed.subarray(at + 22 + 32 * number, at + 54 + 32 * number));
    list.push(`${chain.hex(packed.subarray(at, at + 20))} ${slots.map(numberOf).join(",")}`);
    at += 22 + 32 * count;
  }
  return list;
}

export function touchesOf(touches: Uint8Array): TouchFacts[] {
  const facts: TouchFacts[] = [];
  for (let at = 0; at < touches.length; at += touchBytes(touches, at)) {
    const touched = modesOf(touchAccounts(touches, at));
    assert(touched.length === touchCount(touches, at), "a touch record counts its accounts");
    const why = WHY_NAMES[touchWhy(touches, at)]!;
    facts.push({ index: touchIndex(touches, at), why, value: touchValue(touches, at), touched });
  }
  return facts;
}

export type Outcome = Partial<ResultFacts & TouchFacts>;

/** What became of each transaction, results and misses in one list. */
export function outcomesOf({ results, misses }: RunResult): Outcome[] {
  const ended = resultsOf(results).map((facts) => ({ ...facts, index: resultIndex(results, facts.at) }));
  return [...ended, ...touchesOf(misses)].sort((left, right) => left.index - right.index);
}

/** Closes the open block, seals it and opens the next. */
export function nextBlock({ module, engine }: Opened, number: number): Uint8Array {
  const lattice = engine.closeBlock();
  engine.seal(number, module.keccak256(chain.number64(number)));
  engine.openBlock(chain.context(number + 1));
  return lattice;
}

export interface ResultFacts {
  status: number;
  reason: number;
  gasUsed: number;
  output: string;
}

export function resultsOf(results: Uint8Array): (ResultFacts & { at: number })[] {
  const facts: (ResultFacts & { at: number })[] = [];
  for (let at = 0; at < results.length; at += resultBytes(results, at)) {
    const output = chain.hex(resultOutput(results, at));
    facts.push({
      at,
      status: resultStatus(results, at),
      reason: resultReason(results, at),
      gasUsed: resultGasUsed(results, at),
      output,
    });
  }
  return facts;
}

export const accountKey = (address: Uint8Array): Uint8Array => concatBytes([Uint8Array.of(CELL.account), address]);
export const nonceKey = (address: Uint8Array): Uint8Array => concatBytes([Uint8Array.of(CELL.nonce), address]);
export const codeKey = (address: Uint8Array): Uint8Array => concatBytes([Uint8Array.of(CELL.code), address]);
export const slotKey = (address: Uint8Array, slot: number): Uint8Array =>
  concatBytes([Uint8Array.of(CELL.slot), address, chain.word(slot)]);

const numberOf = (bytes: Uint8Array): bigint => BigInt(`0x${chain.hex(bytes)}`);

function cells(engine: Engine, block: number, request: Uint8Array): Uint8Array {
  const answer = engine.read(block, request);
  return "cells" in answer ? answer.cells : new Uint8Array(0);
}

export const balance = (engine: Engine, address: Uint8Array, block = PENDING): bigint =>
  numberOf(cells(engine, block, accountKey(address)).subarray(21, 53));
export const slot = (engine: Engine, address: Uint8Array, number: number, block = PENDING): bigint =>
  numberOf(cells(engine, block, slotKey(address, number)).subarray(53, 85));
export const nonce = (engine: Engine, address: Uint8Array, block = PENDING): number =>
  cells(engine, block, nonceKey(address))[21]!;

export const callOf = (
  to: Uint8Array | null,
  data: Uint8Array = new Uint8Array(0),
  more: Partial<CallRequest> = {},
): CallRequest => ({
  from: new Uint8Array(20).fill(0x77),
  to,
  data,
  value: new Uint8Array(32),
  gasLimit: 1_000_000,
  accessList: new Uint8Array(0),
  given: new Uint8Array(0),
  traced: false,
  ...more,
});

/** A call's outcome in one line. */
export function said(result: CallResult): string {
  switch (result.status) {
    case "success":
    case "revert":
      return `${result.status} ${chain.hex(result.output)}`;
    case "halt":
      return `halt ${result.why}`;
    case "missing":
      return `missing ${chain.hex(result.cells)}`;
    case "pruned":
      return `pruned ${result.oldest}`;
    case "unknownBlock":
      return `unknown ${result.newest}`;
    case "unsealed":
      return `unsealed ${result.block}`;
    case "funds":
      return "funds";
  }
}
