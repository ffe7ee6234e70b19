/** Prepared transfers: signed before anything is measured, in lanes that keep each sender's nonces in order. */
import type { TestAccount } from "../accounts.ts";
import { type Signed, sign } from "./sign.ts";
import { TRANSFER_GAS_LIMIT, type Token, transferData } from "./token.ts";

export interface Transfer {
  signed: Signed;
  token: number; // index
  from: number; // index of the holder
  to: number;
  amount: number;
  isForwarded: boolean;
}

export interface TransferPlan {
  chainId: number;
  accounts: readonly TestAccount[];
  /** Next nonce of each account; moved on by the plan. */
  nonces: number[];
  tokens: readonly Token[];
  count: number;
  seed: number;
  amountMax: number;
  /** Some go through one of these contracts, which moves its caller's tokens and counts: they write on two partitions. */
  forwarders?: { addresses: readonly Uint8Array[]; share: number } | undefined;
  onProgress?: (signed: number) => void;
}

const FORWARD_GAS_LIMIT = 200_000;

/** forward(token, to, amount) of TestForwarder.sol */
function forwardData(token: Uint8Array, to: Uint8Array, amount: number): Uint8Array {
  const data = new Uint8Array(100);
  data.set([0xbd, 0x25, 0x30, 0xe5]);
  data.set(token, 16);
  data.set(to, 48);
  new DataView(data.buffer).setBigUint64(92, BigInt(amount));
  return data;
}

/** approve(spender, everything) */
export function approveData(spender: Uint8Array): Uint8Array {
  const data = new Uint8Array(68).fill(0xff, 36);
  data.set([0x09, 0x5e, 0xa7, 0xb3]);
  data.set(spender, 16);
  return data;
}

/** Numbers from 0 to 1 that follow from a seed (mulberry32). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Transfers in rounds: every account sends one before any sends its next. Tokens take turns; receivers and amounts are drawn. */
export function planTransfers({
  chainId,
  accounts,
  nonces,
  tokens,
  count,
  seed,
  amountMax,
  forwarders,
  onProgress,
}: TransferPlan): Transfer[] {
  const draw = random(seed);
  const transfers: Transfer[] = [];
  for (let number = 0; number < count; number++) {
    const from = number % accounts.length;
    const round = Math.floor(number / accounts.length);
    const tokenIndex = (from + round) % tokens.length;
    const to = (from + 1 + Math.floor(draw() * (accounts.length - 1))) % accounts.length;
    const amount = 1 + Math.floor(draw() * amountMax);
    const sender = accounts[from];
    const receiver = accounts[to];
    const token = tokens[tokenIndex];
    if (sender === undefined || receiver === undefined || token === undefined) continue;
    const nonce = nonces[from] ?? 0;
    nonces[from] = nonce + 1;
    const isForwarded = forwarders !== undefined && draw() < forwarders.share;
    const forwarder = isForwarded ? forwarders.addresses[Math.floor(draw() * forwarders.addresses.length)] : undefined;
    const signed = sign(chainId, sender, {
      nonce,
      to: forwarder ?? token.addressBytes,
      data:
        forwarder === undefined
          ? transferData(receiver.addressBytes, amount)
          : forwardData(token.addressBytes, receiver.addressBytes, amount),
      valueWei: 0n,
      gasLimit: forwarder === undefined ? TRANSFER_GAS_LIMIT : FORWARD_GAS_LIMIT,
    });
    transfers.push({ signed, token: tokenIndex, from, to, amount, isForwarded: forwarder !== undefined });
    onProgress?.(transfers.length);
  }
  return transfers;
}

/** Deals transfers to lanes by sender: lanes run beside each other, each in order. */
export function dealLanes(transfers: readonly Transfer[], lanes: number): Transfer[][] {
  const dealt = Array.from({ length: lanes }, (): Transfer[] => []);
  for (const transfer of transfers) dealt[transfer.from % lanes]?.push(transfer);
  return dealt;
}
