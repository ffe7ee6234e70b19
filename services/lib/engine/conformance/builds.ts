/** Random transactions through two builds: everything that comes out of one must come out of the other, byte for byte. */
import type { Decoded, EngineModule } from "@meridian/core";
import { concatBytes, hexOf, resultBytes, resultIndex, txBytes, txIndex, setTxIndex, txOffsets } from "@meridian/core";
import * as chain from "../test/chain.ts";
import * as node from "../test/node.ts";
import * as workload from "../test/workload.ts";

const BATCH = 500;
const BATCHES_OF_BLOCK = 4;
const CELL_BYTES_MAX = 2 ** 31;
const NOTHING: Uint8Array = new Uint8Array(0);

export interface Random {
  seed: number;
  /** Transactions to decode and run, calls of signed batches among them; broken ones come on top. */
  count: number;
  onBlock?: (transactions: number) => void;
}

type Parts = Record<string, Uint8Array>;

/** @returns the first difference in words, or null if there is none */
export function compareBuilds(modules: readonly [EngineModule, EngineModule], { seed, count, onBlock }: Random): string | null {
  const roll = workload.dice(seed);
  const opened = modules.map((module) => node.open(module, workload.genesis()));
  const nonces: number[] = [];
  let made = 0;
  let block = 1;
  for (; made < count; block++) {
    for (let batch = 0; batch < BATCHES_OF_BLOCK && made < count; batch++) {
      const raws = workload.mixedRaws(roll, nonces, Math.min(BATCH, count - made));
      const broken = raws.filter(() => roll(4) === 0).map((raw) => workload.spoil(raw, roll));
      const [left, right] = modules.map((module) => module.decode(chain.packRaw([...raws, ...broken]), chain.LIMITS));
      const where = `seed ${seed}, behind transaction ${made}`;
      const decoding = difference([left, right].map((decoded) => decoded && partsOf(decoded)));
      if (decoding !== null || left === undefined) return `${where}: decoded ${decoding}`;
      const records = recordsOf(left, raws.length);
      made += txOffsets(records).length;
      const rules = {
        ...chain.FREE_RUN,
        strict: roll(4) === 0,
        barred: roll(3) === 0 ? workload.CONTRACT_PLACES.store : NOTHING,
      };
      const isProposed = roll(2) === 0;
      const ran = difference(opened.map((one) => runOn(one, records, rules, isProposed, block)));
      if (ran !== null) return `${where}: ${ran}`;
    }
    const lattices = difference(opened.map((one) => ({ lattice: node.nextBlock(one, block) })));
    if (lattices !== null) return `seed ${seed}, block ${block}: ${lattices}`;
    onBlock?.(made);
  }
  const last = new Uint8Array(20).fill(0xff);
  const cellsOf = ({ engine }: node.Opened) => engine.exportCells(block - 1, new Uint8Array(20), last, CELL_BYTES_MAX).cells;
  return difference(opened.map((one) => ({ cells: cellsOf(one) })));
}

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

const partsOf = ({ records, statuses, details, recordCounts, calls }: Decoded): Parts => ({
  statuses,
  details: bytesOf(details),
  recordCounts: bytesOf(recordCounts),
  calls: bytesOf(calls),
  records,
});

/** Records of the first `inputs` inputs, with indexes. */
function recordsOf({ records, recordCounts }: Decoded, inputs: number): Uint8Array {
  const count = recordCounts.subarray(0, inputs).reduce((sum, one) => sum + one, 0);
  const offsets = txOffsets(records);
  offsets.forEach((at, index) => setTxIndex(records, at, index));
  return records.subarray(0, offsets[count] ?? records.length);
}

function runOn(
  { module, engine }: node.Opened,
  records: Uint8Array,
  rules: typeof chain.FREE_RUN,
  isProposed: boolean,
  block: number,
): Parts {
  const proposed = isProposed ? engine.propose(records, NOTHING, chain.WHOLE) : null;
  const { results, misses } = engine.run(records, chain.nonceRecords(records), rules);
  const header = { ...chain.context(block), parentHash: new Uint8Array(32), digest: new Uint8Array(32) };
  const built = module.buildBlock(header, withResult(records, results), results);
  return { results, misses, ...proposed, header: built.header, hash: built.hash, bloom: built.logsBloom };
}

/** The transactions that came to an end. */
export function withResult(records: Uint8Array, results: Uint8Array): Uint8Array {
  const ended = new Set<number>();
  for (let at = 0; at < results.length; at += resultBytes(results, at)) ended.add(resultIndex(results, at));
  const parts: Uint8Array[] = [];
  for (let at = 0; at < records.length; at += txBytes(records, at)) {
    if (ended.has(txIndex(records, at))) parts.push(records.subarray(at, at + txBytes(records, at)));
  }
  return concatBytes(parts);
}

/** The first part that is not the same. */
function difference(sides: readonly (Parts | undefined)[]): string | null {
  const [left = {}, right = {}] = sides;
  for (const [name, bytes] of Object.entries(left)) {
    const other = right[name] ?? NOTHING;
    const at = bytes.findIndex((byte, index) => byte !== other[index]);
    if (at < 0 && bytes.length === other.length) continue;
    const from = Math.max(at, 0);
    return `${name} differ at byte ${from}: ${hexOf(bytes.subarray(from, from + 32))}, ${hexOf(other.subarray(from, from + 32))}`;
  }
  return null;
}
