/** The genesis file in geth's format, and the packed cells it becomes. */
import { createHash } from "node:crypto";
import {
  ACCOUNT_CELL_BYTES,
  CELL,
  CODE_CELL_HEADER_BYTES,
  HISTORY_ADDRESS,
  HISTORY_CODE,
  IoError,
  NONCE_CELL_BYTES,
  SLOT_CELL_BYTES,
  bytesOfHex,
  concatBytes,
  hexOf,
  withHistoryAccount,
  writeU32,
  writeU64,
} from "@meridian/core";
import type { RangeMap } from "@meridian/core";
import { keccak_256 } from "@noble/hashes/sha3.js";

export interface Genesis {
  chainId: number;
  /** Of block 0, seconds; null for the time of the first start. */
  timestamp: number | null;
  /** Of every block. */
  blockGasLimit: number;
  /** Packed cells sorted by address: account, nonce, code, slots. The history account of EIP-2935 is always there. */
  cells: Uint8Array;
  /** SHA-256 of the cells. */
  hash: Uint8Array;
  accounts: number;
  /** Accounts placed on chosen partitions: `config.meridian.pins`. */
  pins: RangeMap["pins"];
}

const BLOCK_GAS_LIMIT = 1_000_000_000;
/** A plain transfer must fit into a block. */
const BLOCK_GAS_LIMIT_MIN = 21_000;
const CODE_BYTES_MAX = 24_576; // EIP-170
const WORD_BITS = 256n;

const refuse = (field: string, got: unknown, want: string): never => {
  throw new IoError(
    { code: "GENESIS", field, got: typeof got === "string" ? got.slice(0, 80) : JSON.stringify(got), want },
    "never",
  );
};

/** In text, as it may stand in a genesis file. */
const HISTORY = { address: hexOf(HISTORY_ADDRESS), code: `0x${hexOf(HISTORY_CODE)}` };

/**
 * Reads a genesis file: `config.chainId`, `config.meridian.pins` ({address: partition}), `alloc` (balance, nonce, code, storage),
 * `timestamp`, `gasLimit`. Other fields of the format say nothing about this chain and are passed over.
 * @throws IoError GENESIS naming the field
 */
export function parseGenesis(text: string): Genesis {
  const file = objectOf("file", parseJson(text));
  const config = objectOf("config", file["config"]);
  const chainId = integerOf("config.chainId", config["chainId"]);
  if (chainId < 1) refuse("config.chainId", chainId, "1 or more");
  const blockGasLimit = file["gasLimit"] === undefined ? BLOCK_GAS_LIMIT : integerOf("gasLimit", file["gasLimit"]);
  if (blockGasLimit < BLOCK_GAS_LIMIT_MIN) refuse("gasLimit", blockGasLimit, `${BLOCK_GAS_LIMIT_MIN} or more`);
  // Files for other clients often have 0 here; no clock of this chain starts in 1970.
  const timestamp = file["timestamp"] === undefined ? 0 : integerOf("timestamp", file["timestamp"]);
  const alloc = Object.entries(objectOf("alloc", file["alloc"] ?? {}));
  const accounts = alloc.map(([key, value]) => ({ address: hexOfLength("alloc", key, 20), value }));
  accounts.sort((left, right) => (left.address < right.address ? -1 : 1));
  accounts.forEach(({ address }, index) => {
    if (address === accounts[index - 1]?.address) refuse("alloc", address, "each address once");
  });
  const given = concatBytes(accounts.flatMap(({ address, value }) => cellsOf(address, objectOf(`alloc.${address}`, value))));
  const cells = withHistoryAccount(given);
  const hash = new Uint8Array(createHash("sha256").update(cells).digest());
  const pins = pinsOf(config["meridian"]);
  return { chainId, timestamp: timestamp === 0 ? null : timestamp, blockGasLimit, cells, hash, accounts: accounts.length, pins };
}

/** Sorted by address; which partitions there are is not known here. */
function pinsOf(meridian: unknown): RangeMap["pins"] {
  if (meridian === undefined) return [];
  const pins = Object.entries(objectOf("config.meridian.pins", objectOf("config.meridian", meridian)["pins"] ?? {}));
  const placed = pins.map(([key, value]) => {
    const partition = integerOf(`config.meridian.pins.${key}`, value);
    return { address: hexOfLength("config.meridian.pins", key, 20), partition };
  });
  placed.sort((left, right) => (left.address < right.address ? -1 : 1));
  placed.forEach(({ address }, index) => {
    if (address === placed[index - 1]?.address) refuse("config.meridian.pins", address, "each address once");
  });
  return placed;
}

