/** An engine with genesis cells and an open block 1, and the words that the tests use about it. */
import type { CallRequest, CallResult, Engine, EngineModule } from "@meridian/core";
import { CELL, PENDING, concatBytes, resultBytes, resultGasUsed, resultOutput, resultReason, resultStatus } from "@meridian/core";
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

/** Runs signed transactions with their nonce records. */
export function run({ module, engine }: Opened, sent: Sent[], hasNonces = true): Uint8Array {
  const transactions = chain.records(
    module,
    sent.map(({ from, tx }) => chain.sign(tx, from)),
  );
  return engine.run(transactions, hasNonces ? chain.nonceRecords(transactions) : new Uint8Array(0));
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
    case "funds":
      return "funds";
  }
}
