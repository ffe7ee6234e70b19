/** eth_call and eth_estimateGas. */
import type { CallRequest, CallResult } from "@meridian/core";
import { assert, concatBytes, PENDING, writeU16 } from "@meridian/core";
import { prunedState } from "../chain/state.ts";
import { bigNumber, hexData, hexNumber } from "../format/hex.ts";
import { blockRef } from "../rpc/block-param.ts";
import { invalidParams, refused } from "../rpc/errors.ts";
import type { Answer, RpcError } from "../rpc/errors.ts";
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
import { revertError } from "../rpc/revert.ts";
import { insufficientFunds } from "../submit/value-check.ts";
import { stateBlock } from "./blocks-by.ts";
import { method } from "./method.ts";
import type { Context, Method } from "./method.ts";

/** EIP-7825: more than this no transaction may have, so an estimate never says more. */
const TRANSACTION_GAS_MAX = 16_777_216;
const TRANSACTION_GAS_MIN = 21_000;

/** The fields of a transaction object that mean something here; others are passed over, as in geth. */
interface CallArgs {
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
const PARAMS = [required(callArgs), optional(blockRef), optional(object), optional(object)] as const;

export const callMethods: Readonly<Record<string, Method>> = {
  eth_call: method(PARAMS, async (context, args, ref, state, overrides) => {
    const problem = overrideProblem(state, overrides) ?? argsProblem(args, context);
    if (problem !== null) return { error: problem };
    const block = await stateBlock(ref, context);
    if ("error" in block) return block;
    const call = requestOf(args, Math.min(args.gas ?? context.callGasMax, context.callGasMax));
    const result = await context.state.call(call, block.value);
    return "error" in result ? result : callAnswer(result.value, call, block.value, context);
  }),
  eth_estimateGas: method(PARAMS, async (context, args, ref, state, overrides) => {
    const problem = overrideProblem(state, overrides) ?? argsProblem(args, context);
    if (problem !== null) return { error: problem };
    const block = await stateBlock(ref, context);
    if ("error" in block) return block;
    const wanted = args.gas !== undefined && args.gas >= TRANSACTION_GAS_MIN ? args.gas : context.chain.blockGasLimit;
    const call = requestOf(args, Math.min(wanted, TRANSACTION_GAS_MAX));
    const estimate = await context.state.estimate(call, block.value);
    if ("error" in estimate) return estimate;
    if ("gas" in estimate.value) return { result: hexNumber(estimate.value.gas) };
    const { fails } = estimate.value;
    if (fails.status === "halt" && fails.why.includes("out of gas")) {
      return { error: refused(`gas required exceeds allowance (${call.gasLimit})`) };
    }
    return callAnswer(fails, call, block.value, context);
  }),
};

function overrideProblem(...overrides: (Record<string, unknown> | undefined)[]): RpcError | null {
  const index = overrides.findIndex((override) => override !== undefined && Object.keys(override).length > 0);
  if (index === -1) return null;
  return invalidParams(`invalid argument ${index + 2}: overrides of ${index === 0 ? "state" : "the block"} are not supported`);
}

function argsProblem(args: CallArgs, { chain }: Context): RpcError | null {
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

function requestOf(args: CallArgs, gasLimit: number): CallRequest {
  const value = (args.value ?? 0n).toString(16).padStart(64, "0");
  return {
    from: args.from ?? new Uint8Array(20),
    to: args.to ?? null,
    data: args.input ?? args.data ?? new Uint8Array(0),
    value: Buffer.from(value, "hex"),
    gasLimit,
    accessList: args.accessList ?? new Uint8Array(0),
    given: new Uint8Array(0),
  };
}

async function callAnswer(result: CallResult, call: CallRequest, block: number, context: Context): Promise<Answer> {
  switch (result.status) {
    case "success":
      return { result: hexData(result.output) };
    case "revert":
      return { error: revertError(result.output) };
    case "halt":
      return { error: refused(result.why) };
    case "funds": {
      const balance = await context.state.balance(call.from, block);
      if ("error" in balance) return balance;
      return { error: insufficientFunds(call.from, bigNumber(balance.value), bigNumber(call.value), context.engine) };
    }
    case "missing": {
      const account = hexData(result.cells, 1, 21);
      return { error: refused(`the call touches account ${account} of another partition that could not be read`) };
    }
    case "pruned":
      return { error: prunedState(block, result.oldest) };
    case "unknownBlock":
      assert(block === PENDING || block <= context.latest.number, "a call asked for a block that is not sealed");
      return { error: refused(`block ${block} is not there yet, the newest is ${result.newest}: ask again`) };
  }
}
