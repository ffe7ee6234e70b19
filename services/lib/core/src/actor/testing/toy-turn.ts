/** One transaction's turn on the fake engine: what it may touch, what it has touched and written, and its packed records. */
import { concatBytes, hexOf, sameBytes, writeU16, writeU32, writeU64 } from "../../bytes.ts";
import { CELL } from "../../cells.ts";
import { REASON, RESULT } from "../../results.ts";
import { TOUCH, WHY } from "../../touches.ts";
import { DECLARED_BYTES, MODE, TX, txDeclared, txGasLimit, txIndex, txNonce, txRaw } from "../../transactions.ts";
import type { Cells } from "./fake-cells.ts";
import { cellKey, fakeKey, fakeNonceCell } from "./fake-cells.ts";
import type { ToyOutcome, ToyTurn } from "./toy-program.ts";
import { isToyProgram, runToy, toyProgram } from "./toy-program.ts";

/** What a toy transaction uses besides 100 for each step. */
export const TOY_GAS = 21_000;

/** Where a turn reads, and what it may touch. */
export interface TurnPorts {
  /** The cell of a key as it stands before this transaction. */
  read(key: Uint8Array): Uint8Array;
  /** `declared`: the mode that the transaction itself declares for the account, null if none. */
  isAllowed(address: string, mode: number, declared: number | null): boolean;
  hashOf(block: number): number | null;
  /** The sender's account goes on reading as new until this transaction has come to an end. */
  beginsSender(sender: Uint8Array, declared: number | null): boolean;
}

export class Turn implements ToyTurn {
  readonly writes: Cells = new Map();
  readonly #touched = new Map<string, number>();
  readonly #declared: Map<string, number>;
  readonly #ports: TurnPorts;

  constructor(declared: Map<string, number>, ports: TurnPorts) {
    this.#declared = declared;
    this.#ports = ports;
  }

  declaredMode(address: string): number | null {
    return this.#declared.get(address) ?? null;
  }

  mayTouch(address: Uint8Array, mode: number): boolean {
    const hex = hexOf(address);
    const before = this.#touched.get(hex);
    this.#touched.set(hex, before === undefined ? mode : strongerMode(before, mode));
    return this.#ports.isAllowed(hex, mode, this.declaredMode(hex));
  }

  read(key: Uint8Array): Uint8Array {
    return this.writes.get(hexOf(key)) ?? this.#ports.read(key);
  }

  write(cell: Uint8Array): void {
    this.writes.set(cellKey(cell), cell);
  }

  hashOf(block: number): number | null {
    return this.#ports.hashOf(block);
  }

  touchRecord(index: number, why: number, value: number): Uint8Array {
    const accounts = [...this.#touched].sort(([left], [right]) => (left < right ? -1 : 1));
    const record = new Uint8Array(TOUCH.accounts + accounts.length * DECLARED_BYTES);
    writeU32(record, TOUCH.bytes, record.length);
    writeU32(record, TOUCH.index, index);
    record[TOUCH.why] = why;
    writeU16(record, TOUCH.count, accounts.length);
    writeU64(record, TOUCH.value, value);
    accounts.forEach(([address, mode], number) => {
      const at = TOUCH.accounts + number * DECLARED_BYTES;
      record[at] = mode;
      for (let byte = 0; byte < 20; byte++) {
        record[at + 1 + byte] = Number.parseInt(address.slice(byte * 2, byte * 2 + 2), 16);
      }
    });
    return record;
  }
}

/** True if an account declared in mode `declared` may be touched in mode `wanted`. */
export const modeCovers = (declared: number | null, wanted: number): boolean =>
  declared === MODE.write ||
  (declared === MODE.read && wanted !== MODE.write) ||
  (declared === MODE.code && wanted === MODE.code);

const strongerMode = (left: number, right: number): number => (modeCovers(left, right) ? left : right);

/** Accounts and modes of a packed (u8 mode, b20)* list. */
export function modesOf(packed: Uint8Array): Map<string, number> {
  const modes = new Map<string, number>();
  for (let at = 0; at < packed.length; at += DECLARED_BYTES) modes.set(hexOf(packed, at + 1, at + DECLARED_BYTES), packed[at]!);
  return modes;
}

export interface TurnResult {
  why: number;
  /** Packed result record; null if the transaction missed. */
  result: Uint8Array | null;
  touch: Uint8Array;
  /** Cells to commit; empty if it missed or failed. */
  writes: Cells;
}

/** Runs the transaction at `at`. `follows`: the one that it names in `after` missed. */
export function runTurn(transactions: Uint8Array, at: number, follows: boolean, ports: TurnPorts): TurnResult {
  const index = txIndex(transactions, at);
  const from = at + TX.declaredSet;
  const declared = modesOf(transactions.subarray(from, from + txDeclared(transactions, at) * DECLARED_BYTES));
  const turn = new Turn(declared, ports);
  const missed = (why: number, value = 0): TurnResult => ({
    why,
    result: null,
    touch: turn.touchRecord(index, why, value),
    writes: new Map(),
  });
  if (follows) return missed(WHY.follows);
  const sender = transactions.slice(at + TX.sender, at + TX.sender + 20);
  const begins = txNonce(transactions, at) === 0 && ports.beginsSender(sender, turn.declaredMode(hexOf(sender)));
  if (begins && !turn.mayTouch(sender, MODE.write)) return missed(WHY.outside);
  if (begins) turn.read(fakeKey(CELL.nonce, sender));
  const raw = txRaw(transactions, at);
  const to = transactions.slice(at + TX.to, at + TX.to + 20);
  const program = isToyProgram(raw) ? raw : toyProgram([{ op: "add", accounts: [to], amount: 1 }]);
  const outcome = runToy(program, sender, turn);
  if (outcome.why !== WHY.complete) return missed(outcome.why, outcome.value);
  if (outcome.status === 0) turn.writes.clear();
  if (begins) turn.write(fakeNonceCell(sender, 1, transactions.slice(at + TX.hash, at + TX.hash + 32)));
  const result = resultRecord(index, outcome, txGasLimit(transactions, at), isToyProgram(raw));
  return { why: WHY.complete, result, touch: turn.touchRecord(index, WHY.complete, 0), writes: turn.writes };
}

/** `x` is the output, big-endian, of a transaction with a program. */
function resultRecord(index: number, { status, reason, x, steps }: ToyOutcome, gasLimit: number, hasOutput: boolean): Uint8Array {
  const output = new Uint8Array(hasOutput ? 4 : 0);
  if (hasOutput) new DataView(output.buffer).setUint32(0, x);
  const record = concatBytes([new Uint8Array(RESULT.output), output]);
  writeU32(record, RESULT.bytes, record.length);
  writeU32(record, RESULT.index, index);
  record[RESULT.status] = status;
  record[RESULT.reason] = reason;
  writeU32(record, RESULT.logsOffset, record.length);
  writeU64(record, RESULT.gasUsed, reason === REASON.void ? gasLimit : TOY_GAS + (hasOutput ? steps * 100 : 0));
  writeU32(record, RESULT.outputBytes, output.length);
  return record;
}

/** True if the packed (u64 flush, u32 index)* list has this position. */
export function hasPosition(missed: Uint8Array, position: Uint8Array): boolean {
  for (let at = 0; at < missed.length; at += 12) if (sameBytes(missed, at, position, 0, 12)) return true;
  return false;
}

export function packedPosition(flush: number, index: number): Uint8Array {
  const position = new Uint8Array(12);
  writeU64(position, 0, flush);
  writeU32(position, 8, index);
  return position;
}
