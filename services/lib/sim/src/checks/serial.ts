/**
 * The published order is a witness: all transactions, one after another, on one engine that owns everything, give the same
 * results, the same digest after each block, and the same answers to reads.
 */
import {
  CELL,
  HISTORY_ADDRESS,
  NONCE,
  NONCE_BYTES,
  TX,
  UNSEALED_MAX,
  assert,
  cellBytes,
  cellsBehind,
  cellsOfClose,
  cellsOwnedBy,
  hexOf,
  ownedBy,
  evenRangeMap,
  sameBytes,
  txBytes,
  txIndex,
  txNonce,
  writeU32,
  writeU64,
  writtenBlock,
} from "@meridian/core";
import type { CallRequest, CallResult, Engine, EngineModule } from "@meridian/core";
import { check } from "../system/failure.ts";
import type { PublishedBlock, PublishedTransaction } from "./published.ts";

const NOTHING = new Uint8Array(0);
const CHUNK_BYTES = 1 << 20;

/** A call that was answered during the run, at a sealed block. */
export interface SeenCall {
  block: number;
  request: CallRequest;
  result: CallResult;
}

export interface SerialInput {
  module: EngineModule;
  chainId: number;
  genesis: Uint8Array;
  blocks: readonly PublishedBlock[];
  /** Hash and digest of each block, as the archives have them. */
  archived: readonly { hash: Uint8Array; digest: Uint8Array }[];
  seen: readonly SeenCall[];
}

export interface SerialEnd {
  /** The sum of all balances. */
  balances: bigint;
  /** Of all accounts but the history account: what does not depend on when blocks close. */
  digest: Uint8Array;
}

/** @throws CheckFailed at the first difference */
export async function checkSerial(input: SerialInput): Promise<SerialEnd> {
  const engine = input.module.open({ chainId: input.chainId, callsInline: true });
  try {
    engine.setOwned(ownedBy(evenRangeMap(1), 0));
    const next = new Map<string, number>();
    for (const block of input.blocks) {
      runBlock(input, engine, block, next);
      for (const call of input.seen) if (call.block === block.number) await checkCall(engine, call);
    }
    return endOf(input.module, engine, input.blocks.length - 1);
  } finally {
    void engine.close();
  }
}

function runBlock(
  { module, genesis, archived }: SerialInput,
  engine: Engine,
  block: PublishedBlock,
  next: Map<string, number>,
): void {
  const { number, context, transactions, lattices } = block;
  assert(context !== null, `block ${number} has no context`);
  engine.openBlock(context);
  if (number === 0) engine.importCells(genesis);
  for (const transaction of transactions) runOne(engine, transaction, number, next);
  const written = writtenBlock(number);
  engine.applyWrites(cellsOfClose(number, written < 0 ? null : hashAt(archived, written)));
  const lattice = engine.closeBlock();
  const published = module.foldDigest(Buffer.concat(lattices));
  const cells = module.foldDigest(lattice);
  check(sameBytes(cells, 0, published, 0, 32), "state differs from the serial replay", () => `after block ${number}`);
  const kept = archived[number];
  if (kept === undefined) return;
  const hashes = Array.from({ length: Math.min(number, UNSEALED_MAX) }, (_, back) => hashAt(archived, number - 1 - back));
  const behind = module.latticeOf(cellsBehind(number, hashes.toReversed()));
  const digest = module.foldDigest(Buffer.concat([lattice, behind]));
  check(sameBytes(digest, 0, kept.digest, 0, 32), "an archive has another digest", () => `block ${number}`);
  engine.seal(number, kept.hash);
}

function hashAt(archived: SerialInput["archived"], number: number): Uint8Array {
  const hash = archived[number]?.hash;
  assert(hash !== undefined, `no archive has block ${number}`);
  return hash;
}

function runOne(
  engine: Engine,
  { flush, index, record, result }: PublishedTransaction,
  block: number,
  next: Map<string, number>,
): void {
  const sender = hexOf(record, TX.sender, TX.sender + 20);
  const nonce = txNonce(record, 0);
  const where = (): string => `transaction ${hexOf(record, TX.hash, TX.hash + 4)} at ${flush}/${index} in block ${block}`;
  const expected = next.get(sender) ?? 0;
  check(
    nonce === expected,
    "nonces out of order in the published order",
    () => `${where()}: nonce ${nonce}, next is ${expected}`,
  );
  next.set(sender, nonce + 1);
  const rules = { flush, strict: false, barred: NOTHING, missed: NOTHING };
  const { results, misses } = engine.run(record, nonceOf(record), rules);
  check(misses.length === 0, "the serial replay misses", where);
  const isSame = results.length === result.length && sameBytes(results, 0, result, 0, result.length);
  check(
    isSame,
    "a result differs from the serial replay",
    () => `${where()}: published ${describe(result)}, replayed ${describe(results)}`,
  );
}

const describe = (result: Uint8Array): string => hexOf(result, 8, Math.min(result.length, 140));

function nonceOf(record: Uint8Array): Uint8Array {
  const nonce = new Uint8Array(NONCE_BYTES);
  writeU32(nonce, NONCE.index, txIndex(record, 0));
  nonce.set(record.subarray(TX.sender, TX.sender + 20), NONCE.sender);
  writeU64(nonce, NONCE.nonce, txNonce(record, 0));
  nonce.set(record.subarray(TX.hash, TX.hash + 32), NONCE.hash);
  return nonce;
}

async function checkCall(engine: Engine, { block, request, result }: SeenCall): Promise<void> {
  const wanted = await engine.call(block, { ...request, given: NOTHING });
  const text = () => `at block ${block}: answered ${describeCall(result)}, the serial replay gives ${describeCall(wanted)}`;
  check(describeCall(result) === describeCall(wanted), "a call differs from the serial replay", text);
}

function describeCall(result: CallResult): string {
  if (result.status === "success" || result.status === "revert")
    return `${result.status} ${result.gasUsed} ${hexOf(result.output)}`;
  return result.status === "halt" ? `halt ${result.why}` : result.status;
}

/** As of `block`. */
function endOf(module: EngineModule, engine: Engine, block: number): SerialEnd {
  let balances = 0n;
  const lattices: Uint8Array[] = [];
  const last = new Uint8Array(20).fill(255);
  for (let first: Uint8Array | null = new Uint8Array(20); first !== null;) {
    const chunk = engine.exportCells(block, first, last, CHUNK_BYTES);
    for (let at = 0; at < chunk.cells.length; at += cellBytes(chunk.cells, at)) {
      if (chunk.cells[at] === CELL.account) balances += BigInt(`0x${hexOf(chunk.cells, at + 21, at + 53)}`);
    }
    const others = cellsOwnedBy(chunk.cells, (bytes, at) => !sameBytes(bytes, at, HISTORY_ADDRESS, 0, 20));
    lattices.push(module.latticeOf(others));
    first = chunk.next;
  }
  return { balances, digest: module.foldDigest(Buffer.concat(lattices)) };
}

/** Hashes of all published transactions, lower-case hex, in order. */
export const publishedHashes = (blocks: readonly PublishedBlock[]): string[] =>
  blocks.flatMap(({ transactions }) => transactions.map(({ record }) => hexOf(record, TX.hash, TX.hash + 32)));

/** Number of records in a packed buffer, and their hashes. */
export function hashesIn(transactions: Uint8Array): string[] {
  const hashes: string[] = [];
  for (let at = 0; at < transactions.length; at += txBytes(transactions, at)) {
    hashes.push(hexOf(transactions, at + TX.hash, at + TX.hash + 32));
  }
  return hashes;
}
