/**
 * The main property: transactions over accounts that are split on engines, by proposals, grants and write sets, give the results,
 * logs and state of one engine that runs all of them serially in the order in which they came to an end.
 */
import type { EngineModule } from "@meridian/core";
import { concatBytes } from "@meridian/core";
import { describe, expect, test } from "vitest";
import * as chain from "./chain.ts";
import type { Counts, Waiting } from "./cluster.ts";
import { Cluster, baseModes } from "./cluster.ts";
import { CONTRACTS, initCode, wordOf } from "./contracts.ts";
import * as node from "./node.ts";
import { dice } from "./workload.ts";

const SEEDS = 6;
const BLOCKS = 4;
const TRANSACTIONS = 60;
const SENDERS = 30;
/** The others have no balance: they are nobody until their first transaction has come to an end. */
const RICH = 6;
const NONE: Uint8Array = new Uint8Array(0);

const KINDS = [
  "counter", "store", "reverter", "relay", "relay", "delegate", "look", "undo", "balanceStored", "callerStored", "codeHashStored",
  "sizeStored", "selfStored", "factory", "factory2", "transient", "sweep", "blockHashStored", "environment", "slotZero",
] as const; // prettier-ignore

interface World {
  cluster: Cluster;
  roll: (sides: number) => number;
  contracts: Map<string, (typeof KINDS)[number]>;
  senders: chain.Key[];
  nonces: number[];
}

function begin(module: EngineModule, seed: number): World {
  const roll = dice(seed);
  const senders = Array.from({ length: SENDERS }, (_, number) => chain.key(seed * 100 + number));
  const contracts = new Map(KINDS.map((kind, number) => [addressOf(seed, number), kind]));
  const genesis = new Map<string, Uint8Array>();
  senders.slice(0, RICH).forEach(({ address }) => genesis.set(chain.hex(address), chain.accountCell(address, 1_000n)));
  for (const [address, kind] of contracts) {
    genesis.set(address, chain.contractCells(chain.bytes(address), CONTRACTS[kind], BigInt(roll(3) * 50)));
  }
  const cluster = new Cluster(module, genesis, 2 + roll(3), roll);
  return { cluster, roll, contracts, senders, nonces: senders.map(() => 0) };
}

const addressOf = (seed: number, number: number): string => chain.hex(chain.created(new Uint8Array(20).fill(seed), number));

function someone({ roll, senders, contracts }: World): Uint8Array {
  const known = [...contracts.keys()].map(chain.bytes);
  const pool = [...known, ...senders.map(({ address }) => address), chain.created(known[roll(known.length)]!, 1 + roll(3))];
  pool.push(new Uint8Array(20).fill(0, 0, 19).fill(1 + roll(9), 19)); // a precompile
  return pool[roll(pool.length)]!;
}

/** Input for a contract of this kind, as deep as it wants. */
function inputFor(world: World, kind: string, depth: number): Uint8Array {
  const { roll, contracts } = world;
  switch (kind) {
    case "relay":
    case "delegate":
    case "look":
    case "undo": {
      const places = [...contracts];
      const [address, inner] = places[roll(places.length)]!;
      const target = roll(5) === 0 ? someone(world) : chain.bytes(address);
      const value = kind === "relay" || kind === "undo" ? roll(3) * roll(40) : 0;
      return concatBytes([wordOf(target), chain.word(value), depth > 3 ? NONE : inputFor(world, inner, depth + 1)]);
    }
    case "store":
      return concatBytes([chain.word(roll(4)), chain.word(roll(3))]);
    case "balanceStored":
    case "codeHashStored":
    case "sizeStored":
    case "sweep":
      return wordOf(someone(world));
    case "factory":
    case "factory2":
      return roll(3) === 0 ? CONTRACTS.destroyed : initCode([CONTRACTS.counter, CONTRACTS.transient, NONE][roll(3)]!);
    case "blockHashStored":
      return chain.word(roll(BLOCKS));
    default:
      return chain.word(roll(100));
  }
}

