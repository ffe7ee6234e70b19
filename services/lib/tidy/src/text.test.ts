import { expect, test } from "vitest";
import { codesOfTable, glossaryWords, hostsOf, machinePaths, partsOf, relativeLinks, wordsNotUsed } from "./text.ts";

test("codesOfTable reads the first column of one section", () => {
  const markdown =
    "## Other\n| `no` | x |\n## The map\n| folder | what |\n|---|---|\n| `a/b` | x |\n| `c` | y |\n## Next\n| `no` | x |\n";
  expect(codesOfTable(markdown, "The map")).toEqual(["a/b", "c"]);
  expect(codesOfTable(markdown, "Nothing")).toEqual([]);
});

test("relativeLinks resolves against the file and leaves out code, anchors and addresses", () => {
  const markdown = "[a](b.md) [c](../d/#e) [f](#g) [h](https://example.org/i) `[j](k)`\n```\n[l](m)\n```\n![n](o.png)";
  expect(relativeLinks("docs/x.md", markdown)).toEqual(["docs/b.md", "d", "docs/o.png"]);
});

test.each<[text: string, want: string[]]>([
  ["see https://example.org/x and nats://10.0.0.1:4222", ["example.org", "10.0.0.1"]],
  ["http://localhost:1", []],
])("hostsOf %s", (text, want) => expect(hostsOf(text)).toEqual(want));

test.each<[text: string, want: string[]]>([
  [["cd /", "home/anna/x"].join(""), [["/", "home/anna"].join("")]],
  [`"${["/", "work/main"].join("")}"`, [["/", "work/main"].join("")]],
  ["https://example.org/home/anna ./work/x a/root/b", []],
  ["/tmp and /usr/bin/env", []],
])("machinePaths of %s", (text, want) => expect(machinePaths(text)).toEqual(want));

test("glossaryWords and wordsNotUsed", () => {
  const markdown =
    "- **term**: a number; not epoch.\n- **range map**: who owns what.\n- **empty**:\n- **range**: a stretch; not shard.";
  expect(glossaryWords(markdown)).toEqual(["term", "range map", "range"]);
  expect(wordsNotUsed(markdown)).toEqual(["epoch", "shard"]);
});

test("partsOf cuts identifiers", () => {
  expect(partsOf("rangeMap is_open kebab-case readU16")).toEqual([
    "range",
    "map",
    "is",
    "open",
    "kebab",
    "case",
    "read",
    "u",
    "",
  ]);
});
