/** eth_call and eth_estimateGas. */
import type { CallRequest } from "@meridian/core";
import { hexData, hexNumber } from "../format/hex.ts";
import { refused } from "../rpc/errors.ts";
import type { Answer } from "../rpc/errors.ts";
import { argsProblem, CALL_PARAMS, overrideProblem, requestOf } from "./call-args.ts";
import { callError, runCall, whenSealed } from "./call-outcome.ts";
import { byState } from "./blocks-by.ts";
import { method } from "./method.ts";
import type { Context, Method } from "./method.ts";

/** EIP-7825: more than this no transaction may have, so an estimate never says more. */
const TRANSACTION_GAS_MAX = 16_777_216;
const TRANSACTION_GAS_MIN = 21_000;

export const callMethods: Readonly<Record<string, Method>> = {
  eth_call: method(CALL_PARAMS, async (context, args, ref, state, overrides) => {
    const problem = overrideProblem(state, overrides) ?? argsProblem(args, context);
    if (problem !== null) return { error: problem };
    const call = requestOf(args, Math.min(args.gas ?? context.callGasMax, context.callGasMax));
    return byState(ref, context, async (block, now) => {
      const result = await runCall(now, call, block);
      if ("error" in result) return result;
      if (result.value.status === "success") return { result: hexData(result.value.output) };
      return { error: await callError(result.value, call, block, now) };
    });
  }),
  eth_estimateGas: method(CALL_PARAMS, async (context, args, ref, state, overrides) => {
    const problem = overrideProblem(state, overrides) ?? argsProblem(args, context);
    if (problem !== null) return { error: problem };
    const wanted = args.gas !== undefined && args.gas >= TRANSACTION_GAS_MIN ? args.gas : context.chain.blockGasLimit;
    const call = requestOf(args, Math.min(wanted, TRANSACTION_GAS_MAX));
    return byState(ref, context, (block, now) => estimate(call, block, now));
  }),
};

async function estimate(call: CallRequest, block: number, context: Context): Promise<Answer> {
  const estimated = await whenSealed(
    context,
    () => context.state.estimate(call, block),
    (outcome) => ("fails" in outcome && outcome.fails.status === "unsealed" ? outcome.fails.block : null),
  );
  if ("error" in estimated) return estimated;
  if ("gas" in estimated.value) return { result: hexNumber(estimated.value.gas) };
  const { fails } = estimated.value;
  if (fails.status === "halt" && fails.why.includes("out of gas")) {
    return { error: refused(`gas required exceeds allowance (${call.gasLimit})`) };
  }
  return { error: await callError(fails, call, block, context) };
}
