/** A bug of ours, never user input: the process that meets it stops. */
export class BugError extends Error {
  override readonly name = "BugError";
}

/** @throws BugError "bug: <text>" if `condition` does not hold */
export function assert(condition: unknown, text: string): asserts condition {
  if (!condition) throw new BugError(`bug: ${text}`);
}
