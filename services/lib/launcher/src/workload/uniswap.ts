/**
 * Uniswap V2 as published (factory, pairs, Router02 with WETH9) with OpenZeppelin tokens: where its contracts will stand, how
 * they are deployed, and the calldata of what users do with them.
 */
import { keccak_256 } from "@noble/hashes/sha3.js";
import { bytesOfHex, concatBytes, hexOf } from "@meridian/core";
import { type Abi, type Hex, encodeAbiParameters, encodeFunctionData } from "viem";
import type { TestAccount } from "../accounts.ts";
import { type ArtifactName, artifact } from "./artifacts.ts";
import type { CompiledContract } from "./compile.ts";
import type { RpcClient } from "./rpc.ts";
import { type Signed, sign } from "./sign.ts";
import { createdAddress, nextNonces, sendAndConfirm } from "./token.ts";

/** A contract's place, known before it is deployed. */
export interface Place {
  address: Hex;
  addressBytes: Uint8Array;
}

export interface Exchange {
  factory: Place;
  weth: Place;
  router: Place;
  tokens: Place[];
}

/** Of a router call; the largest (two hops with ETH, a new pool) takes about 2.6 million with a pool's creation, else 300,000. */
export const ROUTER_GAS_LIMIT = 500_000;
const CREATES_POOL_GAS_LIMIT = 4_000_000;
const DEPLOY_GAS_LIMIT = 16_777_216;
const APPROVE_GAS_LIMIT = 80_000;
const FOR_EVER = 2n ** 64n;
const ALL = 2n ** 256n - 1n;
/** Factory, WETH9 and router; the tokens follow. */
const FIRST_TOKEN = 3;

const place = (addressBytes: Uint8Array): Place => ({ address: `0x${hexOf(addressBytes)}`, addressBytes });

/** Where an exchange will stand if `deployer` deploys it from `nonce` on. */
export function exchangeOf(deployer: TestAccount, nonce: number, tokens: number): Exchange {
  const created = (number: number): Place => place(createdAddress(deployer, nonce + number));
  return {
    factory: created(0),
    weth: created(1),
    router: created(2),
    tokens: Array.from({ length: tokens }, (_, index) => created(FIRST_TOKEN + index)),
  };
}

/** Where the factory creates the pool of two tokens (CREATE2). */
export function poolOf({ factory }: Exchange, one: Place, other: Place): Place {
  const [first, second] = one.address < other.address ? [one, other] : [other, one];
  const salt = keccak_256(concatBytes([first.addressBytes, second.addressBytes]));
  const code = keccak_256(artifact("UniswapV2Pair").initCode);
  return place(keccak_256(concatBytes([Uint8Array.of(0xff), factory.addressBytes, salt, code])).slice(12));
}

export interface ExchangeDeployment {
  rpc: RpcClient;
  chainId: number;
  deployer: TestAccount;
  token: CompiledContract; // DemoToken
  tokens: number;
  holders: readonly TestAccount[];
  each: bigint; // of every token for every holder
}

/** Deploys all contracts and lets the router move every holder's tokens. @throws IoError DEPLOY */
export async function deployExchange(deployment: ExchangeDeployment): Promise<Exchange> {
  const { rpc, chainId, deployer, token, tokens, holders, each } = deployment;
  const [nonce = 0] = await nextNonces(rpc, [deployer]);
  const exchange = exchangeOf(deployer, nonce, tokens);
  const { factory, weth } = exchange;
  const tokenArguments = (index: number): Hex =>
    encodeAbiParameters(
      [{ type: "string" }, { type: "string" }, { type: "address[]" }, { type: "uint256" }],
      [`Token ${index}`, `TOK${index}`, holders.map(({ address }) => address), each],
    );
  const codes = [
    withArguments("UniswapV2Factory", encodeAbiParameters([{ type: "address" }], [deployer.address])),
    artifact("WETH9").initCode,
    withArguments(
      "UniswapV2Router02",
      encodeAbiParameters([{ type: "address" }, { type: "address" }], [factory.address, weth.address]),
    ),
    ...exchange.tokens.map((_, index) => concatBytes([token.initCode, bytesOfHex(tokenArguments(index))])),
  ];
  const sent = codes.map((data, number) =>
    sign(chainId, deployer, { nonce: nonce + number, to: null, data, valueWei: 0n, gasLimit: DEPLOY_GAS_LIMIT }),
  );
  await sendAndConfirm(rpc, sent);
  await sendAndConfirm(rpc, await approvals(deployment, exchange));
  return exchange;
}

