/** I/O failed. Thrown only by shells and adapters; `detail` goes whole into the log line and the span. */
export class IoError<D extends { code: string } = { code: string; text?: string }> extends Error {
  override readonly name = "IoError";
  readonly detail: D;
  readonly retry: "now" | "later" | "never";

  constructor(detail: D, retry: "now" | "later" | "never", cause?: unknown) {
    super(describe(detail), { cause });
    this.detail = detail;
    this.retry = retry;
  }
}

/** True if `error` is an IoError, and with this code if one is given. (`instanceof` alone would leave `detail` untyped.) */
export function isIoError(error: unknown, code?: string): error is IoError {
  return error instanceof IoError && (code === undefined || (error as IoError).detail.code === code);
}

function describe(detail: { code: string }): string {
  const facts = Object.entries(detail).flatMap(([name, value]) => (name === "code" ? [] : [`${name} ${String(value)}`]));
  return facts.length === 0 ? detail.code : `${detail.code}: ${facts.join(", ")}`;
}
