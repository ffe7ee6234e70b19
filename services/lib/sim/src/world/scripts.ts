/** Writes scripts: what a transaction does, and what it declares of it. */
import { HISTORY_ADDRESS } from "@meridian/core";
import type { EngineModule } from "@meridian/core";
import { deploying, proxyTo } from "../contracts/player.ts";
import type { Step } from "../contracts/player.ts";
import type { Random } from "../kernel/random.ts";
import { create2Address } from "./transactions.ts";
import type { Habits, WorldAccounts } from "./world.ts";

const SIMPLE: readonly Step["op"][] = [
  ...(["write", "write", "write", "write", "write", "write", "read", "read", "log", "balance", "balance"] as const),
  ...([
    "callerBalance",
    "selfBalance",
    "codeHash",
    "codeHash",
    "transient",
    "originBalance",
    "blockNumber",
    "blockHash",
  ] as const),
];
/** Slots that scripts use: few, so that they meet. */
const SLOTS = 3;
const VALUE_MAX = 300;

export class ScriptWriter {
  readonly #module: Pick<EngineModule, "keccak256">;
  readonly #random: Random;
  readonly #accounts: WorldAccounts;
  readonly #habits: Habits;
  readonly #all: Uint8Array[];
  /** The script being written stays on one partition. */
  #isNear = false;
  /** A script has a step that destroys its contract. */
  destroys = false;

  constructor(module: Pick<EngineModule, "keccak256">, random: Random, accounts: WorldAccounts, habits: Habits) {
    this.#module = module;
    this.#random = random;
    this.#accounts = accounts;
    this.#habits = habits;
    this.#all = [...accounts.contracts, ...accounts.senders];
  }

  /** Init code of a contract that plays scripts with the code of one that is there. */
  init(): Uint8Array {
    return deploying(proxyTo(this.#random.pick(this.#accounts.contracts)));
  }

  contract(): Uint8Array {
    return this.#random.pick(this.#accounts.contracts);
  }

  /** Any account. */
  account(): Uint8Array {
    return this.#random.pick(this.#all);
  }

  /** What the contract at `self` plays. */
  script(self: Uint8Array, depth = 0): Step[] {
    if (depth === 0) this.#isNear = this.#random.chance(this.#habits.near);
    const steps: Step[] = [];
    // Its address means nothing to this step, but makes the first bytes of the calldata new.
    if (depth === 0 && this.#random.chance(this.#habits.unlike)) steps.push({ op: "read", address: this.#random.bytes(20) });
    for (let left = this.#random.between(1, this.#habits.stepsMax); left > 0; left--) {
      const step = this.#step(self, depth);
      steps.push(this.#random.chance(this.#habits.dynamic) ? this.#unless(step) : step);
    }
    if (depth > 0 && this.#random.chance(0.05)) steps.push({ op: "revert" });
    if (this.#random.chance(0.01)) {
      this.destroys = true;
      steps.push({ op: "destroy", address: this.account() });
    }
    return steps;
  }

  /** One side is passed over, depending on what was seen before: which, nobody can predict. */
  #unless(step: Step): Step {
    return { op: "unless", argument: this.#random.below(6), script: [step] };
  }

  #step(self: Uint8Array, depth: number): Step {
    const random = this.#random;
    if (random.chance(this.#habits.creates)) return this.#create(self);
    const calls = depth < this.#habits.depthMax && random.chance(0.6);
    if (!calls) return this.#simple(self);
    const address = this.#next(self);
    const value = random.chance(this.#habits.value) ? random.between(1, VALUE_MAX) : 0;
    const op = random.pick(["call", "call", "call", "call", "staticCall", "delegateCall"] as const);
    // Code that is called into the caller's own storage goes on as the caller.
    const script = this.script(op === "delegateCall" ? self : address, depth + 1);
    return { op, address, value: op === "call" ? value : 0, script };
  }

  #simple(self: Uint8Array): Step {
    const random = this.#random;
    const drawn = random.pick(SIMPLE);
    const op = this.#habits.isTimeless && (drawn === "blockNumber" || drawn === "blockHash") ? "read" : drawn;
    // A sender that never sent does not exist, and its code hash tells.
    const isSender = op === "codeHash" && random.chance(0.5);
    const near = this.#isNear || random.chance(0.3) ? this.#next(self) : this.account();
    const address = isSender ? random.pick(this.#accounts.senders) : near;
    const step: Step = { op, address, argument: random.below(SLOTS), value: random.below(1_000) };
    const isPast = op === "blockHash" && (step.value ?? 0) % 2 === 1;
    return isPast ? { ...step, op: "pastHash", address: HISTORY_ADDRESS } : step;
  }

  #create(self: Uint8Array): Step {
    const random = this.#random;
    const init = this.init();
    const value = random.chance(this.#habits.value) ? random.between(1, VALUE_MAX) : 0;
    if (random.chance(0.5)) return { op: "create", init, value };
    const argument = random.below(SLOTS);
    // Others may call what stands there afterwards.
    this.#accounts.contracts.push(create2Address(this.#module, self, argument, init));
    return { op: "create2", init, argument, value };
  }

  /** A contract that a step goes to. */
  #next(self: Uint8Array): Uint8Array {
    const { contracts, owners } = this.#accounts;
    if (!this.#isNear && this.#random.chance(0.7)) return this.contract();
    const own = owners.ownerOf(self, 0);
    const near = contracts.filter((address) => owners.ownerOf(address, 0) === own);
    return near.length > 0 ? this.#random.pick(near) : this.contract();
  }

  /** The accounts that a script names, those on sides that are not taken too. */
  named(steps: readonly Step[]): Uint8Array[] {
    return steps.flatMap(({ address, script = [] }) => [...(address === undefined ? [] : [address]), ...this.named(script)]);
  }
}