/** Layouts: core's cells.ts. */
function cellsOf(address: string, account: Record<string, unknown>): Uint8Array[] {
  const field = (name: string) => `alloc.${address}.${name}`;
  const key = bytesOfHex(address);
  const code = bytesOfHexText(field("code"), account["code"] ?? "0x");
  if (code.length > CODE_BYTES_MAX) refuse(field("code"), `${code.length} bytes`, `at most ${CODE_BYTES_MAX} bytes`);
  // Its slots are written by the chain's rules (EIP-2935), so no other contract can stand there.
  if (address === HISTORY.address && hexOf(code) !== HISTORY.code.slice(2))
    refuse(field("code"), account["code"] ?? "none", HISTORY.code);
  const nonce = account["nonce"] === undefined ? 0 : integerOf(field("nonce"), account["nonce"]);
  const cell = (kind: number, bytes: number) => {
    const made = new Uint8Array(bytes);
    made[0] = kind;
    made.set(key, 1);
    return made;
  };
  const main = cell(CELL.account, ACCOUNT_CELL_BYTES);
  main.set(wordOf(field("balance"), account["balance"] ?? "0x0"), 21);
  main.set(keccak_256(code), 53);
  const cells = [main];
  if (nonce > 0) {
    const nonceCell = cell(CELL.nonce, NONCE_CELL_BYTES);
    writeU64(nonceCell, 21, nonce);
    cells.push(nonceCell);
  }
  if (code.length > 0) {
    const codeCell = cell(CELL.code, CODE_CELL_HEADER_BYTES + code.length);
    writeU32(codeCell, 21, code.length);
    codeCell.set(code, CODE_CELL_HEADER_BYTES);
    cells.push(codeCell);
  }
  const slots = Object.entries(objectOf(field("storage"), account["storage"] ?? {})).map(([slot, value]) => ({
    slot: wordOf(field("storage"), slot),
    value: wordOf(field(`storage.${slot}`), value),
  }));
  slots.sort((left, right) => Buffer.compare(left.slot, right.slot));
  for (const { slot, value } of slots) {
    if (value.every((byte) => byte === 0)) continue; // A slot of zero is a slot never written.
    const slotCell = cell(CELL.slot, SLOT_CELL_BYTES);
    slotCell.set(slot, 21);
    slotCell.set(value, 53);
    cells.push(slotCell);
  }
  return cells;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new IoError({ code: "GENESIS", field: "file", got: (error as Error).message, want: "JSON" }, "never", error);
  }
}

function objectOf(field: string, value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return refuse(field, value ?? "nothing", "an object");
  return value as Record<string, unknown>;
}

/** A number as JSON, decimal text or 0x hex; the format allows all three. */
function bigintOf(field: string, value: unknown): bigint {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return BigInt(value);
  if (typeof value === "string" && /^(0x[0-9a-fA-F]*|\d+)$/.test(value)) return BigInt(value === "0x" ? 0 : value);
  return refuse(field, value, "a number, or text in decimal or 0x hex");
}

function integerOf(field: string, value: unknown): number {
  const number = bigintOf(field, value);
  if (number > BigInt(Number.MAX_SAFE_INTEGER)) refuse(field, String(value), "below 2^53");
  return Number(number);
}

function wordOf(field: string, value: unknown): Uint8Array {
  const number = bigintOf(field, typeof value === "string" && /^[0-9a-fA-F]{64}$/.test(value) ? `0x${value}` : value);
  if (number >> WORD_BITS !== 0n) refuse(field, String(value), "below 2^256");
  return bytesOfHex(number.toString(16).padStart(64, "0"));
}

function hexOfLength(field: string, value: string, bytes: number): string {
  const text = value.replace(/^0x/, "").toLowerCase();
  return new RegExp(`^[0-9a-f]{${bytes * 2}}$`).test(text) ? text : refuse(field, value, `${bytes} bytes of hex`);
}

function bytesOfHexText(field: string, value: unknown): Uint8Array {
  if (typeof value === "string" && /^0x([0-9a-fA-F]{2})*$/.test(value)) return bytesOfHex(value);
  return refuse(field, value, "0x hex of whole bytes");
}
