/**
 * Go programs in a pinned version: built from the module proxy, with every module's checksum in a go.sum of ours.
 *
 * A binary is kept in the cache folder with its SHA-256 and checked at each use; the build needs Go and takes some minutes.
 */
import { createHash } from "node:crypto";
import { spawn } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { IoError } from "@meridian/core";

export interface Pinned {
  name: string;
  version: string;
  /** Go package of its main function. */
  path: string;
  /** Folder with go.mod and go.sum. */
  moduleFolder: URL;
  /** Environment variable that names a binary to use instead. */
  variable: string;
}

export const K6: Pinned = {
  ...{ name: "k6", version: "2.2.0", path: "go.k6.io/k6/v2", variable: "MERIDIAN_K6" },
  moduleFolder: new URL("k6/module/", import.meta.url),
};
export const GETH: Pinned = {
  ...{ name: "geth", version: "1.17.10", path: "github.com/ethereum/go-ethereum/cmd/geth", variable: "MERIDIAN_GETH" },
  moduleFolder: new URL("peers/geth/", import.meta.url),
};

/** Shared with the launcher; git ignores it. */
export const CACHE_FOLDER = fileURLToPath(new URL("../../.meridian/cache/", import.meta.url));
const SAY_MS = 15_000;
const TAIL_CHARACTERS = 2_000;

/** @throws IoError BINARY with what was tried and what would help */
export async function findBinary(pinned: Pinned, say: (text: string) => void): Promise<string> {
  const { name, version, variable } = pinned;
  const named = process.env[variable];
  if (named !== undefined && named !== "") return named;
  const folder = join(CACHE_FOLDER, `${name}-${version}`);
  const kept = await checked(join(folder, name));
  if (kept !== undefined) return kept;
  await rm(folder, { recursive: true, force: true });
  await mkdir(CACHE_FOLDER, { recursive: true });
  const building = await mkdtemp(join(CACHE_FOLDER, "build-"));
  try {
    say(`building ${name} ${version} from the Go module proxy: some minutes, once`);
    await build(pinned, building, say);
    await writeFile(join(building, `${name}.sha256`), `${await sha256(join(building, name))}\n`);
    await rename(building, folder).catch(async (error: unknown) => {
      if ((await checked(join(folder, name))) === undefined) throw error; // Somebody else was faster: theirs is as good.
    });
  } finally {
    await rm(building, { recursive: true, force: true });
  }
  return join(folder, name);
}

/** The file, if its bytes are those that were built. */
async function checked(file: string): Promise<string | undefined> {
  const want = await readFile(`${file}.sha256`, "utf8").catch(() => undefined);
  return want !== undefined && (await sha256(file)) === want.trim() ? file : undefined;
}

export async function sha256(file: string): Promise<string> {
  return createHash("sha256")
    .update(await readFile(file))
    .digest("hex");
}

async function build({ name, version, path, moduleFolder, variable }: Pinned, folder: string, say: (text: string) => void) {
  const module = join(folder, "module");
  await cp(moduleFolder, module, { recursive: true });
  // Readonly: a module that is not in go.sum with its checksum is an error.
  const args = ["build", "-mod=readonly", "-trimpath", "-o", join(folder, name), path];
  const startedAt = Date.now();
  const timer = setInterval(() => say(`building ${name}, ${Math.round((Date.now() - startedAt) / 1000)} s`), SAY_MS);
  try {
    await run("go", args, module);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const help = `install Go 1.26 or newer with access to a module proxy, or name a ${name} ${version} in ${variable}`;
    throw new IoError({ code: "BINARY", text: `${name} ${version} could not be built (${why}); ${help}` }, "never", error);
  } finally {
    clearInterval(timer);
    await rm(module, { recursive: true, force: true });
  }
}

/** Runs a command to its end. @throws IoError COMMAND with the end of what it said */
export function run(file: string, args: string[], cwd: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (text: string) => reject(new IoError({ code: "COMMAND", text: `${basename(file)}: ${text}` }, "never"));
    const child = spawn(file, args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
    let tail = "";
    const keep = (part: Buffer) => {
      tail = (tail + part.toString()).slice(-TAIL_CHARACTERS);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.once("error", (error) => fail(error.message));
    child.once("close", (code) => (code === 0 ? resolve() : fail(`ended with code ${code}: ${tail.trim()}`)));
  });
}
