/** Worlds for the engine without an EVM: programs of a few steps in place of contracts. Less can happen, but much faster. */
import { loadEngine } from "@meridian/engine";
import { HISTORY_ADDRESS } from "@meridian/core";
import type { EngineModule } from "@meridian/core";
import { FakeEngine, toyProgram } from "@meridian/core/actor/testing";
import type { ToyOp, ToyStep } from "@meridian/core/actor/testing";
import { fakeBlockEngine } from "@meridian/core/blocks/testing";
import type { Random } from "../kernel/random.ts";
import { CHAIN_ID } from "./genesis.ts";
import type { Habits, WorldAccounts } from "./world.ts";
import type { TransactionFields } from "./transactions.ts";

const NOTHING = new Uint8Array(0);
const OPS: readonly ToyOp[] = ["read", "read", "add", "stir", "stir", "stir", "look", "code", "hash", "revert", "pay"];
const CHOICES_MAX = 3;
const HASH_BLOCKS = 6;
const AMOUNT_MAX = 300;

/** The module of toy engines. */
export function toyModule(): EngineModule {
  const hashes = loadEngine("wasm");
  return {
    build: "wasm",
    // Nothing is signed, so nothing is decoded.
    decode: () => ({
      records: NOTHING,
      statuses: NOTHING,
      details: new Float64Array(0),
      recordCounts: new Uint32Array(0),
      calls: new Uint32Array(0),
    }),
    ...fakeBlockEngine(),
    keccak256: (bytes) => hashes.keccak256(bytes),
    open: () => new FakeEngine(),
  };
}

/** A transaction with a program in place of what is signed. */
export function drawToy(
  random: Random,
  sender: Uint8Array,
  nonce: number,
  { contracts, senders, owners }: WorldAccounts,
  habits: Habits,
): TransactionFields {
  const all = [...contracts, ...senders];
  const to = random.pick(contracts);
  let current = to;
  const isNear = random.chance(habits.near);
  const pick = (): Uint8Array => {
    const near = all.filter((address) => owners.ownerOf(address, 0) === owners.ownerOf(current, 0));
    current = isNear || random.chance(0.3) ? random.pick(near) : random.pick(all);
    return current;
  };
  const value = random.chance(habits.value) ? random.between(1, AMOUNT_MAX) : 0;
  const steps: ToyStep[] =
    value > 0 ? [{ op: "pay", accounts: [to], amount: value }] : [{ op: "stir", accounts: [to], amount: 0 }];
  for (let left = random.below(habits.stepsMax + 2); left > 0; left--) {
    const op = random.pick(OPS);
    const choices = random.chance(habits.dynamic) ? random.between(2, CHOICES_MAX) : 1;
    const accounts = Array.from({ length: op === "hash" || op === "revert" ? 0 : choices }, pick);
    const amount = op === "hash" ? random.below(HASH_BLOCKS) : random.between(1, AMOUNT_MAX);
    const isPast = op === "hash" && amount % 2 === 1;
    steps.push(isPast ? { op: "past", accounts: [HISTORY_ADDRESS], amount } : { op, accounts, amount });
  }
  const named = steps.flatMap(({ accounts }) => accounts);
  const isWrong = random.chance(habits.listedWrong);
  const listed = isWrong ? [...random.sample(named, 1), random.pick(all)] : named;
  return {
    ...{ chainId: CHAIN_ID, sender, nonce, to, value, gasLimit: 1_000_000, input: NOTHING },
    accessList: random.chance(habits.listed) ? listed : [],
    program: toyProgram(steps, random.next()),
  };
}
