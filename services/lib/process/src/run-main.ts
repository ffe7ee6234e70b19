/** How a process starts and ends: `--help`, a plain error and exit code 1 if it fails, SIGTERM and SIGINT. */
import { isIoError } from "@meridian/core";

/**
 * Runs a process to its end and exits: 0 when `main` resolves, 1 with one line on standard error when it rejects.
 * @param help the text for `--help`, printed instead of running
 */
export async function runMain(help: () => string, main: () => Promise<void>): Promise<never> {
  if (process.argv.includes("--help")) {
    process.stdout.write(`${help()}\n`);
    process.exit(0);
  }
  await main().catch(fail);
  process.exit(0);
}

/** Ends the process with an error in one line. */
export function fail(error: unknown): never {
  const text = isIoError(error) || error instanceof Error ? error.message : String(error);
  process.stderr.write(`${text}\n`);
  process.exit(1);
}

/** Resolves with the name of the first signal that asks this process to stop. */
export function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => resolve(name));
  });
}
