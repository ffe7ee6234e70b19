/**
 * Storing with a known end. The answer to a store can be lost; then the stream itself is asked what became of it.
 *
 * S1. A store happens at most once: every try carries the same expectation, and the first that succeeds makes it false.
 * S2. While a try of unknown outcome may still arrive, "full" is no answer: it could land later. Tries go on.
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
 * Tries `store` until its outcome is known. `lookUp` reads the stream.
 * @throws IoError UNREACHABLE after `msMax`: the outcome is unknown
 */
export async function settle<T>(
  clock: Clock,
  msMax: number,
  store: () => Promise<StoreOutcome>,
  lookUp: () => Promise<Found<T>>,
): Promise<Settled<T>> {
  const endsAt = clock.now() + msMax;
  let pauseMs = RETRY_MS_MIN;
  let isUnknown = false; // A try may have landed, or may still.
  for (let tries = 1; ; tries++) {
    let failure: unknown;
    try {
      const answer = await store();
      if (answer.outcome === "stored") return answer;
      if (answer.outcome === "full" && !isUnknown) return answer;
      failure = new IoError({ code: answer.outcome === "full" ? "FULL" : "MOVED" }, "later");
    } catch (error) {
      failure = retryable(error);
      isUnknown = true;
    }
    try {
      const found = await lookUp();
      if (found.found === "stored") return { outcome: "stored", sequence: found.sequence };
      if (found.found === "other") return { outcome: "other", other: found.other };
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
