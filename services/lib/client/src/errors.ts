/** What this package throws; viem's own base, so that a caller needs one `catch` for both. */
import { BaseError } from "viem";

/** A batch that no chain would take, or bytes that are none. */
export class SignedBatchError extends BaseError {
  override readonly name = "SignedBatchError";
}

/** A body that was not taken: overload, limits, or a gateway that is not there. */
export class PostError extends BaseError {
  override readonly name = "PostError";
  /** HTTP status; 0 if there was no answer. */
  readonly status: number;
  /** As in JSON-RPC: -32005 is overload. */
  readonly code: number;
  /** Wait so long before the same body is sent again; null if it is of no use. */
  readonly retryAfterMs: number | null;

  constructor(text: string, facts: { status: number; code: number; retryAfterMs: number | null; cause?: Error }) {
    super(text, facts.cause === undefined ? {} : { cause: facts.cause });
    this.status = facts.status;
    this.code = facts.code;
    this.retryAfterMs = facts.retryAfterMs;
  }
}
