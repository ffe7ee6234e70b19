/**
 * A chain for the gateway's tests, on an in-memory bus: one real engine holds all state, two partitions answer reads from it, a
 * scheduler accepts what has the next nonce, and blocks are closed and sealed when the test says so.
 */
import { createHash } from "node:crypto";
import { decodeReadRequest, encodeBeat, encodeReadReply, encodeSubmitReply, memoryBus, SUBJECT } from "@meridian/bus";
import type { Beat, Bus, Engine, EngineModule, Headers, ReadReply, ReadRequest } from "@meridian/core";
import {
  assert,
  bytesOfHex,
  concatBytes,
  evenRangeMap,
  GAP_HEADER,
  hexOf,
  NONCE_BYTES,
  setTxIndex,
  startEstimate,
  stepEstimate,
  SUBMIT,
  TX,
  txBytes,
  txCount,
  txNonce,
  txOffsets,
  writeU32,
  writeU64,
} from "@meridian/core";
import { FakeArchive } from "./fake-archive.ts";

export const CHAIN_ID = 31_337;
export const BLOCK_GAS_LIMIT = 30_000_000;
const PARTITIONS = 2;
const BEAT_MS = 10;
const EMPTY_CODE_HASH = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470";

/** A verdict that a test plants instead of the scheduler's own. */
export interface Planted {
  code: number;
  detail?: number;
}

export class FakeChain {
  readonly bus: Bus = memoryBus();
  readonly engine: EngineModule;
  readonly archive: FakeArchive;
  /** Every submit: how many transactions it had, and its headers. */
  readonly submits: { count: number; headers: Headers }[] = [];
  /** Every read that a partition got. */
  readonly reads: ReadRequest[] = [];
  readonly readHeaders: Headers[] = [];
  /** Verdicts by transaction hash, hex without 0x; used once each. */
  readonly planted = new Map<string, Planted>();
  /** What a partition answers instead of reading; undefined to read. */
  onRead: (request: ReadRequest) => ReadReply | undefined = () => undefined;
  /** Runs instead of answering a submit; false to answer. */
  onSubmit: (term: number, respond: (payload: Uint8Array) => void) => boolean = () => false;
  term = 1;
  readonly #state: Engine;
  readonly #nonces = new Map<string, number>();
  readonly #known = new Set<string>();
  #open: { number: number; timestamp: number; prevrandao: Uint8Array; gasLimit: number };
  #latest: Beat["latest"] = { number: 0, hash: new Uint8Array(32), timestamp: 1_700_000_000 };
  #n = 1;
  #beats: NodeJS.Timeout | undefined;
  #stopSubmits: () => void = () => undefined;
  readonly #stopReads: (() => void)[] = [];

  private constructor(engine: EngineModule) {
    this.engine = engine;
    this.archive = new FakeArchive(engine);
    this.#state = engine.open({ chainId: CHAIN_ID });
    this.#open = { number: 1, timestamp: 1_700_000_001, prevrandao: new Uint8Array(32).fill(1), gasLimit: BLOCK_GAS_LIMIT };
  }

  /** @param accounts  funded addresses (hex) and their balance in wei */
  static async begin(engine: EngineModule, accounts: Record<string, bigint>): Promise<FakeChain> {
    const chain = new FakeChain(engine);
    const cells = genesisCells(accounts);
    const genesisHash = createHash("sha256").update(cells).digest("hex");
    await chain.bus.settings.create({ chainId: CHAIN_ID, blockMs: 500, blockGasLimit: BLOCK_GAS_LIMIT, genesisHash });
    await chain.bus.settings.putMap(evenRangeMap(PARTITIONS));
    await chain.bus.objects.put("genesis", cells);
    chain.#begin(cells);
    return chain;
  }

