import { IoError } from "@meridian/core";
import { expect, test } from "vitest";
import { makeLogger } from "./logger.ts";
import { startTelemetry } from "./start.ts";

function linesOf(
  level: "debug" | "info" | "silent",
  write: (log: ReturnType<typeof makeLogger>) => void,
): Record<string, unknown>[] {
  const lines: string[] = [];
  write(makeLogger({ service: "gateway", instance: "g1", level }, { write: (line) => void lines.push(line) }));
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

test("a line has level, time, names, facts and text", () => {
  const [line] = linesOf("info", (log) => log.info({ hash: Uint8Array.of(1, 255), value: 5n, port: 1 }, "listening"));
  expect(line).toMatchObject({
    level: "info",
    service: "gateway",
    instance: "g1",
    hash: "0x01ff",
    value: "5",
    port: 1,
    msg: "listening",
  });
  expect(line?.time).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
});

test("an IoError shows its whole detail and its cause", () => {
  const error = new IoError({ code: "FULL", limit: 3 }, "later", new TypeError("disk"));
  const [line] = linesOf("info", (log) => log.error({ error }, "append failed"));
  expect(line?.error).toMatchObject({ code: "FULL", limit: 3, retry: "later", cause: { name: "TypeError", text: "disk" } });
});

test("levels below the configured one are left out", () => {
  expect(linesOf("info", (log) => log.debug({}, "x"))).toEqual([]);
  expect(linesOf("debug", (log) => log.debug({}, "x"))).toHaveLength(1);
  expect(linesOf("silent", (log) => log.error({}, "x"))).toEqual([]);
});

test.each<[variable: string, got: string]>([
  ["LOG_LEVEL", "loud"],
  ["OTEL_TRACES_EXPORTER", "jaeger"],
  ["OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"],
  ["OTEL_TRACES_SAMPLER", "some"],
  ["OTEL_TRACES_SAMPLER_ARG", "2"],
])("%s=%s is refused by name", async (variable, got) => {
  const options = { service: "x", instance: "x", version: "0", env: { [variable]: got } };
  await expect(startTelemetry(options)).rejects.toMatchObject({ detail: { code: "SETTING", variable, got }, retry: "never" });
});
