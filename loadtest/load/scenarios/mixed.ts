/** Several scenarios on one chain: each sender belongs to one of them. */
import { assert } from "@meridian/core";
import type { TestAccount } from "@meridian/launcher";
import type { Scenario, ScenarioOptions } from "./scenario.ts";
import { openSwaps } from "./swaps.ts";
import { openTokens } from "./tokens.ts";

interface Part {
  /** Of ten senders in a row, which ones. */
  places: readonly number[];
  open: (options: ScenarioOptions) => Scenario;
}

const TEN = 10;
const PARTS: readonly Part[] = [
  { places: [0, 1, 3, 4, 6, 8], open: (options) => openTokens("erc20", options) },
  { places: [2, 7], open: (options) => openSwaps({ ...options, seed: `${options.seed}/local` }, 0) },
  { places: [5], open: (options) => openSwaps({ ...options, seed: `${options.seed}/crossing` }, 1) },
  { places: [9], open: (options) => openTokens("nft", options) },
];

/** Senders `sender` of all, as the `index`-th of its part. */
function placeOf(sender: number): { part: number; index: number } {
  const place = sender % TEN;
  const part = PARTS.findIndex(({ places }) => places.includes(place));
  const places = PARTS[part]?.places ?? [];
  return { part, index: Math.floor(sender / TEN) * places.length + places.indexOf(place) };
}

export function openMixed(options: ScenarioOptions): Scenario {
  const scenarios = PARTS.map(({ places, open }) =>
    open({ ...options, senders: Math.ceil(options.senders / TEN) * places.length }),
  );
  const senders = Array.from({ length: options.senders }, (_, sender): TestAccount => {
    const { part, index } = placeOf(sender);
    const account = scenarios[part]?.senders[index];
    assert(account !== undefined, "every part has its senders");
    return account;
  });
  const at = (sender: number) => {
    const { part, index } = placeOf(sender);
    return { scenario: scenarios[part]!, part, index };
  };
  return {
    senders,
    deployers: scenarios.flatMap(({ deployers }) => deployers),
    pins: Object.assign({}, ...scenarios.map(({ pins }) => pins)) as Record<string, number>,
    dataBytesMax: Math.max(...scenarios.map(({ dataBytesMax }) => dataBytesMax)),
    firstNonce: (sender) => {
      const { scenario, index } = at(sender);
      return scenario.firstNonce(index);
    },
    async deploy(setup) {
      for (const scenario of scenarios) await scenario.deploy(setup);
    },
    call(number, sender) {
      const { scenario, index } = at(sender);
      return scenario.call(number, index);
    },
    ledger() {
      const ledgers = scenarios.map((scenario) => scenario.ledger());
      return {
        apply(number, sender) {
          const { part, index } = at(sender);
          ledgers[part]?.apply(number, index);
        },
        async check(reader) {
          let checked = 0;
          const wrong: string[] = [];
          for (const ledger of ledgers) {
            const part = await ledger.check(reader);
            checked += part.checked;
            wrong.push(...part.wrong);
          }
          return { checked, wrong };
        },
      };
    },
  };
}
