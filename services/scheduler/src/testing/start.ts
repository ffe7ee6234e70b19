/** Schedulers with short times over any bus. */
import { randomBytes } from "node:crypto";
import { systemClock } from "@meridian/process";
import { noTelemetry } from "@meridian/core";
import type { Bus, Logger, SequencerLimits, Telemetry } from "@meridian/core";
import { parseGenesis } from "../genesis.ts";
import type { SchedulerPorts, SchedulerTiming } from "../ports.ts";
import { runScheduler } from "../run.ts";
import type { RunningScheduler } from "../run.ts";

export const TEST_GENESIS = JSON.stringify({
  config: { chainId: 31_337 },
  timestamp: "0x5",
  alloc: { "0x00000000000000000000000000000000000000aa": { balance: "0x64" } },
});

export const testTiming: SchedulerTiming = {
  beatMs: 20,
  takeOverMs: 400,
  takeOverJitterMs: 200,
  tickMs: 5,
  nonceRequestMs: 1_500,
  retryMs: 20,
  chainMsMax: 5_000,
};

/** Lines of one log, as "level text". */
export function linesInto(lines: string[]): Logger {
  const at = (level: string) => (_facts: Record<string, unknown>, text: string) => void lines.push(`${level} ${text}`);
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

export interface TestScheduler extends RunningScheduler {
  lines: string[];
}

export function startScheduler(
  bus: Bus,
  instance: string,
  options: {
    genesis?: string | null;
    partitions?: number;
    blockMs?: number;
    timing?: Partial<SchedulerTiming>;
    limits?: Partial<SequencerLimits>;
    admin?: boolean;
    telemetry?: Telemetry;
  } = {},
): TestScheduler {
  const lines: string[] = [];
  const { genesis = TEST_GENESIS, partitions = 4, blockMs = 50 } = options;
  const ports: SchedulerPorts = {
    bus,
    telemetry: options.telemetry ?? noTelemetry(linesInto(lines)),
    clock: systemClock,
    unixMs: () => Date.now(),
    randomBytes: (count) => new Uint8Array(randomBytes(count)),
  };
  const running = runScheduler(ports, {
    instance,
    timing: { ...testTiming, ...options.timing },
    ...(options.limits === undefined ? {} : { limits: options.limits }),
    ...(options.admin === undefined ? {} : { admin: options.admin }),
    ...(genesis === null ? {} : { chain: { genesis: parseGenesis(genesis), partitions, blockMs } }),
  });
  // A test that expects it looks at `done` itself.
  running.done.catch((error: unknown) => lines.push(`failed ${String(error)}`));
  return { ...running, lines };
}
