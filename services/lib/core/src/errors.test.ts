import { describe, expect, test } from "vitest";
import { assert, BugError } from "./assert.ts";
import { IoError, isIoError } from "./errors.ts";
import { noTelemetry } from "./telemetry.ts";

describe("IoError", () => {
  test("says its facts, keeps its detail and cause", () => {
    const cause = new TypeError("socket");
    const error = new IoError({ code: "TIMEOUT", subject: "read.1", waitedMs: 50 }, "later", cause);
    expect(error.message).toBe("TIMEOUT: subject read.1, waitedMs 50");
    expect(error).toMatchObject({ name: "IoError", retry: "later", detail: { waitedMs: 50 }, cause });
    expect(new IoError({ code: "CLOSED" }, "never").message).toBe("CLOSED");
  });

  test.each<[what: string, error: unknown, code: string | undefined, want: boolean]>([
    ["any code", new IoError({ code: "A" }, "now"), undefined, true],
    ["this code", new IoError({ code: "A" }, "now"), "A", true],
    ["another code", new IoError({ code: "A" }, "now"), "B", false],
    ["another error", new TypeError("A"), undefined, false],
    ["no error", undefined, undefined, false],
  ])("isIoError: %s", (_what, error, code, want) => {
    expect(isIoError(error, code)).toBe(want);
  });
});

describe("assert", () => {
  test("throws a BugError with the text", () => {
    expect(() => assert(false, "gap in log")).toThrow(new BugError("bug: gap in log"));
    expect(() => assert(0, "zero")).toThrow(BugError);
  });

  test("passes what holds", () => {
    expect(() => assert({}, "unused")).not.toThrow();
  });
});

test("noTelemetry does nothing, and says that it is off", async () => {
  const telemetry = noTelemetry();
  const span = telemetry.span("x", { links: [{}] });
  telemetry.counter("a", "{x}", "a")(1);
  telemetry.histogram("b", "ms", "b")(1);
  telemetry.gauge("c", "By", "c", () => [{ value: 1 }]);
  telemetry.log.error({}, "x");
  span.set({ a: 1 });
  span.end();
  await telemetry.shutdown();
  expect([telemetry.on, span.headers()]).toEqual([false, {}]);
});
