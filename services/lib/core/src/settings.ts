/**
 * Settings of a service: one table of definitions that reads the environment and prints `--help`. Pure: only `main.ts` holds
 * `process.env`.
 *
 * A variable that is not set, or set to nothing, takes its `default`; without a default it is undefined if `optional`, else
 * refused.
 */
import { IoError } from "./errors.ts";

interface Common {
  variable: string;
  /** One sentence for `--help`. */
  help: string;
  /** True: may be absent, the value is undefined then. */
  optional?: true;
}
export interface TextSetting extends Common {
  kind: "text";
  default?: string;
}
/** Decimal, between `min` and `max` inclusive. */
export interface IntegerSetting extends Common {
  kind: "integer";
  default?: number;
  min?: number;
  max?: number;
}
/** true, 1, yes, on; false, 0, no, off. */
export interface BooleanSetting extends Common {
  kind: "boolean";
  default?: boolean;
}
export interface ChoiceSetting extends Common {
  kind: "choice";
  choices: readonly string[];
  default?: string;
}
/** Separated by commas; blanks around items and empty items are dropped. */
export interface ListSetting extends Common {
  kind: "list";
  default?: readonly string[];
}
/** As `list`, each item an integer between `min` and `max`. */
export interface IntegersSetting extends Common {
  kind: "integers";
  default?: readonly number[];
  min?: number;
  max?: number;
}
export type SettingDefinition = TextSetting | IntegerSetting | BooleanSetting | ChoiceSetting | ListSetting | IntegersSetting;
export type SettingDefinitions = Record<string, SettingDefinition>;

type ValueOf<D extends SettingDefinition> = D extends { kind: "text" }
  ? string
  : D extends { kind: "integer" }
    ? number
    : D extends { kind: "boolean" }
      ? boolean
      : D extends { kind: "choice"; choices: readonly (infer C)[] }
        ? C
        : D extends { kind: "list" }
          ? readonly string[]
          : readonly number[];

/** The typed values that `readSettings` makes of a table of definitions. */
export type SettingValues<D extends SettingDefinitions> = {
  -readonly [Name in keyof D]: D[Name] extends { optional: true } ? ValueOf<D[Name]> | undefined : ValueOf<D[Name]>;
};

/** Names the variable, what stood there ("" if nothing) and what is wanted. */
export interface SettingFailure {
  code: "SETTING";
  variable: string;
  got: string;
  want: string;
}

/** Keeps the literal types of a table that stands in a constant of its own (for `--help` and `readSettings`). */
export function defineSettings<const D extends SettingDefinitions>(definitions: D): D {
  return definitions;
}

/** What every service reads. `instance` names the process in beats, reports and traces; `main.ts` makes one up if need be. */
export const serviceSettings = defineSettings({
  natsUrl: { variable: "MERIDIAN_NATS_URL", kind: "text", default: "nats://127.0.0.1:4222", help: "NATS server to connect to." },
  natsMonitorUrl: {
    variable: "MERIDIAN_NATS_MONITOR_URL",
    kind: "text",
    optional: true,
    help: "HTTP monitors of all NATS servers, comma-separated; default: port 8222 of each; for durability and sizes.",
  },
  instance: {
    variable: "MERIDIAN_INSTANCE",
    kind: "text",
    optional: true,
    help: "Name of this process; default: service and process id.",
  },
  durability: {
    variable: "MERIDIAN_DURABILITY",
    kind: "choice",
    choices: ["process", "power"],
    default: "power",
    help: "What acknowledged work survives: loss of any process, or of power too.",
  },
  replicas: {
    variable: "MERIDIAN_NATS_REPLICAS",
    kind: "choice",
    choices: ["1", "3", "5"],
    default: "1",
    help: "NATS servers that keep each stream, bucket and object; used when they are made.",
  },
  logMaxMb: {
    variable: "MERIDIAN_LOG_MAX_MB",
    kind: "integer",
    optional: true,
    min: 16,
    help: "Bytes of stream LOG in MiB, the same for all services; default: 30 % of what the server has, at most 32,768.",
  },
  outMaxMb: {
    variable: "MERIDIAN_OUT_MAX_MB",
    kind: "integer",
    optional: true,
    min: 16,
    help: "Bytes of stream OUT in MiB, the same for all services; default: 45 % of what the server has, at most 49,152.",
  },
  engine: {
    variable: "MERIDIAN_ENGINE",
    kind: "choice",
    choices: ["auto", "native", "wasm"],
    default: "auto",
    help: "Build of the EVM engine; auto takes native if it is there.",
  },
  healthPort: {
    variable: "MERIDIAN_HEALTH_PORT",
    kind: "integer",
    default: 0,
    min: 0,
    max: 65_535,
    help: "Port of /healthz and /readyz; 0 turns them off.",
  },
});

