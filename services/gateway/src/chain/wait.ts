/** Waiting with a bound. */
import { setTimeout as sleep } from "node:timers/promises";

/** Asks until there is a value or `msMax` have passed; undefined then. */
export async function waitFor<T>(ask: () => Promise<T | undefined>, msMax: number, pollMs: number): Promise<T | undefined> {
  const deadlineAt = performance.now() + msMax;
  for (;;) {
    const value = await ask();
    if (value !== undefined || performance.now() >= deadlineAt) return value;
    await sleep(pollMs);
  }
}
