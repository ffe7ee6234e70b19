/** How a partition waits for its chain to begin. */
import { IoError } from "@meridian/core";
import { wait } from "@meridian/process";
import type { ActorOptions, ActorPorts } from "./ports.ts";

/** Pause between two looks for the settings of a chain that is not begun yet. */
const SETTINGS_MS = 200;

/** The chain id, as soon as the chain's first leader has written it. */
export async function waitForChain(
  { bus, clock, telemetry }: ActorPorts,
  { partition }: ActorOptions,
  signal: AbortSignal,
): Promise<number> {
  for (let tries = 0; ; tries++) {
    const settings = await bus.settings.get();
    if (settings !== undefined) return settings.chainId;
    if (signal.aborted) throw new IoError({ code: "STOPPING", partition }, "never");
    if (tries === 0) telemetry.log.info({ partition }, "The chain is not begun yet; waiting for its settings");
    await wait(clock, SETTINGS_MS, signal);
  }
}
