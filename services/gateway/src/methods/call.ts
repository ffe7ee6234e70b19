/** eth_call and eth_estimateGas. */
import { hexData, hexNumber } from "../format/hex.ts";
import { refused } from "../rpc/errors.ts";
import { argsProblem, CALL_PARAMS, overrideProblem, requestOf } from "./call-args.ts";
import { callError, runCall, whenSealed } from "./call-outcome.ts";
import { stateBlock } from "./blocks-by.ts";
import { method } from "./method.ts";
import type { Method } from "./method.ts";

/** EIP-7825: more than this no transaction may have, so an estimate never says more. */
const TRANSACTION_GAS_MAX = 16_777_216;
const TRANSACTION_GAS_MIN = 21_000;

export const callMethods: Readonly<Record<string, Method>> = {
  eth_call: method(CALL_PARAMS, async (context, args, ref, state, overrides) => {
    const problem = overrideProblem(state, overrides) ?? argsProblem(args, context);
    if (problem !== null) return { error: problem };
    const block = await stateBlock(ref, context);
    if ("error" in block) return block;
    const call = requestOf(args, Math.min(args.gas ?? context.callGasMax, context.callGasMax));
    const result = await runCall(context, call, block.value);
    if ("error" in result) return result;
    if (result.value.status === "success") return { result: hexData(result.value.output) };
    return { error: await callError(result.value, call, block.value, context) };
  }),
  eth_estimateGas: method(CALL_PARAMS, async (context, args, ref, state, overrides) => {
    const problem = overrideProblem(state, overrides) ?? argsProblem(args, context);
    if (problem !== null) return { error: problem };
    const block = await stateBlock(ref, context);
    if ("error" in block) return block;
    const wanted = args.gas !== undefined && args.gas >= TRANSACTION_GAS_MIN ? args.gas : context.chain.blockGasLimit;
    const call = requestOf(args, Math.min(wanted, TRANSACTION_GAS_MAX));
    const estimate = await whenSealed(
      context,
      () => context.state.estimate(call, block.value),
      (outcome) => ("fails" in outcome && outcome.fails.status === "unsealed" ? outcome.fails.block : null),
    );
    if ("error" in estimate) return estimate;
    if ("gas" in estimate.value) return { result: hexNumber(estimate.value.gas) };
    const { fails } = estimate.value;
    if (fails.status === "halt" && fails.why.includes("out of gas")) {
      return { error: refused(`gas required exceeds allowance (${call.gasLimit})`) };
    }
    return { error: await callError(fails, call, block.value, context) };
  }),
};
