/** The scenarios by name. */
import { IoError } from "@meridian/core";
import { openMixed } from "./mixed.ts";
import type { Scenario, ScenarioOptions } from "./scenario.ts";
import { openSwaps } from "./swaps.ts";
import { openTokens } from "./tokens.ts";

interface Kind {
  what: string;
  /** Tokens, collections or pools unless `--contracts` says another number. */
  contracts: number;
  /** Whether it matters which partition a contract stands on. */
  isPinned: boolean;
  open: (options: ScenarioOptions) => Scenario;
}

const swaps = (crossingShare: number) => (options: ScenarioOptions) => openSwaps(options, crossingShare);

export const SCENARIOS: Readonly<Record<string, Kind>> = {
  "erc20-uniform": {
    what: "ERC-20 transfers on 64 tokens, evenly over the address space",
    ...{ contracts: 64, isPinned: false },
    open: (options) => openTokens("erc20", options),
  },
  "erc20-one": {
    what: "ERC-20 transfers on one token",
    ...{ contracts: 1, isPinned: false },
    open: (options) => openTokens("erc20", options),
  },
  "uniswap-pools": { what: "Uniswap V2 swaps on 100 pools", contracts: 100, isPinned: true, open: swaps(0) },
  "uniswap-one": { what: "Uniswap V2 swaps on one pool", contracts: 1, isPinned: true, open: swaps(0) },
  "crossing-10": { what: "swaps on 20 pools, 2 of them crossing", contracts: 20, isPinned: true, open: swaps(0.1) },
  "crossing-50": { what: "swaps on 20 pools, 10 of them crossing", contracts: 20, isPinned: true, open: swaps(0.5) },
  "crossing-100": { what: "swaps on 20 pools, all of them crossing", contracts: 20, isPinned: true, open: swaps(1) },
  "nft-mint": {
    what: "ERC-721 mints in 64 collections",
    ...{ contracts: 64, isPinned: false },
    open: (options) => openTokens("nft", options),
  },
  "mixed-defi": {
    what: "of ten calls 6 transfers, 2 local swaps, 1 crossing swap, 1 mint",
    ...{ contracts: 20, isPinned: true },
    open: openMixed,
  },
};

/** @throws IoError SCENARIO with the names there are */
export function scenarioKind(name: string): Kind {
  const kind = SCENARIOS[name];
  if (kind !== undefined) return kind;
  const names = Object.keys(SCENARIOS).join(", ");
  throw new IoError({ code: "SCENARIO", text: `there is no scenario ${name}; there are ${names}` }, "never");
}
