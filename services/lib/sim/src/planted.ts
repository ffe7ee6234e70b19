/**
 * Planted bugs: what the simulator must be able to find. Each is one rule of the protocol switched off, or one thing that a port
 * promises and does not keep.
 */
import { ALL_RULES } from "@meridian/core";
import type { Rules } from "@meridian/core";

/**
 * What ports can break. `fence`: the server stores an append whatever stands before it. `applies`: each `apply` stands in the
 * logs twice, which is harmless only with the rule `appliesOnce`.
 */
export type PortMutant = "fence" | "applies";

export interface Mutant {
  name: string;
  /** What is wrong with it, in a few words. */
  bug: string;
  rules: Partial<Rules>;
  port: PortMutant | null;
}

const BUGS: Readonly<Record<keyof Rules, string>> = {
  waitersAreStrict: "who has waited touches what it did not declare",
  waitersBar: "who runs at once touches what a waiter declared",
  sendersQueue: "a sender's transactions pass each other",
  membersAreStrict: "a member touches what its group has not locked",
  oneOrder: "reorder in a flush",
  homeWaitsForApply: "the home commits its own proposal",
  followersMiss: "nonce order broken by a miss",
  blocksDrain: "a block closes over waiters and misses",
  noncesApart: "a nonce is written by apply",
  sendersStay: "one sender in flight with two homes",
  firstDeclares: "a first transaction makes its sender unseen",
  publishedAtEntry: "published where it ran, not where it stands",
  answersAfterAppend: "ack before append",
  locksHold: "lock released early",
  appliesOnce: "apply twice",
  abortsCount: "abort against apply",
  grantsAreHeld: "grant from the wrong position",
  predictionsAreChecked: "prediction trusted",
  movedIsForgotten: "stale cell after a move",
  snapshotsAreExact: "snapshot off by one",
  redelivers: "lost redelivery",
  codeIsOld: "code that no block boundary has seen",
};

const ruleNames = Object.keys(ALL_RULES) as (keyof Rules)[];

export const MUTANTS: readonly Mutant[] = [
  ...ruleNames.map((name): Mutant => ({
    name,
    bug: BUGS[name],
    rules: { [name]: false },
    port: name === "appliesOnce" ? "applies" : null,
  })),
  { name: "fence", bug: "fence skipped", rules: {}, port: "fence" },
];

export const mutantOf = (name: string): Mutant | undefined => MUTANTS.find((mutant) => mutant.name === name);
