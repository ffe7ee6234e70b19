/** A small assembler for the contracts of simulated worlds. */
import { assert } from "@meridian/core";

const TABLE = `
  STOP 00 ADD 01 MUL 02 SUB 03 DIV 04 LT 10 GT 11 EQ 14 ISZERO 15 AND 16 OR 17 XOR 18 BYTE 1a SHL 1b SHR 1c
  ADDRESS 30 BALANCE 31 ORIGIN 32 CALLER 33 CALLVALUE 34 CALLDATALOAD 35 CALLDATASIZE 36 CALLDATACOPY 37 CODECOPY 39
  EXTCODESIZE 3b EXTCODECOPY 3c EXTCODEHASH 3f BLOCKHASH 40 TIMESTAMP 42 NUMBER 43 SELFBALANCE 47
  POP 50 MLOAD 51 MSTORE 52 SLOAD 54 SSTORE 55 JUMP 56 JUMPI 57 GAS 5a JUMPDEST 5b TLOAD 5c TSTORE 5d PUSH0 5f
  LOG1 a1 CREATE f0 CALL f1 RETURN f3 DELEGATECALL f4 CREATE2 f5 STATICCALL fa REVERT fd SELFDESTRUCT ff`;
const OPCODES = new Map(
  [...TABLE.matchAll(/(\w+) ([0-9a-f]{2})(?=\s|$)/g)].map(([, name, byte]) => [name, Number.parseInt(byte ?? "", 16)]),
);

/**
 * Assembles a text: opcodes by name (`DUP3`, `SWAP1` too), numbers in decimal or 0x hex (pushed in the fewest bytes), `name:`
 * marks a jump destination, `@name` pushes it (two bytes).
 */
export function assemble(text: string): Uint8Array {
  const code: number[] = [];
  const labels = new Map<string, number>();
  const uses: { at: number; name: string }[] = [];
  for (const word of text.split(/\s+/).filter((part) => part !== "")) {
    if (word.endsWith(":")) {
      labels.set(word.slice(0, -1), code.length);
      code.push(0x5b);
    } else if (word.startsWith("@")) {
      uses.push({ at: code.length + 1, name: word.slice(1) });
      code.push(0x61, 0, 0);
    } else if (/^(0x[0-9a-f]+|\d+)$/.test(word)) {
      code.push(...push(BigInt(word)));
    } else {
      code.push(opcode(word));
    }
  }
  for (const { at, name } of uses) {
    const target = labels.get(name);
    assert(target !== undefined, `label ${name} is not there`);
    code[at] = target >> 8;
    code[at + 1] = target & 255;
  }
  return Uint8Array.from(code);
}

function push(value: bigint): number[] {
  if (value === 0n) return [0x5f];
  const hex = value.toString(16);
  const bytes = (hex.length % 2 === 0 ? hex : `0${hex}`).match(/../g) ?? [];
  assert(bytes.length <= 32, `0x${hex} does not fit a word`);
  return [0x5f + bytes.length, ...bytes.map((byte) => Number.parseInt(byte, 16))];
}

function opcode(word: string): number {
  const [, family, number] = /^(DUP|SWAP)(\d+)$/.exec(word) ?? [];
  if (family !== undefined) return (family === "DUP" ? 0x7f : 0x8f) + Number(number);
  const known = OPCODES.get(word);
  assert(known !== undefined, `opcode ${word} is not known`);
  return known;
}
