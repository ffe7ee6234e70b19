/** Small contracts in hand-written bytecode. */
import { concatBytes } from "@meridian/core";
import * as chain from "./chain.ts";

const OPCODES: Record<string, number> = {
  STOP: 0x00,
  ADD: 0x01,
  SUB: 0x03,
  EXTCODESIZE: 0x3b,
  EXTCODEHASH: 0x3f,
  BALANCE: 0x31,
  ORIGIN: 0x32,
  CALLER: 0x33,
  CALLDATALOAD: 0x35,
  CALLDATASIZE: 0x36,
  CALLDATACOPY: 0x37,
  CODECOPY: 0x39,
  GASPRICE: 0x3a,
  BLOCKHASH: 0x40,
  COINBASE: 0x41,
  TIMESTAMP: 0x42,
  NUMBER: 0x43,
  PREVRANDAO: 0x44,
  SELFBALANCE: 0x47,
  BASEFEE: 0x48,
  POP: 0x50,
  MSTORE: 0x52,
  SLOAD: 0x54,
  SSTORE: 0x55,
  JUMP: 0x56,
  JUMPI: 0x57,
  GAS: 0x5a,
  TLOAD: 0x5c,
  TSTORE: 0x5d,
  JUMPDEST: 0x5b,
  PUSH0: 0x5f,
  DUP1: 0x80,
  SWAP1: 0x90,
  LOG1: 0xa1,
  CREATE: 0xf0,
  CALL: 0xf1,
  CALLCODE: 0xf2,
  RETURN: 0xf3,
  DELEGATECALL: 0xf4,
  CREATE2: 0xf5,
  STATICCALL: 0xfa,
  REVERT: 0xfd,
  INVALID: 0xfe,
  SELFDESTRUCT: 0xff,
};

/** Assembles names, and numbers as pushes of one or two bytes. */
export function assemble(program: string): Uint8Array {
  return Uint8Array.from(
    program
      .trim()
      .split(/\s+/)
      .flatMap((part) => OPCODES[part] ?? push(Number(part))),
  );
}

function push(value: number): number[] {
  return value < 256 ? [0x60, value] : [0x61, value >> 8, value & 0xff];
}

/** Input from the third word on to memory 0; its length. */
const INNER = "64 CALLDATASIZE SUB 64 PUSH0 CALLDATACOPY";
const INNER_BYTES = "64 CALLDATASIZE SUB";

const RETURN_TOP = "PUSH0 MSTORE 32 PUSH0 RETURN";

