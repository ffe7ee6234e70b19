/**
 * The packed result record: what the engine returns for one transaction, in the order of the transactions.
 *
 * | offset | type | field |
 * |---|---|---|
 * | 0 | u32 | bytes: length of the whole record |
 * | 4 | u32 | index inside the flush |
 * | 8 | u8 | status: 1 success, 0 failure (as in the receipt) |
 * | 9 | u8 | reason: see `REASON` |
 * | 10 | u8 | created: 1 if `address` holds a created contract |
 * | 11 | u8 | reserved, 0 |
 * | 12 | u32 | logsOffset: where the logs start in this record (= 64 + length of the output) |
 * | 16 | u64 | gasUsed |
 * | 24 | b20 | address: the created contract, else 0 |
 * | 44 | u32 | logCount |
 * | 48 | u64 | reserved, 0 |
 * | 56 | u32 | outputBytes |
 * | 60 | u32 | reserved, 0 |
 * | 64 | bytes | output: revert data of a reverted transaction, else empty |
 * | logsOffset | logs | each: b20 address, u8 topics, b32 * topics, u32 dataBytes, data |
 */
import { readU32, readU64 } from "./bytes.ts";

export const RESULT = {
  bytes: 0,
  index: 4,
  status: 8,
  reason: 9,
  created: 10,
  logsOffset: 12,
  gasUsed: 16,
  address: 24,
  logCount: 44,
  outputBytes: 56,
  output: 64,
} as const;

/**
 * Why a transaction failed. `void` and `exceeded` are rules of this chain, not of the EVM; both use up the nonce and all of the
 * gas and change nothing else (docs/adr/0007-failed-by-rule.md). `void`: at its turn the sender does not have the value any more.
 * `exceeded`: even alone in the whole-system group it asked one partition after another for one more cell each, until running it
 * again had cost more than `EXCEEDED_GAS` (docs/adr/0021-bounded-rounds.md).
 */
export const REASON = { none: 0, revert: 1, halt: 2, void: 4, exceeded: 5 } as const;

/** Gas limit times runs in the whole-system group, above which a transaction ends as `exceeded`: 64 runs of the largest one. */
export const EXCEEDED_GAS = 1_073_741_824;
/**
 * No transaction with a gas limit below this ever does: each run finds at least one cell that costs it 1,300 gas or more (an
 * account, 2,600 gas, may take two runs: its record, then its code).
 */
export const EXCEEDED_GAS_LIMIT_MIN = 1_000_000;

export const resultBytes = (results: Uint8Array, at: number): number => readU32(results, at + RESULT.bytes);
export const resultIndex = (results: Uint8Array, at: number): number => readU32(results, at + RESULT.index);
export const resultStatus = (results: Uint8Array, at: number): number => results[at + RESULT.status]!;
export const resultReason = (results: Uint8Array, at: number): number => results[at + RESULT.reason]!;
export const resultCreated = (results: Uint8Array, at: number): boolean => results[at + RESULT.created] === 1;
export const resultGasUsed = (results: Uint8Array, at: number): number => readU64(results, at + RESULT.gasUsed);
export const resultLogCount = (results: Uint8Array, at: number): number => readU32(results, at + RESULT.logCount);
export const resultOutput = (results: Uint8Array, at: number): Uint8Array =>
  results.subarray(at + RESULT.output, at + RESULT.output + readU32(results, at + RESULT.outputBytes));

/** One log of a result; views into the packed buffer. */
export interface LogView {
  address: Uint8Array;
  topics: Uint8Array[];
  data: Uint8Array;
}

/** The logs of the result at `at`, as views. For cold paths (answers to clients); the hot path keeps them packed. */
export function resultLogs(results: Uint8Array, at: number): LogView[] {
  const logs: LogView[] = [];
  let offset = at + readU32(results, at + RESULT.logsOffset);
  for (let count = resultLogCount(results, at); count > 0; count--) {
    const address = results.subarray(offset, offset + 20);
    const topicCount = results[offset + 20]!;
    const topics = Array.from({ length: topicCount }, (_, topic) =>
      results.subarray(offset + 21 + topic * 32, offset + 53 + topic * 32),
    );
    const dataAt = offset + 25 + topicCount * 32;
    const dataBytes = readU32(results, dataAt - 4);
    logs.push({ address, topics, data: results.subarray(dataAt, dataAt + dataBytes) });
    offset = dataAt + dataBytes;
  }
  return logs;
}
