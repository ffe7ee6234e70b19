/** What a run found. The first failure counts; whatever follows from it would only hide it. */
import { isIoError } from "@meridian/core";

export interface Failure {
  /** Short and the same for all failures of a kind. */
  kind: string;
  /** What exactly. */
  text: string;
}

/** Thrown by checks; caught by the run alone. */
export class CheckFailed extends Error {
  readonly failure: Failure;

  constructor(kind: string, text: string) {
    super(`${kind}: ${text}`);
    this.failure = { kind, text };
  }
}

/** @throws CheckFailed unless it holds */
export function check(holds: boolean, kind: string, text: () => string): asserts holds {
  if (!holds) throw new CheckFailed(kind, text());
}

/** A failure for what a service failed with: bugs say so themselves. */
export function failureOf(who: string, error: unknown): Failure {
  if (error instanceof CheckFailed) return error.failure;
  if (isIoError(error)) return { kind: `process failed: ${error.detail.code}`, text: `${who}: ${error.message}` };
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const head = error instanceof Error ? error.message : String(error);
  return {
    kind: `bug: ${head
      .replace(/^bug: /, "")
      .replaceAll(/[0-9a-f]{8,}|\d+/g, "#")
      .slice(0, 80)}`,
    text: `${who}: ${text}`,
  };
}
