/** Real signed transactions and small contracts, for tests with a real engine. */
import {
  DECODE,
  NONCE,
  NONCE_BYTES,
  TX,
  assert,
  bytesOfHex,
  concatBytes,
  setTxIndex,
  txBytes,
  txIndex,
  txNonce,
  writeU32,
  writeU64,
} from "@meridian/core";
import type { EngineModule, Entry, PartitionId, RangeIndex } from "@meridian/core";
import { TEST_CHAIN_ID } from "@meridian/core/actor/testing";
import { getContractAddress } from "viem";
import type { Hex } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import type { PrivateKeyAccount } from "viem/accounts";

const GAS_LIMIT = 1_000_000n;
export const GAS_LIMIT_MAX = 16_777_216;

/** Init code that deploys `runtime` (up to 255 bytes). */
const deploying = (runtime: string): Hex => `0x60${(runtime.length / 2).toString(16).padStart(2, "0")}8060095f395ff3${runtime}`;

export const CONTRACT = {
  /** Called without data: adds 1 to slot 0. With any data: returns slot 0. */
  counter: deploying("36600c575f546001015f55005b5f545f5260205ff3"),
  /** Calls the address in its data's first word with one byte of data; returns what that returns. */
  reader: deploying("60205f60015f5f355afa5060205ff3"),
  /**
   * Called with 32 bytes: adds 1 to slot 0 and calls the address in them without data; reverts if that fails. With more: returns
   * slot 0.
   */
  caller: deploying("602036116020575f546001015f555f5f5f5f5f5f355af115601c57005b5f5ffd5b5f545f5260205ff3"),
  /** Returns 1 and looks at nothing. */
  pure: deploying("60015f5260205ff3"),
  /** Runs until its gas is gone. */
  endless: deploying("5b5f56"),
} as const;

/** Init code of a list: each slot from 1 to `length` holds the number of the next one. A call walks it to its end. */
export const listOf = (length: number): Hex =>
  `0x5f5b60010180600101815561${length.toString(16).padStart(4, "0")}81106001576860015b5480600257005f5260096017f3`;

export class Signer {
  readonly account: PrivateKeyAccount;
  nonce = 0;

  /** @param number tells signers apart; the same number is the same account in every run */
  constructor(number: number) {
    this.account = privateKeyToAccount(`0x${number.toString(16).padStart(64, "0")}`);
  }

  get address(): Uint8Array {
    return bytesOfHex(this.account.address);
  }

  /** Signs the next transaction; without `to` it creates. */
  async sign(fields: { to?: Uint8Array; data?: Hex; gas?: bigint }): Promise<Uint8Array> {
    const { to, data, gas = GAS_LIMIT } = fields;
    const raw = await this.account.signTransaction({
      type: "eip1559",
      chainId: TEST_CHAIN_ID,
      nonce: this.nonce++,
      gas,
      maxFeePerGas: 0n,
      maxPriorityFeePerGas: 0n,
      ...(to === undefined ? {} : { to: hexAddress(to) }),
      ...(data === undefined ? {} : { data }),
    });
    return bytesOfHex(raw);
  }

  /** Where the next creation of this signer will stand. */
  nextContract(): Uint8Array {
    return bytesOfHex(getContractAddress({ from: this.account.address, nonce: BigInt(this.nonce) }));
  }
}

const hexAddress = (address: Uint8Array): Hex => `0x${Buffer.from(address).toString("hex")}`;

/** The entries that a scheduler would make of one flush of raw transactions: each at home, its nonce record at its sender's. */
export function route(engines: EngineModule, raws: Uint8Array[], owners: RangeIndex): Record<PartitionId, Entry[]> {
  const records = decode(engines, raws);
  const parts = new Map<PartitionId, { transactions: Uint8Array[]; nonces: Uint8Array[] }>();
  const partOf = (at: number) => {
    const owner = owners.ownerOf(records, at);
    const part = parts.get(owner) ?? { transactions: [], nonces: [] };
    parts.set(owner, part);
    return part;
  };
  for (let at = 0, index = 0; at < records.length; at += txBytes(records, at), index++) {
    setTxIndex(records, at, index);
    partOf(at + TX.to).transactions.push(records.slice(at, at + txBytes(records, at)));
    partOf(at + TX.sender).nonces.push(nonceRecord(records, at));
  }
  const entries = [...parts].map(([partition, { transactions, nonces }]): [PartitionId, Entry[]] => [
    partition,
    [{ kind: "run", transactions: concatBytes(transactions), nonces: concatBytes(nonces) }],
  ]);
  return Object.fromEntries(entries);
}

function decode(engines: EngineModule, raws: Uint8Array[]): Uint8Array {
  const packed = raws.map((raw) => {
    const length = new Uint8Array(4);
    writeU32(length, 0, raw.length);
    return concatBytes([length, raw]);
  });
  const limits = { chainId: TEST_CHAIN_ID, gasLimitMax: GAS_LIMIT_MAX, transactionBytesMax: 131_072 };
  const { records, statuses } = engines.decode(concatBytes(packed), limits);
  assert(
    statuses.every((status) => status === DECODE.ok),
    `a test's transaction is refused: ${statuses.join()}`,
  );
  return records.slice();
}

function nonceRecord(records: Uint8Array, at: number): Uint8Array {
  const record = new Uint8Array(NONCE_BYTES);
  writeU32(record, NONCE.index, txIndex(records, at));
  record.set(records.subarray(at + TX.sender, at + TX.sender + 20), NONCE.sender);
  writeU64(record, NONCE.nonce, txNonce(records, at));
  record.set(records.subarray(at + TX.hash, at + TX.hash + 32), NONCE.hash);
  return record;
}
