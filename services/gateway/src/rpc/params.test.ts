import { describe, expect, test } from "vitest";
import { blockNumber, blockRef } from "./block-param.ts";
import {
  address,
  bool,
  count,
  data,
  hash,
  listOf,
  looseCount,
  optional,
  parseParams,
  quantity256,
  required,
  text,
} from "./params.ts";
import type { Parser } from "./params.ts";

const shown = (parsed: unknown): unknown =>
  JSON.parse(
    JSON.stringify(parsed, (_, value: unknown) => {
      if (typeof value === "bigint") return `${value}n`;
      if (Buffer.isBuffer(value) || value instanceof Uint8Array) return Buffer.from(value).toString("hex");
      const buffer = value as { type?: string; data?: number[] } | null;
      return buffer?.type === "Buffer" ? Buffer.from(buffer.data ?? []).toString("hex") : value;
    }),
  );
const A = `0x${"11".repeat(20)}`;
const H = `0x${"22".repeat(32)}`;

describe("one parameter", () => {
  test.each<[what: string, parse: Parser<unknown>, input: unknown, want: unknown]>([
    ["data", data, "0x0aFF", "0aff"],
    ["empty data", data, "0x", ""],
    ["address", address, A, A.slice(2)],
    ["hash", hash, H, H.slice(2)],
    ["quantity", quantity256, "0x10", "16n"],
    ["quantity 0", quantity256, "0x0", "0n"],
    ["count", count, "0x7fffffff", 2_147_483_647],
    ["count beyond 2^53", count, "0xffffffffffffffff", Number.MAX_SAFE_INTEGER],
    ["bool", bool, true, true],
    ["text", text, "x", "x"],
    ["loose count as number", looseCount, 5, 5],
    ["loose count as hex", looseCount, "0x5", 5],
    ["loose count as decimal", looseCount, "5", 5],
    ["latest", blockNumber, "latest", "latest"],
    ["safe is latest", blockNumber, "safe", "latest"],
    ["finalized is latest", blockNumber, "finalized", "latest"],
    ["pending", blockNumber, "pending", "pending"],
    ["earliest", blockRef, "earliest", "earliest"],
    ["block by number", blockRef, "0x1b4", 436],
    ["block by hash", blockRef, H, { hash: H.slice(2) }],
    ["EIP-1898 number", blockRef, { blockNumber: "0x2" }, 2],
    ["EIP-1898 tag", blockRef, { blockNumber: "latest" }, "latest"],
    ["EIP-1898 hash", blockRef, { blockHash: H, requireCanonical: true }, { hash: H.slice(2) }],
  ])("%s", (_what, parse, input, want) => expect(shown(parse(input))).toEqual({ value: want }));

  test.each<[what: string, parse: Parser<unknown>, input: unknown, want: string]>([
    ["data that is a number", data, 5, "json: cannot unmarshal non-string into Go value of type hexutil.Bytes"],
    [
      "data without prefix",
      data,
      "aa",
      "json: cannot unmarshal hex string without 0x prefix into Go value of type hexutil.Bytes",
    ],
    ["odd data", data, "0xa", "json: cannot unmarshal hex string of odd length into Go value of type hexutil.Bytes"],
    ["data not hex", data, "0xzz", "json: cannot unmarshal invalid hex string into Go value of type hexutil.Bytes"],
    ["data half hex", data, "0xaazz", "json: cannot unmarshal invalid hex string into Go value of type hexutil.Bytes"],
    ["short address", address, "0x1234", "hex string has length 4, want 40 for common.Address"],
    ["empty address", address, "", "hex string has length 0, want 40 for common.Address"],
    ["address that is an object", address, {}, "json: cannot unmarshal non-string into Go value of type common.Address"],
    ["long hash", hash, `${H}00`, "hex string has length 66, want 64 for common.Hash"],
    [
      "leading zeros",
      quantity256,
      "0x01",
      "json: cannot unmarshal hex number with leading zero digits into Go value of type hexutil.Big",
    ],
    ["no digits", quantity256, "0x", 'json: cannot unmarshal hex string "0x" into Go value of type hexutil.Big'],
    [
      "257 bits",
      quantity256,
      `0x1${"0".repeat(64)}`,
      "json: cannot unmarshal hex number > 256 bits into Go value of type hexutil.Big",
    ],
    [
      "65 bits",
      count,
      `0x1${"0".repeat(16)}`,
      "json: cannot unmarshal hex number > 64 bits into Go value of type hexutil.Uint64",
    ],
    ["bool as text", bool, "true", "json: cannot unmarshal string into Go value of type bool"],
    ["negative count", looseCount, -1, "json: cannot unmarshal number into Go value of type uint64"],
    ["unknown tag", blockNumber, "newest", "hex string without 0x prefix"],
    ["a name of Object's", blockNumber, "constructor", "hex string without 0x prefix"],
    ["empty block", blockNumber, "", "empty hex string"],
    ["block with leading zeros", blockRef, "0x01", "hex number with leading zero digits"],
    ["block beyond int64", blockNumber, "0x8000000000000000", "block number larger than int64"],
    ["block beyond int64, any form", blockRef, "0x8000000000000000", "blocknumber too high"],
    ["block beyond 64 bits", blockRef, "0x10000000000000000", "hex number > 64 bits"],
    ["block as number", blockNumber, 5, "hex string without 0x prefix"],
    [
      "both",
      blockRef,
      { blockNumber: "0x1", blockHash: H },
      "cannot specify both BlockHash and BlockNumber, choose one or the other",
    ],
    ["neither", blockRef, {}, "must specify either BlockHash or BlockNumber"],
  ])("%s", (_what, parse, input, want) => expect(parse(input)).toEqual({ problem: want }));
});

describe("all parameters of a call", () => {
  const DEFINITIONS = [required(address), optional(blockRef)] as const;
  test.each<[what: string, params: unknown, want: string]>([
    ["none", undefined, "missing value for required argument 0"],
    ["null", null, "missing value for required argument 0"],
    ["empty", [], "missing value for required argument 0"],
    ["null where one is required", [null], "missing value for required argument 0"],
    ["an object", { address: A }, "non-array args"],
    ["too many", [A, "latest", 1], "too many arguments, want at most 2"],
    ["a wrong one", [A, "0x"], 'invalid argument 1: hex string "0x"'],
  ])("%s", (_what, params, want) => expect(parseParams(params, DEFINITIONS)).toEqual({ error: { code: -32602, message: want } }));

  test("optional ones may be absent or null", () => {
    expect(shown(parseParams([A], DEFINITIONS))).toEqual({ args: [A.slice(2), null] });
    expect(shown(parseParams([A, null], DEFINITIONS))).toEqual({ args: [A.slice(2), null] });
  });

  test("lists say what is wrong with an element", () => {
    expect(listOf(hash, "[]common.Hash")([H, "0x1"])).toEqual({
      problem: "json: cannot unmarshal hex string of odd length into Go value of type common.Hash",
    });
    expect(listOf(hash, "[]common.Hash")("x")).toEqual({
      problem: "json: cannot unmarshal string into Go value of type []common.Hash",
    });
  });
});
