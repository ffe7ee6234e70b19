/** The messages that services send each other: one declaration each. docs/WIRE.md lists them in words. */
import { OUTCOME_BYTES, OUTCOME_KEY_BYTES } from "@meridian/core";
import type {
  AdminReply,
  AdminRequest,
  ArchiveBlock,
  ArchiveFailure,
  ArchiveLog,
  ArchiveQuery,
  ArchiveReply,
  ArchiveTransaction,
  Beat,
  Built,
  CallAccess,
  CallRequest,
  CallResult,
  GroupProposal,
  LogFilter,
  MissedTransaction,
  Misses,
  ReadFailure,
  ReadReply,
  ReadRequest,
  Report,
  SubmitReply,
} from "@meridian/core";
import { codec } from "./pack.ts";
import type { Shape } from "./shapes.ts";
import {
  blockOrPending,
  bytes,
  bytesOf,
  flag,
  floats,
  list,
  measure,
  nullable,
  optional,
  packedOf,
  pair,
  record,
  text,
  unsigned,
  variant,
} from "./shapes.ts";
import {
  accountModes,
  handOver,
  hash,
  packedCells,
  packedResults,
  packedTouch,
  packedTouches,
  packedTransaction,
  position,
  rangeMap,
} from "./shared-shapes.ts";

/** Format of all messages in this file. */
export const WIRE_FORMAT = 2;

const address = bytesOf(20);
const blockHead = { number: unsigned, hash, timestamp: unsigned };
const positions = list(pair(unsigned, unsigned));

export const { encode: encodeSubmitReply, decode: decodeSubmitReply } = codec(
  "submit reply",
  WIRE_FORMAT,
  record<SubmitReply>({ term: unsigned, codes: bytes, details: floats, positions }),
);

export const { encode: encodeBeat, decode: decodeBeat } = codec(
  "beat",
  WIRE_FORMAT,
  record<Beat>({
    term: unsigned,
    leader: text,
    flush: unsigned,
    latest: record<Beat["latest"]>(blockHead),
    open: record<Beat["open"]>({ number: unsigned, timestamp: unsigned }),
    draining: flag,
    missesTaken: list(pair(unsigned, unsigned)),
    mapVersion: unsigned,
    positions,
  }),
);

export const { encode: encodeReport, decode: decodeReport } = codec(
  "report",
  WIRE_FORMAT,
  record<Report>({
    partition: unsigned,
    host: text,
    n: unsigned,
    flush: unsigned,
    closedBlock: unsigned,
    memoryBytes: unsigned,
    memoryBytesMax: unsigned,
    accounts: unsigned,
    slots: unsigned,
    transactions: unsigned,
    busyMs: measure,
    stopped: nullable(text),
    outFull: flag,
    settledN: unsigned,
    misses: unsigned,
    groups: list(record<Report["groups"][number]>({ group: position, held: flag })),
    handOvers: nullable(record<NonNullable<Report["handOvers"]>>({ block: unsigned, ranges: list(handOver) })),
  }),
);

export const { encode: encodeMisses, decode: decodeMisses } = codec(
  "misses",
  WIRE_FORMAT,
  record<Misses>({
    partition: unsigned,
    block: unsigned,
    first: unsigned,
    missed: list(record<MissedTransaction>({ flush: unsigned, record: packedTransaction, touch: packedTouch })),
  }),
);

export const { encode: encodeGroupProposal, decode: decodeGroupProposal } = codec(
  "group proposal",
  WIRE_FORMAT,
  record<GroupProposal>({
    home: unsigned,
    group: position,
    results: packedResults,
    touches: packedTouches,
    writes: list(pair(unsigned, packedCells)),
  }),
);

export const { encode: encodeAdminRequest, decode: decodeAdminRequest } = codec(
  "admin request",
  WIRE_FORMAT,
  variant<AdminRequest, "op">("op", { map: {}, pin: { address, partition: nullable(unsigned) } }),
);

export const { encode: encodeAdminReply, decode: decodeAdminReply } = codec(
  "admin reply",
  WIRE_FORMAT,
  variant<AdminReply, "op">("op", {
    map: { map: rangeMap, moving: flag },
    moving: { version: unsigned },
    failed: { text },
  }),
);

export const { encode: encodeBuilt, decode: decodeBuilt } = codec(
  "built",
  WIRE_FORMAT,
  record<Built>({ archive: text, ...blockHead }),
);

