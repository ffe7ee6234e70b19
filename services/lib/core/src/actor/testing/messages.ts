/** Builders of log messages for tests. Addresses are written as two hex digits: "a1" stands for a1a1…a1. */
import { bytesOfHex, concatBytes, writeU32, writeU64 } from "../../bytes.ts";
import type {
  BlockEntry,
  Entry,
  GenesisEntry,
  LogMessage,
  LogPosition,
  OpenedBlock,
  RunEntry,
  SealEntry,
} from "../../entries.ts";
import { RULES_VERSION } from "../../entries.ts";
import type { RangeMap } from "../../ranges.ts";
import { evenRangeMap } from "../../ranges.ts";
import { NONCE, NONCE_BYTES, TX, TX_HEADER_BYTES } from "../../transactions.ts";

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
  ...changes,
});

/** A hash that tells blocks apart. */
export const sealHash = (number: number): Uint8Array => new Uint8Array(32).fill((number + 1) & 255);

export const sealEntry = (number: number, hash = sealHash(number)): SealEntry => ({ kind: "seal", index: 0, number, hash });

/** Transactions to the given accounts with their nonce records; all from `sender`, nonces from `nonce`. */
export function runEntry(accounts: string[], sender = "01", nonce = 0): RunEntry {
  const transactions = accounts.map((account, index) => {
    const record = new Uint8Array(TX_HEADER_BYTES);
    writeU32(record, TX.bytes, record.length);
    writeU32(record, TX.index, index);
    writeU32(record, TX.rawOffset, record.length);
    writeU64(record, TX.nonce, nonce + index);
    record.set(addressOf(sender), TX.sender);
    record.set(addressOf(account), TX.to);
    record.fill(nonce + index + 1, TX.hash, TX.hash + 32);
    return record;
  });
  const nonces = accounts.map((_, index) => {
    const record = new Uint8Array(NONCE_BYTES);
    writeU32(record, NONCE.index, index);
    record.set(addressOf(sender), NONCE.sender);
    writeU64(record, NONCE.nonce, nonce + index);
    record.fill(nonce + index + 1, NONCE.hash, NONCE.hash + 32);
    return record;
  });
  return { kind: "run", transactions: concatBytes(transactions), nonces: concatBytes(nonces) };
}

/** A message and the position behind it; its hash only tells messages apart. */
export function logMessage(n: number, entries: Entry[], term = 1): { message: LogMessage; position: LogPosition } {
  const hash = new Uint8Array(32);
  writeU32(hash, 0, n);
  return { message: { partition: 0, n, term, flush: n, entries }, position: { n, flush: n, hash } };
}
