/**
 * The call that a signed transaction makes, read out of its packed record. The engine's decoder has checked the raw
 * transaction before it came into a log, so what does not fit here is a bug.
 */
import { assert } from "../assert.ts";
import { concatBytes, writeU16 } from "../bytes.ts";
import type { CallRequest } from "../engine.ts";
import { TX, TX_TYPE_CALL, txCreates, txGasLimit, txRaw, txType } from "../transactions.ts";

/** Places inside the list of the raw transaction, by type (EIP-155, EIP-2930, EIP-1559, call of a signed batch). */
const PLACES: Record<number, { value: number; input: number; accessList: number | null }> = {
  0: { value: 4, input: 5, accessList: null },
  1: { value: 5, input: 6, accessList: 7 },
  2: { value: 6, input: 7, accessList: 8 },
  [TX_TYPE_CALL]: { value: 4, input: 5, accessList: null },
};

/** Prefix of the shortest RLP list. */
const RLP_LIST = 0xc0;

/**
 * @param records packed transaction records; all bytes of the request but the value are views into them
 * @param given   packed cells that the call may use, see `CallRequest`
 * @returns a traced call; null if no signed transaction stands in the record: those of tests carry other programs
 */
export function callOfRecord(records: Uint8Array, at: number, given: Uint8Array): CallRequest | null {
  const type = txType(records, at);
  const places = PLACES[type];
  assert(places !== undefined, `a transaction of type ${type} stands in a log`);
  const raw = txRaw(records, at);
  const list = type === 0 ? raw : raw.subarray(1);
  if (list.length === 0 || list[0]! < RLP_LIST) return null;
  const fields = rlpItems(itemAt(rlpItems(list), 0));
  return {
    from: records.subarray(at + TX.sender, at + TX.sender + 20),
    to: txCreates(records, at) ? null : records.subarray(at + TX.to, at + TX.to + 20),
    data: itemAt(fields, places.input),
    value: word(itemAt(fields, places.value)),
    gasLimit: txGasLimit(records, at),
    accessList: places.accessList === null ? new Uint8Array(0) : packAccessList(itemAt(fields, places.accessList)),
    given,
    traced: true,
  };
}

/** EIP-2930 RLP, the list's payload -> packed (b20 address, u16 slots, b32 * slots)*. */
function packAccessList(list: Uint8Array): Uint8Array {
  const parts = rlpItems(list).flatMap((entry) => {
    const [address, keys] = rlpItems(entry);
    assert(address?.length === 20 && keys !== undefined, "an access list has no address");
    const slots = rlpItems(keys);
    const count = new Uint8Array(2);
    writeU16(count, 0, slots.length);
    return [address, count, ...slots];
  });
  return concatBytes(parts);
}

/** 32 bytes, big-endian. */
function word(bytes: Uint8Array): Uint8Array {
  const padded = new Uint8Array(32);
  padded.set(bytes, 32 - bytes.length);
  return padded;
}

function itemAt(items: readonly Uint8Array[], index: number): Uint8Array {
  const item = items[index];
  assert(item !== undefined, `a raw transaction has no field ${index}`);
  return item;
}

/** Payloads of the RLP items that stand behind each other in `bytes`; those of lists are again items. Views. */
function rlpItems(bytes: Uint8Array): Uint8Array[] {
  const items: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const { start, end } = rlpPayload(bytes, at);
    assert(end <= bytes.length, `RLP item at ${at} is cut off`);
    items.push(bytes.subarray(start, end));
    at = end;
  }
  return items;
}

/** Yellow Paper, appendix B: single byte, short string, long string, short list, long list. */
function rlpPayload(bytes: Uint8Array, at: number): { start: number; end: number } {
  const prefix = bytes[at]!;
  if (prefix < 0x80) return { start: at, end: at + 1 };
  const short = prefix < 0xc0 ? prefix - 0x80 : prefix - 0xc0;
  if (short <= 55) return { start: at + 1, end: at + 1 + short };
  const start = at + 1 + (short - 55);
  let length = 0;
  for (let digit = at + 1; digit < start; digit++) length = length * 256 + bytes[digit]!;
  return { start, end: start + length };
}
