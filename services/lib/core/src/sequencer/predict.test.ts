import { describe, expect, test } from "vitest";
import { bytesOfHex, concatBytes, hexOf, writeU16, writeU32 } from "../bytes.ts";
import { unionModes } from "../modes/union-modes.ts";
import { TOUCH, WHY } from "../touches.ts";
import { DECLARED_BYTES, MODE, TX, TX_CREATES, TX_HAS_VALUE, TX_HEADER_BYTES } from "../transactions.ts";
import { learn, openPredictor, predict, predictorLimits, withPrediction } from "./predict.ts";
import { accountOf } from "./testing/records.ts";

/** Hex addresses that are far apart. */
const address = (number: number): string => hexOf(accountOf(number));
const SENDERS = Array.from({ length: 50 }, (_, number) => address(1_000 + number));
const TOKENS = Array.from({ length: 6 }, (_, number) => address(2_000 + number));
const [ROUTER, FACTORY, WETH, POOL, TOKEN] = [1, 2, 3, 4, 5].map(address) as [string, string, string, string, string];
const numberOf = (hex: string): number => Number.parseInt(hex.slice(0, 8), 16);
const pairOf = (a: string, b: string): string => hexOf(accountOf((numberOf(a) ^ numberOf(b)) >>> 0));

const word = (value: string | number): string => (typeof value === "number" ? value.toString(16) : value).padStart(64, "0");
/** Calldata of a call whose last argument may be an array. */
const calldata = (selector: string, args: (string | number)[], array?: string[]): string =>
  selector + args.map(word).join("") + (array === undefined ? "" : [word(array.length), ...array.map(word)].join(""));

interface TestCall {
  sender: string;
  to: string;
  input: string;
  value?: boolean;
  creates?: boolean;
  attempt?: number;
  type?: number;
  own?: [string, number][];
}

function rlp(item: Uint8Array | Uint8Array[]): Uint8Array {
  const payload = item instanceof Uint8Array ? item : concatBytes(item);
  const base = item instanceof Uint8Array ? 0x80 : 0xc0;
  if (base === 0x80 && payload.length === 1 && payload[0]! < 0x80) return payload;
  if (payload.length <= 55) return concatBytes([Uint8Array.of(base + payload.length), payload]);
  return concatBytes([Uint8Array.of(base + 57, payload.length >> 8, payload.length & 255), payload]);
}

function recordOf({ sender, to, input, value = false, creates = false, attempt = 0, type = 2, own = [] }: TestCall): Uint8Array {
  const before = ["7a69", "05", "01", "", "0186a0"].slice(type === 2 ? 0 : 1).slice(type === 0 ? 1 : 0);
  const fields = [...before, creates ? "" : to, value ? "0de0b6b3a7640000" : "", input].map((text) => rlp(bytesOfHex(text)));
  const signed = rlp([...fields, rlp([]), rlp(new Uint8Array(32).fill(9))]);
  const raw = type === 0 ? signed : concatBytes([Uint8Array.of(type), signed]);
  const set = packed([...own, [to, MODE.write], ...(value ? [[sender, MODE.write] as [string, number]] : [])]);
  const record = new Uint8Array(TX_HEADER_BYTES + set.length + raw.length);
  writeU32(record, TX.bytes, record.length);
  record[TX.type] = type;
  record[TX.flags] = (creates ? TX_CREATES : 0) | (value ? TX_HAS_VALUE : 0);
  writeU16(record, TX.declared, set.length / DECLARED_BYTES);
  writeU32(record, TX.rawOffset, TX_HEADER_BYTES + set.length);
  record.set(bytesOfHex(sender), TX.sender);
  record.set(bytesOfHex(to), TX.to);
  record[TX.attempt] = attempt;
  record.set(set, TX.declaredSet);
  record.set(raw, TX_HEADER_BYTES + set.length);
  return record;
}

const packed = (accounts: [string, number][]): Uint8Array =>
  accounts.map(([hex, mode]) => concatBytes([Uint8Array.of(mode), bytesOfHex(hex)])).reduce(unionModes, new Uint8Array(0));

function touchOf(accounts: Uint8Array, why: number): Uint8Array {
  const touch = new Uint8Array(TOUCH.accounts + accounts.length);
  writeU32(touch, TOUCH.bytes, touch.length);
  touch[TOUCH.why] = why;
  writeU16(touch, TOUCH.count, accounts.length / DECLARED_BYTES);
  touch.set(accounts, TOUCH.accounts);
  return touch;
}

