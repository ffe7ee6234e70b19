/**
 * A system in small: accounts split over engines, transactions that run where their accounts are or in groups at a home, grants,
 * writes applied by owners, misses that come again with what they touched. Against it one engine that runs everything serially.
 */
import type { Engine, EngineModule, OwnedRanges, RunResult } from "@meridian/core";
import { BugError, CELL, MODE, TX, assert, concatBytes, resultBytes, writeU32 } from "@meridian/core";
import * as chain from "./chain.ts";
import * as node from "./node.ts";

const NONE: Uint8Array = new Uint8Array(0);
const ATTEMPTS_MAX = 3;
const ROUNDS_MAX = 60;

/** A transaction on its way. */
export interface Waiting {
  record: Uint8Array;
  sender: string;
  nonce: number;
  declared: Map<string, string>; // address to mode
  attempt: number;
  /** Where it stood last; null before it was sequenced. */
  position: [flush: number, index: number] | null;
}

export interface Counts {
  locals: number;
  members: number;
  misses: Record<string, number>;
  rounds: number;
  wholes: number;
}

const strongest = (left: string | undefined, right: string): string => {
  const order = ["code", "read", "write"];
  return left === undefined || order.indexOf(right) > order.indexOf(left) ? right : left;
};

export class Cluster {
  readonly counts: Counts = { locals: 0, members: 0, misses: {}, rounds: 0, wholes: 0 };
  readonly #module: EngineModule;
  readonly #engines: Engine[];
  readonly #serial: Engine;
  readonly #roll: (sides: number) => number;
  readonly #homeOf: (address: string) => number;
  #flush = 0;
  #block = 1;
  #sealed = 0;

