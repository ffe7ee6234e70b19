/**
 * Toy programs: what a transaction of the fake engine does, in place of a contract call. A program stands where the raw signed
 * transaction stands in a real record. It computes with one number, x, which starts as `seed` and takes in everything that is
 * read, so that a read of a wrong value shows in the result; and each step picks one of its accounts by x, so that a transaction
 * can touch something else than expected.
 *
 * | step | what it does with the account it picks |
 * |---|---|
 * | read | takes slot 0 into x |
 * | add | adds `amount` (1 if 0) to slot 0, takes the value before into x |
 * | stir | writes a mix of slot 0 and x to slot 0 |
 * | look | takes into x whether the account exists: balance, code, or an own transaction that came to an end |
 * | code | takes its code into x, in mode `code` |
 * | pay | moves `amount` from the sender; less than that there makes the transaction `void` |
 * | hash | takes BLOCKHASH(amount) into x |
 * | past | the same by a call of the history account, which it names; in mode `code` |
 * | revert | ends as reverted if x is a multiple of `amount` (of any x if 0) |
 *
 * Layout: "toy" and a zero byte, u32 seed, then for each step u8 op, u8 accounts, u32 amount, b20 each account.
 */
import { assert } from "../../assert.ts";
import { bytesOfHex, readU32, writeU32 } from "../../bytes.ts";
import { CELL } from "../../cells.ts";
import { REASON } from "../../results.ts";
import { WHY } from "../../touches.ts";
import { MODE } from "../../transactions.ts";
import { balanceOf, codeNumber, fakeKey, fakeSlotCell, fakeSlotKey, nonceOf, slotOf, withBalance } from "./fake-cells.ts";

export const TOY = { read: 1, add: 2, stir: 3, look: 4, code: 5, pay: 6, hash: 7, revert: 8, past: 9 } as const;
export type ToyOp = keyof typeof TOY;
const OPS = Object.fromEntries(Object.entries(TOY).map(([name, code]) => [code, name])) as Record<number, ToyOp>;

export interface ToyStep {
  op: ToyOp;
  /** One is picked by x; none for `hash` and `revert`. */
  accounts: Uint8Array[];
  amount: number;
}

const MAGIC = bytesOfHex("746f7900");
const HEADER_BYTES = 8;
const STEP_BYTES = 6;

/** A mix of two 32-bit numbers. */
export function mix(left: number, right: number): number {
  let mixed = Math.imul(left ^ Math.imul(right, 0x9e37_79b1), 0x85eb_ca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0xc2b2_ae35);
  return (mixed ^ (mixed >>> 13)) >>> 0;
}

export function toyProgram(steps: readonly ToyStep[], seed = 1): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + steps.reduce((sum, { accounts }) => sum + STEP_BYTES + accounts.length * 20, 0));
  bytes.set(MAGIC);
  writeU32(bytes, 4, seed);
  let at = HEADER_BYTES;
  for (const { op, accounts, amount } of steps) {
    bytes[at] = TOY[op];
    bytes[at + 1] = accounts.length;
    writeU32(bytes, at + 2, amount);
    at += STEP_BYTES;
    for (const account of accounts) {
      bytes.set(account, at);
      at += 20;
    }
  }
  return bytes;
}

/**
 * A program as text, accounts by two hex digits: "add a1; stir b1|c1; pay a1 5; hash 3; revert". "b1|c1": one of them, by x.
 * @throws BugError if a word is no step
 */
export function toy(text: string, seed = 1): Uint8Array {
  const steps = text.split(";").map((part): ToyStep => {
    const [word = "", first = "", second = "0"] = part.trim().split(" ");
    assert(word in TOY, `toy program has no step "${word}"`);
    const op = word as ToyOp;
    if (op === "hash" || op === "revert") return { op, accounts: [], amount: Number(first) };
    return { op, accounts: first.split("|").map((short) => bytesOfHex(short.repeat(20))), amount: Number(second) };
  });
  return toyProgram(steps, seed);
}

export const isToyProgram = (bytes: Uint8Array): boolean =>
  bytes.length >= HEADER_BYTES && MAGIC.every((byte, index) => bytes[index] === byte);

