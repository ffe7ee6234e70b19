/** The block a call is about: a number, a tag, or by EIP-1898 an object with a number or a hash. */
import { cannotUnmarshal, hash, kindOf, toSafeNumber } from "./params.ts";
import type { Parsed, Parser } from "./params.ts";

/** `safe` and `finalized` are `latest`: a sealed block is never taken back. */
export type BlockNumberRef = number | "latest" | "pending" | "earliest";
export type BlockRef = BlockNumberRef | { hash: Uint8Array };

const TAGS: Readonly<Record<string, BlockNumberRef>> = {
  latest: "latest",
  safe: "latest",
  finalized: "latest",
  pending: "pending",
  earliest: "earliest",
};
const INT64_MAX = 2n ** 63n - 1n;

function tagOrNumber(input: string, tooLarge: string): Parsed<BlockNumberRef> {
  const tag = Object.hasOwn(TAGS, input) ? TAGS[input] : undefined;
  if (tag !== undefined) return { value: tag };
  if (input === "") return { problem: "empty hex string" };
  if (!/^0[xX]/.test(input)) return { problem: "hex string without 0x prefix" };
  if (input.length === 2) return { problem: 'hex string "0x"' };
  if (input.length > 3 && input[2] === "0") return { problem: "hex number with leading zero digits" };
  if (!/^[0-9a-fA-F]+$/.test(input.slice(2))) return { problem: "invalid hex string" };
  if (input.length > 18) return { problem: "hex number > 64 bits" };
  const value = BigInt(input);
  return value > INT64_MAX ? { problem: tooLarge } : { value: toSafeNumber(value) };
}

/** A number or tag, for methods that take no hash. */
export const blockNumber: Parser<BlockNumberRef> = (input) => {
  if (typeof input === "string") return tagOrNumber(input, "block number larger than int64");
  return { problem: "hex string without 0x prefix" };
};

/** A number, a tag, a hash, `{blockNumber}` or `{blockHash, requireCanonical}`: every block that is known is canonical here. */
export const blockRef: Parser<BlockRef> = (input) => {
  if (typeof input === "string") {
    if (input.length !== 66) return tagOrNumber(input, "blocknumber too high");
    const parsed = hash(input);
    return "problem" in parsed ? parsed : { value: { hash: parsed.value } };
  }
  if (typeof input !== "object" || input === null || Array.isArray(input)) {
    return { problem: cannotUnmarshal(kindOf(input), "string", undefined) };
  }
  const { blockNumber: number, blockHash } = input as { blockNumber?: unknown; blockHash?: unknown };
  const [hasNumber, hasHash] = [number !== undefined && number !== null, blockHash !== undefined && blockHash !== null];
  if (hasNumber && hasHash) return { problem: "cannot specify both BlockHash and BlockNumber, choose one or the other" };
  if (hasNumber) return blockNumber(number);
  if (!hasHash) return { problem: "must specify either BlockHash or BlockNumber" };
  const parsed = hash(blockHash, "BlockNumberOrHash.blockHash");
  return "problem" in parsed ? parsed : { value: { hash: parsed.value } };
};
