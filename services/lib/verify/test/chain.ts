/** A small published chain, made by the real engine on two partitions; tests plant errors in it. */
import { RLP } from "@ethereumjs/rlp";
import { createFeeMarket1559Tx, createLegacyTx } from "@ethereumjs/tx";
import { bigIntToUnpaddedBytes, generateAddress, privateToAddress } from "@ethereumjs/util";
import {
  CELL,
  type BlockContext,
  type Engine,
  NONCE,
  NONCE_BYTES,
  TX,
  TX_TYPE_CALL,
  assert,
  bytesOfHex,
  cellsBehind,
  cellsOfClose,
  cellsOwnedBy,
  concatBytes,
  evenRangeMap,
  hexOf,
  indexRanges,
  ownedBy,
  setTxIndex,
  txBytes,
  txNonce,
  txOffsets,
  withHistoryAccount,
  writeU32,
  writeU64,
  writtenBlock,
} from "@meridian/core";
import { loadEngine } from "@meridian/engine";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { chainRules } from "../src/replay.ts";
import type { ChainSource, PublishedBlock, PublishedSnapshot } from "../src/source.ts";

export const CHAIN_ID = 4242;
const GAS_LIMIT = 500_000;
const PARTITIONS = 2;
const MAP = evenRangeMap(PARTITIONS);
const LIMITS = { chainId: CHAIN_ID, gasLimitMax: 16_777_216, transactionBytesMax: 131_072 };
const ROUNDS_MAX = 32;
const NOTHING = new Uint8Array(0);
const ETH = 10n ** 18n;

export interface Key {
  secret: Uint8Array;
  address: Uint8Array;
  nonce: number;
}

/** Keys whose accounts the given partition owns. */
export function keysOn(partition: number, count: number): Key[] {
  const ranges = indexRanges(MAP);
  const keys: Key[] = [];
  for (let number = 0; keys.length < count; number++) {
    const secret = keccak_256(new TextEncoder().encode(`verify key ${number}`));
    const address = privateToAddress(secret);
    if (ranges.ownerOf(address, 0) === partition) keys.push({ secret, address, nonce: 0 });
  }
  return keys;
}

export interface Call {
  from: Key;
  to?: Uint8Array;
  data?: Uint8Array;
  value?: bigint;
  legacy?: boolean;
}

/** Calls of `from` under one signature. */
export interface Batch {
  from: Key;
  calls: Omit<Call, "from" | "legacy">[];
}

/** Code that returns `runtime` (hex) when it is deployed. */
export function initCode(runtime: string): Uint8Array {
  const length = (runtime.length / 2).toString(16).padStart(4, "0");
  return bytesOfHex(`61${length}80600c6000396000f3${runtime}`);
}

/** The address of the contract that `from` creates with its next transaction. */
export const nextCreated = (from: Key): Uint8Array => generateAddress(from.address, bigIntToUnpaddedBytes(BigInt(from.nonce)));

/** Runs calls block by block on the engine, as partitions and archive would. */
export class TestChain implements ChainSource {
  readonly blocks: PublishedBlock[] = [];
  readonly #module = loadEngine();
  readonly #engines = Array.from({ length: PARTITIONS }, () => this.#module.open({ chainId: CHAIN_ID }));
  readonly #ranges = indexRanges(MAP);
  readonly #cells: Uint8Array;
  #parent: Uint8Array = new Uint8Array(32);
  readonly #hashes: Uint8Array[] = [];

