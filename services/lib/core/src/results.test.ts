import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { concatBytes, writeU32, writeU64 } from "./bytes.ts";
import {
  REASON,
  RESULT,
  resultBytes,
  resultCreated,
  resultGasUsed,
  resultIndex,
  resultLogCount,
  resultLogs,
  resultOutput,
  resultReason,
  resultStatus,
} from "./results.ts";
import type { LogView } from "./results.ts";

interface Fields {
  index: number;
  status: number;
  reason: number;
  created: boolean;
  gasUsed: number;
  output: Uint8Array;
  logs: LogView[];
}

const bytesOf = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const anyFields: fc.Arbitrary<Fields> = fc.record({
  index: fc.nat(2_047),
  status: fc.constantFrom(0, 1),
  reason: fc.constantFrom(...Object.values(REASON)),
  created: fc.boolean(),
  gasUsed: fc.maxSafeNat(),
  output: fc.uint8Array({ maxLength: 100 }),
  logs: fc.array(
    fc.record({ address: bytesOf(20), topics: fc.array(bytesOf(32), { maxLength: 4 }), data: fc.uint8Array({ maxLength: 70 }) }),
    { maxLength: 4 },
  ),
});

/** A record written by hand, by the table at the top of results.ts. */
function record({ index, status, reason, created, gasUsed, output, logs }: Fields): Uint8Array {
  const packedLogs = logs.map(({ address, topics, data }) => {
    const length = new Uint8Array(4);
    writeU32(length, 0, data.length);
    return concatBytes([address, Uint8Array.of(topics.length), ...topics, length, data]);
  });
  const bytes = concatBytes([new Uint8Array(64), output, ...packedLogs]);
  writeU32(bytes, 0, bytes.length);
  writeU32(bytes, 4, index);
  bytes.set([status, reason, created ? 1 : 0], 8);
  writeU32(bytes, 12, 64 + output.length);
  writeU64(bytes, 16, gasUsed);
  writeU32(bytes, 44, logs.length);
  writeU32(bytes, 56, output.length);
  return bytes;
}

describe("a packed buffer of results", () => {
  test("gives back every field of every record", () => {
    fc.assert(
      fc.property(fc.array(anyFields, { maxLength: 5 }), (all) => {
        const results = concatBytes(all.map(record));
        let at = 0;
        for (const fields of all) {
          expect({
            index: resultIndex(results, at),
            status: resultStatus(results, at),
            reason: resultReason(results, at),
            created: resultCreated(results, at),
            gasUsed: resultGasUsed(results, at),
            output: resultOutput(results, at).slice(),
            logs: resultLogs(results, at).map(({ address, topics, data }) => ({
              address: address.slice(),
              topics: topics.map((topic) => topic.slice()),
              data: data.slice(),
            })),
          }).toEqual(fields);
          expect(resultLogCount(results, at)).toBe(fields.logs.length);
          at += resultBytes(results, at);
        }
        expect(at).toBe(results.length);
      }),
    );
  });
});

// These stand in every OUT record that was ever written: a change here is a new format.
test("layouts are what they were", () => {
  expect(RESULT).toEqual({
    ...{ bytes: 0, index: 4, status: 8, reason: 9, created: 10, logsOffset: 12, gasUsed: 16, address: 24 },
    ...{ logCount: 44, outputBytes: 56, output: 64 },
  });
  expect(REASON).toEqual({ none: 0, revert: 1, halt: 2, void: 4, exceeded: 5 });
});
