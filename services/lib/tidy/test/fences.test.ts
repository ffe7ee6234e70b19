/**
 * Lints code that must fail, one text for each fence and rule: a rule that no longer bites fails here. The texts stand in for
 * files that exist, so that they have types and a place in the project graph.
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { ESLint } from "eslint";
import { beforeAll, describe, expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../../../..");
const FILES = {
  core: "services/lib/core/src/assert.ts",
  coreTest: "services/lib/core/src/settings.test.ts",
  bus: "services/lib/bus/src/index.ts",
  store: "services/lib/store/src/index.ts",
  telemetry: "services/lib/telemetry/src/start.ts",
  service: "services/partition/src/ports.ts",
  main: "services/partition/src/main.ts",
} as const;
type Place = keyof typeof FILES;

/** Why the Nx rule refused, by its message id. */
const TAGS = "@nx/enforce-module-boundaries onlyTagsConstraintViolation";
const APP = "@nx/enforce-module-boundaries noImportsOfApps"; // Nx takes a package without exports for an app.
const CIRCLE = "@nx/enforce-module-boundaries noCircularDependencies";
const EXTERNAL = "@nx/enforce-module-boundaries bannedExternalImportsViolation";
const UNDECLARED = "@nx/enforce-module-boundaries noTransitiveDependencies";
const BY_PATH = "@nx/enforce-module-boundaries noRelativeOrAbsoluteImportsAcrossLibraries";
const IMPORTS = "no-restricted-imports";
const GLOBALS = "no-restricted-globals";
const PROPERTIES = "no-restricted-properties";
const SYNTAX = "no-restricted-syntax";

let eslint: ESLint;
let graph: { nodes: Record<string, { name: string; data: { tags: string[] } }> };
beforeAll(() => {
  // The Nx rule passes over everything, with only a warning, if no project graph is cached. So one is made first.
  const output = execFileSync("nx", ["graph", "--print"], {
    cwd: ROOT,
    env: { ...process.env, NX_DAEMON: "false" },
    encoding: "utf8",
  });
  ({ graph } = JSON.parse(output) as { graph: typeof graph });
  eslint = new ESLint({ cwd: ROOT, overrideConfigFile: join(ROOT, "eslint.config.mjs") });
});

/** The rules that `code` breaks if it stands in the file of `place`; with the message's id where a rule has several reasons. */
async function rulesBroken(place: Place, code: string): Promise<string[]> {
  const results = await eslint.lintText(`${code}\n`, { filePath: join(ROOT, FILES[place]) });
  return results.flatMap(({ messages }) =>
    messages.map(({ ruleId, messageId, message }) =>
      ruleId?.startsWith("@nx/") ? `${ruleId} ${messageId ?? ""}` : (ruleId ?? message),
    ),
  );
}

const uses = (module: string) => `import * as it from "${module}";\nexport const used: unknown = it;`;
const long = (lines: number) => Array.from({ length: lines }, (_, line) => `  run(${line});`).join("\n");

