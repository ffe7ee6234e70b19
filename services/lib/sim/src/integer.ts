import { InvalidArgumentError } from "commander";

/** An option that is a whole number from 0. */
export function integer(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new InvalidArgumentError("a whole number from 0");
  return value;
}
