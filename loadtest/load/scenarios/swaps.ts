/**
 * Uniswap V2 swaps (factory, pairs and Router02 from their npm packages, unmodified) on pinned pools: one knows which cross.
 *
 * U1. A local pool stands with its two tokens and the router its users call on one partition. The pair and the tokens of a
 *     crossing pool stand on three, and its users call a router that may stand anywhere.
 * U2. A sender uses one pool: its batch is local as a whole or crosses as a whole.
 * U3. What comes out of a swap depends on those before it: the ledger replays each pool in the order of the chain, to the wei.
 */
import { assert, bytesOfHex, concatBytes } from "@meridian/core";
import {
  type Exchange,
  type Place,
  type Signed,
  type TestAccount,
  approveData,
  artifact,
  compile,
  exchangeOf,
  loadAccounts,
  poolOf,
} from "@meridian/launcher";
import { type Hex, encodeAbiParameters, encodeFunctionData } from "viem";
import { drawBelow, seedNumber } from "../draw.ts";
import { type Setup, DEPLOY_GAS_LIMIT } from "../setup.ts";
import type { BalanceReader, Call, Ledger, Scenario, ScenarioOptions } from "./scenario.ts";

interface Pool {
  isCrossing: boolean;
  router: Place;
  pair: Place;
  /** The pair's token0 and token1. */
  tokens: readonly [Place, Place];
  users: TestAccount[];
}

/** Factory, WETH9 and the shared router; a router for each partition and two tokens for each pool follow. */
const FIRST = 3;
const EACH = 10n ** 24n;
const LIQUIDITY = EACH / 2n;
const AMOUNT_MIN = 1_000;
const AMOUNTS = 1_000;
const SWAP_GAS_LIMIT = 200_000;
const POOL_GAS_LIMIT = 4_000_000;
const APPROVE_GAS_LIMIT = 80_000;
const MINTED_MAX = 500;
const FOR_EVER = 2n ** 64n;
const APPROVALS = 2;
/** Calldata of swapExactTokensForTokens(amountIn, 0, [in, out], to, deadline): selector and 8 words. */
const SWAP_BYTES = 4 + 8 * 32;

/** @param crossingShare part of the pools, and of the senders, that cross; 0 to 1 */
export function openSwaps(options: ScenarioOptions, crossingShare: number): Scenario {
  const { seed, partitions } = options;
  const [deployer] = loadAccounts(1, `${seed}/swaps/deployer`);
  assert(deployer !== undefined, "there is a deployer");
  const senders = loadAccounts(options.senders, `${seed}/swaps`);
  const placed = placePools(deployer, options, crossingShare);
  const { pools } = placed;
  const poolOfSender = (sender: number): number => sender % pools.length;
  for (const [index, sender] of senders.entries()) pools[poolOfSender(index)]?.users.push(sender);
  const number = seedNumber(`${seed}/swaps`);
  const amountOf = (call: number): number => AMOUNT_MIN + drawBelow(AMOUNTS, number, call, 1);
  const directionOf = (call: number): 0 | 1 => (drawBelow(2, number, call, 2) === 0 ? 0 : 1);
  const data = swapData();
  const view = new DataView(data.buffer);
  return {
    senders,
    deployers: [deployer],
    pins: pinsOf(placed, partitions),
    dataBytesMax: SWAP_BYTES,
    firstNonce: () => APPROVALS,
    deploy: (setup) => deployPools(setup, deployer, placed),
    call(call, sender): Call {
      const pool = pools[poolOfSender(sender)]!;
      const direction = directionOf(call);
      view.setUint32(4 + 32 - 4, amountOf(call));
      data.set(senders[sender]!.addressBytes, 4 + 3 * 32 + 12);
      data.set(pool.tokens[direction].addressBytes, 4 + 6 * 32 + 12);
      data.set(pool.tokens[direction === 0 ? 1 : 0].addressBytes, 4 + 7 * 32 + 12);
      return { to: pool.router.addressBytes, data, gasLimit: SWAP_GAS_LIMIT };
    },
    ledger: () => swapLedger(pools, senders, { poolOfSender, amountOf, directionOf }),
  };
}

