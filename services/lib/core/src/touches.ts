/**
 * The packed touch record: what one transaction touched, and why it did not come to an end if it did not. It decides nothing but
 * the next prediction.
 *
 * | offset | type | field |
 * |---|---|---|
 * | 0 | u32 | bytes: length of the whole record (= 20 + 21 * count) |
 * | 4 | u32 | index of the transaction inside its flush |
 * | 8 | u8 | why: see `WHY` |
 * | 9 | u8 | reserved, 0 |
 * | 10 | u16 | count of touched accounts |
 * | 12 | u64 | value: with `unsealed` the block whose hash was asked for; else 0 |
 * | 20 | (u8 mode, b20 address) * count | ascending by address; the sender is among them only if its account was looked at |
 */
import { readU16, readU32, readU64 } from "./bytes.ts";

export const TOUCH = { bytes: 0, index: 4, why: 8, count: 10, value: 12, accounts: 20 } as const;

/**
 * How a transaction's turn went. `complete`: it has a result. The others are misses: nothing of it counts and it is sequenced
 * again. `outside`: it touched an account that it may not touch at this turn, or in a way that its mode does not allow.
 * `follows`: the sender's transaction before it missed. `unsealed`: it asked for the hash of a block without a seal. `deferred`:
 * its group was too large, or took too long, and it is not the first of those that were not done. `exceeded`: it is the first
 * (docs/adr/0021-bounded-rounds.md). Only `outside` and `exceeded` count as an attempt.
 */
export const WHY = { complete: 0, outside: 1, follows: 2, unsealed: 3, deferred: 4, exceeded: 5 } as const;

export const touchBytes = (touches: Uint8Array, at: number): number => readU32(touches, at + TOUCH.bytes);
export const touchIndex = (touches: Uint8Array, at: number): number => readU32(touches, at + TOUCH.index);
export const touchWhy = (touches: Uint8Array, at: number): number => touches[at + TOUCH.why]!;
export const touchCount = (touches: Uint8Array, at: number): number => readU16(touches, at + TOUCH.count);
export const touchValue = (touches: Uint8Array, at: number): number => readU64(touches, at + TOUCH.value);
/** Packed (u8 mode, b20 address)*, a view. */
export const touchAccounts = (touches: Uint8Array, at: number): Uint8Array =>
  touches.subarray(at + TOUCH.accounts, at + touchBytes(touches, at));
