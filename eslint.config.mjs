/**
 * Lint rules of the workspace. What they say in words: docs/STYLE.md. services/lib/tidy proves of each fence that it bites.
 */
import { builtinModules } from "node:module";
import js from "@eslint/js";
import nx from "@nx/eslint-plugin";
import { defineConfig } from "eslint/config";
import typescript from "typescript-eslint";

const TESTS = ["**/*.test.ts", "**/test/**/*.ts", "**/testing/**/*.ts"];

/** Who may depend on whom, by the tag in each package.json. */
const depConstraints = [
  {
    sourceTag: "kind:core",
    onlyDependOnLibsWithTags: ["kind:core"],
    allowedExternalImports: ["xstate", "lru-cache", "vitest", "fast-check"], // xstate and lru-cache are pure; two are for tests.
  },
  { sourceTag: "kind:adapter", onlyDependOnLibsWithTags: ["kind:core", "kind:adapter"] },
  { sourceTag: "kind:service", onlyDependOnLibsWithTags: ["kind:core", "kind:adapter"] },
  { sourceTag: "kind:operator", onlyDependOnLibsWithTags: ["kind:core", "kind:adapter"] },
  { sourceTag: "kind:sim", onlyDependOnLibsWithTags: ["kind:core", "kind:adapter", "kind:service"] },
  { sourceTag: "kind:tool", onlyDependOnLibsWithTags: ["*"] },
];

/** Each engine has one home: the only folder that may import it. */
const ENGINES = [
  { home: "services/lib/bus", packages: ["@nats-io/*", "nats", "msgpackr"] },
  { home: "services/lib/store", packages: ["lmdb"] },
  { home: "services/lib/telemetry", packages: ["@opentelemetry/*", "pino"] },
  { home: "services/lib/{engine,launcher}", packages: ["secp256k1"] }, // Recovery; the launcher's load signs.
  { home: "operators", packages: ["@kubernetes/client-node"] },
];

/** @param {string | null} folder  whose own engines are allowed; null for none */
const engineFences = (folder) =>
  ENGINES.filter(({ home }) => home !== folder).map(({ home, packages }) => ({
    group: packages.flatMap((name) => [name, `${name}/**`]),
    message: `Only ${home} imports this.`,
  }));

/** @param {object[]} patterns */
const restrictImports = (patterns) => ({ "no-restricted-imports": ["error", { patterns }] });

/** Forms that are banned everywhere; each message says what to do instead. */
const BANNED_SYNTAX = [
  { selector: "ExportAllDeclaration", message: "Name what you export: `export *` hides it." },
  {
    selector: "CatchClause > BlockStatement[body.length=0]",
    message: "Handle the error or let it pass: an empty catch loses it.",
  },
  {
    selector: "ImportSpecifier[imported.name='createRequire']",
    message: "Import it: what is required by a call passes all fences.",
  },
  {
    selector: "ThrowStatement > NewExpression[callee.name=/^(Error|TypeError|RangeError)$/]",
    message: "Refusals are values, failures are IoError, bugs go through assert.",
  },
];

/** What indexing or `at` gives has been checked by whoever knows the length; anything else that may be absent is looked at. */
const BANNED_BANG = {
  selector:
    "TSNonNullExpression" +
    ":not([expression.type='MemberExpression'][expression.computed=true], [expression.callee.property.name='at'])",
  message: "`!` only on an indexed element of a packed buffer or checked list.",
};

/** What would let core reach around its fences. */
const BANNED_IN_CORE = [
  { selector: "ImportExpression", message: "Core loads nothing at run time." },
  { selector: "MemberExpression[object.name='globalThis']", message: "Core knows no globals." },
];

/** Packages without an entry for import: CommonJS whose files are found by `require`. */
const REQUIRING = [
  "services/lib/engine/src/native.ts",
  "services/lib/engine/test/token.ts",
  "services/lib/launcher/src/workload/compile.ts",
];

const BANNED_IN_TESTS = [
  {
    selector: "MemberExpression[object.name=/^(test|it|describe|suite)$/][property.name=/^(skip|only|todo|fails|skipIf|runIf)$/]",
    message: "No skipped tests: assert what happens and say why.",
  },
];

/** What core must not know: a clock, chance, I/O, the process. */
const CORE_GLOBALS = [
  ["Date", "Time comes in as a value."],
  ["performance", "Time comes in as a value."],
  ["setTimeout", "Time comes in as an event."],
  ["setInterval", "Time comes in as an event."],
  ["setImmediate", "Core does not wait."],
  ["queueMicrotask", "Core does not wait."],
  ["fetch", "Core does no I/O."],
  ["WebSocket", "Core does no I/O."],
  ["process", "Core does not know its process."],
  ["console", "Core does not print: return what happened."],
  ["crypto", "Chance comes in as a value."],
  ["Buffer", "Uint8Array: core runs anywhere."],
].map(([name, message]) => ({ name, message }));

