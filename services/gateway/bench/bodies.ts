/** Bodies of the benchmark: the same signed ERC-20 transfers as JSON-RPC, in a binary body, and as signed batches. */
import { pack } from "@meridian/bus";
import { concat, encodeFunctionData, hexToBytes, keccak256, parseAbi, toHex, toRlp } from "viem";
import type { Hex } from "viem";
import { privateKeyToAccount } from "viem/accounts";

export const CHAIN_ID = 31_337;
const SINGLES = 500;
const FEW = 20;
const BATCHES = 4;
const CALLS = 1_024;
const BINARY = { path: "/v1/transactions", type: "application/msgpack", answerBytes: [10, 20] } as const;

export const BODIES = {
  json: { path: "/", type: "application/json", calls: SINGLES, answerBytes: [SINGLES * 100, SINGLES * 110] },
  binary: { ...BINARY, calls: SINGLES },
  few: { ...BINARY, calls: FEW },
  batches: { ...BINARY, calls: BATCHES * CALLS },
} as const;
export type BodyKind = keyof typeof BODIES;

export async function bodyOf(kind: BodyKind, seed: number): Promise<Uint8Array> {
  if (kind === "batches")
    return pack([1, 0, await Promise.all(Array.from({ length: BATCHES }, (_, number) => batch(seed, number)))]);
  const raws = await Promise.all(Array.from({ length: kind === "few" ? FEW : SINGLES }, (_, nonce) => single(seed, nonce)));
  if (kind !== "json") return pack([1, 0, raws.map((raw) => hexToBytes(raw))]);
  const calls = raws.map((raw, id) => ({ jsonrpc: "2.0", id, method: "eth_sendRawTransaction", params: [raw] }));
  return Buffer.from(JSON.stringify(calls));
}

const accountOf = (seed: number) => privateKeyToAccount(toHex(seed + 1, { size: 32 }));
const transferTo = (address: Hex): Hex =>
  encodeFunctionData({ abi: parseAbi(["function transfer(address,uint256)"]), functionName: "transfer", args: [address, 1n] });

function single(seed: number, nonce: number): Promise<Hex> {
  const account = accountOf(seed);
  const { address: to } = account;
  return account.signTransaction({ type: "eip1559", chainId: CHAIN_ID, nonce, to, gas: 60_000n, data: transferTo(to) });
}

async function batch(seed: number, number: number): Promise<Uint8Array> {
  const account = accountOf(seed);
  const call = [account.address, "0x", toHex(60_000), transferTo(account.address)] as const;
  const nonce = number === 0 ? "0x" : toHex(number * CALLS);
  const signed = [toHex(CHAIN_ID), nonce, Array.from({ length: CALLS }, () => call)];
  const signature = hexToBytes(await account.sign({ hash: keccak256(concat(["0x4d", toRlp(signed)])) }));
  const parity = signature[64] === 28 ? "0x01" : "0x";
  const fields = [signature.subarray(0, 32), signature.subarray(32, 64)].map((bytes) => toHex(BigInt(toHex(bytes))));
  return hexToBytes(concat(["0x4d", toRlp([...signed, parity, ...fields.map(even)])]));
}

const even = (hex: Hex): Hex => (hex.length % 2 === 0 ? hex : `0x0${hex.slice(2)}`);
