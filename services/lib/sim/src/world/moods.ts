/**
 * Worlds for what chance alone brings together too seldom: two partitions, few accounts, and transactions of a few kinds that do
 * to each other what a rule of the protocol is there for.
 *
 * `crossed`: most groups know their accounts from their lists, and others touch on one partition what they did not declare,
 * before and behind those that wait. `young`: contracts are called by their address in the calldata while others create them.
 */
import { assert } from "@meridian/core";
import type { EngineModule } from "@meridian/core";
import { deploying, packRelayed, packScript, proxyTo } from "../contracts/player.ts";
import type { Step } from "../contracts/player.ts";
import type { Random } from "../kernel/random.ts";
import { CHAIN_ID } from "./genesis.ts";
import { create2Address } from "./transactions.ts";
import type { TransactionFields } from "./transactions.ts";
import type { WorldAccounts } from "./world.ts";

/** `contended`: as any other world, but with few accounts. */
export type Mood = "any" | "contended" | "crossed" | "young";

const GAS_LIMIT = 2_000_000;
/** Contracts that may be created in a young world. */
const YOUNG_MAX = 5;
/** Calls of each sender of what is there. */
const TAUGHT_NONCES = 2;
const SELECTORS = 3;
const SALTS = 256;

export function drawMood(random: Random): Mood {
  const drawn = random.float();
  return drawn < 0.16 ? "contended" : drawn < 0.32 ? "crossed" : drawn < 0.4 ? "young" : "any";
}

type Draw = (sender: Uint8Array, nonce: number) => TransactionFields;

/** Its first bytes mean nothing, but are new: what was learned of earlier calls predicts nothing. */
const unlike = (random: Random): Step => ({ op: "read", address: random.bytes(20) });

const write = (random: Random): Step => ({ op: "write", value: random.below(1_000) });

const base = (sender: Uint8Array, nonce: number) => ({ chainId: CHAIN_ID, sender, nonce, value: 0, gasLimit: GAS_LIMIT });

/**
 * Three kinds of transactions: over two partitions, with a list, so that they lock at once; local ones that wait for these; and
 * local ones that do not. Each touches now and then what it did not declare, and what another kind declares.
 */
export function crossedDraw(random: Random, { contracts, owners }: WorldAccounts): Draw {
  const [first] = contracts;
  assert(first !== undefined, "a world without contracts");
  const isNear = (address: Uint8Array): boolean => owners.ownerOf(address, 0) === owners.ownerOf(first, 0);
  const beside = contracts.filter((address) => isNear(address) && address !== first);
  const far = contracts.filter((address) => !isNear(address));
  // Those that wait declare mostly what they touch and those that run at once do not, or the other way round.
  const [waits, runs] = random.pick([[0.9, 0.1], [0.1, 0.5], [0.5, 0.5]] as const); // prettier-ignore
  return (sender, nonce) => {
    const drawn = random.float();
    const to = drawn < 0.6 ? first : random.pick(beside);
    const others = beside.filter((address) => address !== to);
    const steps = [unlike(random), write(random)];
    const listed: Uint8Array[] = [];
    const call = (address: Uint8Array, isListed: boolean): void => {
      steps.push({ op: "call", address, script: [write(random)] });
      if (isListed) listed.push(address);
    };
    if (drawn < 0.25) call(random.pick(far), random.chance(0.9));
    if (others.length > 0 && random.chance(0.7)) call(random.pick(others), random.chance(to === first ? waits : runs));
    return { ...base(sender, nonce), to, input: packScript(steps), accessList: listed };
  };
}

/**
 * Half of the senders create contracts on partition 1. The others have a relay on partition 0 play with the code of contracts
 * there: first of one that is there, so that it is learned how it is called, then of one that is created at about this time.
 */
export function youngDraw(
  module: Pick<EngineModule, "keccak256">,
  random: Random,
  accounts: WorldAccounts,
  relay: Uint8Array,
): Draw {
  const { owners } = accounts;
  const far = accounts.contracts.filter((address) => owners.ownerOf(address, 0) === 1);
  const creator = random.pick(far);
  const init = deploying(proxyTo(random.pick(far)));
  const young: { salt: number; address: Uint8Array }[] = [];
  for (let salt = 0; salt < SALTS && young.length < YOUNG_MAX; salt++) {
    const address = create2Address(module, creator, salt, init);
    if (owners.ownerOf(address, 0) === 1) young.push({ salt, address });
  }
  const crossed = crossedDraw(random, accounts);
  return (sender, nonce) => {
    const isCreator = accounts.senders.indexOf(sender) % 2 === 0;
    const at = young[nonce - TAUGHT_NONCES];
    if (isCreator) {
      if (at === undefined) return crossed(sender, nonce);
      const input = packScript([{ op: "create2", init, argument: at.salt }]);
      return { ...base(sender, nonce), to: creator, input, accessList: [] };
    }
    // Several selectors: one that has missed so is not believed again.
    const input = packRelayed(random.below(SELECTORS), at?.address ?? random.pick(far), [write(random), { op: "log" }]);
    return { ...base(sender, nonce), to: relay, input, accessList: [] };
  };
}
