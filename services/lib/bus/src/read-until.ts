/** Reading what may be answered by a replica that lags behind. */
import type { Clock } from "@meridian/core";
import { wait } from "@meridian/process";
import { LAG_MS_MAX, RETRY_MS_MAX, RETRY_MS_MIN } from "./limits.ts";

/** Reads again until `isThere`, for LAG_MS_MAX at most. @returns the last answer, whatever it is */
export async function readUntil<T>(clock: Clock, read: () => Promise<T>, isThere: (found: T) => boolean): Promise<T> {
  const endsAt = clock.now() + LAG_MS_MAX;
  for (let pauseMs = RETRY_MS_MIN; ; pauseMs = Math.min(pauseMs * 2, RETRY_MS_MAX)) {
    const found = await read();
    if (isThere(found) || clock.now() >= endsAt) return found;
    await wait(clock, pauseMs);
  }
}
