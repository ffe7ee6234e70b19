/**
 * What a worker makes of a stretch of a binary body: packed records, and beside them for each input its key for the archive. So
 * the main thread does nothing for a single transaction unless it is refused.
 */
import type { Decoded, DecodeLimits, EngineModule } from "@meridian/core";
import {
  concatBytes,
  DECODE,
  DECODE_NO_CALL,
  OUTCOME_KEY,
  OUTCOME_KEY_BYTES,
  readU32,
  TX,
  txBytes,
  writeU16,
} from "@meridian/core";
import { decodeRefusal, refusedFor } from "../ingest/refusals.ts";
import { findValues, joinValues } from "../ingest/values.ts";
import type { Values } from "../ingest/values.ts";
import { RawReader } from "./body.ts";
import type { Refusal } from "./answer.ts";

export interface PartRequest {
  /** Bins behind each other from `start` on. */
  bins: Uint8Array<ArrayBuffer>;
  start: number;
  count: number;
  /** Number of the first input in its body. */
  first: number;
  hasHashes: boolean;
}

export interface PartLimits {
  decode: DecodeLimits;
  /** Of one body: nothing more is decoded once there are more, because all of it will be refused. */
  callsMax: number;
}

/** Inputs of a body, decoded. Those that are refused have no record and no key. */
export interface Part extends Values {
  records: Uint8Array;
  recordCount: number;
  /** Packed outcome keys (core's outcomes.ts): one for each input, of all its records. */
  keys: Uint8Array;
  /** The input that each key belongs to. */
  inputs: Uint32Array;
  /** If wanted, b32 for each input: the hash of its first record, zeros if it was refused. */
  hashes: Uint8Array;
  refusals: Refusal[];
}

/** As much goes to the engine at once: what comes back for the smallest calls is some ten times as long. */
const DECODE_BYTES = 512 * 1024;

export function decodePart(request: PartRequest, engine: Pick<EngineModule, "decode">, limits: PartLimits): Part {
  const { bins, start, count } = request;
  const reader = new RawReader(bins, { start, count });
  const writer = new PartWriter(request);
  for (let raws = reader.next(DECODE_BYTES); raws.count > 0; raws = reader.next(DECODE_BYTES)) {
    writer.add(engine.decode(raws.packed, limits.decode), raws.packed, raws.count);
    if (writer.recordCount > limits.callsMax) break;
  }
  return writer.done();
}

class PartWriter {
  recordCount = 0;
  readonly #records: Uint8Array[] = [];
  readonly #keys: Uint8Array;
  readonly #inputs: Uint32Array;
  readonly #hashes: Uint8Array;
  readonly #refusals: Refusal[] = [];
  readonly #first: number;
  #input = 0;
  #key = 0;

  constructor({ first, count, hasHashes }: PartRequest) {
    this.#first = first;
    this.#keys = new Uint8Array(count * OUTCOME_KEY_BYTES);
    this.#inputs = new Uint32Array(count);
    this.#hashes = new Uint8Array(hasHashes ? count * 32 : 0);
  }

  /** @param packed  what was decoded: `count` of (u32 bytes, raw) */
  add(decoded: Decoded, packed: Uint8Array, count: number): void {
    const { records, recordCounts } = decoded;
    this.#records.push(records);
    for (let index = 0, at = 0, rawAt = 0; index < count; index++, this.#input++) {
      const calls = recordCounts[index]!;
      const rawEnd = rawAt + 4 + readU32(packed, rawAt);
      if (calls > 0) this.#take(records, at, calls);
      else this.#refusals.push(refusalOf(decoded, index, this.#first + this.#input, packed.subarray(rawAt + 4, rawEnd)));
      for (let call = 0; call < calls; call++) at += txBytes(records, at);
      rawAt = rawEnd;
    }
  }

  done(): Part {
    const records = concatBytes(this.#records); // The engine's own buffers may not leave this thread.
    return {
      records,
      recordCount: this.recordCount,
      keys: this.#keys.slice(0, this.#key * OUTCOME_KEY_BYTES),
      inputs: this.#inputs.slice(0, this.#key),
      hashes: this.#hashes,
      refusals: this.#refusals,
      ...findValues(records),
    };
  }

  #take(records: Uint8Array, at: number, calls: number): void {
    const keyAt = this.#key * OUTCOME_KEY_BYTES;
    for (let byte = 0; byte < 32; byte++) this.#keys[keyAt + byte] = records[at + TX.hash + byte]!;
    writeU16(this.#keys, keyAt + OUTCOME_KEY.count, calls);
    if (this.#hashes.length > 0) this.#hashes.set(this.#keys.subarray(keyAt, keyAt + 32), this.#input * 32);
    this.#inputs[this.#key++] = this.#first + this.#input;
    this.recordCount += calls;
  }
}

/** Several parts of one body, in their order, as one. */
export function joinParts(parts: readonly Part[]): Part {
  const [only] = parts;
  if (only !== undefined && parts.length === 1) return only;
  const counts = parts.map(({ recordCount }) => recordCount);
  const inputs = new Uint32Array(parts.reduce((sum, part) => sum + part.inputs.length, 0));
  parts.reduce((at, part) => (inputs.set(part.inputs, at), at + part.inputs.length), 0);
  return {
    records: concatBytes(parts.map(({ records }) => records)),
    recordCount: counts.reduce((sum, count) => sum + count, 0),
    keys: concatBytes(parts.map(({ keys }) => keys)),
    inputs,
    hashes: concatBytes(parts.map(({ hashes }) => hashes)),
    refusals: parts.flatMap(({ refusals }) => refusals),
    ...joinValues(parts, counts),
  };
}

function refusalOf({ statuses, details, calls }: Decoded, index: number, input: number, raw: Uint8Array): Refusal {
  const [got, limit] = [details[index * 2] ?? 0, details[index * 2 + 1] ?? 0];
  const error = decodeRefusal(statuses[index] ?? DECODE.malformed, got, limit, raw);
  const call = calls[index] ?? DECODE_NO_CALL;
  const facts = got === 0 && limit === 0 ? [] : [got, limit];
  if (call === DECODE_NO_CALL) return { input, call: 0, calls: 0, error, details: facts };
  return { input, call, calls: 0, error: refusedFor(call, error), details: facts };
}
