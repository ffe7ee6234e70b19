/**
 * Uniswap pools whose contracts are pinned so that one knows which swaps cross: on each partition one pool that stands there with
 * its tokens and a router of its own (local), and one with its tokens and its pair on three different partitions (crossing).
 */
import { bytesOfHex, concatBytes } from "@meridian/core";
import {
  type CompiledContract,
  type Exchange,
  type Place,
  type RouterCall,
  type RpcClient,
  type Signed,
  type TestAccount,
  artifact,
  exchangeOf,
  nextNonces,
  poolOf,
  random,
  routerCalls,
  sendAndConfirm,
  sign,
} from "@meridian/launcher";
import { type Hex, encodeAbiParameters, encodeFunctionData } from "viem";

export interface SwapPool {
  exchange: Exchange; // with the router that its users call
  one: Place;
  other: Place;
}

export interface PinnedPools {
  local: SwapPool[]; // by partition
  crossing: SwapPool[];
  /** For the genesis: 0x address to partition. */
  pins: Record<string, number>;
}

const DEPLOY_GAS_LIMIT = 16_777_216;
const POOL_GAS_LIMIT = 4_000_000;
const APPROVE_GAS_LIMIT = 80_000;
const FOR_EVER = 2n ** 64n;
const ALL = 2n ** 256n - 1n;
const EACH = 10n ** 24n;
/** Factory, WETH9 and the shared router come first. */
const FIRST = 3;
/** A router and two tokens of the local pool, two tokens of the crossing one. */
const PER_PARTITION = 5;

/** Where everything will stand if `deployer` deploys it with its first nonces. */
export function pinnedPools(deployer: TestAccount, partitions: number): PinnedPools {
  const exchange = exchangeOf(deployer, 0, partitions * PER_PARTITION);
  const pins: Record<string, number> = {};
  const pin = (at: Place, partition: number): Place => {
    pins[at.address] = partition % partitions;
    return at;
  };
  const pools: PinnedPools = { local: [], crossing: [], pins };
  for (let partition = 0; partition < partitions; partition++) {
    const [router, a, b, c, d] = exchange.tokens.slice(partition * PER_PARTITION, (partition + 1) * PER_PARTITION);
    if (router === undefined || a === undefined || b === undefined || c === undefined || d === undefined) continue;
    for (const at of [router, a, b, poolOf(exchange, a, b)]) pin(at, partition);
    pin(c, partition);
    pin(d, partition + 1);
    pin(poolOf(exchange, c, d), partition + 2);
    pools.local.push({ exchange: { ...exchange, router }, one: a, other: b });
    pools.crossing.push({ exchange, one: c, other: d });
  }
  return pools;
}

export interface PoolUsers {
  rpc: RpcClient;
  chainId: number;
  deployer: TestAccount; // has sent nothing yet
  token: CompiledContract; // DemoToken
  pools: PinnedPools;
  users: readonly TestAccount[];
}

/** Users of one partition's pools, local and crossing; everybody may use the first local and the first crossing pool too. */
const usersOf = ({ users, pools }: PoolUsers, partition: number): TestAccount[] =>
  users.filter((_, index) => partition === 0 || index % pools.local.length === partition);

/** Deploys, fills the pools, and lets the routers move their users' tokens. @throws IoError DEPLOY */
export async function deployPools(setting: PoolUsers): Promise<void> {
  const { rpc, chainId, deployer, pools } = setting;
  const codes = deployments(setting);
  const deployed = codes.map((data, nonce) =>
    sign(chainId, deployer, { nonce, to: null, data, valueWei: 0n, gasLimit: DEPLOY_GAS_LIMIT }),
  );
  await sendAndConfirm(rpc, deployed);
  const all = [...pools.local, ...pools.crossing];
  const calls = all.flatMap((pool) => [...approvals(setting, pool), fill(pool, deployer)]);
  const filled = calls.map(({ to, data, valueWei, gasLimit }, index) =>
    sign(chainId, deployer, { nonce: codes.length + index, to, data, valueWei, gasLimit }),
  );
  await sendAndConfirm(rpc, filled);
  const nonces = await nextNonces(rpc, setting.users);
  const allowed = setting.users.flatMap((user, index) => {
    const own = index % pools.local.length;
    const used = [...new Set([0, own])].flatMap((partition) => [pools.local[partition], pools.crossing[partition]]);
    const wanted = used.flatMap((pool) => (pool === undefined ? [] : approvals(setting, pool)));
    return wanted.map(({ to, data, valueWei, gasLimit }, number) =>
      sign(chainId, user, { nonce: (nonces[index] ?? 0) + number, to, data, valueWei, gasLimit }),
    );
  });
  for (let first = 0; first < allowed.length; first += 500) await sendAndConfirm(rpc, allowed.slice(first, first + 500));
}

