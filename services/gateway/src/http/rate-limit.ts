/** Calls a second of one client address. */
import { RateLimiterMemory } from "rate-limiter-flexible";

export interface RateLimit {
  /** False if the client has used up this second's calls. */
  take(client: string, calls: number): Promise<boolean>;
  /** What a client reads that was refused. */
  readonly text: string;
}

/** @param callsPerSecondMax 0 for no limit */
export function rateLimit(callsPerSecondMax: number): RateLimit {
  const text = `rate limit exceeded: at most ${callsPerSecondMax} calls a second`;
  if (callsPerSecondMax === 0) return { take: () => Promise.resolve(true), text };
  const limiter = new RateLimiterMemory({ points: callsPerSecondMax, duration: 1 });
  return {
    text,
    take: (client, calls) =>
      limiter.consume(client, calls).then(
        () => true,
        (refusal: unknown) => {
          if (refusal instanceof Error) throw refusal;
          return false; // The library rejects with a record of points when they are used up.
        },
      ),
  };
}
