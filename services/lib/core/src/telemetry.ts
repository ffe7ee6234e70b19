/**
 * The port to telemetry. @meridian/telemetry implements it over OpenTelemetry; `noTelemetry` is the same with everything off.
 * Trace context travels as `Headers` ("traceparent"), so that it crosses NATS beside any message.
 */
import type { Headers } from "./ports.ts";

export type Attributes = Record<string, string | number | boolean>;

export interface Span {
  /** Trace context for a message that this span causes; a span that is not sampled says so in it. Empty when tracing is off. */
  headers(): Headers;
  set(attributes: Attributes): void;
  end(error?: unknown): void;
}

export interface SpanOptions {
  kind?: "server" | "client" | "producer" | "consumer" | "internal";
  parent?: Headers; // trace context of the causing message
  links?: Headers[]; // further causes, for batches
  attributes?: Attributes;
}

/** One structured line: facts first, then a sentence. */
export interface Logger {
  debug(facts: Record<string, unknown>, text: string): void;
  info(facts: Record<string, unknown>, text: string): void;
  warn(facts: Record<string, unknown>, text: string): void;
  error(facts: Record<string, unknown>, text: string): void;
}

/** Metric names are `meridian.<service>.<thing>`; units are UCUM ("ms", "By", "{transaction}"). */
export interface Telemetry {
  /** False when no exporter is configured: skip the work of preparing attributes. */
  readonly on: boolean;
  readonly log: Logger;
  counter(name: string, unit: string, description: string): (value: number, attributes?: Attributes) => void;
  histogram(name: string, unit: string, description: string): (value: number, attributes?: Attributes) => void;
  /** Observed whenever metrics are collected. */
  gauge(name: string, unit: string, description: string, observe: () => { value: number; attributes?: Attributes }[]): void;
  span(name: string, options?: SpanOptions): Span;
  shutdown(): Promise<void>;
}

const noSpan: Span = { headers: () => ({}), set: () => undefined, end: () => undefined };
const nothing = () => undefined;

/** Telemetry switched off; logs to `log` if given. */
export function noTelemetry(log: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing }): Telemetry {
  return {
    on: false,
    log,
    counter: () => nothing,
    histogram: () => nothing,
    gauge: nothing,
    span: () => noSpan,
    shutdown: () => Promise.resolve(),
  };
}