function transaction(world: World): chain.TxFields {
  const { roll, contracts } = world;
  const places = [...contracts];
  const kind = roll(12);
  if (kind === 0) return { to: someone(world), value: BigInt(roll(600)), gasLimit: 60_000 };
  if (kind < 4) {
    const kinds = ["codeHashStored", "relay"] as const;
    const [address] = places.find(([, name]) => name === kinds[kind % 2])!;
    const stranger = wordOf(world.senders[RICH + roll(SENDERS - RICH)]!.address);
    return { to: chain.bytes(address), data: concatBytes([stranger, chain.word(roll(2))]), gasLimit: 100_000 };
  }
  if (kind === 4) return { data: initCode(CONTRACTS.counter), value: BigInt(roll(2)), gasLimit: 200_000 };
  const [address, name] = places[roll(places.length)]!;
  const value = roll(4) === 0 ? BigInt(roll(60)) : 0n;
  return { to: chain.bytes(address), data: inputFor(world, name, 0), value, gasLimit: roll(8) === 0 ? 40_000 : 900_000 };
}

/** New senders come with every block. */
function send(world: World, module: EngineModule, block: number): Waiting {
  const number = world.roll(RICH + (block * (SENDERS - RICH)) / BLOCKS);
  const [key, nonce] = [world.senders[number]!, world.nonces[number]!++];
  const fields = { ...transaction(world), nonce };
  const record = chain.records(module, [chain.sign(fields, key)]);
  const declared = baseModes([record.slice(84, 104), ...(fields.value ? [key.address] : [])]);
  const sender = chain.hex(key.address);
  return { record, sender, nonce, declared, attempt: 0, position: null };
}

/** Neighbours that may go together: none of a sender behind one of the same that is left behind. */
function take(world: World, queue: Waiting[]): Waiting[] {
  const count = 1 + world.roll(4);
  const left = new Set<string>();
  const taken: Waiting[] = [];
  for (const one of [...queue]) {
    if (taken.length === count) break;
    if (left.has(one.sender) || (taken.length > 0 && world.roll(2) === 0)) {
      left.add(one.sender);
      continue;
    }
    if (one.nonce === 0 && one.position === null && world.cluster.isNew(one.sender)) one.declared.set(one.sender, "write");
    taken.push(one);
    queue.splice(queue.indexOf(one), 1);
  }
  return taken;
}

function runSeed(module: EngineModule, seed: number): Counts {
  const world = begin(module, seed);
  for (let block = 1; block <= BLOCKS; block++) {
    const queue = Array.from({ length: TRANSACTIONS }, () => send(world, module, block));
    while (queue.length > 0) {
      const missed = world.cluster.turn(take(world, queue));
      // They come again some way behind, still before everything newer of their senders.
      for (const one of missed.reverse()) {
        const next = queue.findIndex(({ sender }) => sender === one.sender);
        queue.splice(world.roll(Math.min(next < 0 ? queue.length : next, 3) + 1), 0, one);
      }
    }
    const { split, serial } = world.cluster.closeBlock(world.roll(2) === 0);
    expect(split, `state after block ${block} of seed ${seed}`).toBe(serial);
  }
  void world.cluster.close();
  return world.cluster.counts;
}

describe.each(node.BUILDS)("split state, %s build", (_build, module) => {
  test("gives what serial execution gives", () => {
    const counts = Array.from({ length: SEEDS }, (_, seed) => runSeed(module, seed + 1));
    const sum = (of: (count: Counts) => number): number => counts.map(of).reduce((left, right) => left + right, 0);
    expect(sum(({ locals }) => locals)).toBeGreaterThan(100);
    expect(sum(({ members }) => members)).toBeGreaterThan(300);
    expect(sum(({ misses }) => misses["outside"] ?? 0)).toBeGreaterThan(50);
    expect(sum(({ misses }) => misses["unsealed"] ?? 0)).toBeGreaterThan(0);
    expect(sum(({ wholes }) => wholes)).toBeGreaterThan(0);
  });
});
