/**
 * Replays published blocks one transaction at a time on a second EVM implementation and compares everything they say.
 *
 * V1. The replay starts from genesis or from snapshots of all partitions at one block, whose digest must be that block's.
 * V2. Its state moves only by what it executed itself; the published results are compared, never applied.
 * V3. Before a block's transactions the hash of the block before it is written to the history account (EIP-2935).
 * V4. A block's parent hash must be the hash of the block before it, and its digest that of the replayed state.
 */
import type { Common } from "@ethereumjs/common";
import { bytesToHex, createAddressFromString } from "@ethereumjs/util";
import { IoError, UNSEALED_MAX } from "@meridian/core";
import { sha256 } from "@noble/hashes/sha2.js";
import { Batches } from "./batches.ts";
import { replayBlock } from "./block.ts";
import { importCells } from "./cells.ts";
import { Crossing } from "./crossing.ts";
import { type Difference, Differences } from "./difference.ts";
import { type Header, readHeader } from "./header.ts";
import { Lattice } from "./lattice.ts";
import { Replayer, chainRules } from "./replay.ts";
import type { ChainSource, PublishedBlock, PublishedSnapshot } from "./source.ts";
import { ReplayState } from "./state.ts";

/** EIP-2935. */
const HISTORY = createAddressFromString("0x0000f90827f1c53a10cb7a02335b175320002935");
const HISTORY_SLOTS = 8_191;

export interface VerifyOptions {
  /** First block to compare. Blocks between the start of the replay and this one are compared as well. */
  from: number;
  /** Last block; undefined for the last sealed one. */
  to?: number;
  /** Start at the newest snapshot before `from` instead of genesis. */
  snapshot: boolean;
  differencesMax: number;
  onProgress?: (progress: { block: number; to: number; transactions: number }) => void;
}

export interface VerifyReport {
  start: string; // "genesis" or "snapshot of block N"
  transactions: number;
  blocks: number;
  /** Transactions that touched accounts of more than one partition. */
  crossed: number;
  /** Signed batches whose id and signature were checked, and calls of those that are not complete in the compared blocks. */
  batches: { proved: number; unprovedCalls: number };
  differences: Difference[];
  /** Hash and digest of the last compared block, 0x hex. */
  head: { number: number; hash: string; digest: string };
}

/** @throws IoError if the chain cannot be read: nothing is known then. What can be read and is wrong is a difference. */
export async function verify(source: ChainSource, options: VerifyOptions): Promise<VerifyReport> {
  const genesis = await source.genesis();
  const common = chainRules(genesis.chainId);
  const differences = new Differences(options.differencesMax);
  const latest = await source.latest();
  const to = options.to ?? latest;
  if (to > latest)
    throw new IoError({ code: "BLOCK_MISSING", text: `block ${to} is not there, the last sealed one is ${latest}` }, "never");
  if (options.from > to) {
    throw new IoError({ code: "NOTHING_TO_COMPARE", text: `from block ${options.from} to block ${to} there is none` }, "never");
  }
  const crossing = new Crossing(await source.rangeMap());
  const run = new Run(source, common, differences, crossing);
  const snapshot = options.snapshot ? await source.snapshot(options.from - 1) : undefined;
  if (snapshot === undefined) await run.startAtGenesis(genesis);
  else await run.startAtSnapshot(snapshot);
  const start = snapshot === undefined ? "genesis" : `snapshot of block ${run.number}`;
  await run.replayTo(to, options.onProgress);
  const { transactions, blocks } = run;
  const batches = { proved: run.batches.proved, unprovedCalls: run.batches.unproved };
  return { start, transactions, blocks, crossed: crossing.count, batches, differences: differences.list, head: run.head() };
}

class Run {
  transactions = 0;
  blocks = 0;
  readonly batches = new Batches();
  readonly #source: ChainSource;
  readonly #common: Common;
  readonly #differences: Differences;
  readonly #crossing: Crossing;
  readonly #state = new ReplayState();
  readonly #lattice = new Lattice();
  readonly #hashes = new Map<number, Uint8Array>();
  #header: Header | undefined;

  constructor(source: ChainSource, common: Common, differences: Differences, crossing: Crossing) {
    this.#source = source;
    this.#common = common;
    this.#differences = differences;
    this.#crossing = crossing;
  }

  get number(): number {
    return this.#header?.number ?? -1;
  }

  head() {
    const header = this.#header;
    return {
      number: this.number,
      hash: header ? bytesToHex(header.hash) : "none",
      digest: header ? bytesToHex(header.digest) : "none",
    };
  }

