/** Contracts in a few bytes, for tests that need one behaviour and no compiler. */
import type { Hex } from "viem";

/** Init code that puts `runtime` there. */
export function initCode(runtime: string): Hex {
  const length = (runtime.length / 2).toString(16).padStart(2, "0");
  // PUSH1 length, PUSH1 10, PUSH0, CODECOPY, PUSH1 length, PUSH0, RETURN
  return `0x60${length}600a5f3960${length}5ff3${runtime}`;
}

/** CALLDATACOPY all to 0, then LOG2 with topics 1 and 42. */
export const LOGGER = "365f5f37602a6001365fa200";
/** CALLDATACOPY all to 0, then REVERT with it. */
export const REVERTER = "365f5f37365ffd";
/** CALLDATACOPY all to 0, then RETURN it. */
export const ECHO = "365f5f37365ff3";
/** SSTORE(0, first word of the call), then SLOAD(0) is returned. */
export const STORE = "5f355f555f545f5260205ff3";
/** JUMPDEST, PUSH0, JUMP: runs out of gas. */
export const LOOP = "5b5f56";
/** RETURN the first word of (GASPRICE, BASEFEE, TIMESTAMP, NUMBER) as four words. */
export const ENVIRONMENT = "3a5f52486020524260405243606052608" + "05ff3";
