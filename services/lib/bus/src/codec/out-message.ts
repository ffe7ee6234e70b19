/** OUT: records of one partition, several in a message; a record too large for one message stands in parts behind each other. */
import { FORMAT_VERSION } from "@meridian/core";
import type { OutRecord, PartitionBlock, SettledRun } from "@meridian/core";
import { OUT_MESSAGE_BYTES, OUT_RECORD_BYTES_MAX } from "../limits.ts";
import { blockEntry } from "./log-message.ts";
import { checkFormat, pack, packBriefly, unpack } from "./pack.ts";
import type { Shape } from "./shapes.ts";
import { SQUEEZE_BYTES_MIN, squeeze, unsqueeze } from "./squeeze.ts";
import { arrayOf, bytes, bytesOf, list, malformed, nullable, record, unsigned } from "./shapes.ts";
import { hash, openedBlock, rangeMap } from "./shared-shapes.ts";

const lattice = bytesOf(2048);

const outRecord: Shape<OutRecord> = record<OutRecord>({
  n: unsigned,
  flush: unsigned,
  transactions: bytes,
  results: bytes,
  settled: list(record<SettledRun>({ flush: unsigned, transactions: bytes, results: bytes })),
  block: nullable(record<PartitionBlock>({ entry: blockEntry, context: openedBlock, lattice })),
  genesis: nullable(
    record<NonNullable<OutRecord["genesis"]>>({
      chainId: unsigned,
      genesisHash: hash,
      lattice,
      map: rangeMap,
      opens: openedBlock,
    }),
  ),
  map: nullable(rangeMap),
});
const outRecords = list(outRecord);

/** One message of OUT. `body`: the packed records, or part `part` of `parts` of them. */
export interface OutMessage {
  partition: number;
  firstN: number;
  lastN: number;
  part: number;
  parts: number;
  body: Uint8Array;
}

/** [format, partition, firstN, lastN, part, parts, body] */
export function encodeOutMessage({ partition, firstN, lastN, part, parts, body }: OutMessage): Uint8Array {
  return pack([FORMAT_VERSION, partition, firstN, lastN, part, parts, body]);
}

/** @throws IoError MALFORMED | FORMAT_UNKNOWN */
export function decodeOutMessage(payload: Uint8Array): OutMessage {
  const packed = arrayOf(unpack(payload, "out"), "out");
  checkFormat(packed[0], "out", FORMAT_VERSION);
  const [, partition, firstN, lastN, part, parts, body] = arrayOf(packed, "out", 7);
  const message = {
    partition: unsigned.read(partition, "out.partition"),
    firstN: unsigned.read(firstN, "out.firstN"),
    lastN: unsigned.read(lastN, "out.lastN"),
    part: unsigned.read(part, "out.part"),
    parts: unsigned.read(parts, "out.parts"),
    body: bytes.read(body, "out.body"),
  };
  if (message.lastN < message.firstN || message.part >= message.parts) malformed("out", "firstN <= lastN and part < parts");
  return message;
}

export function encodeOutRecord(value: OutRecord): Uint8Array {
  return pack(outRecord.write(value));
}

/** Bytes of transactions and results: nearly all of a large record. */
export const bulkOfRecord = ({ transactions, results, settled }: OutRecord): number =>
  settled.reduce((bytes, run) => bytes + run.transactions.length + run.results.length, transactions.length + results.length);

/** The body of a message: records as one list; compressed if there is much in them. */
export function encodeOutBody(records: OutRecord[]): Uint8Array {
  const bulk = records.reduce((bytes, record) => bytes + bulkOfRecord(record), 0);
  const written = outRecords.write(records);
  return bulk < SQUEEZE_BYTES_MIN ? pack(written) : squeeze(packBriefly(written));
}

/** @throws IoError MALFORMED */
export function decodeOutRecords(body: Uint8Array): OutRecord[] {
  const contents = unsqueeze(body, OUT_RECORD_BYTES_MAX + OUT_MESSAGE_BYTES, "out.records");
  return outRecords.read(unpack(contents, "out.records"), "out.records");
}