test.each<[what: string, place: Place, code: string, rule: string]>([
  ["core imports an adapter", "core", uses("@meridian/bus"), CIRCLE],
  ["core imports a tool", "core", uses("@meridian/tidy/package.json"), APP],
  ["core imports a package", "core", uses("viem"), EXTERNAL],
  ["core imports another cache", "core", uses("quick-lru"), IMPORTS],
  ["core imports another part of xstate", "core", uses("xstate/actors"), IMPORTS],
  ["core starts an actor", "core", 'import { createActor } from "xstate";\nexport const it = createActor;', IMPORTS],
  ["an adapter imports a service", "store", uses("@meridian/scheduler"), TAGS],
  ["a service imports another service", "service", uses("@meridian/scheduler"), TAGS],
  ["a service imports a tool", "service", uses("@meridian/launcher"), TAGS],
  ["a service imports an undeclared package", "service", uses("solc"), UNDECLARED],
  ["a service reaches into another package by path", "service", uses("../../lib/bus/src/index.ts"), BY_PATH],
  ["NATS outside of bus", "service", uses("@nats-io/transport-node"), IMPORTS],
  ["JetStream outside of bus", "store", uses("@nats-io/jetstream"), IMPORTS],
  ["msgpackr outside of bus", "store", uses("msgpackr"), IMPORTS],
  ["LMDB outside of store", "bus", uses("lmdb"), IMPORTS],
  ["OpenTelemetry outside of telemetry", "service", uses("@opentelemetry/api"), IMPORTS],
  ["the OTel SDK outside of telemetry", "bus", uses("@opentelemetry/sdk-trace"), IMPORTS],
  ["Kubernetes outside of the operator", "service", uses("@kubernetes/client-node"), IMPORTS],
  ["core: node:", "core", uses("node:fs"), IMPORTS],
  ["core: a builtin without node:", "core", uses("fs"), IMPORTS],
  ["core: a folder of a builtin", "core", uses("timers/promises"), IMPORTS],
  ["core: an import at run time", "core", 'export const it = await import("node:fs");', SYNTAX],
  ["core: a global by its full name", "core", "export const at = globalThis.performance;", SYNTAX],
  ["require by a call", "service", 'import { createRequire } from "node:module";\nexport const it = createRequire;', SYNTAX],
  ["signatures outside of engine and launcher", "service", uses("secp256k1"), IMPORTS],
  ["core: an engine", "core", uses("lmdb"), IMPORTS],
  ["core: Date", "core", "export const at = Date.now();", GLOBALS],
  ["core: performance", "core", "export const at = performance.now();", GLOBALS],
  ["core: a timer", "core", "setTimeout(() => undefined, 1);", GLOBALS],
  ["core: fetch", "core", 'export const page = fetch("x");', GLOBALS],
  ["core: process", "core", "export const id = process.pid;", GLOBALS],
  ["core: crypto", "core", "export const id = crypto.randomUUID();", GLOBALS],
  ["core: Math.random", "core", "export const chance = Math.random();", PROPERTIES],
  ["the environment outside of main.ts", "service", "export const home = process.env.HOME;", PROPERTIES],
  ["export *", "service", 'export * from "@meridian/core";', SYNTAX],
  [
    "an empty catch",
    "service",
    "export function f(g: () => void) {\n  try {\n    g();\n  } catch {\n    // Nothing.\n  }\n}",
    SYNTAX,
  ],
  ["a thrown text", "service", 'throw new Error("no");', SYNTAX],
  ["! on a value", "service", "export const f = (a: string | undefined) => a!;", SYNTAX],
  ["a skipped test", "coreTest", 'import { test } from "vitest";\ntest.skip("x", () => undefined);', SYNTAX],
  ["a lonely test", "coreTest", 'import { describe } from "vitest";\ndescribe.only("x", () => undefined);', SYNTAX],
  ["any", "service", "export const f = (a: any) => a;", "@typescript-eslint/no-explicit-any"],
  ["a promise nobody waits for", "service", "Promise.resolve(1);", "@typescript-eslint/no-floating-promises"],
  [
    "a disabled compiler check",
    "service",
    "// @ts-ignore because\nexport const a: number = 1;",
    "@typescript-eslint/ban-ts-comment",
  ],
  [
    "a type imported as a value",
    "service",
    'import { Bus } from "@meridian/core";\nexport type B = Bus;',
    "@typescript-eslint/consistent-type-imports",
  ],
  [
    "a case left out",
    "service",
    "export function f(a: 1 | 2) {\n  switch (a) {\n    case 1:\n      return;\n  }\n}",
    "@typescript-eslint/switch-exhaustiveness-check",
  ],
  ["work put off", "service", "// TODO later", "no-warning-comments"],
  ["printing in a service", "service", 'console.log("x");', "no-console"],
  ["==", "service", "export const f = (a: number) => a == 1;", "eqeqeq"],
  [
    "a function of 71 lines",
    "service",
    `export function f(run: (n: number) => void) {\n${long(69)}\n}`,
    "max-lines-per-function",
  ],
  ["a file of 401 lines", "service", "export {};\n".repeat(401), "max-lines"],
  ["a line of 131 characters", "service", `// ${"x".repeat(128)}`, "max-len"],
])("refused: %s", async (_what, place, code, rule) => {
  const got = await rulesBroken(place, code);
  expect(got, got.join()).toContain(rule);
});

test.each<[what: string, place: Place, code: string]>([
  ["a service imports core", "service", uses("@meridian/core")],
  ["a service imports an adapter", "service", uses("@meridian/telemetry")],
  ["core imports xstate", "core", 'import { setup, transition } from "xstate";\nexport const it = [setup, transition];'],
  ["core imports lru-cache", "core", 'import { LRUCache } from "lru-cache";\nexport const it = LRUCache;'],
  ["bus imports NATS", "bus", uses("@nats-io/transport-node")],
  ["store imports LMDB", "store", uses("lmdb")],
  ["telemetry imports OpenTelemetry", "telemetry", uses("@opentelemetry/api")],
  ["tests of core may use node:", "coreTest", uses("node:crypto")],
  ["main.ts reads the environment", "main", "export const home = process.env.HOME;"],
  ["! on an element of a packed buffer", "service", "export const f = (a: Uint8Array) => a[0]!;"],
  ["a function of 70 lines", "service", `export function f(run: (n: number) => void) {\n${long(68)}\n}`],
])("allowed: %s", async (_what, place, code) => {
  expect(await rulesBroken(place, code)).toEqual([]);
});

describe("nothing gets around the rules", () => {
  test("eslint-disable has no effect", async () => {
    const code = "// eslint-disable-next-line eqeqeq\nexport const f = (a: number) => a == 1;";
    expect(await rulesBroken("service", code)).toContain("eqeqeq");
  });

  test("every package has one kind that the constraints know", () => {
    const known = ["kind:core", "kind:adapter", "kind:service", "kind:operator", "kind:tool", "kind:sim"];
    const nodes = Object.values(graph.nodes);
    expect(nodes.length).toBeGreaterThan(10);
    for (const { name, data } of nodes) {
      const kinds = data.tags.filter((tag) => tag.startsWith("kind:"));
      expect([name, kinds]).toEqual([name, [known.find((kind) => data.tags.includes(kind))]]);
    }
  });
});