/** What core takes from xstate: machines as values and their pure step. An actor would have a clock and a queue of its own. */
const MACHINE_PARTS = ["setup", "assign", "initialTransition", "transition", "SnapshotFrom"];

const coreFences = [
  ...engineFences(null),
  { regex: "^(?!\\.{1,2}/|xstate$|lru-cache$)", message: "Core imports nothing but core, xstate and lru-cache." },
  { regex: "^xstate$", allowImportNames: MACHINE_PARTS, message: "Core steps machines and starts no actor." },
  { group: ["node:*"], message: "Core does no I/O and knows no process." },
  {
    regex: `^(${builtinModules.filter((name) => !name.includes("/")).join("|")})(/.*)?$`,
    message: "Core does no I/O.",
  },
];

export default defineConfig(
  {
    ignores: ["**/node_modules/**", "**/target/**", "**/fixtures/**", "**/dist/**", ".nx/**", ".meridian/**", ".ci/reports/**"],
  },
  { linterOptions: { noInlineConfig: true, reportUnusedDisableDirectives: "error" } },
  js.configs.recommended,
  {
    rules: {
      eqeqeq: ["error", "always", { null: "ignore" }],
      "max-len": ["error", { code: 130, ignoreUrls: true, ignoreStrings: false, ignoreTemplateLiterals: false }],
      "max-lines": ["error", { max: 400 }],
      "max-lines-per-function": ["error", { max: 70 }],
      "no-restricted-syntax": ["error", ...BANNED_SYNTAX, BANNED_BANG],
      "no-warning-comments": ["error", { terms: ["todo", "fixme", "xxx", "hack"] }],
      "no-console": "error",
      "prefer-const": "error",
      ...restrictImports(engineFences(null)),
    },
  },
  {
    files: ["**/*.ts"],
    extends: [typescript.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    plugins: { "@nx": nx },
    rules: {
      "@nx/enforce-module-boundaries": [
        "error",
        { depConstraints, banTransitiveDependencies: true, allowCircularSelfDependency: true },
      ],
      "@typescript-eslint/ban-ts-comment": ["error", { "ts-expect-error": true, "ts-ignore": true, "ts-nocheck": true }],
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/no-unused-vars": [
        "error",
        { argsIgnorePattern: "^_", varsIgnorePattern: "^_", ignoreRestSiblings: true },
      ],
      "@typescript-eslint/only-throw-error": "error",
      "@typescript-eslint/prefer-promise-reject-errors": "error",
      "@typescript-eslint/require-await": "off", // A port is asynchronous, whether or not this implementation waits.
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
      "@typescript-eslint/return-await": ["error", "in-try-catch"],
      "@typescript-eslint/unbound-method": "off", // Ports are made of closures: taking one apart is fine.
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
    },
  },
  {
    files: ["**/*.{js,mjs,cjs}"],
    languageOptions: {
      globals: Object.fromEntries(["process", "console", "setInterval", "clearInterval"].map((name) => [name, "readonly"])),
    },
    rules: { "no-console": "off" },
  },
  ...ENGINES.map(({ home }) => ({ files: [`${home}/**/*.ts`], rules: restrictImports(engineFences(home)) })),
  {
    files: ["services/*/src/**/*.ts", "services/lib/*/src/**/*.ts", "operators/*/src/**/*.ts"],
    ignores: ["**/src/main.ts", "services/lib/{launcher,verify,tidy,sim}/**", ...TESTS],
    rules: {
      "no-restricted-properties": [
        "error",
        { object: "process", property: "env", message: "Only main.ts reads the environment." },
      ],
    },
  },
  {
    files: ["services/lib/core/src/**/*.ts"],
    ignores: TESTS,
    rules: {
      ...restrictImports(coreFences),
      "no-restricted-syntax": ["error", ...BANNED_SYNTAX, BANNED_BANG, ...BANNED_IN_CORE],
      "no-restricted-globals": ["error", ...CORE_GLOBALS],
      "no-restricted-properties": ["error", { object: "Math", property: "random", message: "Chance comes in as a value." }],
    },
  },
  {
    // Commands talk to whoever typed them.
    files: [
      "**/src/main.ts",
      "**/{bench,build,conformance}/**/*.ts",
      "services/lib/{launcher,verify,tidy,sim}/**/*.ts",
      "loadtest/**/*.ts",
      ".ci/**/*.ts",
    ],
    rules: { "no-console": "off" },
  },
  {
    files: TESTS,
    rules: {
      "no-console": "off",
      "max-lines-per-function": "off", // A `describe` is a chapter, not a function.
      "no-restricted-syntax": ["error", ...BANNED_SYNTAX, ...BANNED_IN_TESTS],
    },
  },
  {
    files: REQUIRING,
    rules: {
      "no-restricted-syntax": [
        "error",
        ...BANNED_SYNTAX.filter(({ selector }) => !selector.includes("createRequire")),
        BANNED_BANG,
        ...BANNED_IN_TESTS,
      ],
    },
  },
);
