/** One transaction at a time on @ethereumjs/vm under this chain's rules: gas is free, whatever fees a transaction offers. */
import { type Block, createBlock } from "@ethereumjs/block";
import { Common, Hardfork, Mainnet } from "@ethereumjs/common";
import type { TypedTransaction } from "@ethereumjs/tx";
import { type VM, createVM, runTx } from "@ethereumjs/vm";
import type { LogView } from "@meridian/core";
import { keepJumpTargets } from "./jump-cache.ts";
import type { ReplayState } from "./state.ts";

/** What the other implementation made of a transaction. */
export interface Outcome {
  status: 0 | 1;
  gasUsed: bigint;
  created: string | null; // 0x address
  logs: LogView[];
  output: Uint8Array; // revert data; empty otherwise
  halted: boolean;
}

export interface ReplayBlock {
  number: number;
  timestamp: number;
  prevrandao: Uint8Array;
  gasLimit: bigint;
}

/** Osaka's rules under `chainId`. */
export function chainRules(chainId: number): Common {
  return new Common({ chain: { ...Mainnet, chainId, name: "meridian" }, hardfork: Hardfork.Osaka });
}

export class Replayer {
  readonly #rules: Common;
  readonly #vm: VM;
  #block: Block | undefined;

  private constructor(rules: Common, vm: VM) {
    this.#rules = rules;
    this.#vm = vm;
  }

  /** @param hashOf the hash of an earlier block, for BLOCKHASH */
  static async open(state: ReplayState, rules: Common, hashOf: (number: number) => Promise<Uint8Array>): Promise<Replayer> {
    await keepJumpTargets();
    const blockchain = {
      getBlock: (number: number) => hashOf(number).then((hash) => ({ hash: () => hash })),
      putBlock: () => Promise.resolve(),
      shallowCopy: () => blockchain,
    };
    return new Replayer(rules, await createVM({ common: rules, stateManager: state, blockchain }));
  }

  openBlock({ number, timestamp, prevrandao, gasLimit }: ReplayBlock): void {
    const header = { number, timestamp, mixHash: prevrandao, gasLimit, baseFeePerGas: 0n };
    this.#block = createBlock({ header }, { common: this.#rules, skipConsensusFormatValidation: true });
  }

  /** Runs and commits. @throws what EthereumJS throws when it finds the transaction invalid at its turn */
  async run(transaction: TypedTransaction): Promise<Outcome> {
    const tx = withoutFees(transaction);
    const options = { tx, skipBlockGasLimitValidation: true, skipHardForkValidation: true };
    const result = await runTx(this.#vm, this.#block === undefined ? options : { ...options, block: this.#block });
    const error = result.execResult.exceptionError?.error;
    return {
      status: error === undefined ? 1 : 0,
      gasUsed: result.totalGasSpent,
      created: error === undefined && tx.to === undefined ? (result.createdAddress?.toString() ?? null) : null,
      logs: (error === undefined ? (result.execResult.logs ?? []) : []).map(([address, topics, data]) => ({
        address,
        topics,
        data,
      })),
      output: error === "revert" ? result.execResult.returnValue : new Uint8Array(0),
      halted: error !== undefined && error !== "revert",
    };
  }
}

/** The same transaction offering nothing for gas: GASPRICE is 0 and nothing is charged, whatever was signed. */
function withoutFees(transaction: TypedTransaction): TypedTransaction {
  const nothing = { value: 0n };
  // A view over the decoded one: to make another would copy the whole chain configuration for each transaction.
  const view = Object.create(transaction, { gasPrice: nothing, maxFeePerGas: nothing, maxPriorityFeePerGas: nothing }) as unknown;
  return view as TypedTransaction;
}