function deployments(setting: PoolUsers): Uint8Array[] {
  const { deployer, pools, token } = setting;
  const { factory, weth } = pools.local[0]?.exchange ?? exchangeOf(deployer, 0, 0);
  const router = withArguments(
    artifact("UniswapV2Router02"),
    encodeAbiParameters([{ type: "address" }, { type: "address" }], [factory.address, weth.address]),
  );
  const tokenOf = (partition: number, name: string): Uint8Array => {
    const holders = [deployer, ...usersOf(setting, partition)].map(({ address }) => address);
    const types = [{ type: "string" }, { type: "string" }, { type: "address[]" }, { type: "uint256" }] as const;
    return withArguments(token, encodeAbiParameters(types, [name, name, holders, EACH]));
  };
  const first = [
    withArguments(artifact("UniswapV2Factory"), encodeAbiParameters([{ type: "address" }], [deployer.address])),
    artifact("WETH9").initCode,
    router,
  ];
  return [
    ...first.slice(0, FIRST),
    ...pools.local.flatMap((_, partition) => [
      router,
      ...["A", "B", "C", "D"].map((name) => tokenOf(partition, `${name}${partition}`)),
    ]),
  ];
}

const withArguments = ({ initCode }: CompiledContract, encoded: Hex): Uint8Array => concatBytes([initCode, bytesOfHex(encoded)]);

function approvals({ token }: PoolUsers, { exchange, one, other }: SwapPool): RouterCall[] {
  const data = bytesOfHex(encodeFunctionData({ abi: token.abi, functionName: "approve", args: [exchange.router.address, ALL] }));
  return [one, other].map(({ addressBytes: to }) => ({ to, data, valueWei: 0n, gasLimit: APPROVE_GAS_LIMIT }));
}

function fill({ exchange, one, other }: SwapPool, { address }: TestAccount): RouterCall {
  const amount = EACH / 2n;
  const args = [one.address, other.address, amount, amount, 0n, 0n, address, FOR_EVER];
  const { abi } = artifact("UniswapV2Router02");
  const data = bytesOfHex(encodeFunctionData({ abi, functionName: "addLiquidity", args }));
  return { to: exchange.router.addressBytes, data, valueWei: 0n, gasLimit: POOL_GAS_LIMIT };
}

export interface SwapPlan {
  chainId: number;
  pools: PinnedPools;
  users: readonly TestAccount[];
  nonces: number[]; // moved on by the plan
  count: number;
  seed: number;
  /** Share of swaps that cross, 0 to 1. */
  crossing: number;
  /** All on the first pool of their kind. */
  isHot: boolean;
}

/** Swaps in rounds: every user sends one before any sends its next. */
export function planSwaps({ chainId, pools, users, nonces, count, seed, crossing, isHot }: SwapPlan): Signed[] {
  const draw = random(seed);
  return Array.from({ length: count }, (_, number) => {
    const index = number % users.length;
    const kind = draw() < crossing ? pools.crossing : pools.local;
    const { exchange, one, other } = kind[isHot ? 0 : index % kind.length] as SwapPool;
    const sender = users[index] as TestAccount;
    const path = draw() < 0.5 ? [one, other] : [other, one];
    const { to, data, gasLimit } = routerCalls(exchange).swap(path, BigInt(1_000 + Math.floor(draw() * 1_000)), sender.address);
    const nonce = nonces[index] ?? 0;
    nonces[index] = nonce + 1;
    return sign(chainId, sender, { nonce, to, data, valueWei: 0n, gasLimit });
  });
}
