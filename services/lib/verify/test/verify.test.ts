import { type PublishedBlock } from "../src/source.ts";
import { RESULT, TX, assert, bytesOfHex, concatBytes, hexOf, resultBytes, txBytes, txOffsets } from "@meridian/core";
import { beforeAll, expect, test } from "vitest";
import { describeDifference } from "../src/difference.ts";
import { verify } from "../src/verify.ts";
import { keepJumpTargets } from "../src/jump-cache.ts";
import { type Call, type Key, TestChain, initCode, keysOn, nextCreated } from "./chain.ts";

/** Adds the call's first word to slot 0 and logs it; without data reverts with "no". */
const COUNTER = initCode("36600e57" + "616e6f5f526002601efd" + "5b5f355f54015f55" + "5f355f5260205fa000");
/** Looks at the balance of the account in the call's first word. */
const LOOKER = initCode("5f3531" + "5f5260205ff3");
/** Stores the hash of the block in the call's first word. */
const HASHER = initCode("5f35405f5500");
/** Stores what the history account says of the block in the call's first word. */
const READER = initCode("5f355f52" + "60205f60205f730000f90827f1c53a10cb7a02335b1753200029355afa50" + "5f515f5500");
/** Calls the account in the first word with the rest of the call and its value; reverts if that does. */
const CALLER = initCode("6020360360205f37" + "5f5f602036035f345f355af1" + "601a575f5ffd" + "5b00");
/** The same with DELEGATECALL. */
const CARRIER = initCode("6020360360205f37" + "5f5f602036035f5f355af4" + "6019575f5ffd" + "5b00");
/** Creates an empty contract and stores its address. */
const FACTORY = initCode("5f5f5ff05f5500");
/** Creates a contract with the call's value that destroys itself at once in favour of the sender. */
const BURNER = initCode("6132ff5f52" + "6002601e34f05000");

const [left, right] = [keysOn(0, 8), keysOn(1, 8)];
const word = (value: Uint8Array | number): Uint8Array =>
  typeof value === "number" ? bytesOfHex(value.toString(16).padStart(64, "0")) : concatBytes([new Uint8Array(12), value]);

let chain: TestChain;

function take(keys: Key[], index: number): Key {
  const key = keys[index];
  assert(key, `no key ${index}`);
  return key;
}

beforeAll(() => {
  const a = take(left, 0);
  const b = take(right, 0);
  chain = new TestChain([...left, ...right]);
  /** Deploys from whichever of a partition's keys gets an address on it. */
  const deploys: Call[] = [];
  const deploy = (code: Uint8Array, partition: number): Uint8Array => {
    for (const from of [...left, ...right]) {
      const created = nextCreated(from);
      if (((created[0] ?? 0) < 128 ? 0 : 1) !== partition || deploys.some((call) => call.from === from)) continue;
      deploys.push({ from, data: code });
      return created;
    }
    assert(false, `no key creates on partition ${partition}`);
  };
  const build = (codes: [Uint8Array, number][]): Uint8Array[] => {
    deploys.length = 0;
    const created = codes.map(([code, partition]) => deploy(code, partition));
    chain.addBlock([...deploys]);
    return created;
  };
  const [counter, looker] = build([
    [COUNTER, 0],
    [LOOKER, 1],
  ]) as [Uint8Array, Uint8Array];
  const [hasher, reader, factory, burner] = build([
    [HASHER, 1],
    [READER, 1],
    [FACTORY, 0],
    [BURNER, 0],
  ]) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  chain.addBlock([
    { from: a, to: counter, data: word(5) },
    { from: b, to: counter, data: word(7), legacy: true },
    { from: b, to: counter },
    { from: a, to: take(left, 1).address, value: 5n },
    { from: a, to: looker, data: word(take(right, 1).address) },
    { from: a, to: looker, data: word(a.address) }, // the contract looks at the sender, who is on the other partition
    { from: b, to: looker, data: word(a.address) },
    { from: a, to: b.address, value: 1n },
    { from: take(left, 2), to: take(left, 3).address, value: 11n * 10n ** 18n }, // void
    { from: take(left, 2), to: b.address, value: 11n * 10n ** 18n }, // void, over both
  ]);
  chain.addBlock([
    { from: a, to: hasher, data: word(3) },
    { from: a, to: reader, data: word(3) },
    { from: a, to: reader, data: word(0) },
    { from: a, to: factory },
    { from: b, to: factory },
    { from: a, to: burner, value: 3n },
    { from: take(left, 1), to: burner },
  ]);
  const [caller, carrier] = build([
    [CALLER, 0],
    [CARRIER, 1],
  ]) as [Uint8Array, Uint8Array];
  const [far] = build([[COUNTER, 1]]) as [Uint8Array];
  const through = (callee: Uint8Array, data: Uint8Array) => concatBytes([word(callee), data]);
  chain.addBlock([
    { from: a, to: hasher, data: word(4) },
    { from: b, to: counter, data: word(1) },
    { from: a, to: caller, data: through(far, word(9)), value: 2n }, // writes and a log on the other partition
    { from: b, to: caller, data: through(far, word(1)) },
    { from: a, to: carrier, data: through(counter, word(2)) }, // code of the other partition on own slots
    { from: b, to: caller, data: through(far, new Uint8Array(0)) }, // reverts there, and here
    { from: b, to: caller, data: through(carrier, through(counter, word(3))) }, // there and back
  ]);
  chain.addBlock([]);
  chain.addBlock([
    {
      from: a,
      calls: [
        { to: counter, data: word(5) },
        { to: counter }, // reverts
        { to: take(left, 1).address, value: 5n },
        { to: caller, data: through(far, word(2)) }, // over both
        { data: COUNTER },
        { to: take(left, 3).address, value: 11n * 10n ** 18n }, // void
      ],
    },
    { from: b, calls: [{ to: counter, data: word(1) }] },
    { from: b, to: counter, data: word(2) },
  ]);
});

