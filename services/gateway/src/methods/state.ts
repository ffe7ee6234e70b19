/** Methods that read state. */
import { hexData, hexNumber, hexQuantity } from "../format/hex.ts";
import { blockRef } from "../rpc/block-param.ts";
import type { BlockRef } from "../rpc/block-param.ts";
import { invalidParams } from "../rpc/errors.ts";
import type { Answer } from "../rpc/errors.ts";
import { address, optional, required, text } from "../rpc/params.ts";
import type { Read } from "../chain/state.ts";
import { byState } from "./blocks-by.ts";
import { method } from "./method.ts";
import type { Context, Method } from "./method.ts";

export const stateMethods: Readonly<Record<string, Method>> = {
  eth_getBalance: method([required(address), optional(blockRef)], (context, account, ref) =>
    read(context, ref, (block) => context.state.balance(account, block), hexQuantity),
  ),
  eth_getTransactionCount: method([required(address), optional(blockRef)], (context, account, ref) =>
    read(context, ref, (block) => context.state.nonce(account, block), hexNumber),
  ),
  eth_getCode: method([required(address), optional(blockRef)], (context, account, ref) =>
    read(context, ref, (block) => context.state.code(account, block), hexData),
  ),
  eth_getStorageAt: method([required(address), required(text), optional(blockRef)], (context, account, key, ref) => {
    const slot = storageKey(key);
    if (typeof slot === "string") return { error: invalidParams(`${slot}: ${JSON.stringify(key)}`) };
    return read(context, ref, (block) => context.state.slot(account, slot, block), hexData);
  }),
};

const read = <T>(
  context: Context,
  ref: BlockRef | undefined,
  ask: (block: number) => Promise<Read<T>>,
  form: (value: T) => string,
): Promise<Answer> =>
  byState(ref, context, async (block) => {
    const found = await ask(block);
    return "error" in found ? found : { result: form(found.value) };
  });

/** A slot's 32 bytes, leniently read as in geth: the prefix, leading zeros and an even length are optional. Or what is wrong. */
function storageKey(key: string): Uint8Array | string {
  const digits = /^0[xX]/.test(key) ? key.slice(2) : key;
  const even = digits.length % 2 === 0 ? digits : `0${digits}`;
  if (even.length > 64) return "storage key too long (want at most 32 bytes)";
  return /^[0-9a-fA-F]*$/.test(even) ? Buffer.from(even.padStart(64, "0"), "hex") : "invalid hex in storage key";
}
