/**
 * Parameters of calls, parsed as geth parses them and refused in its words: "missing value for required argument 0",
 * "invalid argument 1: json: cannot unmarshal hex string of odd length into Go value of type hexutil.Bytes".
 */
import { invalidParams } from "./errors.ts";
import type { RpcError } from "./errors.ts";

export type Parsed<T> = { value: T } | { problem: string };
/** Turns a JSON value that is not null into a value of ours, or says what is wrong with it. */
export type Parser<T> = (input: unknown, where?: FieldName) => Parsed<T>;
/** Name of the Go field that geth's text names, as "TransactionArgs.data". */
export type FieldName = string | undefined;

export interface Param<T> {
  parse: Parser<T>;
  isRequired: boolean;
}
export const required = <T>(parse: Parser<T>): Param<T> => ({ parse, isRequired: true });
/** Absent and null give undefined. */
export const optional = <T>(parse: Parser<T>): Param<T | undefined> => ({ parse, isRequired: false });

export type ValuesOf<P extends readonly Param<unknown>[]> = { [K in keyof P]: P[K] extends Param<infer T> ? T : never };

/** All arguments of a call in order; absent optional ones are undefined. */
export function parseParams<const P extends readonly Param<unknown>[]>(
  params: unknown,
  definitions: P,
): { args: ValuesOf<P> } | { error: RpcError } {
  if (params !== undefined && params !== null && !Array.isArray(params)) return { error: invalidParams("non-array args") };
  const given: readonly unknown[] = params ?? [];
  const args: unknown[] = [];
  for (const [index, definition] of definitions.entries()) {
    const input = given[index];
    if (input === undefined || input === null) {
      if (definition.isRequired) return { error: invalidParams(`missing value for required argument ${index}`) };
      args.push(undefined);
      continue;
    }
    const parsed = definition.parse(input);
    if ("problem" in parsed) return { error: invalidParams(`invalid argument ${index}: ${parsed.problem}`) };
    args.push(parsed.value);
  }
  if (given.length > definitions.length) {
    return { error: invalidParams(`too many arguments, want at most ${definitions.length}`) };
  }
  return { args: args as ValuesOf<P> };
}

/** Go's text for a JSON value that does not fit its type. */
export function cannotUnmarshal(what: string, type: string, where: FieldName): string {
  return `json: cannot unmarshal ${what} into Go ${where === undefined ? "value" : `struct field ${where}`} of type ${type}`;
}

/** Go's word for the kind of a JSON value. */
export function kindOf(input: unknown): string {
  if (Array.isArray(input)) return "array";
  return typeof input === "boolean" ? "bool" : typeof input;
}

const HEX_DIGITS = /^[0-9a-fA-F]*$/;
const hasPrefix = (text: string): boolean => text.startsWith("0x") || text.startsWith("0X");

/** DATA of any length. */
export const data: Parser<Uint8Array> = (input, where) => {
  const problem = (what: string) => ({ problem: cannotUnmarshal(what, "hexutil.Bytes", where) });
  if (typeof input !== "string") return problem("non-string");
  if (input === "") return { value: new Uint8Array(0) };
  if (!hasPrefix(input)) return problem("hex string without 0x prefix");
  if (input.length % 2 !== 0) return problem("hex string of odd length");
  const value = Buffer.from(input.slice(2), "hex"); // Stops at the first character that is not hex.
  return value.length === input.length / 2 - 1 ? { value } : problem("invalid hex string");
};

const fixedData =
  (bytes: number, type: string): Parser<Uint8Array> =>
  (input, where) => {
    const problem = (what: string) => ({ problem: cannotUnmarshal(what, type, where) });
    if (typeof input !== "string") return problem("non-string");
    if (input !== "" && !hasPrefix(input)) return problem("hex string without 0x prefix");
    if (input.length % 2 !== 0) return problem("hex string of odd length");
    const digits = Math.max(input.length - 2, 0);
    if (digits !== bytes * 2) return { problem: `hex string has length ${digits}, want ${bytes * 2} for ${type}` };
    const value = Buffer.from(input.slice(2), "hex");
    return value.length === bytes ? { value } : problem("invalid hex string");
  };

export const address = fixedData(20, "common.Address");
export const hash = fixedData(32, "common.Hash");

/** What is wrong with the text of a QUANTITY, in geth's words; null if nothing is. */
function quantityProblem(text: string, digitsMax: number): string | null {
  if (!hasPrefix(text)) return "hex string without 0x prefix";
  if (text.length === 2) return 'hex string "0x"';
  if (text.length > 3 && text[2] === "0") return "hex number with leading zero digits";
  if (!HEX_DIGITS.test(text.slice(2))) return "invalid hex string";
  return text.length - 2 > digitsMax ? `hex number > ${digitsMax * 4} bits` : null;
}

const quantity =
  (digitsMax: number, type: string): Parser<bigint> =>
  (input, where) => {
    if (typeof input !== "string") return { problem: cannotUnmarshal("non-string", type, where) };
    if (input === "") return { value: 0n };
    const problem = quantityProblem(input, digitsMax);
    return problem === null ? { value: BigInt(input) } : { problem: cannotUnmarshal(problem, type, where) };
  };

export const quantity256 = quantity(64, "hexutil.Big");
export const quantity64 = quantity(16, "hexutil.Uint64");

/** A 64-bit QUANTITY as a number; above 2^53 the largest safe integer, which is beyond everything that is counted here. */
export const count: Parser<number> = (input, where) => {
  const parsed = quantity64(input, where);
  return "problem" in parsed ? parsed : { value: toSafeNumber(parsed.value) };
};

export const toSafeNumber = (value: bigint): number =>
  value > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(value);

export const bool: Parser<boolean> = (input, where) =>
  typeof input === "boolean" ? { value: input } : { problem: cannotUnmarshal(kindOf(input), "bool", where) };

export const text: Parser<string> = (input, where) =>
  typeof input === "string" ? { value: input } : { problem: cannotUnmarshal(kindOf(input), "string", where) };

/** A number that may come as JSON number, decimal text or hex text. */
export const looseCount: Parser<number> = (input, where) => {
  if (typeof input === "number" && Number.isSafeInteger(input) && input >= 0) return { value: input };
  if (typeof input === "string" && /^(0[xX][0-9a-fA-F]{1,16}|\d{1,19})$/.test(input))
    return { value: toSafeNumber(BigInt(input)) };
  return { problem: cannotUnmarshal(kindOf(input), "uint64", where) };
};

export const object: Parser<Record<string, unknown>> = (input, where) =>
  typeof input === "object" && input !== null && !Array.isArray(input)
    ? { value: input as Record<string, unknown> }
    : { problem: cannotUnmarshal(kindOf(input), "object", where) };

export const listOf =
  <T>(item: Parser<T>, type: string): Parser<T[]> =>
  (input, where) => {
    if (!Array.isArray(input)) return { problem: cannotUnmarshal(kindOf(input), type, where) };
    const values: T[] = [];
    for (const element of input) {
      const parsed = item(element, where);
      if ("problem" in parsed) return parsed;
      values.push(parsed.value);
    }
    return { value: values };
  };
