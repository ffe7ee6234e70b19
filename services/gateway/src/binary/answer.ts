/** The values of an answer, in MessagePack (docs/BINARY-API.md). */
import { pack } from "@meridian/bus";
import type { Sealed } from "../chain/view.ts";
import type { RpcError } from "../rpc/errors.ts";

/** Why calls of one input have no effect. */
export interface Refusal {
  input: number;
  call: number;
  /** So many from `call` on; 0 if the whole input was refused because of what stands in it. */
  calls: number;
  error: RpcError;
  /** The numbers that the text names: got and limit, or the next nonce. */
  details: number[];
}

/** @param hashes  b32 for each input; null if they are not wanted */
export function acceptedValue(count: number, hashes: Uint8Array | null, refusals: readonly Refusal[]): Uint8Array {
  const refused = refusals.map(({ input, call, calls, error, details }) => [
    input,
    call,
    error.code,
    error.message,
    details,
    calls,
  ]);
  return pack(["accepted", count, hashes, refused]);
}

export const receiptsValue = ({ number, hash, timestamp }: Sealed, receipts: Uint8Array): Uint8Array =>
  pack(["receipts", [number, hash, timestamp], receipts]);
export const endValue = (count: number): Uint8Array => pack(["end", count]);
export const lateValue = (missing: number): Uint8Array => pack(["late", missing]);
export const errorValue = ({ code, message }: RpcError): Uint8Array => pack(["error", code, message]);
