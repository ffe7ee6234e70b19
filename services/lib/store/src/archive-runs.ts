/**
 * Runs: neighbours in a block whose hashes count up in their last two bytes, as those of a batch's calls do. A single transaction
 * is a run of one. Of each run the store has one entry, whatever its length.
 *
 * A block's runs are packed as core's keys of outcomes: b32 hash of the first, u16 count. Where one stands is a *place*, 12
 * bytes, big-endian so that places sort: u32 block, u32 index of the first, u16 number in its hash, u16 count.
 */
import { callNumber, OUTCOME_KEY, OUTCOME_KEY_BYTES, readU16, readU32 } from "@meridian/core";
import { sameBytes, setCallNumber, TX, writeU16 } from "@meridian/core";
import type { Merged } from "@meridian/core";

/** Bytes of a hash that `places` are found by. */
export const PREFIX_BYTES = 8;
const PLACE_BYTES = 12;
const COUNT_MAX = 0xff_ff;

/** The packed runs of a block. */
export function runsOf({ count, transactions, transactionOffsets }: Merged): Uint8Array {
  const runs = new Uint8Array(count * OUTCOME_KEY_BYTES);
  let end = 0; // of the runs so far
  let length = 0; // of the last one
  for (let index = 0; index < count; index++) {
    const hashAt = transactionOffsets[index]! + TX.hash;
    const runAt = end - OUTCOME_KEY_BYTES;
    if (length > 0 && length < COUNT_MAX && goesOn(runs, runAt, length, transactions, hashAt)) {
      writeU16(runs, runAt + OUTCOME_KEY.count, ++length);
      continue;
    }
    for (let at = 0; at < 32; at++) runs[end + at] = transactions[hashAt + at]!;
    writeU16(runs, end + OUTCOME_KEY.count, (length = 1));
    end += OUTCOME_KEY_BYTES;
  }
  return runs.slice(0, end);
}

/** True if the hash at `hashAt` follows the run of `length` at `runAt`. */
function goesOn(runs: Uint8Array, runAt: number, length: number, hashes: Uint8Array, hashAt: number): boolean {
  return (
    readU32(runs, runAt) === readU32(hashes, hashAt) &&
    callNumber(hashes, hashAt) === callNumber(runs, runAt) + length &&
    sameBytes(runs, runAt, hashes, hashAt, 30)
  );
}

/** The hashes of packed runs, behind each other. */
export function hashesOf(runs: Uint8Array): Uint8Array {
  let count = 0;
  for (let at = 0; at < runs.length; at += OUTCOME_KEY_BYTES) count += readU16(runs, at + OUTCOME_KEY.count);
  const hashes = new Uint8Array(count * 32);
  let end = 0;
  for (let at = 0; at < runs.length; at += OUTCOME_KEY_BYTES) {
    const first = callNumber(runs, at);
    for (let number = 0; number < readU16(runs, at + OUTCOME_KEY.count); number++, end += 32) {
      hashes.set(runs.subarray(at, at + 32), end);
      setCallNumber(hashes, end, first + number);
    }
  }
  return hashes;
}

/** Where a run stands. */
export interface Place {
  block: number;
  index: number;
  number: number;
  count: number;
}

export function unpackPlace(bytes: Uint8Array): Place {
  const place = Buffer.from(bytes.buffer, bytes.byteOffset, PLACE_BYTES);
  return {
    block: place.readUInt32BE(0),
    index: place.readUInt32BE(4),
    number: place.readUInt16BE(8),
    count: place.readUInt16BE(10),
  };
}

/** Calls `put` for each run of a block, ascending by prefix: neighbours in a tree are cheap to write together. */
export function eachPlace(block: number, runs: Uint8Array, put: (prefix: Buffer, place: Buffer) => void): void {
  const count = runs.length / OUTCOME_KEY_BYTES;
  const prefixes = Buffer.from(runs.buffer, runs.byteOffset, runs.length);
  const places = Buffer.allocUnsafeSlow(count * PLACE_BYTES);
  let index = 0;
  for (let number = 0; number < count; number++) {
    const length = readU16(runs, number * OUTCOME_KEY_BYTES + OUTCOME_KEY.count);
    places.writeUInt32BE(block, number * PLACE_BYTES);
    places.writeUInt32BE(index, number * PLACE_BYTES + 4);
    places.writeUInt16BE(callNumber(runs, number * OUTCOME_KEY_BYTES), number * PLACE_BYTES + 8);
    places.writeUInt16BE(length, number * PLACE_BYTES + 10);
    index += length;
  }
  for (const number of prefixOrder(prefixes)) {
    const at = number * OUTCOME_KEY_BYTES;
    put(prefixes.subarray(at, at + PREFIX_BYTES), places.subarray(number * PLACE_BYTES, (number + 1) * PLACE_BYTES));
  }
}

/** Numbers of the runs, ascending by the first four bytes of their hashes: enough to write neighbours together. */
function prefixOrder(runs: Buffer): Uint32Array {
  const count = runs.length / OUTCOME_KEY_BYTES;
  const keyed = new Float64Array(count);
  for (let number = 0; number < count; number++)
    keyed[number] = runs.readUInt32BE(number * OUTCOME_KEY_BYTES) * 0x20_0000 + number;
  return Uint32Array.from(keyed.sort(), (key) => key % 0x20_0000);
}