  constructor(module: EngineModule, genesis: Map<string, Uint8Array>, count: number, roll: (sides: number) => number) {
    this.#module = module;
    this.#roll = roll;
    this.#homeOf = (address) => Number.parseInt(address.slice(0, 2), 16) % count;
    this.#engines = Array.from({ length: count }, (_, own) => {
      const ranges = Array.from({ length: 256 }, (_, first) => first)
        .filter((first) => first % count === own)
        .map((first) => ({ first: bound(first, 0), last: bound(first, 0xff) }));
      return this.#open(
        { ranges, pinsIn: [], pinsOut: [] },
        [...genesis].filter(([address]) => this.#homeOf(address) === own),
      );
    });
    this.#serial = this.#open(chain.EVERYTHING, [...genesis]);
  }

  #open(owned: OwnedRanges, genesis: [string, Uint8Array][]): Engine {
    const engine = this.#module.open({ chainId: chain.CHAIN_ID, callsInline: true });
    engine.setOwned(owned);
    engine.openBlock(chain.context(0));
    engine.importCells(concatBytes(genesis.map(([, cells]) => cells)));
    engine.closeBlock();
    engine.seal(0, this.#module.keccak256(chain.number64(0)));
    engine.openBlock(chain.context(1));
    return engine;
  }

  /** Sequences and executes some neighbours; returns those that missed. */
  turn(waiting: Waiting[]): Waiting[] {
    this.#flush++;
    waiting.forEach((one, index) => {
      const before = waiting.slice(0, index).findLastIndex(({ sender }) => sender === one.sender);
      this.#sequence(one, index, before < 0 ? [0, 0] : [this.#flush, before]);
    });
    const participants = new Set(waiting.flatMap((one) => this.#participants(one)));
    const isWhole = waiting.some(({ attempt }) => attempt >= ATTEMPTS_MAX) || this.#roll(40) === 0;
    const foreignCode = waiting
      .flatMap(({ declared }) => [...declared])
      .some(([address, mode]) => mode === "code" && !participants.has(this.#homeOf(address)));
    const isLocal = participants.size === 1 && !isWhole && !foreignCode;
    return isLocal ? this.#runLocal(waiting, [...participants][0]!) : this.#runGroup(waiting, [...participants], isWhole);
  }

  #sequence(one: Waiting, index: number, after: [number, number]): void {
    if (one.position === null) {
      writeU32(one.record, TX.index, index);
      this.#engines[this.#homeOf(one.sender)]!.run(NONE, chain.nonceRecords(one.record), chain.FREE_RUN);
    }
    one.position = [this.#flush, index];
    one.record = node.declaring(
      one.record,
      [...one.declared].map(([address, mode]) => `${mode} ${address}`),
      after,
    );
    writeU32(one.record, TX.index, index);
  }

  #participants({ declared }: Waiting): number[] {
    return [...declared].filter(([, mode]) => mode !== "code").map(([address]) => this.#homeOf(address));
  }

  #runLocal(waiting: Waiting[], home: number): Waiting[] {
    this.counts.locals += waiting.length;
    const rules = { ...chain.FREE_RUN, flush: this.#flush, strict: this.#roll(2) === 0 };
    const ran = this.#engines[home]!.run(concatBytes(waiting.map(({ record }) => record)), NONE, rules);
    return this.#settle(waiting, ran);
  }

  #runGroup(waiting: Waiting[], participants: number[], isWhole: boolean): Waiting[] {
    this.counts.members += waiting.length;
    this.counts.wholes += isWhole ? 1 : 0;
    const home = participants[this.#roll(participants.length)]!;
    const union = new Map<string, string>();
    for (const [address, mode] of waiting.flatMap(({ declared }) => [...declared]))
      union.set(address, strongest(union.get(address), mode));
    const allowed = node.packModes([...union].map(([address, mode]) => `${mode} ${address}`));
    const rules = { flush: this.#flush, allowed: isWhole ? NONE : allowed, whole: isWhole, missed: NONE };
    const records = concatBytes(waiting.map(({ record }) => record));
    const given: Uint8Array[] = [];
    for (let round = 0; round < ROUNDS_MAX; round++) {
      this.counts.rounds++;
      const { results, touches, writes, missing } = this.#engines[home]!.propose(records, concatBytes(given), rules);
      if (missing.length > 0) {
        given.push(this.#fetch(missing, isWhole ? new Map<string, string>() : union));
        continue;
      }
      for (const engine of this.#engines) engine.applyWrites(writes);
      return this.#settle(waiting, { results, misses: touches });
    }
    throw new BugError("a group needs no end of rounds");
  }

  /** Cells from their owners: granted, or read where only the code is declared. */
  #fetch(missing: Uint8Array, modes: Map<string, string>): Uint8Array {
    const cells: Uint8Array[] = [];
    for (let at = 0; at < missing.length;) {
      const end = at + (missing[at] === CELL.slot ? 53 : 21);
      const key = missing.slice(at, end);
      const address = chain.hex(key.subarray(1, 21));
      const owner = this.#engines[this.#homeOf(address)]!;
      if (modes.get(address) === "code") {
        assert(key[0] === CELL.code, "only its code is asked of an account in mode code");
        const read = owner.read(-1, key);
        cells.push("cells" in read ? read.cells : NONE);
      } else cells.push(owner.grant(key));
      at = end;
    }
    return concatBytes(cells);
  }

  /** What ended is run serially too; the others come again with what they touched. */
  #settle(waiting: Waiting[], { results, misses }: RunResult): Waiting[] {
    const touches = new Map(node.touchesOf(misses).map((touch) => [touch.index, touch]));
    const again: Waiting[] = [];
    let at = 0;
    for (const one of waiting) {
      const touch = touches.get(one.position![1]);
      if (touch === undefined || touch.why === "complete") {
        const end = at + resultBytes(results, at);
        this.#runSerially(one, results.subarray(at, end));
        at = end;
        continue;
      }
      this.counts.misses[touch.why] = (this.counts.misses[touch.why] ?? 0) + 1;
      if (touch.why === "unsealed") this.#seal();
      if (touch.why === "outside") one.attempt++;
      for (const entry of touch.touched) {
        const [mode, address] = entry.split(" ") as [string, string];
        one.declared.set(address, strongest(one.declared.get(address), mode));
      }
      again.push(one);
    }
    assert(at === results.length, "every result has its transaction");
    return again;
  }

  #runSerially(one: Waiting, result: Uint8Array): void {
    const { results, misses } = this.#serial.run(one.record, chain.nonceRecords(one.record), chain.FREE_RUN);
    const facts = (bytes: Uint8Array): string => `${misses.length} ${chain.hex(bytes)}`;
    if (chain.hex(results) !== chain.hex(result)) {
      throw new BugError(`results differ: serial ${facts(results)}, split ${facts(result)}`);
    }
  }

  #seal(): void {
    while (this.#sealed < this.#block - 1) {
      const number = ++this.#sealed;
      for (const engine of [...this.#engines, this.#serial]) engine.seal(number, this.#module.keccak256(chain.number64(number)));
    }
  }

  /** Closes the block on all engines; the digests of the split and the serial state. */
  closeBlock(seals: boolean): { split: string; serial: string } {
    const split = chain.hex(this.#module.foldDigest(concatBytes(this.#engines.map((engine) => engine.closeBlock()))));
    const serial = chain.hex(this.#module.foldDigest(this.#serial.closeBlock()));
    this.#block++;
    for (const engine of [...this.#engines, this.#serial]) engine.openBlock(chain.context(this.#block));
    if (seals) this.#seal();
    return { split, serial };
  }

  /** True if a sender without balance has to be declared with its first transaction. */
  isNew(sender: string): boolean {
    const state = this.#engines[this.#homeOf(sender)]!.nonces(chain.bytes(sender));
    return state[8] === 0;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#engines, this.#serial].map((engine) => engine.close()));
  }
}

const bound = (first: number, rest: number): Uint8Array => Uint8Array.of(first, ...new Uint8Array(19).fill(rest));

export const baseModes = (modes: readonly Uint8Array[]): Map<string, string> =>
  new Map(modes.map((address) => [chain.hex(address), MODE_WRITE]));

const MODE_WRITE = Object.keys(MODE)[MODE.write]!;
