/** A client of POST /v1/transactions. */
import { pack } from "@meridian/bus";
import { readU16, readU32, readU64 } from "@meridian/core";
import { concat, hexToBytes, keccak256, toHex, toRlp } from "viem";
import type { Hex } from "viem";
import { alice, bob } from "./client.ts";
import { CHAIN_ID } from "./fake-chain.ts";
import { unpackValues } from "./msgpack.ts";

export const bodyOf = (raws: readonly Hex[], want = 0): Uint8Array<ArrayBuffer> =>
  new Uint8Array(pack([1, want, raws.map((raw) => hexToBytes(raw))]));

export function post(url: string, body: Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(new URL("/v1/transactions", url), {
    method: "POST",
    headers: { "content-type": "application/msgpack", ...headers },
    body,
  });
}

/** All values of an answer. */
export const valuesOf = async (response: Response): Promise<unknown[]> =>
  unpackValues(new Uint8Array(await response.arrayBuffer()));

export const sendAll = async (url: string, raws: readonly Hex[], want = 0): Promise<unknown[]> =>
  valuesOf(await post(url, bodyOf(raws, want)));

export interface Receipt {
  input: number;
  call: number;
  index: number;
  status: number;
  reason: number;
  gasUsed: number;
}

export function receiptsOf(packed: unknown): Receipt[] {
  if (!(packed instanceof Uint8Array)) return [];
  return Array.from({ length: packed.length / 24 }, (_, number) => number * 24).map((at) => ({
    input: readU16(packed, at),
    call: readU16(packed, at + 2),
    index: readU32(packed, at + 4),
    status: packed[at + 8] ?? 0,
    reason: packed[at + 9] ?? 0,
    gasUsed: readU64(packed, at + 16),
  }));
}

export interface TestCall {
  to?: Hex;
  value?: bigint;
  gas?: bigint;
  data?: Hex;
}

const quantity = (value: bigint | number): Hex => (BigInt(value) === 0n ? "0x" : toHex(value));

/** A signed batch (docs/SIGNED-BATCH.md), and the hash of each of its calls. */
export async function signBatch(
  calls: readonly TestCall[],
  { nonce = 0, chainId = CHAIN_ID, account = alice } = {},
): Promise<{ raw: Hex; hashes: Hex[] }> {
  const list = calls.map(({ to = bob.address, value = 0n, gas = 100_000n, data = "0x" }) => [
    to,
    quantity(value),
    quantity(gas),
    data,
  ]);
  const signed = [quantity(chainId), quantity(nonce), list];
  const signature = await account.sign({ hash: keccak256(concat(["0x4d", toRlp(signed)])) });
  const fields = [hexToBytes(signature).subarray(0, 32), hexToBytes(signature).subarray(32, 64)].map(withoutZeros);
  const raw = concat(["0x4d", toRlp([...signed, quantity((hexToBytes(signature)[64] ?? 27) - 27), ...fields])]);
  const id = keccak256(raw);
  return { raw, hashes: calls.map((_, call) => concat([id.slice(0, 62) as Hex, toHex(call, { size: 2 })])) };
}

function withoutZeros(bytes: Uint8Array): Hex {
  return toHex(bytes.subarray(bytes.findIndex((byte) => byte !== 0)));
}
