/**
 * Storing with a known end. The answer to a store can be lost; then the stream itself is asked what became of it.
 *
 * S1. A store happens at most once: every try carries the same expectation, and the first that succeeds makes it false.
 * S2. While a try of unknown outcome may still arrive, "full" is no answer: it could land later. Tries go on.
 * S3. Where tries are dealt with in order, one that is answered says that those before it have ended: then "full" is an answer
 *     after all, if the stream shows that nothing landed. A nats-server whose limit is reached within an atomic batch gives no
 *     answer to it (2.15.1), and may have kept its first messages.
 */
import { IoError, isIoError } from "@meridian/core";
import type { Clock } from "@meridian/core";
import { wait } from "@meridian/process";
import { RETRY_MS_MAX, RETRY_MS_MIN } from "./limits.ts";
import type { StoreOutcome } from "./stream.ts";

/** What the stream shows after a refused or unknown store: it is there, it can still be tried, or another one came first. */
export type Found<T> = { found: "stored"; sequence: number } | { found: "open" } | { found: "other"; other: T };
export type Settled<T> = Exclude<StoreOutcome, { outcome: "moved" }> | { outcome: "other"; other: T };

/**
 * Tries `store` until its outcome is known. `lookUp` reads the stream; `order` as in `Stream`.
 * @throws IoError UNREACHABLE after `msMax`: the outcome is unknown
 */
export async function settle<T>(
  clock: Clock,
  msMax: number,
  store: () => Promise<StoreOutcome>,
  lookUp: () => Promise<Found<T>>,
  order: () => number | undefined = () => undefined,
): Promise<Settled<T>> {
  const endsAt = clock.now() + msMax;
  const lostIn = new Set<number | undefined>(); // Orders of tries that may have landed, or may still.
  let pauseMs = RETRY_MS_MIN;
  for (let tries = 1; ; tries++) {
    const sentIn = order();
    let full: Extract<StoreOutcome, { outcome: "full" }> | undefined;
    let failure: unknown;
    try {
      const answer = await store();
      if (answer.outcome === "stored") return answer;
      if (answer.outcome === "full") full = answer;
      failure = new IoError({ code: answer.outcome === "full" ? "FULL" : "MOVED" }, "later");
    } catch (error) {
      failure = retryable(error);
      lostIn.add(sentIn);
    }
    const now = order();
    const isOver = [...lostIn].every((lost) => lost !== undefined && lost === now);
    try {
      const found = await lookUp();
      if (found.found === "stored") return { outcome: "stored", sequence: found.sequence };
      if (found.found === "other") return { outcome: "other", other: found.other };
      if (full !== undefined && isOver) return full;
    } catch (error) {
      failure = retryable(error);
    }
    if (clock.now() + pauseMs >= endsAt) {
      const last = failure instanceof Error ? failure.message : String(failure);
      throw new IoError({ code: "UNREACHABLE", tries, waitedMs: msMax, last }, "later", failure);
    }
    await wait(clock, pauseMs);
    pauseMs = Math.min(pauseMs * 2, RETRY_MS_MAX);
  }
}

/** Passes on what can be tried again; throws the rest. */
function retryable(error: unknown): unknown {
  if (isIoError(error) && error.retry !== "never") return error;
  throw error;
}
