import { describe, expect, expectTypeOf, test } from "vitest";
import { IoError } from "./errors.ts";
import { defineSettings, readSettings, serviceSettings, settingsHelp, streamLimitsOf } from "./settings.ts";

const definitions = defineSettings({
  port: { variable: "PORT", kind: "integer", default: 8545, min: 0, max: 65_535, help: "Port to listen on." },
  host: { variable: "HOST", kind: "text", help: "Address to listen on." },
  data: { variable: "DATA", kind: "text", optional: true, help: "Folder." },
  isOpen: { variable: "OPEN", kind: "boolean", default: false, help: "Open to all." },
  engine: { variable: "ENGINE", kind: "choice", choices: ["auto", "wasm"], default: "auto", help: "Build." },
  origins: { variable: "ORIGINS", kind: "list", default: [], help: "Origins." },
  partitions: { variable: "PARTITIONS", kind: "integers", default: [0], min: 0, help: "Partitions." },
});
const defaults = { port: 8545, host: "h", data: undefined, isOpen: false, engine: "auto", origins: [], partitions: [0] };

describe("readSettings", () => {
  test.each<[what: string, env: Record<string, string | undefined>, want: object]>([
    ["defaults", {}, {}],
    ["an empty variable is not set", { PORT: "", ENGINE: " " }, {}],
    ["an integer", { PORT: "0" }, { port: 0 }],
    ["an optional text", { DATA: " /tmp/x " }, { data: "/tmp/x" }],
    ["true", { OPEN: "1" }, { isOpen: true }],
    ["False", { OPEN: "False" }, { isOpen: false }],
    ["a choice", { ENGINE: "wasm" }, { engine: "wasm" }],
    ["a list", { ORIGINS: "a, b,,c" }, { origins: ["a", "b", "c"] }],
    ["integers", { PARTITIONS: "0, 2" }, { partitions: [0, 2] }],
  ])("%s", (_what, env, want) => {
    expect(readSettings(definitions, { HOST: "h", ...env })).toEqual({ ...defaults, ...want });
  });

  test.each<[what: string, env: Record<string, string>, variable: string, got: string, want: string]>([
    ["a required one is missing", { HOST: "" }, "HOST", "", "text"],
    ["above max", { PORT: "65536" }, "PORT", "65536", "integer from 0 to 65535"],
    ["below min", { PORT: "-1" }, "PORT", "-1", "integer from 0 to 65535"],
    ["not decimal", { PORT: "0x10" }, "PORT", "0x10", "integer from 0 to 65535"],
    ["beyond 2^53", { PORT: "9007199254740993" }, "PORT", "9007199254740993", "integer from 0 to 65535"],
    ["not a boolean", { OPEN: "maybe" }, "OPEN", "maybe", "true or false"],
    ["not a choice", { ENGINE: "jit" }, "ENGINE", "jit", "auto | wasm"],
    ["one item is no integer", { PARTITIONS: "0,x" }, "PARTITIONS", "0,x", "integers from 0 separated by commas"],
  ])("refuses: %s", (_what, env, variable, got, want) => {
    const caught = catchError(() => readSettings(definitions, { HOST: "h", ...env }));
    expect(caught).toBeInstanceOf(IoError);
    expect(caught).toMatchObject({ detail: { code: "SETTING", variable, got, want }, retry: "never" });
    expect(String(caught)).toContain(`${variable}, got ${got}, want ${want}`);
  });

  test("values are typed by their definitions", () => {
    const values = readSettings(definitions, { HOST: "h" });
    expectTypeOf(values.port).toEqualTypeOf<number>();
    expectTypeOf(values.data).toEqualTypeOf<string | undefined>();
    expectTypeOf(values.engine).toEqualTypeOf<"auto" | "wasm">();
    expectTypeOf(values.partitions).toEqualTypeOf<readonly number[]>();
    expectTypeOf(readSettings(serviceSettings, {}).durability).toEqualTypeOf<"process" | "power">();
  });
});

test.each<[env: Record<string, string>, want: ReturnType<typeof streamLimitsOf>]>([
  [{}, { replicas: 1, logBytesMax: undefined, outBytesMax: undefined }],
  [
    { MERIDIAN_NATS_REPLICAS: "3", MERIDIAN_LOG_MAX_MB: "64", MERIDIAN_OUT_MAX_MB: "128" },
    { replicas: 3, logBytesMax: 64 << 20, outBytesMax: 128 << 20 },
  ],
])("streams are kept as %j says", (env, want) => {
  expect(streamLimitsOf(readSettings(serviceSettings, env))).toEqual(want);
  expect(() => readSettings(serviceSettings, { ...env, MERIDIAN_NATS_REPLICAS: "2" })).toThrow("1 | 3 | 5");
});

test("settingsHelp prints one line for each variable, in columns", () => {
  expect(settingsHelp({ host: definitions.host, port: definitions.port }, "meridian gateway").split("\n")).toEqual([
    "meridian gateway",
    "",
    "Environment:",
    "  HOST  text                     required      Address to listen on.",
    "  PORT  integer from 0 to 65535  default 8545  Port to listen on.",
    "",
  ]);
});

function catchError(run: () => unknown): unknown {
  try {
    run();
    return undefined;
  } catch (error) {
    return error;
  }
}
