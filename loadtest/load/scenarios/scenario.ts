/**
 * A scenario: contracts, who calls them how, and what must have come of it.
 *
 * S1. Everything follows from the options: main thread, signing threads and check make the same calls of it.
 * S2. A call is made from its number and its sender alone, in any order.
 * S3. The ledger is told every call that succeeded, in the order of the chain, and says what each balance must be then.
 */
import type { TestAccount } from "@meridian/launcher";
import type { Setup } from "../setup.ts";

export interface ScenarioOptions {
  seed: string;
  senders: number;
  /** Tokens, collections or pools of each kind. */
  contracts: number;
  /** Accounts that receive, all contracts together; at least as many as senders. */
  holders: number;
  partitions: number;
}

/** One call; `data` is a view that the next call overwrites. */
export interface Call {
  to: Uint8Array;
  data: Uint8Array;
  gasLimit: number;
}

/** Reads the chain's last sealed state. */
export interface BalanceReader {
  /** `balanceOf` of each holder at one contract; addresses as 0x hex. */
  balances(contract: string, holders: readonly string[]): Promise<bigint[]>;
}

export interface Ledger {
  /** Call `number` of `sender` succeeded; called in the order of the chain. */
  apply(number: number, sender: number): void;
  /** What is not as it must be, a sentence each, and how many balances were compared. */
  check(reader: BalanceReader): Promise<{ checked: number; wrong: string[] }>;
}

export interface Scenario {
  /** Who signs, in the order of the plan. */
  readonly senders: readonly TestAccount[];
  /** Who deploys. */
  readonly deployers: readonly TestAccount[];
  /** Accounts of contracts by 0x address: where a chain of its own puts them. */
  readonly pins: Readonly<Record<string, number>>;
  /** Largest `data` of a call in bytes. */
  readonly dataBytesMax: number;
  /** Next nonce of a sender when the deployment is done. */
  firstNonce(sender: number): number;
  /** Deploys and funds. @throws IoError DEPLOY */
  deploy(setup: Setup): Promise<void>;
  call(number: number, sender: number): Call;
  ledger(): Ledger;
}
