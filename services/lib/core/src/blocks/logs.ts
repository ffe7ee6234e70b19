/**
 * Finding logs by address and topics. For each block five columns of 32-bit keys stand beside its results: the address and up
 * to four topics of each log. A query scans the columns that it constrains, a few nanoseconds a log, and compares hits in full.
 *
 * L1. A key is a function of the value alone, never 0; 0 stands for a topic that a log does not have.
 * L2. Equal values have equal keys, so columns and blooms never hide a log; what they let through is compared byte by byte.
 * L3. As in geth: a log matches if it has at least as many places as the filter, and in each place one of the values asked for.
 */
import { readU32, sameBytes } from "../bytes.ts";
import type { LogFilter } from "../messages.ts";
import { RESULT, resultLogCount } from "../results.ts";

/** Address, topic 0, 1, 2, 3. */
export const LOG_COLUMNS = 5;

export interface LogColumns {
  /** Number of the first log of each transaction in its block; one more at the end, the block's log count. */
  firstLogs: Uint32Array;
  /** LOG_COLUMNS columns behind each other, each with one key a log. */
  keys: Uint32Array;
}

/** Key of the value at `offset`: 5 lanes for an address, 8 for a topic. */
function keyOf(bytes: Uint8Array, offset: number, lanes: number): number {
  let key = lanes;
  for (let lane = 0; lane < lanes; lane++) {
    key = Math.imul(key ^ readU32(bytes, offset + lane * 4), 0x9e37_79b1);
    key ^= key >>> 15;
  }
  return key >>> 0 || 1;
}

/** Columns of a block whose results start at `offsets` (one more at the end). */
export function logColumns(results: Uint8Array, offsets: Uint32Array): LogColumns {
  const count = offsets.length - 1;
  const firstLogs = new Uint32Array(count + 1);
  for (let number = 0; number < count; number++)
    firstLogs[number + 1] = firstLogs[number]! + resultLogCount(results, offsets[number]!);
  const logCount = firstLogs[count]!;
  const keys = new Uint32Array(LOG_COLUMNS * logCount);
  for (let number = 0, log = 0; number < count; number++) {
    const at = offsets[number]!;
    let logAt = at + readU32(results, at + RESULT.logsOffset);
    for (const end = firstLogs[number + 1]!; log < end; log++) {
      const topics = results[logAt + 20]!;
      keys[log] = keyOf(results, logAt, 5);
      for (let topic = 0; topic < topics; topic++)
        keys[(topic + 1) * logCount + log] = keyOf(results, logAt + 21 + topic * 32, 8);
      logAt += logBytes(results, logAt);
    }
  }
  return { firstLogs, keys };
}

/** Length of the packed log at `at`. */
function logBytes(results: Uint8Array, at: number): number {
  const header = 25 + results[at + 20]! * 32;
  return header + readU32(results, at + header - 4);
}

/** Where log number `log` of the result at `at` starts; the caller has checked that the result has it. */
export function logOffset(results: Uint8Array, at: number, log: number): number {
  let offset = at + readU32(results, at + RESULT.logsOffset);
  for (; log > 0; log--) offset += logBytes(results, offset);
  return offset;
}

/** One place of a filter with values: column 0 is the address, column i topic i - 1. */
interface Place {
  column: number;
  /** Values by key. */
  values: Map<number, Uint8Array[]>;
  /** For each value three bits of a block's bloom: byte and mask after each other. */
  bits: Uint16Array[];
}

/** A filter prepared for many blocks. */
export interface PreparedFilter {
  places: Place[];
  /** A log must have this many topics. */
  topicsMin: number;
}

