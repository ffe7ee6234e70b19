/** LOG: one message is one flush's entries for one partition; the hash of the message before it makes a log a chain. */
import { hash as digestOf } from "node:crypto";
import { FORMAT_VERSION, IoError } from "@meridian/core";
import type { BlockEntry, Entry, LogMessage } from "@meridian/core";
import { LOG_ENTRIES_BYTES_MAX } from "../limits.ts";
import { plainBytes } from "../payload.ts";
import { checkFormat, pack, packBriefly, unpack } from "./pack.ts";
import type { Shape } from "./shapes.ts";
import { SQUEEZE_BYTES_MIN, squeeze, unsqueeze } from "./squeeze.ts";
import { arrayOf, bytes, flag, list, packedOf, text, unsigned, variant } from "./shapes.ts";
import { accountModes, handOver, hash, movedRange, openedBlock, position, rangeMap } from "./shared-shapes.ts";

export const ZERO_HASH = new Uint8Array(32);

const entry: Shape<Entry> = variant<Entry, "kind">("kind", {
  genesis: { index: unsigned, chainId: unsigned, genesisHash: hash, map: rangeMap, opens: openedBlock },
  term: { index: unsigned, term: unsigned, leader: text },
  run: { transactions: bytes, nonces: bytes },
  group: {
    index: unsigned,
    participants: list(unsigned),
    accounts: accountModes,
    whole: flag,
    transactions: bytes,
  },
  lock: { index: unsigned, home: unsigned, accounts: accountModes, whole: flag },
  apply: { index: unsigned, group: position, writes: bytes, results: bytes, misses: packedOf(4) },
  abort: { index: unsigned, group: position },
  map: { index: unsigned, map: rangeMap, handOvers: list(handOver) },
  block: {
    index: unsigned,
    number: unsigned,
    opens: openedBlock,
    rules: unsigned,
    mapVersion: unsigned,
    partitions: list(unsigned),
    snapshot: flag,
    moves: list(movedRange),
  },
  seal: { index: unsigned, number: unsigned, hash },
});
export const blockEntry: Shape<BlockEntry> = {
  write: (value) => entry.write(value),
  read: (packed, path) => {
    const value = entry.read(packed, path);
    if (value.kind !== "block") throw new IoError({ code: "MALFORMED", field: path, want: "a block entry" }, "never");
    return value;
  },
};
const entries = list(entry);

/** A message of LOG as it stands there: what the entry types know, and the link to the message before it. */
export interface LinkedMessage {
  message: LogMessage;
  /** SHA-256 of the payload of message n - 1 of this partition; zero for n = 1. */
  previousHash: Uint8Array;
}

/** Bytes of transactions and writes: nearly all of a large message. */
export const bulkOf = (all: readonly Entry[]): number => all.reduce((bytes, value) => bytes + bulkOfEntry(value), 0);

function bulkOfEntry(value: Entry): number {
  if (value.kind === "apply") return value.writes.length + value.results.length;
  return "transactions" in value ? value.transactions.length : 0;
}

/** [format, partition, n, term, flush, previousHash, entries]; entries with much in them are compressed. */
export function encodeLogMessage({ message, previousHash }: LinkedMessage): Uint8Array {
  const { partition, n, term, flush } = message;
  const numbers = [partition, n, term, flush].map((value) => unsigned.write(value));
  const written = entries.write(message.entries);
  const packed = bulkOf(message.entries) < SQUEEZE_BYTES_MIN ? written : squeeze(packBriefly(written));
  return pack([FORMAT_VERSION, ...numbers, hash.write(previousHash), packed]);
}

function readEntries(packed: unknown): Entry[] {
  if (!(packed instanceof Uint8Array)) return entries.read(packed, "log.entries");
  const contents = unsqueeze(plainBytes(packed), LOG_ENTRIES_BYTES_MAX, "log.entries");
  return entries.read(unpack(contents, "log.entries"), "log.entries");
}

/** @throws IoError MALFORMED | FORMAT_UNKNOWN */
export function decodeLogMessage(payload: Uint8Array): LinkedMessage {
  const parts = arrayOf(unpack(payload, "log"), "log");
  checkFormat(parts[0], "log", FORMAT_VERSION);
  const [, partition, n, term, flush, previousHash, packed] = arrayOf(parts, "log", 7);
  return {
    message: {
      partition: unsigned.read(partition, "log.partition"),
      n: unsigned.read(n, "log.n"),
      term: unsigned.read(term, "log.term"),
      flush: unsigned.read(flush, "log.flush"),
      entries: readEntries(packed),
    },
    previousHash: hash.read(previousHash, "log.previousHash"),
  };
}

/** SHA-256 of a message's payload: its identity in the chain. */
export function hashOf(payload: Uint8Array): Uint8Array {
  return plainBytes(digestOf("sha256", payload, "buffer"));
}
