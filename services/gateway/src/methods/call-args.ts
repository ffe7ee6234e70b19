/** The arguments of eth_call, eth_estimateGas and eth_createAccessList, as geth reads and refuses them. */
import type { CallRequest } from "@meridian/core";
import { concatBytes, writeU16 } from "@meridian/core";
import { blockRef } from "../rpc/block-param.ts";
import { invalidParams, refused } from "../rpc/errors.ts";
import type { RpcError } from "../rpc/errors.ts";
import {
  address,
  cannotUnmarshal,
  count,
  data,
  hash,
  kindOf,
  listOf,
  object,
  optional,
  quantity256,
  required,
} from "../rpc/params.ts";
import type { Parsed, Parser } from "../rpc/params.ts";
import type { Context } from "./method.ts";

/** The fields of a transaction object that mean something here; others are passed over, as in geth. */
export interface CallArgs {
  from?: Uint8Array;
  to?: Uint8Array;
  gas?: number;
  gasPrice?: bigint;
  maxFeePerGas?: bigint;
  maxPriorityFeePerGas?: bigint;
  value?: bigint;
  nonce?: number;
  data?: Uint8Array;
  input?: Uint8Array;
  accessList?: Uint8Array;
  chainId?: bigint;
  blobVersionedHashes?: true;
  authorizationList?: true;
}

/** Of one account in an access list: more than any gas limit allows. */
const SLOTS_MAX = 65_535;

/** EIP-2930 in the engine's form: (b20 address, u16 slots, b32 * slots)*. */
const accessList: Parser<Uint8Array> = (input, where) => {
  const entries = listOf(object, "types.AccessTuple")(input, where);
  if ("problem" in entries) return entries;
  const parts: Uint8Array[] = [];
  for (const entry of entries.value) {
    const account = address(entry.address, "AccessTuple.accessList.address");
    if ("problem" in account) return account;
    const keys = listOf(hash, "[]common.Hash")(entry.storageKeys ?? [], "AccessTuple.accessList.storageKeys");
    if ("problem" in keys) return keys;
    if (keys.value.length > SLOTS_MAX) return { problem: `more than ${SLOTS_MAX} storage keys of one account` };
    const count = new Uint8Array(2);
    writeU16(count, 0, keys.value.length);
    parts.push(account.value, count, ...keys.value);
  }
  return { value: concatBytes(parts) };
};

/** A field that this chain has no use for. */
const present: Parser<true> = () => ({ value: true });

const FIELDS: { [K in keyof Required<CallArgs>]: Parser<Required<CallArgs>[K]> } = {
  from: address,
  to: address,
  gas: count,
  gasPrice: quantity256,
  maxFeePerGas: quantity256,
  maxPriorityFeePerGas: quantity256,
  value: quantity256,
  nonce: count,
  data,
  input: data,
  accessList,
  chainId: quantity256,
  blobVersionedHashes: present,
  authorizationList: present,
};

const callArgs: Parser<CallArgs> = (input) => {
  if (typeof input !== "object" || input === null || Array.isArray(input)) {
    return { problem: cannotUnmarshal(kindOf(input), "ethapi.TransactionArgs", undefined) };
  }
  const args: Record<string, unknown> = {};
  for (const [name, parse] of Object.entries(FIELDS) as [string, Parser<unknown>][]) {
    const field = (input as Record<string, unknown>)[name];
    if (field === undefined || field === null) continue;
    const parsed: Parsed<unknown> = parse(field, `TransactionArgs.${name}`);
    if ("problem" in parsed) return parsed;
    args[name] = parsed.value;
  }
  return { value: args };
};

/** Overrides of state or block: an empty object changes nothing and is taken. */
export const CALL_PARAMS = [required(callArgs), optional(blockRef), optional(object), optional(object)] as const;
/** Without overrides of the block. */
export const ACCESS_PARAMS = [required(callArgs), optional(blockRef), optional(object)] as const;

export function overrideProblem(...overrides: (Record<string, unknown> | undefined)[]): RpcError | null {
  const index = overrides.findIndex((override) => override !== undefined && Object.keys(override).length > 0);
  if (index === -1) return null;
  return invalidParams(`invalid argument ${index + 2}: overrides of ${index === 0 ? "state" : "the block"} are not supported`);
}

export function argsProblem(args: CallArgs, { chain }: Context): RpcError | null {
  if (args.gasPrice !== undefined && (args.maxFeePerGas !== undefined || args.maxPriorityFeePerGas !== undefined)) {
    return refused("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified");
  }
  if (args.chainId !== undefined && args.chainId !== BigInt(chain.chainId)) {
    return refused(`chainId does not match node's (have=${args.chainId}, want=${chain.chainId})`);
  }
  if (args.blobVersionedHashes) return invalidParams("invalid argument 0: blob transactions are not supported on this chain");
  if (args.authorizationList) return invalidParams("invalid argument 0: set code transactions are not supported on this chain");
  return null;
}

export function requestOf(args: CallArgs, gasLimit: number): CallRequest {
  const value = (args.value ?? 0n).toString(16).padStart(64, "0");
  return {
    from: args.from ?? new Uint8Array(20),
    to: args.to ?? null,
    data: args.input ?? args.data ?? new Uint8Array(0),
    value: Buffer.from(value, "hex"),
    gasLimit,
    accessList: args.accessList ?? new Uint8Array(0),
    given: new Uint8Array(0),
    traced: false,
  };
}