const MIB = 1024 * 1024;

/** How streams are kept, from the settings of every service; undefined: a share of what the server has. */
export function streamLimitsOf(settings: { replicas: string; logMaxMb: number | undefined; outMaxMb: number | undefined }): {
  replicas: number;
  logBytesMax: number | undefined;
  outBytesMax: number | undefined;
} {
  const { replicas, logMaxMb, outMaxMb } = settings;
  const bytesOf = (mb: number | undefined) => (mb === undefined ? undefined : mb * MIB);
  return { replicas: Number(replicas), logBytesMax: bytesOf(logMaxMb), outBytesMax: bytesOf(outMaxMb) };
}

/**
 * Reads a table of settings from the environment.
 * @throws IoError SETTING, retry "never": the first variable, in table order, that is missing or has another form
 */
export function readSettings<const D extends SettingDefinitions>(
  definitions: D,
  env: Readonly<Record<string, string | undefined>>,
): SettingValues<D> {
  const values = Object.entries(definitions).map(([name, definition]) => [name, readOne(definition, env[definition.variable])]);
  return Object.fromEntries(values) as SettingValues<D>;
}

function readOne(definition: SettingDefinition, given: string | undefined): unknown {
  const text = given?.trim() ?? "";
  if (text !== "") return parse(definition, text);
  if (definition.default !== undefined) return definition.default;
  if (definition.optional === true) return undefined;
  return refuse(definition, text);
}

function parse(definition: SettingDefinition, text: string): unknown {
  switch (definition.kind) {
    case "text":
      return text;
    case "integer":
      return isInteger(text, definition) ? Number(text) : refuse(definition, text);
    case "boolean":
      if (/^(true|1|yes|on)$/i.test(text)) return true;
      return /^(false|0|no|off)$/i.test(text) ? false : refuse(definition, text);
    case "choice":
      return definition.choices.includes(text) ? text : refuse(definition, text);
    case "list":
      return itemsOf(text);
    case "integers": {
      const items = itemsOf(text);
      return items.every((item) => isInteger(item, definition)) ? items.map(Number) : refuse(definition, text);
    }
  }
}

const itemsOf = (text: string): string[] =>
  text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");

function isInteger(text: string, bounds: { min?: number; max?: number }): boolean {
  const value = Number(text);
  if (!/^-?\d+$/.test(text) || !Number.isSafeInteger(value)) return false;
  return value >= (bounds.min ?? Number.MIN_SAFE_INTEGER) && value <= (bounds.max ?? Number.MAX_SAFE_INTEGER);
}

function refuse(definition: SettingDefinition, got: string): never {
  throw new IoError<SettingFailure>({ code: "SETTING", variable: definition.variable, got, want: formOf(definition) }, "never");
}

/** The form a value must have, in words. */
function formOf(definition: SettingDefinition): string {
  switch (definition.kind) {
    case "text":
      return "text";
    case "integer":
      return `integer${boundsOf(definition)}`;
    case "boolean":
      return "true or false";
    case "choice":
      return definition.choices.join(" | ");
    case "list":
      return "list separated by commas";
    case "integers":
      return `integers${boundsOf(definition)} separated by commas`;
  }
}

function boundsOf({ min, max }: { min?: number; max?: number }): string {
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`;
  if (min !== undefined) return ` from ${min}`;
  return max === undefined ? "" : ` up to ${max}`;
}

/** The text of `--help`: title, then for each variable its form, default and meaning. */
export function settingsHelp(definitions: SettingDefinitions, title: string): string {
  const rows = Object.values(definitions).map((definition) => ({
    variable: definition.variable,
    form: formOf(definition),
    fallback: fallbackOf(definition),
    help: definition.help,
  }));
  const width = (column: "variable" | "form" | "fallback") => Math.max(...rows.map((row) => row[column].length));
  const [variables, forms, fallbacks] = [width("variable"), width("form"), width("fallback")];
  const lines = rows.map(({ variable, form, fallback, help }) =>
    `  ${variable.padEnd(variables)}  ${form.padEnd(forms)}  ${fallback.padEnd(fallbacks)}  ${help}`.trimEnd(),
  );
  return [title, "", "Environment:", ...lines, ""].join("\n");
}

function fallbackOf(definition: SettingDefinition): string {
  if (definition.default === undefined) return definition.optional === true ? "optional" : "required";
  return `default ${Array.isArray(definition.default) ? definition.default.join(",") : String(definition.default)}`;
}
