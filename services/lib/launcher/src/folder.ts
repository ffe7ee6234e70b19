/**
 * The data folder of a cluster.
 *
 * F1. One launcher at a time: `launcher.json` holds the number of the process that uses the folder.
 * F2. `cluster.json` holds what the chain was made with and can never change: a start with other values is refused.
 */
import { mkdir, open, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { IoError } from "@meridian/core";

/** What a chain is made with once and for all. */
export interface ChainFacts {
  chainId: number;
  partitions: number;
  blockMs: number;
}

export interface DataFolder {
  readonly path: string;
  readonly logs: string;
  readonly nats: string;
  readonly genesisFile: string;
  archive(index: number): string;
  release(): Promise<void>;
}

const OPTION: Record<keyof ChainFacts, string> = { chainId: "--chain-id", partitions: "--partitions", blockMs: "--block-ms" };

/** The facts of the chain in a folder; undefined if there is none yet. */
export async function readFacts(path: string): Promise<ChainFacts | undefined> {
  const text = await readFile(join(path, "cluster.json"), "utf8").catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as ChainFacts);
}

/**
 * Takes the folder for this process.
 * @throws IoError ALREADY_RUNNING, OTHER_SETTINGS
 */
export async function takeFolder(path: string, facts: ChainFacts, rpcUrl: string): Promise<DataFolder> {
  await mkdir(join(path, "logs"), { recursive: true });
  await takeLock(path, rpcUrl);
  const known = await readFacts(path);
  for (const name of Object.keys(facts) as (keyof ChainFacts)[]) {
    if (known === undefined || known[name] === facts[name]) continue;
    await rm(lockFileOf(path), { force: true });
    const made = `${OPTION[name]} ${known[name]}`;
    const asked = `${OPTION[name]} ${facts[name]}`;
    const way = "use another --data, or --reset to delete what is in it";
    const text = `the data folder ${path} was made with ${made}, asked for is ${asked}; ${way}`;
    throw new IoError({ code: "OTHER_SETTINGS", text }, "never");
  }
  if (known === undefined) await writeFile(join(path, "cluster.json"), `${JSON.stringify(facts)}\n`);
  return {
    path,
    logs: join(path, "logs"),
    nats: join(path, "nats"),
    genesisFile: join(path, "genesis.json"),
    archive: (index) => join(path, `archive-${index}`),
    release: () => rm(lockFileOf(path), { force: true }),
  };
}

/** Deletes a cluster's folder. @throws IoError ALREADY_RUNNING, NOT_A_DATA_FOLDER */
export async function resetFolder(path: string): Promise<void> {
  const owner = await lockOwner(path);
  if (owner !== undefined) throw alreadyRunning(path, owner);
  const isEmpty = (await readFile(join(path, "genesis.json")).catch(() => undefined)) === undefined;
  if (isEmpty && (await readFacts(path)) === undefined) {
    const exists = await open(path).then(
      async (handle) => handle.close().then(() => true),
      () => false,
    );
    if (!exists) return;
    throw new IoError({ code: "NOT_A_DATA_FOLDER", text: `${path} holds no cluster, so --reset does not delete it` }, "never");
  }
  await rm(path, { recursive: true, force: true });
}

interface LockOwner {
  pid: number;
  rpcUrl: string;
}

const lockFileOf = (path: string): string => join(path, "launcher.json");

function alreadyRunning(path: string, { pid, rpcUrl }: LockOwner): IoError {
  return new IoError(
    { code: "ALREADY_RUNNING", text: `process ${pid} runs a cluster on ${path} and answers at ${rpcUrl}` },
    "never",
  );
}

async function takeLock(path: string, rpcUrl: string): Promise<void> {
  const text = JSON.stringify({ pid: process.pid, rpcUrl } satisfies LockOwner);
  for (;;) {
    try {
      await writeFile(lockFileOf(path), text, { flag: "wx" });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const owner = await lockOwner(path);
    if (owner !== undefined) throw alreadyRunning(path, owner);
    await rm(lockFileOf(path), { force: true }); // Left behind by a process that is gone.
  }
}

async function lockOwner(path: string): Promise<LockOwner | undefined> {
  const text = await readFile(lockFileOf(path), "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    const owner = JSON.parse(text) as LockOwner;
    process.kill(owner.pid, 0);
    const command = await readFile(`/proc/${owner.pid}/cmdline`, "utf8").catch(() => "node");
    return command.includes("node") || command.includes("vitest") ? owner : undefined; // Numbers of processes are used again.
  } catch {
    return undefined; // Half written, or that process is gone.
  }
}