const NAMES: Record<number, string> = { [MODE.read]: "read", [MODE.write]: "write", [MODE.code]: "code" };
const said = (set: Uint8Array | null): Record<string, string> => {
  const accounts: [string, string][] = [];
  for (let at = 0; set !== null && at < set.length; at += DECLARED_BYTES) {
    accounts.push([hexOf(set, at + 1, at + DECLARED_BYTES), NAMES[set[at]!]!]);
  }
  return Object.fromEntries(accounts);
};

/** A predictor with the scheduler's use of it: predict, miss, sequence again with what was touched, learn. */
function openWorld(predictor = openPredictor()) {
  const world = { calls: 0, misses: 0, idle: 0 };
  function run(call: TestCall, touched: [string, number][]): void {
    const record = recordOf(call);
    const own = record.subarray(TX.declaredSet, TX.declaredSet + DECLARED_BYTES * (record[TX.declared] ?? 0));
    const predicted = predict(predictor, record, 0);
    const declared = predicted === null ? own : withPrediction(record, 0, own, predicted);
    const touches = packed(touched);
    world.calls++;
    world.idle += (unionModes(declared, touches).length - touches.length) / DECLARED_BYTES;
    const strength = (mode: number) => [1, 2, 0][mode]!;
    const sets = [said(declared), said(touches)] as const;
    const mode = (name: string | undefined) => Object.entries(NAMES).find(([, text]) => text === name)?.[0];
    const fits = Object.entries(sets[1]).every(
      ([hex, name]) => sets[0][hex] !== undefined && strength(Number(mode(sets[0][hex]))) >= strength(Number(mode(name))),
    );
    if (fits) return learn(predictor, record, touchOf(touches, WHY.complete));
    world.misses++;
    learn(predictor, record, touchOf(touches, WHY.outside));
    learn(predictor, recordOf({ ...call, attempt: 1 }), touchOf(touches, WHY.complete));
  }
  return { world, predictor, run, asks: (call: TestCall) => said(predict(predictor, recordOf(call), 0)) };
}

/** Uniswap's Router02: swapExactTokensForTokens(amountIn, amountOutMin, path, to, deadline). */
function swap(sender: string, path: string[], to = sender): [TestCall, [string, number][]] {
  const input = calldata("38ed1739", [10 ** 6, 1, 160, to, 1_900_000_000], path);
  const pairs = path.slice(1).map((token, hop): [string, number] => [pairOf(path[hop]!, token), MODE.write]);
  const tokens = path.map((token): [string, number] => [token, MODE.write]);
  return [{ sender, to: ROUTER, input }, [[ROUTER, MODE.code], ...pairs, ...tokens]];
}

test("plain ERC-20 transfers, value transfers and creations teach nothing", () => {
  const { run, asks, predictor } = openWorld();
  const transfer: TestCall = { sender: SENDERS[0]!, to: TOKEN, input: calldata("a9059cbb", [SENDERS[1]!, 5]) };
  run(transfer, [[TOKEN, MODE.write]]);
  const payment: TestCall = { sender: SENDERS[0]!, to: SENDERS[1]!, input: "", value: true };
  run(payment, [
    [SENDERS[0]!, MODE.write],
    [SENDERS[1]!, MODE.write],
  ]);
  const creation: TestCall = { sender: SENDERS[0]!, to: POOL, input: "6080604052", creates: true };
  run(creation, [
    [POOL, MODE.write],
    [TOKEN, MODE.write],
  ]);
  expect([asks(transfer), asks(payment), asks(creation), predictor.methods.size]).toEqual([{}, {}, {}, 0]);
});

test.each([0, 1, 2])("places: sender, argument, constant, callee; transaction type %i", (type) => {
  const { run, asks } = openWorld();
  const call = (sender: string, other: string): TestCall => ({
    ...{ sender, type, to: POOL },
    input: calldata("11223344", [7, other]),
  });
  for (let round = 0; round < 3; round++) {
    const [sender, other] = [SENDERS[round]!, SENDERS[10 + round]!];
    run(call(sender, other), [
      [POOL, MODE.write],
      [sender, MODE.read],
      [other, MODE.write],
      [TOKEN, MODE.code],
    ]);
  }
  const want = { [POOL]: "write", [SENDERS[5]!]: "read", [SENDERS[15]!]: "write", [TOKEN]: "code" };
  expect(asks(call(SENDERS[5]!, SENDERS[15]!))).toEqual(want);
});

