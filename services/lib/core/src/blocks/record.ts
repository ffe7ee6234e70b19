/** What one OUT record says, checked and in the form that assembly needs: its mark, its runs, the block that it closes. */
import { hexOf } from "../bytes.ts";
import type { OpenedBlock, OutRecord } from "../entries.ts";
import type { PartitionId, RangeMap } from "../ranges.ts";
import { pairedCount } from "./merge.ts";
import type { MergeSource } from "./merge.ts";

/** Bytes of a record's mark: the start of a SHA-256 over everything in the record. */
export const MARK_BYTES = 16;

/** SHA-256. Given from outside: core has no crypto of its own. */
export type Sha256 = (bytes: Uint8Array) => Uint8Array;

/**
 * The runs of a record: its own flush's first, then what settled of earlier flushes; those without transactions are left out.
 * @returns what is wrong, if something is
 */
export function sourcesOf(record: OutRecord): MergeSource[] | string {
  const sources: MergeSource[] = [];
  for (const run of [record, ...record.settled]) {
    const { flush, transactions, results } = run;
    const count = pairedCount(transactions, results);
    if (typeof count === "string") return run === record ? count : `settled of flush ${flush}: ${count}`;
    if (run !== record && flush >= record.flush) return `flush ${flush} settled in flush ${record.flush}`;
    if (count > 0) sources.push({ flush, count, transactions, results });
  }
  return sources;
}

/** A record that closes a block: `block` in LOG, or `genesis`, which closes block 0. */
export interface Closing {
  number: number;
  context: OpenedBlock;
  partitions: PartitionId[]; // ascending
  lattice: Uint8Array;
  snapshot: boolean;
  /** Everything that must be the same in all partitions, as text to compare. */
  facts: string;
}

/** What the record closes, null if nothing. */
export function closingOf(record: OutRecord): Closing | null {
  if (record.genesis !== null) {
    const { map, opens, lattice } = record.genesis;
    const context: OpenedBlock = {
      number: 0,
      timestamp: opens.timestamp,
      prevrandao: new Uint8Array(32),
      gasLimit: opens.gasLimit,
    };
    const partitions = map.partitions.filter(({ origin }) => origin === null).map(({ id }) => id);
    return {
      number: 0,
      context,
      partitions: partitions.sort(ascending),
      lattice,
      snapshot: false,
      facts: genesisFacts(record.genesis),
    };
  }
  if (record.block === null) return null;
  const { entry, context, lattice } = record.block;
  return {
    number: entry.number,
    context,
    partitions: [...entry.partitions].sort(ascending),
    lattice,
    snapshot: entry.snapshot,
    facts: blockFacts(record.block),
  };
}

const ascending = (left: number, right: number): number => left - right;

/** A mark that is equal for equal records only; two records of one (partition, n) with different marks are an alarm. */
export function markOf(record: OutRecord, sha256: Sha256): Uint8Array {
  const facts = JSON.stringify([
    record.n,
    record.flush,
    record.block && [blockFacts(record.block), record.block.entry.index, hexOf(record.block.lattice)],
    record.genesis && [genesisFacts(record.genesis), hexOf(record.genesis.lattice)],
    record.map && mapFacts(record.map),
    hexOf(sha256(record.transactions)),
    hexOf(sha256(record.results)),
    record.settled.map(({ flush, transactions, results }) => [flush, hexOf(sha256(transactions)), hexOf(sha256(results))]),
  ]);
  return sha256(new TextEncoder().encode(facts)).slice(0, MARK_BYTES);
}

const openedFacts = (opened: OpenedBlock) => [opened.number, opened.timestamp, hexOf(opened.prevrandao), opened.gasLimit];

const mapFacts = (map: RangeMap) => [
  map.version,
  map.ranges.map(({ first, partition }) => [first, partition]),
  map.pins.map(({ address, partition }) => [address, partition]),
  map.partitions.map(({ id, origin }) => [id, origin && [origin.parent, origin.n]]),
];

/** Without the entry's index, which is each log's own. */
function blockFacts({ entry, context }: NonNullable<OutRecord["block"]>): string {
  const { number, opens, rules, mapVersion, partitions, snapshot } = entry;
  const moves = entry.moves.map(({ from, to, first, last }) => [from, to, first, last]);
  return JSON.stringify([number, openedFacts(opens), rules, mapVersion, partitions, snapshot, moves, openedFacts(context)]);
}

function genesisFacts({ chainId, genesisHash, map, opens }: NonNullable<OutRecord["genesis"]>): string {
  return JSON.stringify([chainId, hexOf(genesisHash), mapFacts(map), openedFacts(opens)]);
}
