import { expect, test } from "vitest";
import { concatBytes } from "../bytes.ts";
import { MODE } from "../transactions.ts";
import { bar, barredAddresses, emptyBarred, unbar } from "./barred.ts";
import { addressesOf, conflicts, emptyStanding, isFirst, leave, stand } from "./keys.ts";
import type { Keys, Stander } from "./keys.ts";
import { accountList, addressOf } from "./testing/index.ts";

interface Test extends Stander {
  held: boolean;
}

/** A small generator: the same numbers each time. */
function dice(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function keysOf(roll: (below: number) => number): Keys {
  const accounts = [1, 2, 3, 4, 5].filter(() => roll(3) === 0).map((number) => `${"rwc"[roll(3)] ?? "w"} ${number}${number}`);
  const again = roll(8) === 0 ? accounts.slice(0, 1) : []; // As if two accounts shared a key.
  const senders = [6, 7].filter(() => roll(4) === 0).map((number) => addressOf(`${number}${number}`));
  return {
    accounts: concatBytes([accountList(accounts), accountList(again)]),
    senders: concatBytes([...senders, ...senders]),
    whole: roll(40) === 0,
  };
}

/** What the rules say (K2), by looking at every pair. */
function mustWait(later: Keys, earlier: Keys): boolean {
  if (later.whole || earlier.whole) return true;
  const clash = (step: number, left: Uint8Array, right: Uint8Array, isClash: (left: number, right: number) => boolean) => {
    for (let at = 0; at < left.length; at += step) {
      for (let other = 0; other < right.length; other += step) if (isClash(at, other)) return true;
    }
    return false;
  };
  const modes = (at: number, other: number) => [later.accounts[at], earlier.accounts[other]];
  return (
    clash(20, later.senders, earlier.senders, (at, other) => later.senders[at] === earlier.senders[other]) ||
    clash(21, later.accounts, earlier.accounts, (at, other) => {
      if (later.accounts[at + 1] !== earlier.accounts[other + 1] || modes(at, other).includes(MODE.code)) return false;
      return modes(at, other).includes(MODE.write);
    })
  );
}

test.each(Array.from({ length: 40 }, (_, seed) => seed))(
  "coming and going at random, seed %i: as if all were looked at",
  (seed) => {
    const roll = dice(seed + 1);
    const standing = emptyStanding<Test>();
    const barred = emptyBarred();
    let open: Test[] = [];
    for (let order = 0; order < 150; order++) {
      const keys = keysOf(roll);
      const waits = open.some((earlier) => mustWait(keys, earlier.keys));
      expect(conflicts(standing, keys)).toBe(waits);
      const one: Test = { keys, order, held: !waits };
      stand(standing, one);
      bar(barred, one);
      open.push(one);
      while (open.length > 0 && roll(12) < open.length) {
        const gone = open[roll(4) === 0 ? roll(open.length) : 0];
        if (gone === undefined) break;
        open = open.filter((other) => other !== gone);
        unbar(barred, gone);
        const next = new Set(leave(standing, gone));
        for (const [place, other] of open.entries()) {
          const isFree = !open.slice(0, place).some((earlier) => mustWait(other.keys, earlier.keys));
          expect(isFirst(standing, other)).toBe(isFree);
          if (isFree && !other.held) expect(next.has(other)).toBe(true);
          other.held ||= isFree;
        }
      }
      const hex = (packed: Uint8Array) => Array.from({ length: packed.length / 20 }, (_, at) => packed[at * 20]).sort();
      expect(hex(barredAddresses(barred))).toEqual(hex(concatBytes(open.map((other) => addressesOf(other.keys.accounts)))));
    }
    for (const left of open) leave(standing, left);
    expect([standing.accounts.size, standing.senders.size, standing.all.size, standing.wholes]).toEqual([0, 0, 0, []]);
  },
);
