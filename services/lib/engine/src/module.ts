/** One loaded build: what needs no state, and the door to engines. */
import type { BlockHeaderInput, BuiltBlock, DecodeLimits, Decoded, Engine, EngineModule, EngineOptions } from "@meridian/core";
import { readU64 } from "@meridian/core";
import type { Boundary } from "./boundary.ts";
import { OP, partsOf } from "./boundary.ts";
import type { PackedEngine } from "./engine.ts";
import { packContext } from "./engine.ts";
import { Writer } from "./writer.ts";

/** What differs between the builds. */
export interface Build {
  readonly name: EngineModule["build"];
  /** The instance for work without state. */
  readonly stateless: Boundary;
  /** Recovers senders inside the crate, or between its two halves of a decode. */
  decode(raw: Uint8Array, limits: Uint8Array): Uint8Array;
  open(options: EngineOptions): PackedEngine;
}

export class PackedModule implements EngineModule {
  readonly build: EngineModule["build"];
  readonly #build: Build;

  constructor(build: Build) {
    this.build = build.name;
    this.#build = build;
  }

  keccak256(bytes: Uint8Array): Uint8Array {
    return this.#build.stateless.perform(OP.keccak256, 0, 0, bytes);
  }

  decode(raw: Uint8Array, limits: DecodeLimits): Decoded {
    const { chainId, gasLimitMax, transactionBytesMax } = limits;
    const packed = new Writer(24).f64(chainId).f64(gasLimitMax).f64(transactionBytesMax).done();
    const next = partsOf(this.#build.decode(raw, packed));
    // Numbers start where typed arrays may: in buffers of their own.
    return {
      records: next(),
      statuses: next(),
      details: new Float64Array(next().slice().buffer),
      recordCounts: new Uint32Array(next().slice().buffer),
      calls: new Uint32Array(next().slice().buffer),
    };
  }

  buildBlock(header: BlockHeaderInput, transactions: Uint8Array, results: Uint8Array): BuiltBlock {
    const input = new Writer(120).bytes(packContext(header)).bytes(header.parentHash).bytes(header.digest).done();
    const answer = this.#build.stateless.perform(OP.buildBlock, 0, 0, input, transactions, results);
    return {
      hash: answer.subarray(0, 32),
      transactionsRoot: answer.subarray(32, 64),
      receiptsRoot: answer.subarray(64, 96),
      logsBloom: answer.subarray(96, 352),
      gasUsed: readU64(answer, 352),
      header: answer.subarray(360),
    };
  }

  foldDigest(lattices: Uint8Array): Uint8Array {
    return this.#build.stateless.perform(OP.foldDigest, 0, 0, lattices);
  }

  latticeOf(cells: Uint8Array): Uint8Array {
    return this.#build.stateless.perform(OP.latticeOf, 0, 0, cells);
  }

  /** One case of Ethereum's state tests, packed (rust/src/conformance.rs). */
  conformance(packed: Uint8Array): Uint8Array {
    return this.#build.stateless.perform(OP.conformance, 0, 0, packed);
  }

  open(options: EngineOptions): Engine {
    return this.#build.open(options);
  }
}