describe("Uniswap", () => {
  test("swaps: once a path is known nobody who takes it misses, and the router is only code", () => {
    const { run, asks, world } = openWorld();
    const paths = [0, 1, 2, 3].flatMap((a) => [4, 5].map((b) => [TOKENS[a]!, TOKENS[b]!]));
    for (let round = 0; round < 50; round++) {
      for (const path of paths) run(...swap(SENDERS[round]!, path));
    }
    expect(world.misses).toBeLessThanOrEqual(paths.length);
    expect(world.idle / world.calls).toBeLessThan(0.05);
    const [call, touched] = swap(address(1), [TOKENS[0]!, TOKENS[5]!]);
    expect(asks(call)).toEqual(said(packed(touched)));
  });

  test("two hops, and a recipient who is not the sender", () => {
    const { run, asks } = openWorld();
    const path = [TOKENS[0]!, WETH, TOKENS[1]!];
    run(...swap(SENDERS[0]!, path));
    const [call, touched] = swap(SENDERS[1]!, path);
    expect(asks(call)).toEqual(said(packed(touched)));
    const [other, touchedThere] = swap(SENDERS[1]!, path, SENDERS[2]);
    run(other, touchedThere);
    expect(asks(other)).toEqual(said(packed(touchedThere)));
  });

  test("a path that was never seen is predicted as far as places go", () => {
    const { run, asks } = openWorld();
    for (let round = 0; round < 4; round++) run(...swap(SENDERS[round]!, [TOKENS[round]!, TOKENS[round + 1]!]));
    const known = asks(swap(SENDERS[9]!, [TOKENS[5]!, TOKENS[0]!])[0]);
    expect(known).toMatchObject({ [ROUTER]: "code", [TOKENS[5]!]: "write", [TOKENS[0]!]: "write" });
    expect(Object.keys(known).length).toBeLessThanOrEqual(4);
  });

  test("adding liquidity: the first one makes the pair, and the second one knows it", () => {
    const { run, asks, world } = openWorld();
    const add = (sender: string, [a, b]: [string, string]): [TestCall, [string, number][]] => [
      { sender, to: ROUTER, input: calldata("e8e33700", [a, b, 10 ** 9, 10 ** 9, 1, 1, sender, 1_900_000_000]) },
      [
        [ROUTER, MODE.code],
        [FACTORY, MODE.read],
        [pairOf(a, b), MODE.write],
        [a, MODE.write],
        [b, MODE.write],
      ],
    ];
    const pair: [string, string] = [TOKENS[0]!, TOKENS[1]!];
    const [first, touched] = add(SENDERS[0]!, pair);
    run(first, [...touched, [FACTORY, MODE.write]]);
    for (let round = 1; round < 30; round++) run(...add(SENDERS[round]!, pair));
    expect(world.misses).toBe(1);
    // The factory was written once and only read since then.
    expect(asks(add(SENDERS[40]!, pair)[0])).toEqual(said(packed(touched)));
  });

  test("swaps that pay: the sender is among the accounts and the router is locked", () => {
    const input = calldata("7ff36ab5", [1, 128, SENDERS[0]!, 1_900_000_000], [WETH, TOKENS[0]!]);
    const call: TestCall = { sender: SENDERS[0]!, to: ROUTER, input, value: true };
    const record = recordOf(call);
    const own = record.subarray(TX.declaredSet, TX.declaredSet + 2 * DECLARED_BYTES);
    const predicted = packed([
      [ROUTER, MODE.code],
      [WETH, MODE.write],
    ]);
    expect(said(withPrediction(record, 0, own, predicted))[ROUTER]).toBe("write");
  });
});

test("a pool of two tokens without an address in its calldata is known from its second user on", () => {
  const { run, world, asks } = openWorld();
  const call = (sender: string): TestCall => ({ sender, to: POOL, input: calldata("022c0d9f", [5, 0]) });
  const touched: [string, number][] = [
    [POOL, MODE.write],
    [TOKENS[0]!, MODE.write],
    [TOKENS[1]!, MODE.write],
  ];
  for (const sender of SENDERS) run(call(sender), touched);
  expect(world.misses).toBe(1);
  expect(asks(call(address(9)))).toEqual(said(packed(touched)));
});

