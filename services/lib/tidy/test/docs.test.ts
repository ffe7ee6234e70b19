/** Texts against what is there. */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import { codesOfTable, glossaryWords, hostsOf, machinePaths, partsOf, relativeLinks, wordsNotUsed } from "../src/text.ts";
import { listFiles, listMapped, listPackages, readText, ROOT } from "../src/workspace.ts";

const files = listFiles();
const markdowns = files.filter((file) => file.endsWith(".md"));
const texts = files.filter((file) => /\.(md|ts|mjs|js|json|ya?ml|toml|rs|sh|sol)$|^\.ci\/run$|^\.npmrc$|Dockerfile/.test(file));

test("ARCHITECTURE's map names every folder, and no other", () => {
  expect(codesOfTable(readText("docs/ARCHITECTURE.md"), "The map").sort()).toEqual(listMapped(files));
});

test.each(listPackages())("%s has a README", (folder) => {
  expect(existsSync(join(ROOT, folder, "README.md"))).toBe(true);
});

test.each(listPackages().filter((folder) => /^services\/(?!lib\/)/.test(folder)))("%s's README names its settings", (folder) => {
  const code = files.filter((file) => file.startsWith(`${folder}/src/`) && file.endsWith(".ts")).map(readText);
  const variables = new Set(code.flatMap((text) => text.match(/\bMERIDIAN_[A-Z_]+\b/g) ?? []));
  const readme = readText(`${folder}/README.md`);
  expect([...variables].filter((variable) => !readme.includes(variable))).toEqual([]);
});

test("relative links lead somewhere", () => {
  const broken = markdowns.flatMap((file) =>
    relativeLinks(file, readText(file))
      .filter((target) => !existsSync(join(ROOT, target)))
      .map((target) => `${file} -> ${target}`),
  );
  expect(broken).toEqual([]);
});

describe("glossary", () => {
  const markdown = readText("docs/GLOSSARY.md");
  const words = glossaryWords(markdown);

  test("every entry is one line, every word stands once", () => {
    expect(words).toHaveLength(markdown.match(/^- /gm)?.length ?? 0);
    expect(new Set(words).size).toBe(words.length);
  });

  test("the words of the system are there", () => {
    const wanted = [
      ...["account", "cell", "range", "pin", "partition", "host", "entry", "position", "flush", "group", "participant", "home"],
      ...["declared set", "grant", "proposal", "apply", "abort", "miss", "void", "block", "seal", "receipt", "snapshot", "term"],
      ...["digest", "lattice", "beat", "report", "LOG", "OUT", "gateway", "scheduler", "archive", "engine"],
    ];
    expect(wanted.filter((word) => !words.includes(word))).toEqual([]);
  });

  test("words that the glossary rejects are not used in names", () => {
    const rejected = new Set(wordsNotUsed(markdown));
    expect(rejected.size).toBeGreaterThan(0);
    const used = files
      .filter((file) => /^(services|operators|loadtest)\/.*\.ts$/.test(file) && !file.startsWith("services/lib/tidy/"))
      .flatMap((file) => {
        const code = `${file} ${readText(file)}`.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
        return partsOf(code).flatMap((part) => (rejected.has(part) ? [`${file}: ${part}`] : []));
      });
    expect(used).toEqual([]);
  });
});

describe("decisions", () => {
  const index = readText("docs/adr/README.md");
  const records = files.filter((file) => /^docs\/adr\/\d{4}-[a-z0-9-]+\.md$/.test(file)).map((file) => basename(file));

  test("the index lists every one, in order, and no other", () => {
    expect([...index.matchAll(/^\| \[(\d{4})\]\(([^)]+)\) \|/gm)].map(([, , file]) => file)).toEqual([...records].sort());
  });

  test("numbers are not used twice", () => {
    const numbers = records.map((file) => file.slice(0, 4));
    expect(numbers).toEqual([...new Set(numbers)]);
  });

  test.each(records)("%s opens with its number and says what was rejected", (file) => {
    const text = readText(`docs/adr/${file}`);
    expect(text.startsWith(`# ${file.slice(0, 4)}. `)).toBe(true);
    expect(text).toMatch(/^## Rejected/m);
  });
});

describe("nothing of one machine or network", () => {
  /** Public places a reader can look up, and what the texts use as examples. Anything else has to be added here by hand. */
  const HOSTS = [
    ...["github.com", "eips.ethereum.org", "ethereum.org", "ethereum.github.io", "docs.soliditylang.org", "www.apache.org"],
    ...["opentelemetry.io", "www.w3.org"],
    ...["docs.nats.io", "json.schemastore.org", "json-schema.org", "www.jsonrpc.org", "datatracker.ietf.org", "pypi.org"],
    ...["127.0.0.1", "0.0.0.0", "example.com", "example.org"],
  ];

  /** Names under `.example` and `.invalid` belong to nobody (RFC 2606). */
  const isKnown = (host: string) => HOSTS.includes(host) || /\.(example|invalid)$/.test(host);

  test("web addresses are public ones that we know", () => {
    const unknown = texts
      .filter((file) => file !== "package-lock.json" && file !== "services/lib/tidy/src/text.test.ts")
      .flatMap((file) => hostsOf(readText(file)).flatMap((host) => (isKnown(host) ? [] : [`${file}: ${host}`])));
    expect(unknown).toEqual([]);
  });

  test("the lock file does not say where packages were fetched from", () => {
    expect(readText("package-lock.json").match(/"resolved": "[a-z+]+:/)).toBeNull();
  });

  test("no paths of somebody's machine", () => {
    const found = texts.flatMap((file) => machinePaths(readText(file)).map((path) => `${file}: ${path}`));
    expect(found).toEqual([]);
  });
});