const run = (source: TestChain | Planted) => verify(source, { from: 1, snapshot: false, differencesMax: 5 });

/** The chain with one block told differently. */
class Planted {
  readonly #number: number;
  readonly #change: (block: PublishedBlock) => PublishedBlock;
  constructor(number: number, change: (block: PublishedBlock) => PublishedBlock) {
    this.#number = number;
    this.#change = change;
  }
  genesis = () => chain.genesis();
  rangeMap = () => chain.rangeMap();
  latest = () => chain.latest();
  snapshot = (atMost: number) => chain.snapshot(atMost);
  async block(number: number) {
    const block = await chain.block(number);
    return block !== undefined && number === this.#number ? this.#change(structuredClone(block)) : block;
  }
}

test("a chain of every kind of receipt replays without a difference", async () => {
  const report = await run(chain);
  expect(report.differences.map(describeDifference)).toEqual([]);
  // Of the thirteen below the others only pass through code or look at a balance elsewhere: what they touch is on one partition.
  expect(report).toMatchObject({ start: "genesis", transactions: 41, blocks: 10, crossed: 4 });
  expect(report.batches).toEqual({ proved: 2, unprovedCalls: 0 });
  const reasons = chain.blocks.flatMap(({ results }) => [...offsets(results)].map((at) => results[at + RESULT.reason]));
  expect(chain.crossed).toBe(13);
  expect(new Set(reasons)).toEqual(new Set([0, 1, 4]));
});

function* offsets(results: Uint8Array): Generator<number> {
  for (let at = 0; at < results.length; at += resultBytes(results, at)) yield at;
}

/** Changes one byte of the given result record. */
const inResult = (index: number, field: number, value: number) => (block: PublishedBlock) => {
  block.results[([...offsets(block.results)][index] ?? 0) + field] = value;
  return block;
};

/** The same of a transaction record. */
const inTransaction = (index: number, field: number, value: number) => (block: PublishedBlock) => {
  block.transactions[(txOffsets(block.transactions)[index] ?? 0) + field] = value;
  return block;
};

