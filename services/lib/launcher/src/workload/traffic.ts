/** Traffic on an exchange: what many users do at once, drawn from a seed and signed before anything is sent. */
import type { TestAccount } from "../accounts.ts";
import { type Signed, sign } from "./sign.ts";
import { random } from "./transfers.ts";
import { type Exchange, type Place, type RouterCall, poolOf, routerCalls } from "./uniswap.ts";

export interface ExchangeTraffic {
  chainId: number;
  exchange: Exchange;
  accounts: readonly TestAccount[];
  /** Next nonce of each account; moved on by the plan. */
  nonces: number[];
  count: number;
  seed: number;
}

/** Every user's first three: a share of a pool of two tokens, leave to take it back, a share of a pool with ETH. */
const FIRST_CALLS = 3;
const SHARE = 1_000_000n;
/** Large enough that no pool rounds what it gives to nothing. */
const AMOUNT_MIN = 1_000;
const AMOUNT_MAX = 2_000;

/** Rounds: every account sends one before any sends its next. All succeed if pools and balances are large enough. */
export function planTraffic({ chainId, exchange, accounts, nonces, count, seed }: ExchangeTraffic): Signed[] {
  const draw = random(seed);
  const calls = routerCalls(exchange);
  const { tokens } = exchange;
  const pick = (not?: Place): Place => {
    const others = tokens.filter((token) => token !== not);
    return others[Math.floor(draw() * others.length)] ?? exchange.weth;
  };
  const pair = (account: number): [Place, Place] => {
    const [one, other] = [tokens[account % tokens.length], tokens[(account + 1) % tokens.length]];
    return [one ?? exchange.weth, other ?? exchange.weth];
  };
  const nth = (account: number, round: number): RouterCall => {
    const to = accounts[account]?.address ?? "0x";
    const amount = BigInt(AMOUNT_MIN + Math.floor(draw() * (AMOUNT_MAX - AMOUNT_MIN)));
    if (round === 0) return calls.addLiquidity(...pair(account), SHARE, to);
    if (round === 1) return calls.approveShare(poolOf(exchange, ...pair(account)));
    if (round === 2) return calls.addLiquidityEth(pick(), SHARE, SHARE, to);
    const one = pick();
    const kind = draw();
    if (kind < 0.3) return calls.swap([one, pick(one)], amount, to);
    if (kind < 0.55) return calls.swap([one, exchange.weth, pick(one)], amount, to);
    if (kind < 0.7) return calls.swapFromEth([one], amount, to);
    if (kind < 0.85) return calls.swapToEth([one], amount, to);
    if (kind < 0.93) return calls.removeLiquidity(...pair(account), amount, to);
    return calls.addLiquidity(...pair(account), amount, to);
  };
  return Array.from({ length: count }, (_, number) => {
    const account = number % accounts.length;
    const { to, data, valueWei, gasLimit } = nth(account, Math.floor(number / accounts.length));
    const nonce = nonces[account] ?? 0;
    nonces[account] = nonce + 1;
    const sender = accounts[account] as TestAccount;
    return sign(chainId, sender, { nonce, to, data, valueWei, gasLimit });
  });
}

/** How many of a plan's transactions must have passed before pools can be swapped on safely. */
export const openingCount = (accounts: readonly TestAccount[]): number => FIRST_CALLS * accounts.length;

/** Pools of all tokens with each other and with WETH, filled by one provider: swaps of any path find one. */
export function planPools(
  chainId: number,
  exchange: Exchange,
  provider: TestAccount,
  firstNonce: number,
  amount: bigint,
): Signed[] {
  const calls = routerCalls(exchange);
  const { tokens } = exchange;
  const pools = tokens.flatMap((one, index) =>
    tokens.slice(index + 1).map((other) => calls.addLiquidity(one, other, amount, provider.address)),
  );
  const withEth = tokens.map((token) => calls.addLiquidityEth(token, amount, amount, provider.address));
  return [...pools, ...withEth].map(({ to, data, valueWei, gasLimit }, number) =>
    sign(chainId, provider, { nonce: firstNonce + number, to, data, valueWei, gasLimit }),
  );
}