test("what an access list declares is not lost by a prediction", () => {
  const { run } = openWorld();
  const predictor = openPredictor();
  const call: TestCall = {
    ...{ sender: SENDERS[0]!, to: POOL, input: calldata("022c0d9f", [5]) },
    own: [[TOKENS[3]!, MODE.write]], // Wrong: it is never touched.
  };
  run(call, [
    [POOL, MODE.write],
    [TOKENS[0]!, MODE.write],
  ]);
  const record = recordOf(call);
  learn(predictor, record, touchOf(packed([[TOKENS[0]!, MODE.write]]), WHY.outside));
  const own = record.subarray(TX.declaredSet, TX.declaredSet + 2 * DECLARED_BYTES);
  const declared = withPrediction(record, 0, own, predict(predictor, record, 0)!);
  expect(said(declared)).toEqual({ [POOL]: "write", [TOKENS[0]!]: "write", [TOKENS[3]!]: "write" });
});

describe("what does not hold fades", () => {
  test("accounts that a factory creates are soon not predicted any more", () => {
    const { run, world, predictor, asks } = openWorld();
    const call: TestCall = { sender: SENDERS[0]!, to: FACTORY, input: calldata("efc81a8c", []) };
    for (let created = 0; created < 100; created++) {
      run(call, [
        [FACTORY, MODE.write],
        [address(5_000 + created), MODE.write],
      ]);
    }
    expect(world.misses).toBe(100); // Nobody can know the next address.
    expect(world.idle).toBeLessThan(10);
    expect(asks(call)).toEqual({ [FACTORY]: "write" });
    const [method] = predictor.methods.values();
    expect(method?.sources.length).toBeLessThan(12);
  });

  test("a constant goes when the contract does something else", () => {
    const { run, asks } = openWorld();
    const call: TestCall = { sender: SENDERS[0]!, to: POOL, input: calldata("022c0d9f", [5]) };
    const now = (token: string): [string, number][] => [
      [POOL, MODE.write],
      [token, MODE.write],
    ];
    for (let round = 0; round < 20; round++) run(call, now(TOKENS[0]!));
    for (let round = 0; round < 20; round++) run(call, now(TOKENS[1]!));
    expect(asks(call)).toEqual({ [POOL]: "write", [TOKENS[1]!]: "write" });
  });

  test("a miss shows nothing about what it did not touch", () => {
    const { asks, predictor } = openWorld();
    const call: TestCall = { sender: SENDERS[0]!, to: POOL, input: calldata("022c0d9f", [5]) };
    const touches = (hex: string, why: number) => touchOf(packed([[hex, MODE.write]]), why);
    learn(predictor, recordOf(call), touches(TOKENS[0]!, WHY.outside));
    for (let round = 0; round < 9; round++) learn(predictor, recordOf(call), touches(TOKENS[1]!, WHY.outside));
    learn(predictor, recordOf(call), touches(TOKENS[2]!, WHY.follows));
    expect(asks(call)).toEqual({ [TOKENS[0]!]: "write", [TOKENS[1]!]: "write" });
  });
});

describe("bounds", () => {
  test("methods and lists are bounded, and what is forgotten leaves no trace in the first look", () => {
    const { run, predictor } = openWorld(openPredictor({ methodsMax: 8, callsMax: 8, sourcesMax: 4 }));
    for (let contract = 0; contract < 300; contract++) {
      const call: TestCall = { sender: SENDERS[0]!, to: address(contract), input: calldata("022c0d9f", [TOKENS[0]!]) };
      const touched = Array.from({ length: 9 }, (_, number): [string, number] => [address(9_000 + number), MODE.write]);
      run(call, touched);
    }
    expect([predictor.methods.size, predictor.calls.size]).toEqual([8, 8]);
    expect(predictor.contracts.reduce((sum, count) => sum + count)).toBe(8);
    for (const { sources } of predictor.methods.values()) expect(sources.length).toBeLessThanOrEqual(4);
  });

  test("anything for a raw transaction is read without harm", () => {
    const predictor = openPredictor();
    const record = recordOf({ sender: SENDERS[0]!, to: POOL, input: calldata("022c0d9f", [5]) });
    const touches = touchOf(packed([[TOKENS[0]!, MODE.write]]), WHY.outside);
    learn(predictor, record, touches);
    for (let at = TX_HEADER_BYTES; at < record.length; at++) {
      for (const byte of [0, 0x7f, 0x80, 0xb7, 0xbf, 0xc0, 0xf7, 0xff]) {
        const wrong = record.slice();
        wrong[at] = byte;
        predict(predictor, wrong, 0);
        learn(predictor, wrong, touches);
        predict(predictor, wrong.fill(byte, at), 0);
      }
    }
    expect(predictor.methods.size).toBeLessThan(predictorLimits.methodsMax);
  });
});
