/** What became of a call, and calls that ask for the hash of a block that is about to be sealed. */
import type { CallRequest, CallResult } from "@meridian/core";
import { assert, PENDING } from "@meridian/core";
import { prunedState } from "../chain/state.ts";
import type { Read } from "../chain/state.ts";
import { bigNumber, hexData } from "../format/hex.ts";
import { refused } from "../rpc/errors.ts";
import type { RpcError } from "../rpc/errors.ts";
import { revertError } from "../rpc/revert.ts";
import { insufficientFunds } from "../submit/value-check.ts";
import type { Context } from "./method.ts";

/** Runs of one call that asks for one unsealed block after the other. */
const UNSEALED_RUNS_MAX = 4;

/**
 * Runs a call; again when the block is sealed that it asks the hash of, which can only be one just closed: a call at present
 * stands in the open block.
 * @param unsealedIn  the block without a seal that the outcome names, null if it names none
 */
export async function whenSealed<T>(
  { view, sealMsMax }: Context,
  run: () => Promise<Read<T>>,
  unsealedIn: (outcome: T) => number | null,
): Promise<Read<T>> {
  const deadlineAt = performance.now() + sealMsMax;
  for (let runs = 1; ; runs++) {
    const outcome = await run();
    const block = "error" in outcome ? null : unsealedIn(outcome.value);
    if (block === null || runs === UNSEALED_RUNS_MAX || !(await isSealed(block))) return outcome;
  }

  async function isSealed(block: number): Promise<boolean> {
    while ((view.latest()?.number ?? -1) < block) if (!(await view.nextBeat(deadlineAt))) return false;
    return true;
  }
}

export function runCall(context: Context, call: CallRequest, block: number): Promise<Read<CallResult>> {
  const run = (): Promise<Read<CallResult>> => context.state.call(call, block);
  return whenSealed(context, run, (result) => (result.status === "unsealed" ? result.block : null));
}

/** The error of a call that did not succeed. */
export async function callError(result: CallResult, call: CallRequest, block: number, context: Context): Promise<RpcError> {
  assert(result.status !== "success", "a call that succeeds has no error");
  switch (result.status) {
    case "revert":
      return revertError(result.output);
    case "halt":
      return refused(result.why);
    case "funds": {
      const balance = await context.state.balance(call.from, block);
      if ("error" in balance) return balance.error;
      return insufficientFunds(call.from, bigNumber(balance.value), bigNumber(call.value), context.engine);
    }
    case "missing": {
      const account = hexData(result.cells, 1, 21);
      return refused(`the call touches account ${account} of another partition that could not be read`);
    }
    case "unsealed":
      return refused(`the call asks for the hash of block ${result.block}, which is not sealed yet: ask again`);
    case "pruned":
      return prunedState(block, result.oldest);
    case "unknownBlock":
      assert(block === PENDING || block <= context.latest.number, "a call asked for a block that is not sealed");
      return refused(`block ${block} is not there yet, the newest is ${result.newest}: ask again`);
  }
}