test.each<[what: string, block: number, plant: (block: PublishedBlock) => PublishedBlock, found: RegExp]>([
  [
    "a failed transaction called a success",
    3,
    inResult(2, RESULT.status, 1),
    /^block 3, transaction 2 \(0x\w{64}\), status: published 1, replayed 0$/,
  ],
  ["gas used", 3, inResult(0, RESULT.gasUsed, 1), /^block 3, transaction 0 .* gasUsed: published \d+, replayed \d+$/],
  ["a byte of a log", 3, inResult(0, RESULT.output + 25 + 31, 9), /^block 3, transaction 0 .* log 0: /],
  ["a created address", 1, inResult(0, RESULT.address, 9), /^block 1, transaction 0 .* created address: /],
  ["a success called void", 3, inResult(0, RESULT.reason, 4), /^block 3, transaction 0 .* covers the value 0$/],
  [
    "a success called exceeded",
    3,
    inResult(0, RESULT.reason, 5),
    /^block 3, transaction 0 .* the gas limit \d+ is below 1000000$/,
  ],
  ["a log of the other partition", 7, inResult(2, RESULT.output + 25 + 31, 8), /^block 7, transaction 2 .* log 0: /],
  ["a revert of the other partition called a success", 7, inResult(5, RESULT.status, 1), /^block 7, transaction 5 .* status: /],
  ["enough funds called too little", 3, inResult(3, RESULT.reason, 4), /^block 3, transaction 3 .* covers the value 5$/],
  [
    "a missing transaction",
    3,
    (block) => ({
      ...block,
      transactions: block.transactions.slice(txBytes(block.transactions, 0)),
      results: block.results.slice(resultBytes(block.results, 0)),
    }),
    /^block 3, transactionsRoot: published 0x\w{64}, replayed 0x\w{64}$/,
  ],
  [
    "another sender",
    3,
    (block) => {
      block.transactions[TX.sender] = 9;
      return block;
    },
    /^block 3, transaction 0 .* sender: published 0x09/,
  ],
  [
    "a call of another sender",
    9,
    inTransaction(2, TX.sender, 9),
    /^block 9, transaction 2 .* sender of the batch: published 0x09\w{38}, replayed 0x\w{40}$/,
  ],
  ["a call's number", 9, inTransaction(2, TX.hash + 31, 7), /^block 9, transaction 2 .* hash: published 0x\w{60}0007/],
  [
    "a value that was not signed",
    9,
    (block) => {
      // The value of call 2, the only 5 behind its payee.
      const at = hexOf(block.transactions).indexOf(`94${hexOf(take(left, 1).address)}05`) / 2 + 21;
      block.transactions[at] = 6;
      return block;
    },
    /^block 9, transactionsRoot: /,
  ],
  [
    "a byte of the digest",
    5,
    (block) => {
      const digest = hexOf(block.header).indexOf(hexOf(digestOf(block))) / 2;
      block.header[digest] = (block.header[digest] ?? 0) ^ 1;
      return block;
    },
    /^block 5, state digest: published 0x/,
  ],
])("%s is found and named", async (_what, number, plant, found) => {
  const { differences } = await run(new Planted(number, plant));
  const [first] = differences;
  expect(first && describeDifference(first)).toMatch(found);
});

/** State root field of a header: after list header, parent hash, ommers hash and beneficiary. */
const digestOf = ({ header }: PublishedBlock): Uint8Array => header.slice(3 + 33 + 33 + 21 + 1, 3 + 33 + 33 + 21 + 33);

test.each<[what: string, from: number, to: number, code: string]>([
  ["ends before it starts", 5, 3, "NOTHING_TO_COMPARE"],
  ["ends behind the last block", 1, 1_000, "BLOCK_MISSING"],
])("a range that %s is refused, not passed", async (_what, from, to, code) => {
  await expect(verify(chain, { from, to, snapshot: false, differencesMax: 5 })).rejects.toMatchObject({ detail: { code } });
});

test("a replay from a snapshot has no difference either", async () => {
  const report = await verify(chain, { from: 4, snapshot: true, differencesMax: 5 });
  expect(report.differences.map(describeDifference)).toEqual([]);
  expect(report).toMatchObject({ start: "snapshot of block 3", transactions: 25, blocks: 6 });
});

test("a flipped byte of a snapshot is found and named", async () => {
  const source = new Planted(-1, (block) => block);
  source.snapshot = async (atMost) => {
    const [first, ...others] = await chain.snapshot(atMost);
    assert(first, "a snapshot has parts");
    const chunk = async () => {
      const bytes = (await first.chunk(0)).slice();
      bytes[40] = (bytes[40] ?? 0) ^ 1; // in the first account's balance
      return bytes;
    };
    return [{ ...first, chunk }, ...others];
  };
  const { differences } = await verify(source, { from: 4, snapshot: true, differencesMax: 5 });
  const [bytes, digest] = differences.map((difference) => describeDifference(difference));
  expect(bytes).toMatch(/^block 3, snapshot of partition 0, chunk snapshot\/0\/3\/0: published \w{64}, replayed \w{64}$/);
  expect(digest).toMatch(/^block 3, state digest: /);
});

test("jump targets are kept in this version of EthereumJS", async () => {
  expect(await keepJumpTargets()).toBe(true);
});
