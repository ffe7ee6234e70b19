/**
 * The contract of simulated worlds: it plays a script that stands in its calldata. So a transaction can make any tree of calls,
 * reads, writes and creations, and what it does can depend on what it finds. Each frame keeps a number that everything it sees
 * goes into; it writes that number to storage, logs it and returns it, so that one wrong value anywhere shows in receipts and
 * state.
 *
 * A script is a list of steps of 32 bytes: u8 op, b20 address, u8 argument, u16 length of what follows and belongs to the step
 * (the script of a callee, init code, steps that are passed over), u64 value.
 */
import { assert, concatBytes, writeU16, writeU32 } from "@meridian/core";
import { assemble } from "./assemble.ts";

export const STEP = {
  end: 0,
  write: 1, //         sees slot `argument`, then writes its number + value to it
  read: 2, //          sees slot `argument`
  call: 3, //          calls `address` with value and script; sees success and answer
  staticCall: 4,
  delegateCall: 5,
  balance: 6, //       sees the balance of `address`
  callerBalance: 7,
  selfBalance: 8,
  codeHash: 9, //      sees the code hash of `address`
  log: 10,
  revert: 11,
  create: 12, //       creates with value and init code; sees the address
  create2: 13, //      the same with salt `argument`
  blockHash: 14, //    sees the hash of the block `argument` + 1 before this one
  unless: 15, //       passes over `length` bytes if bit `argument` of its number is set
  transient: 16, //    sees transient slot `argument`, then writes its number there
  destroy: 17, //      SELFDESTRUCT to `address`
  originBalance: 18,
  blockNumber: 19, //  sees number and time of the block
  pastHash: 20, //     as `blockHash`, by a call of the history account at `address`
} as const;

export interface Step {
  op: keyof typeof STEP;
  address?: Uint8Array;
  argument?: number;
  value?: number;
  /** Steps of the callee, or those that are passed over. */
  script?: Step[];
  /** Init code of `create` and `create2`. */
  init?: Uint8Array;
}

export const STEP_BYTES = 32;
const PRIME = 1_000_003;

/** Stack in every handler: pointer behind this step, step word. Each leaves what `see` or `next` takes. */
const HANDLERS: Readonly<Record<keyof typeof STEP, string>> = {
  end: `32 0 RETURN`,
  write: `DUP1 ARGUMENTOF SLOAD SEE DUP1 ARGUMENTOF DUP2 0xffffffffffffffff AND NUMBER0 ADD SWAP1 SSTORE @next JUMP`,
  read: `DUP1 ARGUMENTOF SLOAD @see JUMP`,
  call: `@copy JUMP`,
  staticCall: `@copy JUMP`,
  delegateCall: `@copy JUMP`,
  balance: `DUP1 ADDRESSOF BALANCE @see JUMP`,
  callerBalance: `CALLER BALANCE @see JUMP`,
  selfBalance: `SELFBALANCE @see JUMP`,
  codeHash: `DUP1 ADDRESSOF EXTCODEHASH @see JUMP`,
  log: `NUMBER0 0 0 LOG1 @next JUMP`,
  revert: `32 0 REVERT`,
  create: `@copy JUMP`,
  create2: `@copy JUMP`,
  blockHash: `DUP1 ARGUMENTOF 1 ADD NUMBER SUB BLOCKHASH @see JUMP`,
  unless: `DUP1 ARGUMENTOF NUMBER0 SWAP1 SHR 1 AND ISZERO @next JUMPI DUP1 LENGTHOF DUP3 ADD SWAP2 POP @next JUMP`,
  transient: `DUP1 ARGUMENTOF TLOAD SEE NUMBER0 DUP2 ARGUMENTOF TSTORE @next JUMP`,
  destroy: `DUP1 ADDRESSOF SELFDESTRUCT`,
  originBalance: `ORIGIN BALANCE @see JUMP`,
  blockNumber: `NUMBER 32 SHL TIMESTAMP ADD @see JUMP`,
  pastHash: `DUP1 ARGUMENTOF 1 ADD NUMBER SUB 64 MSTORE 0 32 MSTORE
    32 32 32 64 DUP5 ADDRESSOF GAS STATICCALL 32 MLOAD ADD @see JUMP`,
};

/** Abbreviations in the texts above. The number is in memory at 0; what goes out and comes in stands from 64 and at 32. */
const MACROS: [name: string, text: string][] = [
  ["SEE", `NUMBER0 ${PRIME} MUL ADD 0 MSTORE`],
  ["NUMBER0", "0 MLOAD"],
  ["ADDRESSOF", "88 SHR 0xffffffffffffffffffffffffffffffffffffffff AND"],
  ["LENGTHOF", "64 SHR 65535 AND"],
  ["ARGUMENTOF", "80 SHR 255 AND"],
  ["VALUEOF", "0xffffffffffffffff AND"],
];

