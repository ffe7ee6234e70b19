/** For tests of all packages: a real nats-server on a free port with a store of its own, gone after `stop()`. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Durability } from "@meridian/core";
import { findNatsServer } from "./find.ts";
import { startNatsServer } from "./start.ts";
import type { RunningNatsServer } from "./start.ts";

/** Shared by all tests of this checkout. */
export const TEST_CACHE_FOLDER = fileURLToPath(new URL("../../../../.meridian/cache", import.meta.url));

export interface TestServerOptions {
  /** Default `process`. */
  durability?: Durability;
  jetstreamBytesMax?: number;
  /** A folder that stays; without it a temporary one that `stop` removes. */
  storeFolder?: string;
}

/** Starts a server for a test; `stop()` ends it and removes its store, unless the store was given. */
export async function testNatsServer(options: TestServerOptions = {}): Promise<RunningNatsServer> {
  const { path } = await findNatsServer({ cacheFolder: TEST_CACHE_FOLDER });
  const { durability = "process", storeFolder, ...limits } = options;
  const folder = storeFolder ?? (await mkdtemp(join(tmpdir(), "meridian-nats-")));
  const clean = async () => {
    if (storeFolder === undefined) await rm(folder, { recursive: true, force: true });
  };
  const server = await startNatsServer({ path, storeFolder: folder, durability, ...limits }).catch(async (error: unknown) => {
    await clean();
    throw error;
  });
  const stop = server.stop.bind(server);
  const stopAndRemove = async () => {
    await stop();
    await clean();
  };
  return Object.assign(server, { stop: stopAndRemove });
}