/** @param keccak256  for the blooms; packed lists in the filter hold whole values */
export function prepareFilter(
  filter: Pick<LogFilter, "addresses" | "topics">,
  keccak256: (bytes: Uint8Array) => Uint8Array,
): PreparedFilter {
  const places: Place[] = [];
  [filter.addresses, ...filter.topics].forEach((list, column) => {
    if (list.length === 0) return;
    const length = column === 0 ? 20 : 32;
    const values = new Map<number, Uint8Array[]>();
    const bits: Uint16Array[] = [];
    for (let at = 0; at + length <= list.length; at += length) {
      const value = list.slice(at, at + length);
      const key = keyOf(value, 0, length / 4);
      values.set(key, [...(values.get(key) ?? []), value]);
      bits.push(bloomBits(keccak256(value)));
    }
    places.push({ column, values, bits });
  });
  return { places, topicsMin: filter.topics.length };
}

/** Yellow Paper 4.3.1: three 11-bit numbers out of the hash, counted from the lowest bit of the last byte. */
function bloomBits(hash: Uint8Array): Uint16Array {
  const bits = new Uint16Array(6);
  for (let number = 0; number < 3; number++) {
    const bit = ((hash[number * 2]! << 8) | hash[number * 2 + 1]!) & 2047;
    bits[number * 2] = 255 - (bit >>> 3);
    bits[number * 2 + 1] = 1 << (bit & 7);
  }
  return bits;
}

/** False if no log of the block with the bloom at `at` (256 bytes) can match. */
export function bloomMayMatch(filter: PreparedFilter, blooms: Uint8Array, at: number): boolean {
  return filter.places.every(({ bits }) => bits.some((value) => hasBits(value, blooms, at)));
}

function hasBits(bits: Uint16Array, blooms: Uint8Array, at: number): boolean {
  for (let index = 0; index < 6; index += 2) if ((blooms[at + bits[index]!]! & bits[index + 1]!) === 0) return false;
  return true;
}

const NONE = new Uint32Array(0);

/**
 * Numbers, inside the block, of the logs that may match; ascending.
 * @param columnOf  one column of the block's keys, null if all of it is 0; only those that are needed are asked for, and each is
 *                  done with before the next one
 */
export function logCandidates(filter: PreparedFilter, columnOf: (column: number) => Uint32Array | null): Uint32Array {
  const { places, topicsMin } = filter;
  if (topicsMin >= LOG_COLUMNS) return NONE;
  let kept: Uint32Array | null = null; // null: all
  // The last place first: later topics are the rarer ones.
  for (const place of places.toReversed()) {
    const column = columnOf(place.column);
    if (column === null) return NONE;
    kept = narrow(place, column, kept);
    if (kept.length === 0) return NONE;
  }
  if (kept !== null && places.some(({ column }) => column === topicsMin)) return kept;
  const last = columnOf(topicsMin);
  if (last === null) return NONE;
  kept ??= Uint32Array.from(last, (_, log) => log);
  return topicsMin === 0 ? kept : kept.filter((log) => last[log] !== 0);
}

function narrow(place: Place, column: Uint32Array, kept: Uint32Array | null): Uint32Array {
  const hits = new Uint32Array(kept?.length ?? column.length);
  const [only] = place.values.keys();
  const single = place.values.size === 1;
  let count = 0;
  for (let number = 0; number < hits.length; number++) {
    const log = kept === null ? number : kept[number]!;
    const key = column[log]!;
    if (single ? key === only : place.values.has(key)) hits[count++] = log;
  }
  return hits.subarray(0, count);
}

/** True if the packed log at `at` matches, byte by byte. */
export function logMatches(filter: PreparedFilter, results: Uint8Array, at: number): boolean {
  const topics = results[at + 20]!;
  if (topics < filter.topicsMin) return false;
  return filter.places.every(({ column, values }) => {
    if (column > topics) return false;
    const offset = column === 0 ? at : at + 21 + (column - 1) * 32;
    const length = column === 0 ? 20 : 32;
    const sameKey = values.get(keyOf(results, offset, length / 4));
    return sameKey?.some((value) => sameBytes(value, 0, results, offset, length)) ?? false;
  });
}