  #begin(cells: Uint8Array): void {
    const first = new Uint8Array(20);
    this.#state.setOwned({ ranges: [{ first, last: new Uint8Array(20).fill(255) }], pinsIn: [], pinsOut: [] });
    const context = { number: 0, timestamp: this.#latest.timestamp, prevrandao: new Uint8Array(32), gasLimit: BLOCK_GAS_LIMIT };
    this.#state.openBlock(context);
    this.#state.importCells(cells);
    const genesis = this.archive.addBlock(context, this.engine.foldDigest(this.#state.closeBlock()));
    this.#seal(genesis);
    this.#state.openBlock(this.#open);
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const stop = this.bus.wire.subscribe(SUBJECT.read(partition), ({ payload, headers, respond }) => {
        this.readHeaders.push(headers);
        void this.#read(decodeReadRequest(payload)).then((reply) => respond(encodeReadReply(reply)));
      });
      this.#stopReads.push(stop);
    }
    this.archive.serve(this.bus.wire);
    this.lead(1);
  }

  /** A leader of this term: takes submits and says beats. */
  lead(term: number): void {
    this.silence();
    this.term = term;
    this.#stopSubmits = this.bus.wire.subscribe(SUBJECT.submit(term), ({ payload, headers, respond }) => {
      this.submits.push({ count: txCount(payload), headers });
      if (!this.onSubmit(term, respond)) respond(this.#accept(payload.slice(), headers));
    });
    this.beat();
    this.#beats = setInterval(() => this.beat(), BEAT_MS);
  }

