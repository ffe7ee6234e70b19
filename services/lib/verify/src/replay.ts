/** One transaction at a time on @ethereumjs/vm under this chain's rules: gas is free, whatever fees a transaction offers. */
import { type Block, createBlock } from "@ethereumjs/block";
import { Common, Hardfork, Mainnet } from "@ethereumjs/common";
import type { InterpreterStep } from "@ethereumjs/evm";
import type { TypedTransaction } from "@ethereumjs/tx";
import { type VM, createVM, runTx } from "@ethereumjs/vm";
import type { LogView } from "@meridian/core";
import type { ReplayState } from "./state.ts";

/** What the other implementation made of a transaction. */
export interface Outcome {
  status: 0 | 1;
  gasUsed: bigint;
  created: string | null; // 0x address
  logs: LogView[];
  output: Uint8Array; // revert data; empty otherwise
  halted: boolean;
  /** Accounts that were asked for, without the sender's bookkeeping and without precompiles; 0x addresses. */
  touched: Set<string>;
  /** Numbers that BLOCKHASH asked for. */
  hashesAsked: Set<number>;
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
  readonly #state: ReplayState;
  readonly #rules: Common;
  readonly #vm: VM;
  readonly #hashesAsked = new Set<number>();
  #block: Block | undefined;

  private constructor(state: ReplayState, rules: Common, vm: VM, hashesAsked: Set<number>) {
    this.#state = state;
    this.#rules = rules;
    this.#vm = vm;
    this.#hashesAsked = hashesAsked;
  }

  /** @param hashOf the hash of an earlier block, for BLOCKHASH */
  static async open(state: ReplayState, rules: Common, hashOf: (number: number) => Promise<Uint8Array>): Promise<Replayer> {
    const hashesAsked = new Set<number>();
    const blockchain = {
      getBlock: (number: number) => {
        hashesAsked.add(number);
        return hashOf(number).then((hash) => ({ hash: () => hash }));
      },
      putBlock: () => Promise.resolve(),
      shallowCopy: () => blockchain,
    };
    return new Replayer(state, rules, await createVM({ common: rules, stateManager: state, blockchain }), hashesAsked);
  }

  openBlock({ number, timestamp, prevrandao, gasLimit }: ReplayBlock): void {
    const header = { number, timestamp, mixHash: prevrandao, gasLimit, baseFeePerGas: 0n };
    this.#block = createBlock({ header }, { common: this.#rules, skipConsensusFormatValidation: true });
  }

  /** Runs and commits. @throws what EthereumJS throws when it finds the transaction invalid at its turn */
  async run(transaction: TypedTransaction, sender: string): Promise<Outcome> {
    return this.#run(transaction, sender, new Set());
  }

  /** Runs without commit, looking at every instruction: `touched` then says whether the contract looked at the sender. */
  async tryRun(transaction: TypedTransaction, sender: string): Promise<Outcome> {
    const seen = new Set<string>();
    const onStep = (step: InterpreterStep, resolve?: () => void) => {
      const account = accountOperand(step);
      if (account !== null) seen.add(account);
      resolve?.();
    };
    this.#vm.evm.events?.on("step", onStep);
    await this.#state.checkpoint();
    try {
      return await this.#run(transaction, sender, seen);
    } finally {
      await this.#state.revert();
      this.#vm.evm.events?.off("step", onStep);
    }
  }

  async #run(transaction: TypedTransaction, sender: string, seen: Set<string>): Promise<Outcome> {
    this.#state.touched.clear();
    this.#hashesAsked.clear();
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
      touched: this.#touchedBy(transaction, sender, seen),
      hashesAsked: new Set(this.#hashesAsked),
    };
  }

  #touchedBy(transaction: TypedTransaction, sender: string, seen: Set<string>): Set<string> {
    const touched = new Set(this.#state.touched);
    const bookkeeping = [...this.#vm.evm.precompiles.keys()].map((address) => `0x${address}`);
    bookkeeping.push(ZERO_ADDRESS); // The block's beneficiary, who is paid nothing.
    if (transaction.value === 0n) bookkeeping.push(sender);
    for (const account of bookkeeping) if (!seen.has(account)) touched.delete(account);
    return touched;
  }
}

/** The account that an instruction is about to look at, from its operands; null for other instructions. */
function accountOperand({ opcode, stack }: InterpreterStep): string | null {
  const depth = ACCOUNT_OPERAND[opcode.name];
  const operand = depth === undefined ? undefined : stack.at(-1 - depth);
  if (operand === undefined) return null;
  return `0x${(operand & ((1n << 160n) - 1n)).toString(16).padStart(40, "0")}`;
}

const ZERO_ADDRESS = `0x${"00".repeat(20)}`;

/** Where on the stack these instructions name an account. */
const ACCOUNT_OPERAND: Record<string, number> = {
  BALANCE: 0,
  EXTCODESIZE: 0,
  EXTCODECOPY: 0,
  EXTCODEHASH: 0,
  SELFDESTRUCT: 0,
  CALL: 1,
  CALLCODE: 1,
  DELEGATECALL: 1,
  STATICCALL: 1,
};

/** The same transaction offering nothing for gas: GASPRICE is 0 and nothing is charged, whatever was signed. */
function withoutFees(transaction: TypedTransaction): TypedTransaction {
  const nothing = { value: 0n };
  // A view over the decoded one: to make another would copy the whole chain configuration for each transaction.
  const view = Object.create(transaction, { gasPrice: nothing, maxFeePerGas: nothing, maxPriorityFeePerGas: nothing }) as unknown;
  return view as TypedTransaction;
}
