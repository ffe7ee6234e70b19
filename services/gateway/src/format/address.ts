/** Addresses as geth's texts show them. */
import type { EngineModule } from "@meridian/core";
import { hexOf } from "@meridian/core";

/** With the checksum of EIP-55: a letter is upper case where the hash of the lower-case digits has 8 or more. */
export function checksumAddress(address: Uint8Array, engine: Pick<EngineModule, "keccak256">): string {
  const digits = hexOf(address);
  const hash = hexOf(engine.keccak256(Buffer.from(digits, "latin1")));
  return `0x${[...digits].map((digit, index) => ((hash[index] ?? "0") >= "8" ? digit.toUpperCase() : digit)).join("")}`;
}
