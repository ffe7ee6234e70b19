/** eth_, net_ and web3_ methods that need nothing but what the gateway knows. */
import { hexData, hexNumber } from "../format/hex.ts";
import { blockNumber } from "../rpc/block-param.ts";
import { CODE, refused } from "../rpc/errors.ts";
import type { Answer } from "../rpc/errors.ts";
import { data, listOf, looseCount, required, cannotUnmarshal, kindOf } from "../rpc/params.ts";
import type { Parser } from "../rpc/params.ts";
import { formatHeader } from "../format/block.ts";
import { constant, method, plainMethod } from "./method.ts";
import type { Context, Method } from "./method.ts";

const FEE_BLOCKS_MAX = 1_024; // geth's bound for eth_feeHistory
const PERCENTILES_MAX = 100;

const percentile: Parser<number> = (input, where) =>
  typeof input === "number" ? { value: input } : { problem: cannotUnmarshal(kindOf(input), "float64", where) };

export const chainMethods: Readonly<Record<string, Method>> = {
  eth_chainId: constant(({ chain }) => hexNumber(chain.chainId)),
  net_version: constant(({ chain }) => String(chain.chainId)),
  net_listening: constant(() => true),
  web3_clientVersion: constant(({ version }) => version),
  web3_sha3: plainMethod([required(data)], ({ engine }, bytes) => ({ result: hexData(engine.keccak256(bytes)) })),
  eth_syncing: constant(() => false),
  eth_blockNumber: method([], ({ latest }) => ({ result: hexNumber(latest.number) })),
  // Gas is free on this chain: nothing that is offered is charged, so nothing needs to be offered.
  eth_gasPrice: constant(() => "0x0"),
  eth_maxPriorityFeePerGas: constant(() => "0x0"),
  eth_accounts: constant(() => []),
  eth_feeHistory: method(
    [required(looseCount), required(blockNumber), required(listOf(percentile, "[]float64"))],
    (context, count, newest, percentiles) => feeHistory(context, count, newest === "pending" ? "latest" : newest, percentiles),
  ),
};

/** Fees of the last blocks: all zero, but how full the blocks were is real. */
async function feeHistory(
  { archive, latest }: Context,
  wanted: number,
  newest: number | "latest" | "earliest",
  percentiles: readonly number[],
): Promise<Answer> {
  const problem = percentilesProblem(percentiles);
  if (problem !== null) return { error: refused(`invalid reward percentile: ${problem}`) };
  const last = newest === "latest" ? latest.number : newest === "earliest" ? 0 : newest;
  if (last > latest.number) return { error: refused(`request beyond head block: requested ${last}, head ${latest.number}`) };
  const count = Math.min(wanted, FEE_BLOCKS_MAX, last + 1);
  if (count === 0) return { result: { oldestBlock: "0x0", gasUsedRatio: [] } };
  const headers = await readHeaders(last + 1 - count, count);
  if ("error" in headers) return headers;
  const zeros = Array.from({ length: headers.ratios.length + 1 }, () => "0x0");
  return {
    result: {
      oldestBlock: hexNumber(headers.first),
      ...(percentiles.length === 0 ? {} : { reward: headers.ratios.map(() => percentiles.map(() => "0x0")) }),
      baseFeePerGas: zeros,
      gasUsedRatio: headers.ratios,
      baseFeePerBlobGas: zeros,
      blobGasUsedRatio: headers.ratios.map(() => 0),
    },
  };

  async function readHeaders(first: number, length: number) {
    const found = await archive.headers(first, length, latest.number);
    if ("error" in found) return found;
    if (found.value.length === 0) return { error: { code: CODE.prunedHistory, message: "pruned history unavailable" } };
    const ratios = found.value.map(({ header, gasUsed }) => {
      const gasLimit = Number(formatHeader(header).gasLimit ?? "0x0");
      return gasLimit === 0 ? 0 : gasUsed / gasLimit;
    });
    return { first: found.value[0]?.number ?? first, ratios };
  }
}

function percentilesProblem(percentiles: readonly number[]): string | null {
  if (percentiles.length > PERCENTILES_MAX) return `over the query limit ${PERCENTILES_MAX}`;
  for (const [index, value] of percentiles.entries()) {
    const before = percentiles[index - 1];
    if (value < 0 || value > 100) return value.toFixed(6);
    if (before !== undefined && value <= before) {
      return `#${index - 1}:${before.toFixed(6)} >= #${index}:${value.toFixed(6)}`;
    }
  }
  return null;
}