function swapData(): Uint8Array {
  const data = new Uint8Array(SWAP_BYTES);
  data.set([0x38, 0xed, 0x17, 0x39]);
  const view = new DataView(data.buffer);
  view.setUint32(4 + 2 * 32 + 28, 5 * 32); // where the path stands
  view.setUint32(4 + 4 * 32 + 24, 1); // deadline: 2^32
  view.setUint32(4 + 5 * 32 + 28, 2); // steps of the path
  return data;
}

interface PlacedPools {
  exchange: Exchange;
  routers: Place[]; // by partition
  pools: Pool[];
}

function placePools(deployer: TestAccount, { contracts, partitions }: ScenarioOptions, crossingShare: number): PlacedPools {
  const exchange = exchangeOf(deployer, 0, partitions + 2 * contracts);
  const routers = exchange.tokens.slice(0, partitions);
  const pools = Array.from({ length: contracts }, (_, index): Pool => {
    const [one, other] = exchange.tokens.slice(partitions + 2 * index, partitions + 2 * index + 2);
    const router = routers[index % partitions];
    assert(one !== undefined && other !== undefined && router !== undefined, "a pool has two tokens and a router");
    // Evenly among the others: 0 1 0 1 rather than 0 0 1 1.
    const isCrossing = Math.floor((index + 1) * crossingShare) > Math.floor(index * crossingShare);
    const tokens: [Place, Place] = one.address < other.address ? [one, other] : [other, one];
    const pair = poolOf(exchange, one, other);
    return { isCrossing, router: isCrossing ? exchange.router : router, pair, tokens, users: [] };
  });
  return { exchange, routers, pools };
}

function pinsOf({ routers, pools }: PlacedPools, partitions: number): Record<string, number> {
  const pins: Record<string, number> = {};
  for (const [partition, router] of routers.entries()) pins[router.address] = partition;
  for (const [index, { isCrossing, tokens, pair }] of pools.entries()) {
    const places = [pair, ...tokens];
    for (const [step, { address }] of places.entries()) pins[address] = (index + (isCrossing ? step : 0)) % partitions;
  }
  return pins;
}

async function deployPools(setup: Setup, deployer: TestAccount, { exchange, routers, pools }: PlacedPools): Promise<void> {
  setup.say(`deploying ${pools.length} pools, ${pools.filter(({ isCrossing }) => isCrossing).length} of them crossing`);
  const token = compile("DemoToken.sol")["DemoToken"];
  assert(token !== undefined, "DemoToken.sol holds DemoToken");
  const { factory, weth } = exchange;
  const addresses = [{ type: "address" }, { type: "address" }] as const;
  const router = withArguments(
    artifact("UniswapV2Router02").initCode,
    encodeAbiParameters(addresses, [factory.address, weth.address]),
  );
  const types = [{ type: "string" }, { type: "string" }, { type: "address[]" }, { type: "uint256" }] as const;
  const tokenCode = withArguments(token.initCode, encodeAbiParameters(types, ["Pool", "POOL", [deployer.address], EACH]));
  const factoryCode = artifact("UniswapV2Factory").initCode;
  const codes = [
    withArguments(factoryCode, encodeAbiParameters([{ type: "address" }], [deployer.address])),
    artifact("WETH9").initCode,
    router,
    ...routers.map(() => router),
    ...pools.flatMap(() => [tokenCode, tokenCode]),
  ];
  assert(codes.length === FIRST + routers.length + 2 * pools.length, "contracts stand where they were placed");
  let nonce = 0;
  const create = (code: Uint8Array): Signed => setup.create(deployer, nonce++, code);
  await setup.confirm(codes.map(create));
  const send = (to: Place, data: Uint8Array, gasLimit: number): Signed =>
    setup.sign(deployer, { nonce: nonce++, to: to.addressBytes, data, gasLimit });
  const mint = (users: readonly TestAccount[]): Uint8Array =>
    bytesOfHex(encodeFunctionData({ abi: token.abi, functionName: "mint", args: [users.map(({ address }) => address), EACH] }));
  for (const pool of pools) {
    const calls = pool.tokens.flatMap((place) => [
      send(place, approveData(pool.router.addressBytes), APPROVE_GAS_LIMIT),
      ...partsOf(pool.users).map((users) => send(place, mint(users), DEPLOY_GAS_LIMIT)),
    ]);
    await setup.confirm([...calls, send(pool.router, liquidityData(pool, deployer.address), POOL_GAS_LIMIT)]);
  }
  await approveAll(setup, pools);
}