const callRequest = record<CallRequest>({
  from: address,
  to: nullable(address),
  data: bytes,
  value: hash,
  gasLimit: unsigned,
  accessList: bytes,
  given: bytes,
  traced: flag,
});
const access = nullable(record<CallAccess>({ accessList: bytes, touches: accountModes }));
const ran = { gasUsed: unsigned, output: bytes, access };
const callResult: Shape<CallResult> = variant<CallResult, "status">("status", {
  success: ran,
  revert: ran,
  halt: { gasUsed: unsigned, why: text, access },
  funds: {},
  missing: { cells: bytes },
  unsealed: { block: unsigned },
  pruned: { oldest: unsigned },
  unknownBlock: { newest: unsigned },
});

export const { encode: encodeReadRequest, decode: decodeReadRequest } = codec(
  "read request",
  WIRE_FORMAT,
  variant<ReadRequest, "op">("op", {
    nonces: { atN: unsigned, addresses: bytes },
    cells: { block: blockOrPending, atN: unsigned, request: bytes },
    grant: { group: position, request: bytes },
    call: { block: blockOrPending, atN: unsigned, call: callRequest },
    estimate: { block: blockOrPending, atN: unsigned, call: callRequest },
  }),
);

const readFailure = variant<ReadFailure, "code">("code", {
  PRUNED: { oldest: unsigned },
  BEHIND: { newest: unsigned },
  BUSY: { limit: unsigned },
  STOPPED: { text },
  RESOLVED: {},
  FOREIGN: { account: address },
  CALL: { result: callResult },
});
export const { encode: encodeReadReply, decode: decodeReadReply } = codec(
  "read reply",
  WIRE_FORMAT,
  variant<ReadReply, "op">("op", {
    nonces: { nonces: bytes },
    cells: { cells: bytes },
    grant: { cells: bytes },
    call: { result: callResult },
    estimate: { gas: unsigned },
    failed: { failure: readFailure },
  }),
);

/** A block or a transaction's block by its number or its hash. */
const numberOrHash: Shape<number | Uint8Array> = {
  write: (value) => value,
  read: (packed, path) => (typeof packed === "number" ? unsigned.read(packed, path) : hash.read(packed, path)),
};
const logFilter = record<LogFilter>({
  first: unsigned,
  last: unsigned,
  blockHash: nullable(hash),
  addresses: bytes,
  topics: list(bytes),
});
export const { encode: encodeArchiveQuery, decode: decodeArchiveQuery } = codec(
  "archive query",
  WIRE_FORMAT,
  variant<ArchiveQuery, "op">("op", {
    head: {},
    block: { by: numberOrHash, atLeast: unsigned, body: flag, from: optional(unsigned), count: optional(unsigned) },
    headers: { first: unsigned, count: unsigned, atLeast: unsigned },
    transactions: { hashes: bytes, atLeast: unsigned },
    transactionAt: { block: numberOrHash, index: unsigned, atLeast: unsigned },
    outcomes: { keys: packedOf(OUTCOME_KEY_BYTES), atLeast: unsigned },
    logs: { filter: logFilter, atLeast: unsigned },
  }),
);

const archiveBlock = record<ArchiveBlock>({
  number: unsigned,
  hash,
  header: bytes,
  timestamp: unsigned,
  gasUsed: unsigned,
  transactionCount: unsigned,
  sizeBytes: unsigned,
  transactionHashes: bytes,
  transactions: bytes,
  results: bytes,
});
const archiveTransaction = record<ArchiveTransaction>({
  hash,
  block: nullable(record<NonNullable<ArchiveTransaction["block"]>>(blockHead)),
  index: unsigned,
  cumulativeGasUsed: unsigned,
  firstLogIndex: unsigned,
  transaction: bytes,
  result: bytes,
});
const archiveLog = record<ArchiveLog>({
  block: record<ArchiveLog["block"]>(blockHead),
  transactionHash: hash,
  transactionIndex: unsigned,
  logIndex: unsigned,
  address,
  topics: list(bytes),
  data: bytes,
});
const archiveFailure = variant<ArchiveFailure, "code">("code", {
  BEHIND: { newest: unsigned },
  PRUNED: { oldest: unsigned },
  TOO_MANY_LOGS: { limit: unsigned },
  RANGE_TOO_LARGE: { limit: unsigned },
  UNKNOWN_BLOCK: {},
  BUSY: { limit: unsigned },
  STOPPED: { text },
});
export const { encode: encodeArchiveReply, decode: decodeArchiveReply } = codec(
  "archive reply",
  WIRE_FORMAT,
  variant<ArchiveReply, "op">("op", {
    head: { number: unsigned, hash, oldest: unsigned },
    block: { block: nullable(archiveBlock) },
    headers: { blocks: list(archiveBlock) },
    transactions: { transactions: list(nullable(archiveTransaction)) },
    transactionAt: { transaction: nullable(archiveTransaction) },
    outcomes: { outcomes: packedOf(OUTCOME_BYTES) },
    logs: { logs: list(archiveLog) },
    failed: { failure: archiveFailure },
  }),
);
