/**
 * eth_createAccessList as geth does it: the call runs with the list that its last run made, until that list stays the same.
 * To name an account or a slot changes what its access costs, and what a contract does may depend on the gas that is left.
 */
import type { CallRequest } from "@meridian/core";
import { bytesOfHex, concatBytes, hexOf, readU16, writeU16 } from "@meridian/core";
import { hexNumber } from "../format/hex.ts";
import { refused } from "../rpc/errors.ts";
import type { Answer } from "../rpc/errors.ts";
import { byState } from "./blocks-by.ts";
import { ACCESS_PARAMS, argsProblem, overrideProblem, requestOf } from "./call-args.ts";
import { callError, runCall } from "./call-outcome.ts";
import { method } from "./method.ts";
import type { Context, Method } from "./method.ts";

/** A run can only add to the list; this many are needed by nothing but a contract made for it. */
const RUNS_MAX = 16;
/** Too little gas to start with: no run, so no list. */
const NOT_STARTED = /^(intrinsic gas too low|insufficient gas for floor data gas cost)/;

/** Slots by account, both hex without 0x. */
type AccessList = Map<string, Set<string>>;

export const accessListMethods: Readonly<Record<string, Method>> = {
  eth_createAccessList: method(ACCESS_PARAMS, async (context, args, ref, state) => {
    const problem = overrideProblem(state) ?? argsProblem(args, context);
    if (problem !== null) return { error: problem };
    const gasLimit = Math.min(args.gas ?? context.callGasMax, context.callGasMax);
    const call = { ...requestOf(args, gasLimit), traced: true };
    return byState(ref, context, (block, now) => createAccessList(call, block, now));
  }),
};

async function createAccessList(call: CallRequest, block: number, context: Context): Promise<Answer> {
  const list = withoutKnown(addTo(new Map(), call.accessList), call);
  for (let runs = 0; runs < RUNS_MAX; runs++) {
    const accessList = packList(list);
    const found = await runCall(context, { ...call, accessList }, block);
    if ("error" in found) return found;
    const result = found.value;
    const isRun = "access" in result && !(result.status === "halt" && NOT_STARTED.test(result.why));
    if (!isRun) {
      const { message, ...error } = await callError(result, call, block, context);
      return { error: { ...error, message: `failed to apply transaction: ${message}` } };
    }
    if (result.access !== null) addTo(list, result.access.accessList);
    if (packList(list).length > accessList.length) continue;
    const failed = result.status === "revert" ? "execution reverted" : result.status === "halt" ? result.why : null;
    return {
      result: {
        accessList: formatList(list),
        ...(failed === null ? {} : { error: failed }),
        gasUsed: hexNumber(result.gasUsed),
      },
    };
  }
  return { error: refused(`the access list did not come to rest within ${RUNS_MAX} runs`) };
}

/** Adds a packed list, (b20 address, u16 slots, b32 * slots)*. */
function addTo(list: AccessList, packed: Uint8Array): AccessList {
  for (let at = 0; at < packed.length;) {
    const account = hexOf(packed, at, at + 20);
    const end = at + 22 + 32 * readU16(packed, at + 20);
    const slots = list.get(account) ?? new Set();
    for (let slotAt = at + 22; slotAt < end; slotAt += 32) slots.add(hexOf(packed, slotAt, slotAt + 32));
    list.set(account, slots);
    at = end;
  }
  return list;
}

/** The sender, the callee and precompiles cost nothing to name: they are left out unless slots of theirs are named. */
function withoutKnown(list: AccessList, { from, to }: CallRequest): AccessList {
  const known = new Set([hexOf(from), to === null ? "" : hexOf(to)]);
  return new Map([...list].filter(([account, slots]) => slots.size > 0 || !(known.has(account) || PRECOMPILE.test(account))));
}
const PRECOMPILE = /^0{36}(000[1-9a-f]|001[01]|0100)$/;

/** Ascending, so that equal lists are equal bytes. */
function packList(list: AccessList): Uint8Array {
  return concatBytes(
    ascending(list).flatMap(([account, slots]) => {
      const count = new Uint8Array(2);
      writeU16(count, 0, slots.length);
      return [bytesOfHex(account), count, ...slots.map(bytesOfHex)];
    }),
  );
}

const formatList = (list: AccessList): unknown =>
  ascending(list).map(([account, slots]) => ({ address: `0x${account}`, storageKeys: slots.map((slot) => `0x${slot}`) }));

const ascending = (list: AccessList): [string, string[]][] =>
  [...list]
    .map(([account, slots]): [string, string[]] => [account, [...slots].sort()])
    .sort(([left], [right]) => (left < right ? -1 : 1));
