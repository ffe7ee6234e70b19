/**
 * The account of EIP-2935, which serves hashes of past blocks: slot number % 8191 holds the hash of block `number`, for every
 * transaction of a later block. It stands from genesis on; nothing but these rules writes its slots.
 *
 * HA1. A hash comes by `seal`, up to `UNSEALED_MAX` blocks late. The engine tells the last 256 from the seals
 *      (rust/src/past.rs), and who asks for one without a seal waits for it. So what stands in the cells may follow later.
 * HA2. The cells follow at a fixed distance: with the block that closes stand those of all blocks up to the one
 *      `UNSEALED_MAX` + 1 before it. The slots of the blocks between are empty. What a partition's snapshot, hand-over and
 *      lattice contain is so a function of block numbers and hashes, never of when a seal came.
 * HA3. The archive knows all hashes before a block when it builds it, and adds what the cells lack to the block's digest: that is
 *      the digest of the state as transactions see it.
 */
import { assert } from "../assert.ts";
import { bytesOfHex, concatBytes, sameBytes, writeU16, writeU32, writeU64 } from "../bytes.ts";
import { cellBytes } from "../actor/cells.ts";
import { ACCOUNT_CELL_BYTES, CELL, CODE_CELL_HEADER_BYTES, NONCE_CELL_BYTES } from "../cells.ts";

/** Blocks that may be closed without a seal. The distance of HA2: another number is another chain. */
export const UNSEALED_MAX = 8;
export const HISTORY_ADDRESS: Uint8Array = bytesOfHex("0000f90827f1c53a10cb7a02335b175320002935");
export const HISTORY_CODE: Uint8Array = bytesOfHex(
  "3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff" +
    "81430311604257611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500",
);
/** Its keccak-256; core has none of its own. */
const HISTORY_CODE_HASH = bytesOfHex("6e49e66782037c0555897870e29fa5e552daf4719552131a0abce779daec0a5d");
const HISTORY_SLOTS = 8_191;
const KEY_BYTES = 21;
const NO_HASH = new Uint8Array(32);

/** Key of the slot of a block's hash, as in a read request. */
export function historyKey(block: number): Uint8Array {
  const key = keyOf(CELL.slot, KEY_BYTES + 32);
  const low = new Uint8Array(2);
  writeU16(low, 0, block % HISTORY_SLOTS);
  key.set(low.toReversed(), key.length - 2);
  return key;
}

/** Packed cell of a block's hash. */
export const historyCell = (block: number, hash: Uint8Array): Uint8Array => concatBytes([historyKey(block), hash]);

/** Number of the block whose hash is written when a block closes; below 0 there is none yet. */
export const writtenBlock = (closing: number): number => closing - UNSEALED_MAX - 1;

/**
 * What is written when a block closes (HA2): packed cells.
 * @param hash of the block `writtenBlock(closing)`; null if there is none yet
 */
export function cellsOfClose(closing: number, hash: Uint8Array | null): Uint8Array {
  assert((hash === null) === writtenBlock(closing) < 0, `block ${closing} closes without the hash of ${writtenBlock(closing)}`);
  const written = hash === null ? [] : [historyCell(writtenBlock(closing), hash)];
  const emptied = closing > 0 ? [historyCell(closing - 1, NO_HASH)] : [];
  return concatBytes([...written, ...emptied]);
}

/**
 * What the cells lack when a block closes (HA3): packed cells.
 * @param hashes of the blocks before it, ascending up to its parent; at least the last `UNSEALED_MAX`, or all there are
 */
export function cellsBehind(closing: number, hashes: readonly Uint8Array[]): Uint8Array {
  const late = hashes.slice(-UNSEALED_MAX);
  assert(late.length === Math.min(closing, UNSEALED_MAX), `block ${closing} closes behind ${late.length} known hashes`);
  return concatBytes(late.map((hash, index) => historyCell(closing - late.length + index, hash)));
}

/** The chain's genesis cells with the account, unless they have it. */
export function withHistoryAccount(genesis: Uint8Array): Uint8Array {
  let at = 0;
  for (; at < genesis.length; at += cellBytes(genesis, at)) {
    const order = compareAddress(genesis, at + 1);
    if (order === 0) return genesis;
    if (order > 0) break;
  }
  return concatBytes([genesis.subarray(0, at), historyAccount(), genesis.subarray(at)]);
}

/** The account as EIP-2935 leaves it behind: nonce 1, no balance. */
function historyAccount(): Uint8Array {
  const account = keyOf(CELL.account, ACCOUNT_CELL_BYTES);
  account.set(HISTORY_CODE_HASH, 53);
  const nonce = keyOf(CELL.nonce, NONCE_CELL_BYTES);
  writeU64(nonce, KEY_BYTES, 1);
  const code = keyOf(CELL.code, CODE_CELL_HEADER_BYTES + HISTORY_CODE.length);
  writeU32(code, KEY_BYTES, HISTORY_CODE.length);
  code.set(HISTORY_CODE, CODE_CELL_HEADER_BYTES);
  return concatBytes([account, nonce, code]);
}

function keyOf(kind: number, bytes: number): Uint8Array {
  const key = new Uint8Array(bytes);
  key[0] = kind;
  key.set(HISTORY_ADDRESS, 1);
  return key;
}

/** Below 0: the address at `at` stands before the account's. */
function compareAddress(bytes: Uint8Array, at: number): number {
  if (sameBytes(bytes, at, HISTORY_ADDRESS, 0, HISTORY_ADDRESS.length)) return 0;
  const first = HISTORY_ADDRESS.findIndex((byte, index) => byte !== bytes[at + index]);
  return bytes[at + first]! - HISTORY_ADDRESS[first]!;
}
