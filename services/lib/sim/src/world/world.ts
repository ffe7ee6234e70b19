/** What a seed makes: a chain with its accounts, and what is sent to it. Nothing here knows of time or failures. */
import { evenRangeMap, hexOf, indexRanges } from "@meridian/core";
import type { EngineModule, PartitionId, RangeIndex } from "@meridian/core";
import type { Genesis } from "@meridian/scheduler";
import { PLAYER, proxyTo } from "../contracts/player.ts";
import type { Random } from "../kernel/random.ts";
import { genesisOf } from "./genesis.ts";
import type { GenesisAccount } from "./genesis.ts";
import { ScriptWriter } from "./scripts.ts";
import { drawTransaction, planTransactions } from "./plan.ts";
import type { PlannedTransaction } from "./plan.ts";
import { drawToy } from "./toy.ts";
import type { TransactionFields } from "./transactions.ts";

/** Contracts and people; where they stand decides which transactions cross partitions. */
export interface WorldAccounts {
  senders: Uint8Array[];
  contracts: Uint8Array[];
  owners: RangeIndex;
}

export interface World extends WorldAccounts {
  partitions: number;
  genesis: Genesis;
  /** Sum of all balances, for ever: gas is free. */
  total: bigint;
  /** Some script destroys a contract, and with it perhaps what it has. */
  destroys: boolean;
  transactions: PlannedTransaction[];
  scripts: ScriptWriter;
}

/** How transactions look; drawn once for a world, so that worlds differ more than chance alone would make them. */
export interface Habits {
  /** A step goes to an account of the same partition. */
  near: number;
  /** A step depends on what was found before it. */
  dynamic: number;
  /** A transaction sends value. */
  value: number;
  /** A transaction comes with an access list... */
  listed: number;
  /** ...that is wrong. */
  listedWrong: number;
  /** A transaction or a step creates. */
  creates: number;
  /** Two transactions with one nonce. */
  rivals: number;
  depthMax: number;
  stepsMax: number;
}

export interface WorldOptions {
  /** For engines without an EVM. */
  isToy: boolean;
  /** For worlds that are the same over any number of partitions. */
  partitionsFixed?: number;
}

const BALANCES = [0, 50, 1_000, 1_000_000];

/**
 * Half of the worlds are tight: two partitions and few accounts, so that nearly everything conflicts.
 */
export function makeWorld(
  module: Pick<EngineModule, "keccak256">,
  random: Random,
  { isToy, partitionsFixed }: WorldOptions,
): World {
  const isTight = random.chance(0.5);
  const drawn = isTight ? 2 : random.chance(0.1) ? 8 : random.between(2, 4);
  const partitions = partitionsFixed ?? drawn;
  const habits = drawHabits(random);
  const contractCount = isTight ? random.between(3, 4) : random.between(drawn, 8);
  const senderCount = isTight ? random.between(3, 5) : random.between(2, 5);
  const place = (number: number): Uint8Array => placed(random, number < drawn ? number : random.below(drawn), drawn);
  const contracts = Array.from({ length: contractCount }, (_, number) => place(number));
  const senders = Array.from({ length: senderCount }, () => place(drawn));
  // Scripts are written for the drawn number, so that another one changes nothing but where accounts are.
  const owners = indexRanges(evenRangeMap(drawn));
  const accounts = [
    ...contracts.map((address, number) => contractAt(random, address, number === 0 ? null : contracts[0]!)),
    ...senders.map((address): GenesisAccount => ({ address, balance: random.pick(BALANCES), code: new Uint8Array(0) })),
  ];
  const pinned = partitionsFixed === undefined && random.chance(0.3) ? random.sample([...contracts, ...senders], 2) : [];
  const pins = pinned.map((address) => ({ address: hexOf(address), partition: random.below(drawn) }));
  // Some senders do not exist before they send.
  const existing = accounts.filter(({ balance, code }) => balance > 0 || code.length > 0);
  const scripts = new ScriptWriter(module, random, { contracts, senders, owners }, habits);
  const draw = (sender: Uint8Array, nonce: number): TransactionFields =>
    isToy
      ? drawToy(random, sender, nonce, { contracts, senders, owners }, habits)
      : drawTransaction(random, sender, nonce, scripts, habits);
  const transactions = planTransactions(module, random, senders, draw, habits.rivals);
  return {
    ...{ partitions, senders, contracts, scripts, transactions, owners: indexRanges({ ...evenRangeMap(partitions), pins }) },
    genesis: genesisOf(module, existing, pins),
    total: existing.reduce((sum, { balance }) => sum + BigInt(balance), 0n),
    destroys: scripts.destroys,
  };
}

function drawHabits(random: Random): Habits {
  return {
    near: random.pick([0.3, 0.7, 0.95]),
    dynamic: random.pick([0, 0.2, 0.6]),
    value: random.pick([0, 0.2, 0.6]),
    listed: random.pick([0, 0.3, 0.9]),
    listedWrong: random.pick([0, 0.3, 0.8]),
    creates: random.pick([0, 0.05, 0.2]),
    rivals: random.pick([0, 0, 0.05]),
    depthMax: random.between(1, 3),
    stepsMax: random.between(1, 4),
  };
}

/** An address that falls into one of `count` even ranges. */
function placed(random: Random, partition: PartitionId, count: number): Uint8Array {
  const address = random.bytes(20);
  const prefix = Math.floor(((partition + random.float()) / count) * 65_536);
  address[0] = prefix >> 8;
  address[1] = prefix & 255;
  return address;
}

/** The player itself, or a proxy that has its code elsewhere. */
function contractAt(random: Random, address: Uint8Array, player: Uint8Array | null): GenesisAccount {
  const code = player !== null && random.chance(0.3) ? proxyTo(player) : PLAYER;
  return { address, balance: random.pick(BALANCES), code };
}
