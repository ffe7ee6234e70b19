import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { concatBytes, writeU16, writeU32, writeU64 } from "./bytes.ts";
import {
  DECLARED_BYTES,
  NONCE,
  NONCE_BYTES,
  setTxIndex,
  TX,
  TX_CREATES,
  TX_HAS_VALUE,
  TX_HEADER_BYTES,
  txBytes,
  txCount,
  txCreates,
  txDeclared,
  txGasLimit,
  txHasValue,
  txIndex,
  txNonce,
  txOffsets,
  txRaw,
  txType,
} from "./transactions.ts";

interface Fields {
  type: number;
  isCreation: boolean;
  hasValue: boolean;
  declared: number;
  nonce: number;
  gasLimit: number;
  raw: Uint8Array;
}

const anyFields: fc.Arbitrary<Fields> = fc.record({
  type: fc.constantFrom(0, 1, 2),
  isCreation: fc.boolean(),
  hasValue: fc.boolean(),
  declared: fc.nat(300),
  nonce: fc.maxSafeNat(),
  gasLimit: fc.maxSafeNat(),
  raw: fc.uint8Array({ minLength: 1, maxLength: 300 }),
});

/** A record written by hand, by the table at the top of transactions.ts. */
function record({ type, isCreation, hasValue, declared, nonce, gasLimit, raw }: Fields): Uint8Array {
  const rawAt = 104 + 21 * declared;
  const bytes = new Uint8Array(rawAt + raw.length);
  writeU32(bytes, 0, bytes.length);
  bytes[8] = type;
  bytes[9] = (isCreation ? 1 : 0) | (hasValue ? 2 : 0);
  writeU16(bytes, 10, declared);
  writeU32(bytes, 12, rawAt);
  writeU64(bytes, 16, nonce);
  writeU64(bytes, 24, gasLimit);
  bytes.set(raw, rawAt);
  return bytes;
}

describe("a packed buffer of transaction records", () => {
  test("gives back every field of every record", () => {
    fc.assert(
      fc.property(fc.array(anyFields, { maxLength: 8 }), (all) => {
        const records = concatBytes(all.map(record));
        const offsets = txOffsets(records);
        expect(txCount(records)).toBe(all.length);
        expect(offsets).toHaveLength(all.length);
        all.forEach((fields, number) => {
          const at = offsets[number]!;
          expect({
            type: txType(records, at),
            isCreation: txCreates(records, at),
            hasValue: txHasValue(records, at),
            declared: txDeclared(records, at),
            nonce: txNonce(records, at),
            gasLimit: txGasLimit(records, at),
            raw: txRaw(records, at).slice(),
          }).toEqual(fields);
          expect(txBytes(records, at)).toBe(record(fields).length);
        });
      }),
    );
  });

  test("an index is written into one record and no other", () => {
    const fields = {
      type: 2,
      isCreation: false,
      hasValue: false,
      declared: 1,
      nonce: 7,
      gasLimit: 21_000,
      raw: Uint8Array.of(2),
    };
    const records = concatBytes([record(fields), record(fields)]);
    const second = txOffsets(records)[1]!;
    setTxIndex(records, second, 2_047);
    expect([txIndex(records, 0), txIndex(records, second), txNonce(records, second)]).toEqual([0, 2_047, 7]);
  });

  test("an empty buffer has no records", () => {
    expect([txCount(new Uint8Array(0)), [...txOffsets(new Uint8Array(0))]]).toEqual([0, []]);
  });
});

// These stand in every log that was ever written: a change here is a new format.
test("layouts are what they were", () => {
  expect({ ...TX, TX_HEADER_BYTES, DECLARED_BYTES, TX_CREATES, TX_HAS_VALUE }).toEqual({
    ...{ bytes: 0, index: 4, type: 8, flags: 9, declared: 10, rawOffset: 12, nonce: 16, gasLimit: 24 },
    ...{ hash: 32, sender: 64, to: 84, afterFlush: 104, afterIndex: 112, attempt: 116, declaredSet: 120 },
    ...{ TX_HEADER_BYTES: 120, DECLARED_BYTES: 21, TX_CREATES: 1, TX_HAS_VALUE: 2 },
  });
  expect({ ...NONCE, NONCE_BYTES }).toEqual({ index: 0, sender: 4, nonce: 24, hash: 32, following: 64, NONCE_BYTES: 68 });
});
