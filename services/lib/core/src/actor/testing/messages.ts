/** Builders of log messages for tests. Addresses are written as two hex digits: "a1" stands for a1a1…a1. */
import { bytesOfHex, concatBytes, writeU16, writeU32, writeU64 } from "../../bytes.ts";
import type {
  AbortEntry,
  ApplyEntry,
  BlockEntry,
  Entry,
  GenesisEntry,
  GroupEntry,
  LockEntry,
  LogMessage,
  LogPosition,
  OpenedBlock,
  Position,
  RunEntry,
  SealEntry,
} from "../../entries.ts";
import { RULES_VERSION } from "../../entries.ts";
import type { RangeMap } from "../../ranges.ts";
import { evenRangeMap } from "../../ranges.ts";
import { DECLARED_BYTES, MODE, NONCE, NONCE_BYTES, TX, TX_HEADER_BYTES, txIndex, txNonce } from "../../transactions.ts";

export const TEST_CHAIN_ID = 31_337;

export const addressOf = (short: string): Uint8Array => bytesOfHex(short.repeat(20));

/** The block `number` with a time that tells it apart. */
export const opensBlock = (number: number): OpenedBlock => ({
  number,
  timestamp: 1_700_000_000 + number,
  prevrandao: new Uint8Array(32).fill(number & 255),
  gasLimit: 1_000_000_000,
});

export const genesisEntry = (map: RangeMap = evenRangeMap(1), genesisHash = new Uint8Array(32)): GenesisEntry => ({
  kind: "genesis",
  index: 0,
  chainId: TEST_CHAIN_ID,
  genesisHash,
  map,
  opens: opensBlock(1),
});

export const blockEntry = (number: number, changes: Partial<BlockEntry> = {}): BlockEntry => ({
  kind: "block",
  index: 1_000,
  number,
  opens: opensBlock(number + 1),
  rules: RULES_VERSION,
  mapVersion: 1,
  partitions: [0],
  snapshot: false,
  moves: [],
  ...changes,
});

/** A hash that tells blocks apart. */
export const sealHash = (number: number): Uint8Array => new Uint8Array(32).fill((number + 1) & 255);

export const sealEntry = (number: number, hash = sealHash(number)): SealEntry => ({ kind: "seal", index: 0, number, hash });

/** What `toyTransaction` makes a record of; addresses by two hex digits. */
export interface ToyTransaction {
  index: number;
  sender: string;
  nonce: number;
  to: string;
  /** Accounts as "w a1", "r a1" or "c a1" (write, read, code); default: `to`, write. */
  declared?: string[];
  /** Position of the sender's transaction before this one. */
  after?: Position;
  attempt?: number;
  /** A toy program; without one the transaction adds 1 to slot 0 of `to`. */
  program?: Uint8Array;
}

const MODES: Record<string, number> = { w: MODE.write, r: MODE.read, c: MODE.code };

/** Packed (u8 mode, b20)*, ascending by address, of accounts as "w a1". */
export const accountList = (accounts: readonly string[]): Uint8Array =>
  concatBytes(
    accounts
      .map((text): [string, string] => [text.slice(2), text.slice(0, 1)])
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([short, mode]) => concatBytes([new Uint8Array([MODES[mode] ?? 255]), addressOf(short)])),
  );

/** A packed transaction record. Its hash is told by sender and nonce: the same however often it is sequenced. */
export function toyTransaction(fields: ToyTransaction): Uint8Array {
  const { sender, nonce, to, after, program = new Uint8Array(0) } = fields;
  return toyRecord({
    index: fields.index,
    sender: addressOf(sender),
    nonce,
    to: addressOf(to),
    declared: accountList(fields.declared ?? [`w ${to}`]),
    after: after ?? { flush: 0, index: 0 },
    attempt: fields.attempt ?? 0,
    program,
  });
}

