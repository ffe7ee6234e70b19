/** Settings and objects over the server's key-value and object stores. */
import { IoError } from "@meridian/core";
import type { Objects } from "@meridian/core";
import { JetStreamApiError, StorageType, jetstream } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { Objm } from "@nats-io/obj";
import type { ObjectStore } from "@nats-io/obj";
import { OBJECT_CHUNK_BYTES, OBJECT_MS_MAX, REQUEST_MS_MAX } from "../limits.ts";
import { BUCKET } from "../names.ts";
import { plainBytes } from "../payload.ts";
import type { KeyValues } from "../settings.ts";
import type { Connection } from "./connection.ts";
import { ioErrorOf } from "./connection.ts";
import { SERVER_ERROR } from "./jetstream-api.ts";
import { readObject } from "./read-object.ts";

/**
 * Runs one operation of a NATS library within a time limit and in our errors.
 * @throws IoError UNREACHABLE | TIMEOUT | FULL | ...
 */
async function bounded<T>(connection: Connection, what: string, msMax: number, run: () => Promise<T>): Promise<T> {
  connection.check(what);
  const { promise: failed, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new IoError({ code: "TIMEOUT", what, timeoutMs: msMax }, "later")), msMax);
  const forget = connection.onDown(() => reject(new IoError({ code: "UNREACHABLE", what }, "later")));
  try {
    return await Promise.race([run(), failed]);
  } catch (error) {
    if (error instanceof JetStreamApiError && isFull(error.code))
      throw new IoError({ code: "FULL", text: error.message }, "later", error);
    throw ioErrorOf(error, what, msMax);
  } finally {
    clearTimeout(timer);
    forget();
  }
}

const OTHERS: ReadonlySet<number> = new Set([SERVER_ERROR.wrongLastSequence, SERVER_ERROR.wrongLastSequenceUnknown]);
const isFull = (errCode: number): boolean =>
  errCode === SERVER_ERROR.storeFailed ||
  errCode === SERVER_ERROR.storageExceeded ||
  errCode === SERVER_ERROR.insufficientResources;

export async function openKeyValues(connection: Connection, replicas: number): Promise<KeyValues> {
  // Reads go to the leader: a replica that lags could deny a key that was just created.
  const options = { history: 1, storage: StorageType.File, replicas, allow_direct: false };
  const bucket = await bounded(connection, BUCKET.settings, REQUEST_MS_MAX, () =>
    new Kvm(jetstream(connection.nc, { timeout: REQUEST_MS_MAX })).create(BUCKET.settings, options),
  );
  const run = <T>(key: string, operation: () => Promise<T>) => bounded(connection, `setting ${key}`, REQUEST_MS_MAX, operation);
  return {
    get: (key) =>
      run(key, async () => {
        const entry = await bucket.get(key);
        if (entry === null || entry.operation !== "PUT") return undefined;
        return { value: plainBytes(entry.value), revision: entry.revision };
      }),
    put: (key, value, revision) =>
      run(key, async () => {
        try {
          if (revision === 0) await bucket.create(key, value);
          else await bucket.update(key, value, revision);
          return true;
        } catch (error) {
          if (error instanceof JetStreamApiError && OTHERS.has(error.code)) return false;
          throw error;
        }
      }),
  };
}

export async function openObjects(connection: Connection, replicas: number): Promise<Objects> {
  const store: ObjectStore = await bounded(connection, BUCKET.objects, REQUEST_MS_MAX, () =>
    new Objm(jetstream(connection.nc, { timeout: REQUEST_MS_MAX })).create(BUCKET.objects, {
      storage: StorageType.File,
      replicas,
    }),
  );
  const run = <T>(name: string, operation: () => Promise<T>) => bounded(connection, `object ${name}`, OBJECT_MS_MAX, operation);
  return {
    put: (name, bytes) =>
      run(name, async () => void (await store.putBlob({ name, options: { max_chunk_size: OBJECT_CHUNK_BYTES } }, bytes))),
    get: (name) =>
      run(name, async () => {
        const info = await store.info(name);
        return info === null || info.deleted ? undefined : readObject(connection, info);
      }),
    delete: (name) =>
      run(name, async () => {
        const info = await store.info(name);
        if (info !== null && !info.deleted) await store.delete(name);
      }),
    list: (prefix) =>
      run(prefix, async () => {
        const names = (await store.list()).filter(({ deleted }) => !deleted).map(({ name }) => name);
        return names.filter((name) => name.startsWith(prefix)).sort();
      }),
  };
}
