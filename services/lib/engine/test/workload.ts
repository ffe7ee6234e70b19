/** A seeded workload: transfers, calls, logs, reverts, creations and misses, block after block. */
import { concatBytes } from "@meridian/core";
import type { EngineModule } from "@meridian/core";
import * as chain from "./chain.ts";
import { CONTRACTS, initCode, place, wordOf } from "./contracts.ts";

const SENDERS = 24;
export const CONTRACT_PLACES = {
  counter: place(0x1_0000_0001),
  store: place(0x2_0000_0002),
  reverter: place(0x3_0000_0003),
  factory: place(0x4_0000_0004),
  forward: place(0x5_0000_0005),
  balanceOf: place(0x6_0000_0006),
  environment: place(0x7_0000_0007),
} as const;

export const senders = Array.from({ length: SENDERS }, (_, number) => chain.key(number + 100));

/** Numbers from a seed (mulberry32). */
export function dice(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % sides;
  };
}

export function genesis(): Uint8Array[] {
  const contracts = Object.entries(CONTRACT_PLACES).map(([name, address]) =>
    chain.contractCells(address, CONTRACTS[name as keyof typeof CONTRACT_PLACES], 10_000n),
  );
  return [...senders.map(({ address }) => chain.accountCell(address, 1_000_000n)), ...contracts];
}

/** Records of `count` transactions; nonces go on in `nonces`. */
export function batch(module: EngineModule, roll: (sides: number) => number, nonces: number[], count: number): Uint8Array {
  const raws = Array.from({ length: count }, () => {
    const number = roll(SENDERS);
    const nonce = nonces[number] ?? 0;
    nonces[number] = nonce + 1;
    const type = roll(3) as 0 | 1 | 2;
    return chain.sign({ ...transaction(roll), type, nonce }, senders[number]!);
  });
  return chain.records(module, raws);
}

const CALLS_MAX = 24;

/**
 * Raw transactions, singles and signed batches of up to 24 calls, with `count` transactions or a few more; nonces go on in
 * `nonces`.
 */
export function mixedRaws(roll: (sides: number) => number, nonces: number[], count: number): Uint8Array[] {
  const raws: Uint8Array[] = [];
  for (let made = 0; made < count;) {
    const number = roll(SENDERS);
    const nonce = nonces[number] ?? 0;
    const signer = senders[number]!;
    const calls = roll(3) === 0 ? 1 + roll(CALLS_MAX) : 0;
    if (calls === 0) raws.push(chain.sign({ ...transaction(roll), type: roll(3) as 0 | 1 | 2, nonce }, signer));
    else raws.push(chain.signBatch({ nonce, calls: Array.from({ length: calls }, () => callOf(transaction(roll))) }, signer));
    nonces[number] = nonce + Math.max(calls, 1);
    made += Math.max(calls, 1);
  }
  return raws;
}

/** One to four bytes changed, cut off, or put between. */
export function spoil(raw: Uint8Array, roll: (sides: number) => number): Uint8Array {
  const spoilt = [...raw];
  for (let change = roll(4); change >= 0; change--) {
    const at = roll(spoilt.length);
    const kind = roll(4);
    if (kind === 0) spoilt.splice(at, 1 + roll(3));
    else if (kind === 1) spoilt.splice(at, 0, roll(256));
    else spoilt[at] = roll(256);
    if (spoilt.length === 0) break;
  }
  return Uint8Array.from(spoilt);
}

/** The same as a call of a signed batch. */
const callOf = ({ to = null, value = 0n, data, gasLimit }: chain.TxFields): chain.CallFields => ({
  to,
  value,
  ...(data === undefined ? {} : { data }),
  ...(gasLimit === undefined ? {} : { gas: gasLimit }),
});

function transaction(roll: (sides: number) => number): chain.TxFields {
  const { counter, store, reverter, factory, forward, balanceOf, environment } = CONTRACT_PLACES;
  const someone = (): Uint8Array => (roll(3) === 0 ? place(roll(50) * 0x1_0000 + 0x5000) : senders[roll(SENDERS)]!.address);
  const words = (...parts: Uint8Array[]): Uint8Array => concatBytes(parts);
  switch (roll(10)) {
    case 0:
    case 1:
      return { to: someone(), value: BigInt(roll(100)), gasLimit: 30_000 };
    case 2:
      return { to: someone(), value: 2_000_000n };
    case 3:
      return { to: counter };
    case 4:
      return { to: store, data: words(chain.word(roll(40)), chain.word(roll(3) * roll(1000))) };
    case 5:
      return { to: reverter, data: chain.word(roll(1000)), value: BigInt(roll(2)) };
    case 6:
      return { to: factory, data: initCode(CONTRACTS.counter), gasLimit: 300_000 };
    case 7:
      return { to: forward, data: words(wordOf(someone()), chain.word(roll(5))), gasLimit: 25_000 + roll(100_000) };
    case 8:
      return roll(2) === 0
        ? { data: initCode(CONTRACTS.store), value: BigInt(roll(3)) }
        : { data: CONTRACTS.destroyed, value: 1n };
    default:
      return roll(2) === 0 ? { to: balanceOf, data: wordOf(someone()) } : { to: environment };
  }
}
