import { hexOf, isIoError } from "@meridian/core";
import type { Logger } from "@meridian/core";
import { destination, pino, stdTimeFunctions } from "pino";
import type { DestinationStream } from "pino";

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/** Bytes of a buffer that a log line shows. */
const BYTES_SHOWN_MAX = 64;

/**
 * One JSON object a line: level, time (ISO), service, instance, the facts, msg. To stderr unless told otherwise: stdout is for
 * what a command answers. Written at once, so that the last line before a crash is there.
 */
export function makeLogger(
  options: { service: string; instance: string; level: LogLevel },
  stream: DestinationStream = destination({ fd: 2, sync: true }),
): Logger {
  const { service, instance, level } = options;
  return pino(
    {
      level,
      base: { service, instance },
      timestamp: stdTimeFunctions.isoTime,
      formatters: {
        level: (label) => ({ level: label }),
        log: (facts) => Object.fromEntries(Object.entries(facts).map(([name, value]) => [name, plainOf(value)])),
      },
    },
    stream,
  );
}

/** A fact as JSON can hold it: errors with their detail, bytes as hex, bigints as text. */
function plainOf(value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Uint8Array) return `0x${hexOf(value, 0, Math.min(value.length, BYTES_SHOWN_MAX))}`;
  if (!(value instanceof Error)) return value;
  const detail = isIoError(value) ? { ...value.detail, retry: value.retry } : { name: value.name, text: value.message };
  return { ...detail, stack: value.stack, ...(value.cause === undefined ? {} : { cause: plainOf(value.cause) }) };
}
