import type { Span, SpanOptions, Telemetry } from "@meridian/core";

const NO_SPAN: Span = { headers: () => ({}), set: () => undefined, end: () => undefined };

/** A span below a trace that somebody began. Without one there is none: a trace for each message and read would be noise. */
export function spanOf(telemetry: Telemetry, name: string, options: SpanOptions): Span {
  return options.parent !== undefined && "traceparent" in options.parent ? telemetry.span(name, options) : NO_SPAN;
}
