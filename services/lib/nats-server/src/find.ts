import { chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { IoError } from "@meridian/core";
import { FETCH_WAYS, RELEASE_URL, sha256Hex } from "./fetch.ts";
import type { FetchWay } from "./fetch.ts";
import { NATS_VERSION, NATS_VERSION_MIN, isVersionEnough, parseVersion, releasePin } from "./release.ts";
import { runCommand } from "./run.ts";

const VERSION_MS_MAX = 10_000;
const PATH_MS_MAX = 5_000;

/** A server binary that may be started. */
export interface NatsServer {
  path: string;
  version: string;
  /** Where it came from: named by the variable, found on the PATH, kept from an earlier fetch, or fetched now. */
  source: "variable" | "path" | "cache" | FetchWay["source"];
}

export interface FindOptions {
  /** Fetched binaries are kept here, one folder a version. */
  cacheFolder: string;
  /** Value of MERIDIAN_NATS_SERVER: a binary to use instead of all others. */
  variable?: string;
  /** Told what is being done, one sentence each; a fetch takes seconds. */
  report?: (text: string) => void;
  /** For tests: other places to look. */
  onPath?: boolean;
  platform?: string;
  releaseUrl?: string;
  python?: string;
  go?: string;
}

/**
 * Finds a nats-server that is new enough: the one named, the one on the PATH, the cached one, else fetches the pinned one.
 * Safe to call from several processes at once; a cached binary is checked against its remembered SHA-256 at each use.
 * @throws IoError NATS_SERVER_NAMED if the named binary does not do; NATS_SERVER_MISSING with everything that was tried
 */
export async function findNatsServer(options: FindOptions): Promise<NatsServer> {
  if (options.variable !== undefined && options.variable !== "") return named(options.variable);
  const report = options.report ?? (() => undefined);
  return (await onPath(options, report)) ?? (await cached(options, report)) ?? (await fetched(options, report));
}

async function named(path: string): Promise<NatsServer> {
  const version = await versionOf(path);
  const want = `a nats-server ${NATS_VERSION_MIN.join(".")} or newer`;
  if (typeof version !== "string")
    throw new IoError({ code: "NATS_SERVER_NAMED", path, got: String(version.failed), want }, "never", version.failed);
  if (!isVersionEnough(version)) throw new IoError({ code: "NATS_SERVER_NAMED", path, got: version, want }, "never");
  return { path, version, source: "variable" };
}

async function onPath(options: FindOptions, report: (text: string) => void): Promise<NatsServer | undefined> {
  if (options.onPath === false) return undefined;
  const found = await runCommand("sh", ["-c", "command -v nats-server || true"], { timeoutMs: PATH_MS_MAX });
  const path = found.trim();
  if (path === "") return undefined;
  const version = await versionOf(path);
  if (typeof version === "string" && isVersionEnough(version)) return { path, version, source: "path" };
  report(`${path} on the PATH is ${typeof version === "string" ? `version ${version}` : "no nats-server"}: passed over`);
  return undefined;
}

const folderOf = (cacheFolder: string): string => join(cacheFolder, `nats-server-${NATS_VERSION}`);

async function cached({ cacheFolder }: FindOptions, report: (text: string) => void): Promise<NatsServer | undefined> {
  const folder = folderOf(cacheFolder);
  const path = join(folder, "nats-server");
  const kept = await Promise.all([readFile(path), readFile(join(folder, "sha256"), "utf8")]).catch(absent);
  if (kept === undefined) return undefined;
  if (sha256Hex(kept[0]) === kept[1].trim()) return { path, version: NATS_VERSION, source: "cache" };
  report(`${path} is not what was fetched: fetched again`);
  await rm(folder, { recursive: true, force: true });
  return undefined;
}

/** A file that is not there is an answer here; anything else is not. */
function absent(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
  throw error;
}

async function fetched(options: FindOptions, report: (text: string) => void): Promise<NatsServer> {
  const { cacheFolder } = options;
  const platform = options.platform ?? `${process.platform}-${process.arch}`;
  const pin = releasePin(platform);
  const help = "name a nats-server 2.15 or newer in MERIDIAN_NATS_SERVER";
  if (pin === undefined)
    throw new IoError({ code: "NATS_SERVER_MISSING", tried: `no pinned binary for ${platform}`, help }, "never");
  await mkdir(cacheFolder, { recursive: true });
  const tried: string[] = [];
  for (const way of FETCH_WAYS) {
    report(`fetching nats-server ${NATS_VERSION}: ${way.what}`);
    const folder = await mkdtemp(join(cacheFolder, "fetch-"));
    try {
      const context = {
        pin,
        folder,
        releaseUrl: options.releaseUrl ?? RELEASE_URL,
        python: options.python ?? "python3",
        go: options.go ?? "go",
      };
      await keep(cacheFolder, await way.fetch(context));
      return { path: join(folderOf(cacheFolder), "nats-server"), version: NATS_VERSION, source: way.source };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      report(`${way.what} failed: ${why}`);
      tried.push(`${way.what} (${why})`);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  throw new IoError({ code: "NATS_SERVER_MISSING", tried: tried.join("; "), help }, "later");
}

/** Puts a binary into the cache by one rename, so that nobody ever sees half of it. */
async function keep(cacheFolder: string, binary: Uint8Array): Promise<void> {
  const folder = await mkdtemp(join(cacheFolder, "keep-"));
  try {
    const path = join(folder, "nats-server");
    await writeFile(path, binary);
    await chmod(path, 0o755);
    const version = await versionOf(path);
    if (version !== NATS_VERSION) {
      const got = typeof version === "string" ? version : String(version.failed);
      throw new IoError({ code: "NATS_SERVER_WRONG", got, want: NATS_VERSION }, "never");
    }
    await writeFile(join(folder, "sha256"), `${sha256Hex(binary)}\n`);
    await rename(folder, folderOf(cacheFolder));
  } catch (error) {
    // Somebody else was faster: theirs is as good, and the next use checks it.
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== "ENOTEMPTY" && code !== "EEXIST") throw error;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function versionOf(path: string): Promise<string | { failed: unknown }> {
  try {
    const text = await runCommand(path, ["--version"], { timeoutMs: VERSION_MS_MAX });
    return parseVersion(text) ?? { failed: `"${text.trim().slice(0, 80)}"` };
  } catch (error) {
    return { failed: error };
  }
}