export const CONTRACTS = {
  /** Adds 1 to slot 0 and logs the new value under topic 7. */
  counter: assemble("PUSH0 SLOAD 1 ADD DUP1 PUSH0 SSTORE PUSH0 MSTORE 7 32 PUSH0 LOG1 STOP"),
  /** Returns slot 0. */
  slotZero: assemble(`PUSH0 SLOAD ${RETURN_TOP}`),
  /** Reads slots 1 and 2. */
  twoSlots: assemble("1 SLOAD 2 SLOAD STOP"),
  /** Returns the balance of the address in the first word. */
  balanceOf: assemble(`PUSH0 CALLDATALOAD BALANCE ${RETURN_TOP}`),
  /** Returns the code hash of the address in the first word. */
  codeHashOf: assemble(`PUSH0 CALLDATALOAD EXTCODEHASH ${RETURN_TOP}`),
  /** Returns the hash of the block in the first word. */
  blockHash: assemble(`PUSH0 CALLDATALOAD BLOCKHASH ${RETURN_TOP}`),
  /** Stores the hash of the block in the first word. */
  blockHashStored: assemble("PUSH0 CALLDATALOAD BLOCKHASH PUSH0 SSTORE STOP"),
  /** Calls the address in the first word with the value in the second and stores the outcome + 1 in slot 1. */
  forward: assemble("PUSH0 PUSH0 PUSH0 PUSH0 32 CALLDATALOAD PUSH0 CALLDATALOAD GAS CALL 1 ADD 1 SSTORE STOP"),
  /** Stores the second word in the slot of the first. */
  store: assemble("32 CALLDATALOAD PUSH0 CALLDATALOAD SSTORE STOP"),
  /** Writes slot 0, then reverts with the input. */
  reverter: assemble("1 PUSH0 SSTORE CALLDATASIZE PUSH0 PUSH0 CALLDATACOPY CALLDATASIZE PUSH0 REVERT"),
  /** Creates a contract with the input as init code and stores its address in slot 0. */
  factory: assemble("CALLDATASIZE PUSH0 PUSH0 CALLDATACOPY CALLDATASIZE PUSH0 PUSH0 CREATE PUSH0 SSTORE STOP"),
  /** Stores price, base fee, beneficiary + 1 in slots 1 to 3. */
  environment: assemble("GASPRICE 1 ADD 1 SSTORE BASEFEE 1 ADD 2 SSTORE COINBASE 1 ADD 3 SSTORE STOP"),
  /** Returns number, time and prevrandao of the block. */
  block: assemble("NUMBER PUSH0 MSTORE TIMESTAMP 32 MSTORE PREVRANDAO 64 MSTORE 96 PUSH0 RETURN"),
  invalid: assemble("INVALID"),
  /** Calls the address in the first word with the value in the second and the rest as input; outcome + 1 to slot 1. */
  relay: assemble(`${INNER} PUSH0 PUSH0 ${INNER_BYTES} PUSH0 32 CALLDATALOAD PUSH0 CALLDATALOAD GAS CALL 1 ADD 1 SSTORE STOP`),
  /** The same in its own storage: DELEGATECALL. */
  delegate: assemble(`${INNER} PUSH0 PUSH0 ${INNER_BYTES} PUSH0 PUSH0 CALLDATALOAD GAS DELEGATECALL 1 ADD 2 SSTORE STOP`),
  /** The same without writes: STATICCALL. */
  look: assemble(`${INNER} PUSH0 PUSH0 ${INNER_BYTES} PUSH0 PUSH0 CALLDATALOAD GAS STATICCALL 1 ADD 3 SSTORE STOP`),
  /** Calls as `relay` and reverts all of it. */
  undo: assemble(`${INNER} PUSH0 PUSH0 ${INNER_BYTES} PUSH0 32 CALLDATALOAD PUSH0 CALLDATALOAD GAS CALL PUSH0 PUSH0 REVERT`),
  /** Store what they see of the account in the first word (of the caller, of themselves) in slots 4 to 8. */
  balanceStored: assemble("PUSH0 CALLDATALOAD BALANCE 4 SSTORE STOP"),
  callerStored: assemble("CALLER BALANCE 5 SSTORE STOP"),
  codeHashStored: assemble("PUSH0 CALLDATALOAD EXTCODEHASH 6 SSTORE STOP"),
  sizeStored: assemble("PUSH0 CALLDATALOAD EXTCODESIZE 7 SSTORE STOP"),
  selfStored: assemble("SELFBALANCE 8 SSTORE STOP"),
  /** Creates as `factory`, at an address that does not depend on how often. */
  factory2: assemble("CALLDATASIZE PUSH0 PUSH0 CALLDATACOPY PUSH0 CALLDATASIZE PUSH0 PUSH0 CREATE2 PUSH0 SSTORE STOP"),
  /** Counts in transient storage and stores the count in slot 9. */
  transient: assemble("PUSH0 TLOAD 1 ADD DUP1 PUSH0 TSTORE 9 SSTORE STOP"),
  /** Gives its balance to the account in the first word. */
  sweep: assemble("PUSH0 CALLDATALOAD SELFDESTRUCT"),
  /** Gives its balance to the caller and is gone if it was created in the same transaction. */
  destroyed: assemble("CALLER SELFDESTRUCT"),
};

/**
 * Without input counts like `counter`. With a number it counts down from it, reading slot 0 at every step, and returns slot 0
 * as it was at first and at last.
 */
export function countOrSpin(): Uint8Array {
  const spin = CONTRACTS.counter.length + 4;
  const loop = spin + 7;
  return concatBytes([
    assemble(`CALLDATASIZE ${spin} JUMPI`),
    CONTRACTS.counter,
    assemble(`JUMPDEST PUSH0 SLOAD PUSH0 MSTORE PUSH0 CALLDATALOAD
      JUMPDEST 1 SWAP1 SUB PUSH0 SLOAD POP DUP1 ${loop} JUMPI
      PUSH0 SLOAD 32 MSTORE 64 PUSH0 RETURN`),
  ]);
}

/** Init code that leaves `code` behind. */
export function initCode(code: Uint8Array): Uint8Array {
  const bytes = code.length < 256 ? 2 : 3;
  const head = assemble(`${code.length} DUP1 ${bytes + 7} PUSH0 CODECOPY PUSH0 RETURN`);
  return concatBytes([head, code]);
}

/** An address as a word. */
export const wordOf = (address: Uint8Array): Uint8Array => concatBytes([new Uint8Array(12), address]);

/** An address made of a number. */
export function place(number: number): Uint8Array {
  return chain.word(number).slice(12);
}
