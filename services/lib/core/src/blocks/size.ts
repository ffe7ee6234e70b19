/** Lengths of RLP encodings, for the `size` of eth_getBlockByNumber. Source: Yellow Paper appendix B, EIP-2718, EIP-4895. */
import { TX } from "../transactions.ts";
import { readU32 } from "../bytes.ts";

const EMPTY_LIST_BYTES = 1;

/** Bytes of the RLP header before a payload of `length` bytes (more than one byte). */
function headerBytes(length: number): number {
  if (length < 56) return 1;
  if (length < 0x1_00) return 2;
  if (length < 0x1_00_00) return 3;
  return length < 0x1_00_00_00 ? 4 : 5;
}

/**
 * Bytes of [header, transactions, uncles, withdrawals] in RLP; the last two are empty lists.
 * @param headerLength  bytes of the header's RLP
 * @param transactions  packed records, starting at `offsets` (one more at the end)
 */
export function blockRlpBytes(headerLength: number, transactions: Uint8Array, offsets: Uint32Array): number {
  let list = 0;
  for (let number = 0; number + 1 < offsets.length; number++) {
    const at = offsets[number]!;
    const raw = offsets[number + 1]! - at - readU32(transactions, at + TX.rawOffset);
    // A legacy transaction is a list by itself; an envelope (EIP-2718) stands in a byte string.
    list += transactions[at + TX.type] === 0 ? raw : raw + headerBytes(raw);
  }
  const payload = headerLength + headerBytes(list) + list + 2 * EMPTY_LIST_BYTES;
  return headerBytes(payload) + payload;
}