/** The same with whole addresses. `declared`: packed (u8 mode, b20)*, ascending; `after`: flush 0 for none. */
export function toyRecord(fields: {
  index: number;
  sender: Uint8Array;
  nonce: number;
  to: Uint8Array;
  declared: Uint8Array;
  after: Position;
  attempt: number;
  program: Uint8Array;
}): Uint8Array {
  const { declared, program } = fields;
  const record = new Uint8Array(TX_HEADER_BYTES + declared.length + program.length);
  writeU32(record, TX.bytes, record.length);
  writeU32(record, TX.index, fields.index);
  writeU16(record, TX.declared, declared.length / DECLARED_BYTES);
  writeU32(record, TX.rawOffset, TX_HEADER_BYTES + declared.length);
  writeU64(record, TX.nonce, fields.nonce);
  writeU64(record, TX.gasLimit, 100_000);
  record.fill(fields.nonce + 1, TX.hash, TX.hash + 12);
  record.set(fields.sender, TX.hash + 12);
  record.set(fields.sender, TX.sender);
  record.set(fields.to, TX.to);
  writeU64(record, TX.afterFlush, fields.after.flush);
  writeU32(record, TX.afterIndex, fields.after.index);
  record[TX.attempt] = fields.attempt;
  record.set(declared, TX.declaredSet);
  record.set(program, TX_HEADER_BYTES + declared.length);
  return record;
}

/** The nonce record that goes with a transaction. */
export function nonceRecordOf(transaction: Uint8Array): Uint8Array {
  const record = new Uint8Array(NONCE_BYTES);
  writeU32(record, NONCE.index, txIndex(transaction, 0));
  record.set(transaction.subarray(TX.sender, TX.sender + 20), NONCE.sender);
  writeU64(record, NONCE.nonce, txNonce(transaction, 0));
  record.set(transaction.subarray(TX.hash, TX.hash + 32), NONCE.hash);
  return record;
}

/** A `run` entry of these records, with a nonce record for each. */
export const runOf = (...records: Uint8Array[]): RunEntry => ({
  kind: "run",
  transactions: concatBytes(records),
  nonces: concatBytes(records.map(nonceRecordOf)),
});

/** Transactions to the given accounts with their nonce records; all from `sender`, nonces from `nonce`, indexes from `first`. */
export function runEntry(accounts: string[], sender = "01", nonce = 0, first = 0): RunEntry {
  const records = accounts.map((to, index) => {
    const record = toyTransaction({ index: first + index, sender, nonce: nonce + index, to });
    record.fill(nonce + index + 1, TX.hash, TX.hash + 32);
    return record;
  });
  return runOf(...records);
}

/** A group of these records, whose indexes follow `index`; it locks `accounts` ("w a1"). */
export const groupEntry = (index: number, participants: number[], records: Uint8Array[], accounts: string[]): GroupEntry => ({
  kind: "group",
  index,
  participants,
  accounts: accountList(accounts),
  whole: false,
  transactions: concatBytes(records),
});

export const lockEntry = (index: number, home: number, accounts: string[]): LockEntry => ({
  kind: "lock",
  index,
  home,
  accounts: accountList(accounts),
  whole: false,
});

export const applyEntry = (index: number, group: Position, changes: Partial<ApplyEntry> = {}): ApplyEntry => ({
  kind: "apply",
  index,
  group,
  writes: new Uint8Array(0),
  results: new Uint8Array(0),
  misses: new Uint8Array(0),
  ...changes,
});

export const abortEntry = (index: number, group: Position): AbortEntry => ({ kind: "abort", index, group });

/** A message and the position behind it; its hash only tells messages apart. */
export function logMessage(n: number, entries: Entry[], term = 1): { message: LogMessage; position: LogPosition } {
  const hash = new Uint8Array(32);
  writeU32(hash, 0, n);
  return { message: { partition: 0, n, term, flush: n, entries }, position: { n, flush: n, hash } };
}
