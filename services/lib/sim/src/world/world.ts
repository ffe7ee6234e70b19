/** What a seed makes: a chain with its accounts, and what is sent to it. Nothing here knows of time or failures. */
import { evenRangeMap, hexOf, indexRanges } from "@meridian/core";
import type { EngineModule, PartitionId, RangeIndex } from "@meridian/core";
import type { Genesis } from "@meridian/scheduler";
import { PLAYER, RELAY, proxyTo } from "../contracts/player.ts";
import type { Random } from "../kernel/random.ts";
import { genesisOf } from "./genesis.ts";
import type { GenesisAccount } from "./genesis.ts";
import { crossedDraw, youngDraw } from "./moods.ts";
import type { Mood } from "./moods.ts";
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
  /** A transaction stays on one partition; others go anywhere at most steps. */
  near: number;
  /** A call does not begin like one before it: nothing learned helps to predict it. */
  unlike: number;
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
  /** A transaction is the first of several alike, as the calls of a signed batch may be. */
  batches: number;
  /** No step sees anything of a block. */
  isTimeless: boolean;
  depthMax: number;
  stepsMax: number;
}

export interface WorldOptions {
  /** For engines without an EVM. */
  isToy: boolean;
  /** Any but `any`: few accounts, and as much on them at once as can be. */
  mood?: Mood;
  /** Nothing that it does depends on the number, time or hash of a block. */
  isTimeless?: boolean;
  /** For worlds that are the same over any number of partitions. */
  partitionsFixed?: number;
}

/** Half stays on one partition and touches more there than it declares, the other half locks accounts there. */
const CONTENDED: Partial<Habits> = {
  near: 0.6,
  unlike: 1,
  listed: 0,
  dynamic: 0,
  creates: 0,
  batches: 0,
  value: 0,
  depthMax: 2,
  stepsMax: 3,
};
const TRANSACTIONS_PER_SENDER = 7;
const BALANCES = [0, 50, 1_000, 1_000_000];

/**
 * Many worlds are tight: two partitions and few accounts, so that nearly everything conflicts.
 */
export function makeWorld(
  module: Pick<EngineModule, "keccak256">,
  random: Random,
  { isToy, mood = "any", isTimeless = false, partitionsFixed }: WorldOptions,
): World {
  const isContended = mood !== "any";
  const isTight = isContended || random.chance(0.3);
  const drawn = isTight ? 2 : random.chance(0.1) ? 8 : random.between(2, 4);
  const partitions = partitionsFixed ?? drawn;
  const habits = { ...drawHabits(random), ...(isContended ? CONTENDED : {}), isTimeless };
  const contractCount = mood === "crossed" ? 5 : isTight ? random.between(3, 5) : random.between(drawn, 8);
  const senderCount = mood === "crossed" ? 8 : mood === "young" ? 6 : isTight ? random.between(3, 6) : random.between(2, 5);
  const isEven = random.chance(0.7);
  const place = (number: number): Uint8Array =>
    placed(random, number < drawn || isEven ? number % drawn : random.below(drawn), drawn);
  const contracts = Array.from({ length: contractCount }, (_, number) => place(number));
  const senders = Array.from({ length: senderCount }, (_, number) => place(drawn + random.below(drawn) + number));
  // Scripts are written for the drawn number, so that another one changes nothing but where accounts are.
  const owners = indexRanges(evenRangeMap(drawn));
  const proxies = isContended ? 0 : random.pick([0, 0, 0.4]);
  const accounts = [
    ...contracts.map((address, number) =>
      contractAt(random, address, number > 0 && random.chance(proxies) ? contracts[0]! : null),
    ),
    ...senders.map((address): GenesisAccount => ({ address, balance: random.pick(BALANCES), code: new Uint8Array(0) })),
  ];
  const relay = mood === "young" ? place(0) : contracts[0]!;
  if (mood === "young") accounts.push({ address: relay, balance: 0, code: RELAY });
  const pinned = partitionsFixed === undefined && random.chance(0.3) ? random.sample([...contracts, ...senders], 2) : [];
  const pins = pinned.map((address) => ({ address: hexOf(address), partition: random.below(drawn) }));
  // Some senders do not exist before they send.
  const existing = accounts.filter(({ balance, code }) => balance > 0 || code.length > 0);
  const scripts = new ScriptWriter(module, random, { contracts, senders, owners }, habits);
  const draw = ((): ((sender: Uint8Array, nonce: number) => TransactionFields) => {
    if (isToy) return (sender, nonce) => drawToy(random, sender, nonce, { contracts, senders, owners }, habits);
    if (mood === "crossed") return crossedDraw(random, { contracts, senders, owners });
    if (mood === "young") return youngDraw(module, random, { contracts, senders, owners }, relay);
    return (sender, nonce) => drawTransaction(random, sender, nonce, scripts, habits);
  })();
  const perSender = mood === "crossed" ? 4 : habits.batches > 0 ? 2 * TRANSACTIONS_PER_SENDER : TRANSACTIONS_PER_SENDER;
  const transactions = planTransactions(module, random, senders, draw, {
    rivals: isTimeless ? 0 : habits.rivals,
    batches: habits.batches,
    perSender,
  });
  return {
    ...{ partitions, senders, contracts, scripts, transactions, owners: indexRanges({ ...evenRangeMap(partitions), pins }) },
    genesis: genesisOf(module, existing, pins),
    total: existing.reduce((sum, { balance }) => sum + BigInt(balance), 0n),
    destroys: scripts.destroys,
  };
}

function drawHabits(random: Random): Habits {
  return {
    near: random.pick([0.2, 0.5, 0.8]),
    unlike: random.pick([0, 0.5, 1]),
    dynamic: random.pick([0, 0.2, 0.6]),
    value: random.pick([0, 0.2, 0.6]),
    listed: random.pick([0, 0, 0.3, 0.9]),
    listedWrong: random.pick([0, 0.3, 0.8]),
    creates: random.pick([0, 0.05, 0.2]),
    rivals: random.pick([0, 0, 0.05]),
    isTimeless: false,
    depthMax: random.between(1, 3),
    stepsMax: random.between(1, 4),
    batches: random.pick([0, 0, 0.5]),
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
  const code = player === null ? PLAYER : proxyTo(player);
  return { address, balance: random.pick(BALANCES), code };
}