  constructor(funded: Key[]) {
    const sorted = funded.toSorted((left, right) => Buffer.compare(left.address, right.address));
    this.#cells = withHistoryAccount(concatBytes(sorted.map(({ address }) => accountCell(address, 10n * ETH))));
    for (const [partition, engine] of this.#engines.entries()) {
      engine.setOwned(ownedBy(MAP, partition));
      engine.importCells(cellsOwnedBy(this.#cells, (bytes, at) => this.#ranges.ownerOf(bytes, at) === partition));
    }
    this.addBlock([]);
  }

  /** Transactions that ran over both partitions. */
  crossed = 0;
  addBlock(calls: (Call | Batch)[]): void {
    const number = this.blocks.length;
    const context = { number, timestamp: 1_800_000_000 + number, prevrandao: keccak_256(Uint8Array.of(number)), gasLimit: 1e9 };
    for (const engine of this.#engines) {
      if (number > 0) engine.seal(number - 1, this.#parent);
      engine.openBlock(context);
    }
    const records = this.#records(calls);
    const results = this.#run(records);
    this.#close(context, records, results);
  }

  genesis() {
    return Promise.resolve({ chainId: CHAIN_ID, cells: this.#cells, genesisHash: sha256(this.#cells) });
  }
  rangeMap() {
    return Promise.resolve(MAP);
  }
  latest() {
    return Promise.resolve(this.blocks.length - 1);
  }
  block(number: number) {
    return Promise.resolve(this.blocks[number]);
  }
  snapshot(atMost: number): Promise<PublishedSnapshot[]> {
    const parts = this.#engines.map((engine, partition) => {
      const [range] = ownedBy(MAP, partition).ranges;
      assert(range, `partition ${partition} owns a range`);
      const { cells } = engine.exportCells(atMost, range.first, range.last, 1 << 20);
      const object = `snapshot/${partition}/${atMost}/0`;
      const chunk = {
        first: hexOf(range.first),
        last: hexOf(range.last),
        object,
        sha256: hexOf(sha256(cells)),
        bytes: cells.length,
      };
      return { partition, block: atMost, chunks: [chunk], chunk: () => Promise.resolve(cells) };
    });
    return Promise.resolve(parts);
  }

  #records(calls: (Call | Batch)[]): Uint8Array {
    const raws = calls.map((call) => ("calls" in call ? signedBatch(call) : signed(call)));
    const packed = concatBytes(raws.flatMap((raw) => [length32(raw.length), raw]));
    const { records, statuses } = this.#module.decode(packed, LIMITS);
    assert(
      statuses.every((status) => status === 0),
      `decode refused: ${statuses.join(",")}`,
    );
    for (const [index, at] of txOffsets(records).entries()) setTxIndex(records, at, index);
    return records;
  }

  /** One after the other: on the callee's partition alone if that is all it touches, else over both. */
  #run(records: Uint8Array): Uint8Array {
    const flush = this.blocks.length + 1;
    const rules = { flush, strict: false, barred: NOTHING, missed: NOTHING };
    const results = Array.from(txOffsets(records), (at) => {
      const record = records.slice(at, at + txBytes(records, at));
      const home = this.#ranges.ownerOf(records, at + TX.to);
      const sender = this.#ranges.ownerOf(records, at + TX.sender);
      const nonce = nonceRecord(records, at);
      if (sender !== home) this.#engine(sender).run(NOTHING, nonce, rules);
      const own = this.#engine(home).run(record, sender === home ? nonce : NOTHING, rules);
      if (own.misses.length === 0) return own.results.slice();
      this.crossed++;
      return this.#runOver(home, record, flush);
    });
    return concatBytes(results);
  }

  /** As the home of a group of one: proposes until nothing is missing, then both commit. */
  #runOver(home: number, record: Uint8Array, flush: number): Uint8Array {
    const rules = { flush, allowed: NOTHING, whole: true, missed: NOTHING };
    const other = this.#engine(1 - home);
    let given: Uint8Array = NOTHING;
    for (let rounds = 0; rounds < ROUNDS_MAX; rounds++) {
      const proposal = this.#engine(home).propose(record, given, rules);
      if (proposal.missing.length > 0) {
        given = concatBytes([given, other.grant(proposal.missing).slice()]);
        continue;
      }
      const [results, writes] = [proposal.results.slice(), proposal.writes.slice()];
      for (const engine of this.#engines) engine.applyWrites(writes);
      return results;
    }
    assert(false, `a proposal still misses cells after ${ROUNDS_MAX} rounds`);
  }

  #engine(partition: number): Engine {
    const engine = this.#engines[partition];
    assert(engine, `there is no partition ${partition}`);
    return engine;
  }

  #close(context: BlockContext, transactions: Uint8Array, results: Uint8Array): void {
    const written = writtenBlock(context.number);
    const cells = cellsOfClose(context.number, written < 0 ? null : (this.#hashes[written] ?? null));
    for (const engine of this.#engines) engine.applyWrites(cells);
    const behind = this.#module.latticeOf(cellsBehind(context.number, this.#hashes));
    const digest = this.#module.foldDigest(concatBytes([...this.#engines.map((engine) => engine.closeBlock()), behind]));
    const { header, hash } = this.#module.buildBlock({ ...context, parentHash: this.#parent, digest }, transactions, results);
    this.#parent = hash;
    this.#hashes.push(hash);
    this.blocks.push({ header, transactions, results });
  }
}

function signed({ from, to, data, value, legacy }: Call): Uint8Array {
  const fields = {
    nonce: from.nonce++,
    gasLimit: GAS_LIMIT,
    data: data ?? new Uint8Array(0),
    value: value ?? 0n,
    ...(to ? { to } : {}),
  };
  const common = chainRules(CHAIN_ID);
  const transaction =
    legacy === true
      ? createLegacyTx({ ...fields, gasPrice: 7n }, { common })
      : createFeeMarket1559Tx({ ...fields, maxFeePerGas: 9n, maxPriorityFeePerGas: 1n }, { common });
  return transaction.sign(from.secret).serialize();
}

function signedBatch({ from, calls }: Batch): Uint8Array {
  const type = Uint8Array.of(TX_TYPE_CALL);
  const list = calls.map(({ to, value, data }) => [to ?? NOTHING, value ?? 0n, GAS_LIMIT, data ?? NOTHING]);
  const fields = [CHAIN_ID, from.nonce, list];
  from.nonce += calls.length;
  return concatBytes([
    type,
    RLP.encode([...fields, ...signHash(keccak_256(concatBytes([type, RLP.encode(fields)])), from.secret)]),
  ]);
}

/** Parity, r and s. EthereumJS signs transactions only: this one has the hash of something else. */
export function signHash(hash: Uint8Array, secret: Uint8Array): [bigint, bigint, bigint] {
  const transaction = createFeeMarket1559Tx({}, { common: chainRules(CHAIN_ID), freeze: false });
  transaction.getHashedMessageToSign = () => hash;
  const { v, r, s } = transaction.sign(secret);
  assert(v !== undefined && r !== undefined && s !== undefined, "it is signed");
  return [v, r, s];
}

function accountCell(address: Uint8Array, balance: bigint): Uint8Array {
  const cell = new Uint8Array(85);
  cell[0] = CELL.account;
  cell.set(address, 1);
  cell.set(bytesOfHex(balance.toString(16).padStart(64, "0")), 21);
  cell.set(keccak_256(new Uint8Array(0)), 53);
  return cell;
}

function nonceRecord(records: Uint8Array, at: number): Uint8Array {
  const record = new Uint8Array(NONCE_BYTES);
  record.set(records.subarray(at + TX.index, at + TX.index + 4), NONCE.index);
  record.set(records.subarray(at + TX.sender, at + TX.sender + 20), NONCE.sender);
  writeU64(record, NONCE.nonce, txNonce(records, at));
  record.set(records.subarray(at + TX.hash, at + TX.hash + 32), NONCE.hash);
  return record;
}

function length32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  writeU32(bytes, 0, value);
  return bytes;
}