  /** Every host is gone. */
  stopPartitions(): void {
    for (const stop of this.#stopReads) stop();
  }

  /** The leader is gone. */
  silence(): void {
    clearInterval(this.#beats);
    this.#stopSubmits();
  }

  /** Says where the chain is; `said` in place of what is true. */
  beat(said: Partial<Beat> = {}): void {
    const positions: [number, number][] = Array.from({ length: PARTITIONS }, (_, partition) => [partition, this.#n]);
    const open = { number: this.#open.number, timestamp: this.#open.timestamp };
    const quiet = { draining: false, missesTaken: [], mapVersion: 1 };
    const beat = { ...quiet, term: this.term, leader: "test", flush: this.#n, latest: this.#latest, open, positions };
    this.bus.wire.publish(SUBJECT.beat, encodeBeat({ ...beat, ...said }));
  }

  /** Closes the open block and seals it; with `isSealed` false it stays built only. */
  closeBlock({ isSealed = true } = {}): number {
    const digest = this.engine.foldDigest(this.#state.closeBlock());
    const { number, timestamp } = this.#open;
    const built = this.archive.addBlock(this.#open, digest);
    if (isSealed) this.#seal(built);
    this.#open = { ...this.#open, number: number + 1, timestamp: timestamp + 1 };
    this.#state.openBlock(this.#open);
    this.beat();
    return number;
  }

  #seal(block: { number: number; hash: Uint8Array; timestamp: number }): void {
    this.#state.seal(block.number, block.hash);
    this.#latest = block;
  }

  stop(): Promise<void> {
    this.silence();
    return this.#state.close();
  }

  #accept(records: Uint8Array, headers: Headers): Uint8Array {
    const offsets = txOffsets(records);
    const codes = new Uint8Array(offsets.length);
    const details = new Float64Array(offsets.length);
    const accepted: Uint8Array[] = [];
    offsets.forEach((at, number) => {
      const { code, detail = 0 } = this.#decide(records, at, headers);
      codes[number] = code;
      details[number] = detail;
      if (code !== SUBMIT.accepted) return;
      accepted.push(records.subarray(at, at + txBytes(records, at)));
    });
    if (accepted.length > 0) this.#run(concatBytes(accepted));
    const positions: [number, number][] = [[0, this.#n]];
    return encodeSubmitReply({ term: this.term, codes, details, positions });
  }

  #decide(records: Uint8Array, at: number, headers: Headers): Planted {
    const hash = hexOf(records, at + TX.hash, at + TX.hash + 32);
    const planted = this.planted.get(hash);
    if (planted !== undefined) {
      // A shared submit's refusal of a gap is not the last word, so it must not use up what was planted.
      if (headers[GAP_HEADER] === undefined) this.planted.delete(hash);
      return planted;
    }
    const sender = hexOf(records, at + TX.sender, at + TX.sender + 20);
    const next = this.#nonces.get(sender) ?? 0;
    const nonce = txNonce(records, at);
    if (this.#known.has(hash)) return { code: SUBMIT.known };
    if (nonce < next) return { code: SUBMIT.nonceTooLow, detail: next };
    if (nonce > next) return { code: SUBMIT.nonceTooHigh, detail: next };
    this.#nonces.set(sender, next + 1);
    this.#known.add(hash);
    return { code: SUBMIT.accepted };
  }

  /** Forgets which hashes it has seen, as a scheduler does after a while. */
  forgetHashes(): void {
    this.#known.clear();
  }

  #run(records: Uint8Array): void {
    const nonces: Uint8Array[] = [];
    txOffsets(records).forEach((at, index) => {
      setTxIndex(records, at, index);
      const nonce = new Uint8Array(NONCE_BYTES);
      writeU32(nonce, 0, index);
      nonce.set(records.subarray(at + TX.sender, at + TX.sender + 20), 4);
      writeU64(nonce, 24, txNonce(records, at));
      nonce.set(records.subarray(at + TX.hash, at + TX.hash + 32), 32);
      nonces.push(nonce);
    });
    const rules = { flush: this.#n, strict: false, barred: new Uint8Array(0), missed: new Uint8Array(0) };
    const { results, misses } = this.#state.run(records, concatBytes(nonces), rules);
    assert(misses.length === 0, "one engine owns all accounts, so nothing can miss");
    this.archive.addPending(records, results.slice());
    this.#n++;
  }

  async #read(request: ReadRequest): Promise<ReadReply> {
    this.reads.push(request);
    const planted = this.onRead(request);
    if (planted !== undefined) return planted;
    assert(request.op !== "grant", "a gateway asks for no grant");
    switch (request.op) {
      case "nonces":
        return { op: "nonces", nonces: this.#state.nonces(request.addresses) };
      case "cells": {
        const read = this.#state.read(request.block, request.request);
        if ("cells" in read) return { op: "cells", cells: read.cells };
        if ("pruned" in read) return { op: "failed", failure: { code: "PRUNED", oldest: read.pruned } };
        return { op: "failed", failure: { code: "BEHIND", newest: read.unknownBlock } };
      }
      case "call":
        return { op: "call", result: await this.#state.call(request.block, request.call) };
      case "estimate":
        return this.#estimate(request);
    }
  }

  async #estimate({ block, call }: Extract<ReadRequest, { op: "estimate" }>): Promise<ReadReply> {
    let estimate = startEstimate(call.gasLimit, call.data.length === 0 && call.to !== null);
    for (;;) {
      const result = await this.#state.call(block, { ...call, gasLimit: estimate.gasLimit });
      estimate = stepEstimate(estimate, result.status === "success", "gasUsed" in result ? result.gasUsed : 0);
      if (estimate.phase === "done") return { op: "estimate", gas: estimate.gasLimit };
      if (estimate.phase === "failed") return { op: "failed", failure: { code: "CALL", result } };
    }
  }
}

function genesisCells(accounts: Record<string, bigint>): Uint8Array {
  const sorted = Object.entries(accounts).sort(([left], [right]) => (left.toLowerCase() < right.toLowerCase() ? -1 : 1));
  return concatBytes(
    sorted.map(([address, balance]) =>
      concatBytes([
        Uint8Array.of(1),
        bytesOfHex(address.toLowerCase()),
        bytesOfHex(balance.toString(16).padStart(64, "0")),
        bytesOfHex(EMPTY_CODE_HASH),
      ]),
    ),
  );
}
