/** Packages and names of files. */
import { basename } from "node:path";
import { describe, expect, test } from "vitest";
import { partsOf } from "../src/text.ts";
import { listFiles, listPackages, readText } from "../src/workspace.ts";

interface PackageJson {
  name: string;
  private?: boolean;
  type?: string;
  license?: string;
  version?: string;
  nx?: { tags?: string[] };
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
}

const files = listFiles();
const readPackage = (folder: string) => JSON.parse(readText(`${folder}/package.json`)) as PackageJson;

describe.each(listPackages())("%s", (folder) => {
  const manifest = readPackage(folder);

  test("is named for its folder, private, ESM, Apache-2.0", () => {
    const name = `@meridian/${basename(folder)}`;
    expect(manifest).toMatchObject({ name, private: true, type: "module", license: "Apache-2.0", version: "0.1.0" });
  });

  test("names exact versions", () => {
    const versions = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies });
    expect(versions.filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))).toEqual([]);
  });

  test("has tests", () => {
    expect(
      files.filter((file) => file.startsWith(`${folder}/`) && /\/(src|test)\/.*\.test\.ts$/.test(file)).length,
    ).toBeGreaterThan(0);
  });
});

test("all packages ask for the same version of a dependency", () => {
  const asked = new Map<string, Set<string>>();
  for (const manifest of [...listPackages(), "."].map(readPackage)) {
    for (const [name, version] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })) {
      asked.set(name, (asked.get(name) ?? new Set()).add(version));
    }
  }
  expect([...asked].filter(([, versions]) => versions.size > 1).map(([name, versions]) => [name, [...versions]])).toEqual([]);
});

describe("names of files", () => {
  const sources = files.filter(
    (file) => /^(services|operators|loadtest)\/.*\.(ts|mjs|rs)$/.test(file) && !file.includes("/fixtures/"),
  );

  test("are kebab-case", () => {
    const odd = sources.filter(
      (file) => !file.endsWith(".rs") && !/^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z]+)*\.(ts|mjs)$/.test(basename(file)),
    );
    expect(odd).toEqual([]);
  });

  test("say what is inside", () => {
    const empty = ["util", "utils", "helper", "helpers", "manager", "common", "misc", "data"];
    const odd = sources.filter((file) => partsOf(file).some((part) => empty.includes(part)));
    expect(odd).toEqual([]);
  });
});
