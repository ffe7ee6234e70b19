/** Ethereum's state tests: the parts of their JSON that a run needs, and how they are packed (rust/src/conformance.rs). */
import { CELL, bytesOfHex } from "@meridian/core";
import { Writer } from "../src/writer.ts";

export interface FixtureAccount {
  nonce: string;
  balance: string;
  code: string;
  storage: Record<string, string>;
}

export interface FixturePost {
  logs: string;
  txbytes: string;
  state: Record<string, FixtureAccount>;
  expectException?: string;
}

export interface Fixture {
  env: Record<string, string>;
  pre: Record<string, FixtureAccount>;
  post: Record<string, FixturePost[]>;
  config: { chainid: string; blobSchedule?: Record<string, { max: string; baseFeeUpdateFraction: string }> };
}

const UPDATE_FRACTION_CANCUN = 3_338_477;
const BLOBS_MAX_CANCUN = 6;
/** EIP-7594: most blobs of one transaction since Osaka, whatever a block may hold. */
const BLOBS_MAX_OF_ONE = 6;

export const word = (hex: string): Uint8Array => bytesOfHex(BigInt(hex).toString(16).padStart(64, "0"));

export type Hash = (bytes: Uint8Array) => Uint8Array;

/** One case as the crate reads it; `isFree` executes it as if nothing was offered for gas. */
export function packCase(fixture: Fixture, fork: string, post: FixturePost, keccak256: Hash, isFree = false): Uint8Array {
  const raw = bytesOfHex(post.txbytes);
  const writer = new Writer(4096);
  packEnvironment(writer, fixture, fork);
  writer.u8(isFree ? 1 : 0);
  return writer.part(raw).part(packAccounts(fixture.pre, keccak256)).done();
}

function packEnvironment(writer: Writer, { env, config }: Fixture, fork: string): void {
  const number = (name: string): number => Number(env[name] ?? "0x0");
  const name = new TextEncoder().encode(fork);
  const blobs = config.blobSchedule?.[fork];
  const blobsMax = Number(blobs?.max ?? BLOBS_MAX_CANCUN);
  const random = env["currentRandom"];
  const excess = env["currentExcessBlobGas"];
  writer
    .u8(name.length)
    .bytes(name)
    .u64(Number(config.chainid))
    .u64(number("currentNumber"))
    .u64(number("currentTimestamp"))
    .u64(number("currentGasLimit"))
    .u64(number("currentBaseFee"))
    .bytes(bytesOfHex(env["currentCoinbase"]!))
    .bytes(word(env["currentDifficulty"] ?? "0x0"))
    .u8(random === undefined ? 0 : 1)
    .bytes(word(random ?? "0x0"))
    .u8(excess === undefined ? 0 : 1)
    .u64(Number(excess ?? 0))
    .u64(Number(blobs?.baseFeeUpdateFraction ?? UPDATE_FRACTION_CANCUN))
    .u64(fork === "Osaka" ? Math.min(blobsMax, BLOBS_MAX_OF_ONE) : blobsMax);
}

export function packAccounts(accounts: Record<string, FixtureAccount>, keccak256: Hash): Uint8Array {
  const writer = new Writer(4096);
  for (const [name, { nonce, balance, code, storage }] of Object.entries(accounts)) {
    const address = bytesOfHex(name);
    writer
      .u8(CELL.account)
      .bytes(address)
      .bytes(word(balance))
      .bytes(keccak256(bytesOfHex(code)));
    writer.u8(CELL.nonce).bytes(address).bytes(littleEndian(nonce)).bytes(new Uint8Array(32));
    for (const [slot, value] of Object.entries(storage)) writer.u8(CELL.slot).bytes(address).bytes(word(slot)).bytes(word(value));
    if (code !== "0x") writer.u8(CELL.code).bytes(address).part(bytesOfHex(code));
  }
  return writer.done();
}

/** Eight bytes of any 64-bit nonce: the tests go beyond what a JavaScript number counts. */
function littleEndian(nonce: string): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(nonce), true);
  return bytes;
}