const withArguments = (code: Uint8Array, encoded: Hex): Uint8Array => concatBytes([code, bytesOfHex(encoded)]);

const partsOf = (users: readonly TestAccount[]): TestAccount[][] =>
  Array.from({ length: Math.ceil(users.length / MINTED_MAX) }, (_, part) =>
    users.slice(part * MINTED_MAX, (part + 1) * MINTED_MAX),
  );

function liquidityData({ tokens: [one, other] }: Pool, to: Hex): Uint8Array {
  const args = [one.address, other.address, LIQUIDITY, LIQUIDITY, 0n, 0n, to, FOR_EVER];
  return bytesOfHex(encodeFunctionData({ abi: artifact("UniswapV2Router02").abi, functionName: "addLiquidity", args }));
}

/** The users let their router move their tokens. */
async function approveAll(setup: Setup, pools: readonly Pool[]): Promise<void> {
  setup.say("approving");
  const signed = pools.flatMap(({ users, tokens, router }) =>
    users.flatMap((user) =>
      tokens.map(({ addressBytes: to }, nonce) =>
        setup.sign(user, { nonce, to, data: approveData(router.addressBytes), gasLimit: APPROVE_GAS_LIMIT }),
      ),
    ),
  );
  await setup.confirm(signed);
}

interface Draws {
  poolOfSender: (sender: number) => number;
  amountOf: (call: number) => number;
  directionOf: (call: number) => 0 | 1;
}

function swapLedger(
  pools: readonly Pool[],
  senders: readonly TestAccount[],
  { poolOfSender, amountOf, directionOf }: Draws,
): Ledger {
  const reserves = pools.map((): [bigint, bigint] => [LIQUIDITY, LIQUIDITY]);
  const balances = senders.map((): [bigint, bigint] => [EACH, EACH]);
  return {
    apply(call, sender) {
      const reserve = reserves[poolOfSender(sender)]!;
      const balance = balances[sender]!;
      const from = directionOf(call);
      const to = from === 0 ? 1 : 0;
      const amount = BigInt(amountOf(call));
      const bought = amountOut(amount, reserve[from], reserve[to]);
      reserve[from] += amount;
      reserve[to] -= bought;
      balance[from] -= amount;
      balance[to] += bought;
    },
    check: async (reader) => {
      const parts = await Promise.all(pools.map((pool, index) => checkPool(reader, pool, index)));
      return { checked: parts.reduce((sum, part) => sum + part.checked, 0), wrong: parts.flatMap(({ wrong }) => wrong) };
    },
  };

  async function checkPool(reader: BalanceReader, { tokens, pair }: Pool, pool: number) {
    const users = [...senders.keys()].filter((sender) => poolOfSender(sender) === pool);
    const holders = [pair.address, ...users.map((sender) => senders[sender]!.address)];
    const wrong: string[] = [];
    for (const side of [0, 1] as const) {
      const token = tokens[side].address;
      const wanted = [reserves[pool]![side], ...users.map((sender) => balances[sender]![side])];
      for (const [index, balance] of (await reader.balances(token, holders)).entries()) {
        if (balance === wanted[index]) continue;
        wrong.push(`${token} says ${balance} for ${holders[index]}, the swaps in their order make ${wanted[index]}`);
      }
    }
    return { checked: 2 * holders.length, wrong };
  }
}

/** getAmountOut of Uniswap V2's library: the constant product less 0.3 %. */
export function amountOut(amountIn: bigint, reserveIn: bigint, reserveOut: bigint): bigint {
  const withFee = amountIn * 997n;
  return (withFee * reserveOut) / (reserveIn * 1_000n + withFee);
}
