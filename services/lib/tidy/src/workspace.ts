/** The workspace as the tests of this package see it: its files and folders. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export const ROOT = join(import.meta.dirname, "../../../..");

/** Files that git knows or would take, relative to the root; without those deleted in the working tree. */
export function listFiles(): string[] {
  const options = ["--cached", "--others", "--exclude-standard", "-z"];
  const output = execFileSync("git", ["ls-files", ...options], { cwd: ROOT, encoding: "utf8", maxBuffer: 64 * 1024 * 1024 });
  return output.split("\0").filter((path) => path !== "" && existsSync(join(ROOT, path)));
}

export const readText = (path: string): string => readFileSync(join(ROOT, path), "utf8");

/** Folders of packages: each holds a package.json. */
export function listPackages(): string[] {
  return ["services", "services/lib", "operators", "."].flatMap((parent) =>
    listFolders(parent).filter((folder) => existsSync(join(ROOT, folder, "package.json"))),
  );
}

function listFolders(parent: string): string[] {
  if (!existsSync(join(ROOT, parent))) return [];
  return readdirSync(join(ROOT, parent), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== "node_modules")
    .map((entry) => (parent === "." ? entry.name : `${parent}/${entry.name}`));
}

/** Folders that ARCHITECTURE's map must name: packages, and those at the top that hold files, but no parents of packages. */
export function listMapped(files: string[]): string[] {
  const tops = files.filter((file) => file.includes("/")).map((file) => file.slice(0, file.indexOf("/")));
  const parents = ["services", "operators"];
  return [...new Set([...listPackages(), ...tops.filter((top) => !parents.includes(top))])].sort();
}