/** The steps of a program, as `toyProgram` packed them. */
export function toySteps(program: Uint8Array): ToyStep[] {
  assert(isToyProgram(program), "a toy program has no magic");
  const steps: ToyStep[] = [];
  for (let at = HEADER_BYTES; at < program.length;) {
    const op = OPS[program[at]!];
    assert(op !== undefined, `toy program has op ${program[at]}`);
    const count = program[at + 1]!;
    const from = at + STEP_BYTES;
    const accounts = Array.from({ length: count }, (_, number) => program.slice(from + number * 20, from + number * 20 + 20));
    steps.push({ op, accounts, amount: readU32(program, at + 2) });
    at = from + count * 20;
  }
  return steps;
}

/** What a program sees of the world, with the rules about what may be touched. */
export interface ToyTurn {
  /** Notes the touch; false if this transaction may not make it. */
  mayTouch(address: Uint8Array, mode: number): boolean;
  /** The cell of this key, with what this transaction wrote. */
  read(key: Uint8Array): Uint8Array;
  write(cell: Uint8Array): void;
  /** Hash of a sealed block as a number, null if the block is not sealed. */
  hashOf(block: number): number | null;
}

/** How a program ended. `value`: with `unsealed` the block. `x` is its output. */
export interface ToyOutcome {
  why: number;
  value: number;
  status: 0 | 1;
  reason: number;
  x: number;
  steps: number;
}

/** Runs a program for `sender`. Writes of one that failed or missed are the caller's to forget. */
export function runToy(program: Uint8Array, sender: Uint8Array, turn: ToyTurn): ToyOutcome {
  const outcome: ToyOutcome = {
    why: WHY.complete,
    value: 0,
    status: 1,
    reason: REASON.none,
    x: readU32(program, 4),
    steps: 0,
  };
  for (const step of toySteps(program)) {
    outcome.steps++;
    if (!runStep(step, sender, turn, outcome)) break;
  }
  return outcome;
}

/** False if the program ends here. */
function runStep({ op, accounts, amount }: ToyStep, sender: Uint8Array, turn: ToyTurn, outcome: ToyOutcome): boolean {
  if (op === "revert") return amount > 0 && outcome.x % amount !== 0 ? true : fail(outcome, REASON.revert);
  if (op === "hash") return takeHash(amount, turn, outcome);
  const account = accounts[outcome.x % accounts.length];
  assert(account !== undefined, `toy step ${op} names no account`);
  const mode = op === "code" || op === "past" ? MODE.code : op === "read" || op === "look" ? MODE.read : MODE.write;
  if (!turn.mayTouch(account, mode) || (op === "pay" && !turn.mayTouch(sender, MODE.write))) {
    outcome.why = WHY.outside;
    return false;
  }
  if (op === "past") return takeHash(amount, turn, outcome);
  if (op === "pay") return pay(account, sender, amount, turn, outcome);
  const seen = see(op, account, turn);
  if (op === "add") turn.write(fakeSlotCell(account, (seen + (amount || 1)) >>> 0));
  if (op === "stir") turn.write(fakeSlotCell(account, mix(seen, outcome.x)));
  outcome.x = mix(outcome.x, seen);
  return true;
}

function see(op: ToyOp, account: Uint8Array, turn: ToyTurn): number {
  if (op === "code") return codeNumber(turn.read(fakeKey(CELL.code, account)));
  if (op !== "look") return slotOf(turn.read(fakeSlotKey(account)));
  const record = turn.read(fakeKey(CELL.account, account));
  const nonce = turn.read(fakeKey(CELL.nonce, account));
  const hasCode = codeNumber(turn.read(fakeKey(CELL.code, account))) > 0;
  return balanceOf(record) > 0 || nonceOf(nonce) > 0 || hasCode ? 1 : 0;
}

function pay(account: Uint8Array, sender: Uint8Array, amount: number, turn: ToyTurn, outcome: ToyOutcome): boolean {
  const from = turn.read(fakeKey(CELL.account, sender));
  turn.read(fakeKey(CELL.account, account)); // Asked for even if it comes to nothing, so that one round fetches both.
  if (balanceOf(from) < amount) return fail(outcome, REASON.void);
  turn.write(withBalance(from, balanceOf(from) - amount));
  const to = turn.read(fakeKey(CELL.account, account));
  turn.write(withBalance(to, balanceOf(to) + amount));
  return true;
}

function takeHash(block: number, turn: ToyTurn, outcome: ToyOutcome): boolean {
  const hash = turn.hashOf(block);
  if (hash === null) {
    outcome.why = WHY.unsealed;
    outcome.value = block;
    return false;
  }
  outcome.x = mix(outcome.x, hash);
  return true;
}

function fail(outcome: ToyOutcome, reason: number): false {
  outcome.status = 0;
  outcome.reason = reason;
  return false;
}