/** Runtime code of the player. */
export const PLAYER: Uint8Array = assemble(expand(playerText()));

function playerText(): string {
  const names = Object.keys(STEP) as (keyof typeof STEP)[];
  const dispatch = names.map((name) => `DUP1 ${STEP[name]} EQ @${name} JUMPI`).join(" ");
  const handlers = names.map((name) => `${name}: POP ${HANDLERS[name]}`).join(" ");
  return `
    0
    loop: DUP1 CALLDATALOAD SWAP1 32 ADD SWAP1
    DUP1 248 SHR ${dispatch} 0 0 REVERT
    ${handlers}
    see: SEE
    next: POP @loop JUMP
    copy: DUP1 LENGTHOF DUP3 64 CALLDATACOPY 0 32 MSTORE
      DUP1 248 SHR
      DUP1 ${STEP.call} EQ @doCall JUMPI
      DUP1 ${STEP.staticCall} EQ @doStatic JUMPI
      DUP1 ${STEP.delegateCall} EQ @doDelegate JUMPI
      ${STEP.create} EQ @doCreate JUMPI
      DUP1 ARGUMENTOF DUP2 LENGTHOF 64 DUP4 VALUEOF CREATE2 @done JUMP
    doCreate: DUP1 LENGTHOF 64 DUP3 VALUEOF CREATE @done JUMP
    doCall: POP 32 32 DUP3 LENGTHOF 64 DUP5 VALUEOF DUP6 ADDRESSOF GAS CALL @done JUMP
    doStatic: POP 32 32 DUP3 LENGTHOF 64 DUP5 ADDRESSOF GAS STATICCALL @done JUMP
    doDelegate: POP 32 32 DUP3 LENGTHOF 64 DUP5 ADDRESSOF GAS DELEGATECALL @done JUMP
    done: 32 MLOAD ADD
      DUP2 LENGTHOF DUP4 ADD SWAP3 POP
      @see JUMP
  `;
}

function expand(text: string): string {
  let whole = text;
  for (const [name, meaning] of MACROS) whole = whole.replaceAll(new RegExp(`\\b${name}\\b`, "g"), meaning);
  return whole;
}

/** Runtime code that plays scripts with the player's code at `player` (EIP-1167). */
export const proxyTo = (player: Uint8Array): Uint8Array =>
  concatBytes([
    Uint8Array.of(0x36, 0x3d, 0x3d, 0x37, 0x3d, 0x3d, 0x3d, 0x36, 0x3d, 0x73),
    player,
    Uint8Array.of(0x5a, 0xf4, 0x3d, 0x82, 0x80, 0x3e, 0x90, 0x3d, 0x91, 0x60, 0x2b, 0x57, 0xfd, 0x5b, 0xf3),
  ]);

/** Init code that leaves `runtime` (up to 255 bytes) behind. */
export const deploying = (runtime: Uint8Array): Uint8Array =>
  concatBytes([assemble(`${runtime.length} DUP1 9 0 CODECOPY 0 RETURN`), runtime]);

/**
 * Runtime code that plays a script with the code of an address in its calldata, into its own storage, as a library is called. Its
 * calldata is as an ABI makes it: whoever predicts what it touches finds the address in word 0.
 */
export const RELAY: Uint8Array = assemble(
  "36 CALLDATASIZE SUB 36 64 CALLDATACOPY 32 32 36 CALLDATASIZE SUB 64 4 CALLDATALOAD GAS DELEGATECALL " +
    "32 MLOAD ADD 32 MSTORE 32 32 RETURN",
);

/** Calldata of a relay: any selector, whose code plays, and the script. */
export function packRelayed(selector: number, target: Uint8Array, steps: readonly Step[]): Uint8Array {
  const head = new Uint8Array(36);
  writeU32(head, 0, selector);
  head.set(target, 16);
  return concatBytes([head, packScript(steps)]);
}

/** Packs a script as calldata. */
export function packScript(steps: readonly Step[]): Uint8Array {
  return concatBytes(steps.flatMap(packStep));
}

function packStep({ op, address, argument = 0, value = 0, script, init }: Step): Uint8Array[] {
  const rest = init ?? (script === undefined ? new Uint8Array(0) : packScript(script));
  const word = new Uint8Array(STEP_BYTES);
  word[0] = STEP[op];
  if (address !== undefined) word.set(address, 1);
  word[21] = argument;
  assert(rest.length <= 65_535, "a step of more than 65,535 bytes");
  const length = new Uint8Array(2);
  writeU16(length, 0, rest.length);
  word.set([length[1]!, length[0]!], 22);
  const low = new Uint8Array(4);
  writeU32(low, 0, value);
  word.set(low.toReversed(), 28);
  return [word, rest];
}