  async startAtGenesis({ cells, genesisHash }: { cells: Uint8Array; genesisHash: Uint8Array }): Promise<void> {
    this.#compare(0, "genesis hash", bytesToHex(genesisHash), bytesToHex(sha256(cells)));
    await importCells(this.#state, cells);
    await this.#startAt(0);
    this.blocks = 1;
  }

  async startAtSnapshot(parts: PublishedSnapshot[]): Promise<void> {
    const block = parts[0]?.block ?? 0;
    for (const part of parts) {
      for (const [index, { sha256: expected, object }] of part.chunks.entries()) {
        const bytes = await part.chunk(index);
        const field = `snapshot of partition ${part.partition}, chunk ${object}`;
        this.#compare(block, field, expected, bytesToHex(sha256(bytes)).slice(2));
        await importCells(this.#state, bytes);
      }
    }
    // A snapshot's cells have no hashes of the last blocks: those come later than their blocks.
    for (let number = Math.max(0, block - UNSEALED_MAX); number < block; number++) await this.#writeHash(number);
    await this.#startAt(block);
  }

  async replayTo(to: number, onProgress: VerifyOptions["onProgress"]): Promise<void> {
    const replayer = await Replayer.open(this.#state, this.#common, (number) => this.#hashOf(number));
    let next = this.#source.block(this.number + 1);
    for (let number = this.number + 1; number <= to && !this.#differences.isFull; number++) {
      const published = await next;
      if (number < to) next = prefetch(this.#source.block(number + 1));
      const header = published && this.#readHeader(number, published);
      if (published === undefined || header === undefined) {
        if (published === undefined) this.#compare(number, "block", "missing", "expected");
        return;
      }
      this.#compareChain(number, header);
      await this.#writeHash(number - 1);
      const [state, common, differences] = [this.#state, this.#common, this.#differences];
      const context = { state, replayer, common, differences, crossing: this.#crossing, batches: this.batches };
      this.transactions += await replayBlock(context, header, published);
      this.blocks += 1;
      this.#compareDigest(header);
      this.#moveTo(header);
      onProgress?.({ block: number, to, transactions: this.transactions });
    }
  }

  async #startAt(number: number): Promise<void> {
    const published = await this.#source.block(number);
    if (published === undefined)
      throw new IoError({ code: "BLOCK_MISSING", text: `the replay starts at block ${number}, which is not there` }, "never");
    const header = this.#readHeader(number, published);
    if (header === undefined) throw new IoError({ code: "HEADER_MALFORMED", text: `header of block ${number}` }, "never");
    this.#compareDigest(header);
    this.#moveTo(header);
  }

  #moveTo(header: Header): void {
    this.#header = header;
    this.#hashes.set(header.number, header.hash);
    this.#hashes.delete(header.number - 257);
  }

  #readHeader(number: number, published: PublishedBlock): Header | undefined {
    const header = readHeader(published.header, this.#common);
    if (!("malformed" in header)) return header;
    this.#compare(number, "header", "published", `malformed: ${header.malformed}`);
    return undefined;
  }

  #compareChain(number: number, header: Header): void {
    this.#compare(number, "number", header.number, number);
    if (this.#header === undefined) return;
    this.#compare(number, "parentHash", bytesToHex(header.parentHash), bytesToHex(this.#header.hash));
    if (header.timestamp < this.#header.timestamp)
      this.#compare(number, "timestamp", header.timestamp, `at least ${this.#header.timestamp}`);
  }

  #compareDigest(header: Header): void {
    this.#state.foldBlock(this.#lattice);
    this.#compare(header.number, "state digest", bytesToHex(header.digest), bytesToHex(this.#lattice.digest()));
  }

  #compare(block: number, field: string, published: unknown, replayed: unknown): void {
    if (published === replayed) return;
    this.#differences.add({ block, transaction: null, field, published: String(published), replayed: String(replayed) });
  }

  async #writeHash(number: number): Promise<void> {
    const slot = new Uint8Array(32);
    new DataView(slot.buffer).setUint32(28, number % HISTORY_SLOTS);
    await this.#state.putStorage(HISTORY, slot, await this.#hashOf(number));
    this.#state.forgetTouched();
  }

  /** Hash of a block before the one that runs; asked of the source if it lies before the start of the replay. */
  async #hashOf(number: number): Promise<Uint8Array> {
    const known = this.#hashes.get(number);
    if (known !== undefined) return known;
    const published = await this.#source.block(number);
    const header = published && readHeader(published.header, this.#common);
    if (header === undefined || "malformed" in header)
      throw new IoError({ code: "BLOCK_MISSING", text: `block ${number}, whose hash is needed` }, "never");
    this.#hashes.set(number, header.hash);
    return header.hash;
  }
}

/** A rejection is seen by whoever awaits the promise later. */
function prefetch<Result>(promise: Promise<Result>): Promise<Result> {
  promise.catch(() => undefined);
  return promise;
}
