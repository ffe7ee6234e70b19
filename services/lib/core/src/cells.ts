/**
 * Packed cells: one format for genesis, snapshots, grants, write sets and reads. Cells stand behind each other in one buffer.
 *
 * | kind | layout after the u8 kind |
 * |---|---|
 * | 1 account | b20 address, b32 balance (big-endian), b32 codeHash |
 * | 2 nonce | b20 address, u64 nonce, b32 hash of the transaction that wrote it last (zero if none) |
 * | 3 slot | b20 address, b32 slot, b32 value (both big-endian, as the EVM sees them) |
 * | 4 code | b20 address, u32 bytes, code |
 * | 5 erased | b20 address: the account and all its slots are gone (only in write sets) |
 *
 * An account that does not exist reads as balance 0 and the hash of empty code; a slot never written reads as 0.
 * A read request names cells by the same layout cut after the key: kind 1, 2, 4: (kind, address); kind 3: (kind, address, slot).
 */
export const CELL = { account: 1, nonce: 2, slot: 3, code: 4, erased: 5 } as const;
export const ACCOUNT_CELL_BYTES = 85;
export const NONCE_CELL_BYTES = 61;
export const SLOT_CELL_BYTES = 85;
export const CODE_CELL_HEADER_BYTES = 25;
