/** Packed transaction records for tests and benchmarks. */
import { concatBytes, writeU16, writeU32, writeU64 } from "../../bytes.ts";
import { unionModes } from "../../modes/union-modes.ts";
import { DECLARED_BYTES, MODE, TX, TX_HEADER_BYTES, TX_TYPE_CALL } from "../../transactions.ts";

/** The account `number`; spread evenly over the address space, the same for the same number. */
export function accountOf(number: number): Uint8Array {
  const address = new Uint8Array(20);
  writeU32(address, 0, Math.imul(number + 1, 0x9e3779b1));
  writeU32(address, 4, number);
  writeU32(address, 16, Math.imul(number + 7, 0x85ebca77));
  return address;
}

export interface TestTransfer {
  sender: number;
  nonce: number;
  to?: number;
  gas?: number;
  rawBytes?: number;
  /** Another transaction at the same nonce. */
  salt?: number;
  /** A call of a signed batch: which batch of its sender, and which of its calls. Its hash is the batch's but for the call. */
  call?: [batch: number, call: number];
  /** Declared beside `to`: account and mode. */
  declared?: [account: number, mode: number][];
  /** The mode of `to`; default write. */
  mode?: number;
}

/** Hash of a test transaction: says who, which nonce or which call of which batch, which salt. */
export function transferHash({ sender, nonce, salt = 0, call }: TestTransfer): Uint8Array {
  const hash = new Uint8Array(32);
  if (call !== undefined) {
    hash.set(transferHash({ sender, nonce: call[0], salt: salt + 1 }));
    hash[30] = call[1] >>> 8;
    hash[31] = call[1];
    return hash;
  }
  writeU32(hash, 0, Math.imul(sender * 31 + nonce * 7919 + salt + 1, 0x9e3779b1));
  writeU32(hash, 4, sender);
  writeU64(hash, 8, nonce);
  writeU32(hash, 16, salt);
  return hash;
}

export function transferRecord(transfer: TestTransfer): Uint8Array {
  const { sender, nonce, to = sender + 1, gas = 100_000, rawBytes = 110, declared = [], mode = MODE.write } = transfer;
  const set = declaredSet([[to, mode], ...declared]);
  const rawOffset = TX_HEADER_BYTES + set.length;
  const record = new Uint8Array(rawOffset + rawBytes);
  writeU32(record, TX.bytes, record.length);
  record[TX.type] = transfer.call === undefined ? 2 : TX_TYPE_CALL;
  writeU16(record, TX.declared, set.length / DECLARED_BYTES);
  writeU32(record, TX.rawOffset, rawOffset);
  writeU64(record, TX.nonce, nonce);
  writeU64(record, TX.gasLimit, gas);
  record.set(transferHash(transfer), TX.hash);
  record.set(accountOf(sender), TX.sender);
  record.set(accountOf(to), TX.to);
  record.set(set, TX.declaredSet);
  record.fill(nonce & 255, rawOffset);
  return record;
}

/** Packed (mode, address)*, ascending. */
export function declaredSet(accounts: readonly [account: number, mode: number][]): Uint8Array {
  return accounts.reduce<Uint8Array>(
    (set, [account, mode]) => unionModes(set, concatBytes([new Uint8Array([mode]), accountOf(account)])),
    new Uint8Array(0),
  );
}

export const transferRecords = (transfers: readonly TestTransfer[]): Uint8Array => concatBytes(transfers.map(transferRecord));