const withArguments = (name: ArtifactName, encoded: Hex): Uint8Array =>
  concatBytes([artifact(name).initCode, bytesOfHex(encoded)]);

async function approvals({ rpc, chainId, token, holders }: ExchangeDeployment, exchange: Exchange): Promise<Signed[]> {
  const nonces = await nextNonces(rpc, holders);
  const data = call(token.abi, "approve", [exchange.router.address, ALL]);
  return exchange.tokens.flatMap(({ addressBytes: to }, number) =>
    holders.map((holder, index) => {
      const nonce = (nonces[index] ?? 0) + number;
      return sign(chainId, holder, { nonce, to, data, valueWei: 0n, gasLimit: APPROVE_GAS_LIMIT });
    }),
  );
}

const call = (abi: Abi, functionName: string, args: unknown[]): Uint8Array =>
  bytesOfHex(encodeFunctionData({ abi, functionName, args }));

/** What a user asks of the router (or of a pool), without nonce and signature. */
export interface RouterCall {
  to: Uint8Array;
  data: Uint8Array;
  valueWei: bigint;
  gasLimit: number;
}

/** Calldata for one user; every minimum is 0, so that nothing fails but for want of tokens. */
export function routerCalls(exchange: Exchange) {
  const { abi } = artifact("UniswapV2Router02");
  const route = (functionName: string, args: unknown[], valueWei = 0n, gasLimit = ROUTER_GAS_LIMIT): RouterCall => ({
    to: exchange.router.addressBytes,
    data: call(abi, functionName, args),
    valueWei,
    gasLimit,
  });
  const addresses = (path: readonly Place[]): Hex[] => path.map(({ address }) => address);
  return {
    addLiquidity: (one: Place, other: Place, amount: bigint, to: Hex): RouterCall =>
      route("addLiquidity", [one.address, other.address, amount, amount, 0n, 0n, to, FOR_EVER], 0n, CREATES_POOL_GAS_LIMIT),
    addLiquidityEth: (token: Place, amount: bigint, wei: bigint, to: Hex): RouterCall =>
      route("addLiquidityETH", [token.address, amount, 0n, 0n, to, FOR_EVER], wei, CREATES_POOL_GAS_LIMIT),
    removeLiquidity: (one: Place, other: Place, liquidity: bigint, to: Hex): RouterCall =>
      route("removeLiquidity", [one.address, other.address, liquidity, 0n, 0n, to, FOR_EVER]),
    /** Over as many pools as the path has steps. */
    swap: (path: readonly Place[], amount: bigint, to: Hex): RouterCall =>
      route("swapExactTokensForTokens", [amount, 0n, addresses(path), to, FOR_EVER]),
    swapFromEth: (path: readonly Place[], wei: bigint, to: Hex): RouterCall =>
      route("swapExactETHForTokens", [0n, addresses([exchange.weth, ...path]), to, FOR_EVER], wei),
    swapToEth: (path: readonly Place[], amount: bigint, to: Hex): RouterCall =>
      route("swapExactTokensForETH", [amount, 0n, addresses([...path, exchange.weth]), to, FOR_EVER]),
    /** Lets the router take a user's share of a pool. */
    approveShare: (pool: Place): RouterCall => ({
      to: pool.addressBytes,
      data: call(artifact("UniswapV2Pair").abi, "approve", [exchange.router.address, ALL]),
      valueWei: 0n,
      gasLimit: APPROVE_GAS_LIMIT,
    }),
  };
}
