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
  rules: Partial<Rules>;
  port: PortMutant | null;
}

const ruleNames = Object.keys(ALL_RULES) as (keyof Rules)[];

export const MUTANTS: readonly Mutant[] = [
  ...ruleNames.map((name): Mutant => ({ name, rules: { [name]: false }, port: name === "appliesOnce" ? "applies" : null })),
  { name: "fence", rules: {}, port: "fence" },
];

export const mutantOf = (name: string): Mutant | undefined => MUTANTS.find((mutant) => mutant.name === name);
