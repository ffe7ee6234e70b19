/** What an entry costs does not hang on how many are open: measured in one run, on an engine that does nothing. */
import { expect, test } from "vitest";
import { concatBytes } from "../bytes.ts";
import { applyMessage } from "./apply.ts";
import { groupState, settledN } from "./queue.ts";
import { refusalOf } from "./refusal.ts";
import { emptyState } from "./state.ts";
import { FakeEngine, TEST_CHAIN_ID, abortEntry, genesisEntry, logMessage, toyRecord } from "./testing/index.ts";
import type { Entry } from "../entries.ts";
import { writeU32 } from "../bytes.ts";
import { MODE } from "../transactions.ts";

class IdleEngine extends FakeEngine {
  override run(): { results: Uint8Array; misses: Uint8Array } {
    return { results: new Uint8Array(0), misses: new Uint8Array(0) };
  }
}

const addressAt = (number: number): Uint8Array => {
  const address = new Uint8Array(20);
  writeU32(address, 16, number);
  return address;
};
const written = (...numbers: number[]): Uint8Array =>
  concatBytes(numbers.map((number) => concatBytes([Uint8Array.of(MODE.write), addressAt(number)])));
const record = (index: number, account: number): Uint8Array =>
  toyRecord({
    ...{ index, sender: addressAt(1 << 20), nonce: 1, to: addressAt(account), declared: written(account) },
    ...{ after: { flush: 0, index: 0 }, attempt: 0, program: new Uint8Array(0) },
  });

/**
 * A partition with so many locks held and as many transactions that wait; each round ends one, whose waiter runs, and opens one.
 * @returns microseconds a round
 */
function measure(open: number, rounds: number): number {
  const state = emptyState(0, TEST_CHAIN_ID);
  const engine = new IdleEngine();
  let n = 0;
  const take = (entries: Entry[]): void => {
    const { message, position } = logMessage(++n, entries);
    expect(refusalOf(state, message)).toBeNull();
    applyMessage(state, message, position, engine, new Uint8Array(0));
  };
  const opening = (flush: number): Entry[] => [
    // Lands behind the lock of the flush before, and one that runs at once.
    { kind: "run", transactions: concatBytes([record(1, flush * 2 - 2), record(2, flush * 2 + 1)]), nonces: new Uint8Array(0) },
    { kind: "lock", index: 3, home: 1, accounts: written(flush * 2), whole: false },
  ];
  take([genesisEntry()]);
  for (let number = 0; number < open; number++) take(opening(n + 1));
  const startedAt = performance.now();
  for (let round = 0; round < rounds; round++) {
    const oldest = { flush: n + 1 - open, index: 3 };
    expect(groupState(state, oldest)).toBe("held");
    take([abortEntry(0, oldest), ...opening(n + 1)]);
    expect(settledN(state)).toBeLessThan(n);
  }
  return ((performance.now() - startedAt) * 1_000) / rounds;
}

test("a thousand open entries cost an entry about what ten do", () => {
  measure(10, 300); // Warm.
  const runs = [1, 2, 3].map(() => [measure(10, 300), measure(1_000, 300)] as const);
  const [few, many] = [Math.min(...runs.map(([of]) => of)), Math.min(...runs.map(([, of]) => of))];
  expect(many / few).toBeLessThan(4);
});
