/**
 * LOG, OUT and the streams under the buckets: made if absent, each with a size of its own. LOG and OUT are refused if somebody
 * made them otherwise than they must be.
 *
 * E1. A size that nobody set is a share of what the server has, and follows it; the note says which one was given. Another size
 *     than the noted one was set by hand and stays, unless the settings name one.
 * E2. Nothing is lost by a smaller size: a stream that holds more refuses, and drops nothing.
 */
import { IoError } from "@meridian/core";
import type { Logger } from "@meridian/core";
import { DiscardPolicy, PersistMode, RetentionPolicy, StorageType } from "@nats-io/jetstream";
import type { StreamConfig, StreamInfo } from "@nats-io/jetstream";
import { MESSAGE_BYTES_MAX, SIZE_CHANGE_MIN, STORAGE_BYTES_ASSUMED, STORAGE_BYTES_MIN } from "../limits.ts";
import { BUCKET, BUCKET_STREAM, LOG_SUBJECTS, OUT_SUBJECTS, STREAM } from "../names.ts";
import type { Connection } from "./connection.ts";
import { SERVER_ERROR, createStream, isRefusal, streamInfo, updateStream } from "./jetstream-api.ts";
import { STORES, shareOut } from "./sizes.ts";
import type { Sizes, Store } from "./sizes.ts";

export interface StreamLimits {
  /** Bytes that LOG and OUT may hold; undefined: as somebody set it, else a share of what the server has. */
  logBytesMax: number | undefined;
  outBytesMax: number | undefined;
  /** Servers that keep each stream, bucket and object. */
  replicas: number;
}

/** What both streams have in common. Nothing goes by age or count: only snapshots let messages go. */
const COMMON: Partial<StreamConfig> = {
  retention: RetentionPolicy.Limits,
  storage: StorageType.File,
  discard: DiscardPolicy.New, // A full stream refuses; it never drops its oldest messages.
  max_msgs: -1,
  max_msgs_per_subject: -1,
  max_age: 0,
  allow_direct: true,
  allow_atomic: true,
  deny_delete: false,
  deny_purge: false,
};

const BUCKETS: Partial<StreamConfig> = { storage: StorageType.File, discard: DiscardPolicy.New, allow_rollup_hdrs: true };

/** As they are made; buckets as the NATS clients make them. */
const CONFIGS: Record<Store, Partial<StreamConfig> & { name: string; subjects: string[] }> = {
  log: { ...COMMON, name: STREAM.log, subjects: [LOG_SUBJECTS] },
  out: { ...COMMON, name: STREAM.out, subjects: [OUT_SUBJECTS] },
  objects: {
    ...BUCKETS,
    name: BUCKET_STREAM.objects,
    subjects: [`$O.${BUCKET.objects}.C.>`, `$O.${BUCKET.objects}.M.>`],
    allow_direct: true,
  },
  settings: {
    ...BUCKETS,
    name: BUCKET_STREAM.settings,
    subjects: [`$KV.${BUCKET.settings}.>`],
    max_msgs_per_subject: 1,
    allow_direct: false, // A replica that lags could deny a key that was just created.
  },
};

/** Of an existing stream these must be as we would have made them. */
const CHECKED = [
  "retention",
  "storage",
  "discard",
  "max_msgs",
  "max_msgs_per_subject",
  "max_age",
  "allow_direct",
  "allow_atomic",
  "deny_purge",
] as const satisfies (keyof StreamConfig)[];

const NO_ROOM = [
  SERVER_ERROR.storageExceeded,
  SERVER_ERROR.insufficientResources,
  SERVER_ERROR.noSuitablePeers,
  SERVER_ERROR.streamBytesExceeded,
];
const isNoRoom = (error: unknown): boolean => NO_ROOM.some((errCode) => isRefusal(error, errCode));

/** In a stream's metadata: the share it was given, bytes. */
const SHARE_NOTE = "meridian-share";

type Infos = Partial<Record<Store, StreamInfo>>;

/**
 * @param totalBytes what the server has for files; undefined if it does not say: then a share that was given stays, and absent
 *   streams get the largest ones that it takes, by halving
 * @param options `makes`: streams that are absent are made
 * @throws IoError STREAM_WRONG, or as `ask`
 */
export async function ensureStreams(
  connection: Connection,
  limits: StreamLimits,
  totalBytes: number | undefined,
  { log, makes }: { log: Logger; makes: boolean },
): Promise<void> {
  const infos = await lookUp(connection);
  for (const { config } of [infos.log, infos.out].filter((info) => info !== undefined)) {
    if (config.num_replicas === limits.replicas) continue;
    const facts = { stream: config.name, replicas: config.num_replicas, configured: limits.replicas };
    log.warn(facts, "A stream is kept by another number of servers than configured; it stays as it is");
  }
  const fixed = fixedSizes(infos, limits);
  const first = totalBytes ?? STORAGE_BYTES_ASSUMED;
  // Somebody else may have set a part of it aside, so that less is free than the server has.
  for (let total = first; ; total = Math.floor(total / 2)) {
    const sizes = shareOut(total, fixed);
    const follows = total < first ? "smaller" : totalBytes === undefined ? "none" : "both";
    try {
      await resize(connection, infos, sizes, { fixed, follows, log });
      if (makes) await makeAbsent(connection, infos, sizes, limits.replicas, fixed);
      return;
    } catch (error) {
      if (!isNoRoom(error) || total / 2 < STORAGE_BYTES_MIN) throw error;
    }
  }
}

async function lookUp(connection: Connection): Promise<Infos> {
  const infos: Infos = {};
  for (const store of STORES) {
    const info = await infoOrUndefined(connection, CONFIGS[store].name);
    if (info === undefined) continue;
    if (store === "log" || store === "out") checkConfig(info.config.name, CONFIGS[store].subjects, info.config);
    infos[store] = info;
  }
  return infos;
}

/** Sizes that are not shares: from the settings, or set by hand (E1). */
function fixedSizes(infos: Infos, { logBytesMax, outBytesMax }: StreamLimits): Partial<Sizes> {
  const fixed: Partial<Sizes> = {};
  for (const store of STORES) {
    const { max_bytes: bytes = -1, metadata } = infos[store]?.config ?? {};
    if (bytes > 0 && metadata?.[SHARE_NOTE] !== String(bytes)) fixed[store] = bytes;
  }
  if (logBytesMax !== undefined) fixed.log = logBytesMax;
  if (outBytesMax !== undefined) fixed.out = outBytesMax;
  return fixed;
}

async function makeAbsent(
  connection: Connection,
  infos: Infos,
  sizes: Sizes,
  replicas: number,
  fixed: Partial<Sizes>,
): Promise<void> {
  for (const store of STORES) {
    if (infos[store] !== undefined) continue;
    const bytes = sizes[store];
    const config = { ...CONFIGS[store], num_replicas: replicas, max_bytes: bytes };
    const metadata = fixed[store] === undefined ? shareNote(bytes) : {};
    infos[store] = await createOrInfo(connection, { ...config, metadata });
  }
}

const shareNote = (bytes: number): Record<string, string> => ({ [SHARE_NOTE]: String(bytes) });

interface Resizing {
  fixed: Partial<Sizes>;
  /** In which direction shares may change. */
  follows: "both" | "smaller" | "none";
  log: Logger;
}

/** Gives the streams that are there their sizes; those that get smaller come first. */
async function resize(connection: Connection, infos: Infos, sizes: Sizes, { fixed, follows, log }: Resizing): Promise<void> {
  const isUnbounded = (store: Store) => (infos[store]?.config.max_bytes ?? -1) <= 0;
  const growthOf = (store: Store) => (isUnbounded(store) ? -Infinity : sizes[store] - (infos[store]?.config.max_bytes ?? 0));
  for (const store of STORES.toSorted((left, right) => growthOf(left) - growthOf(right))) {
    const info = infos[store];
    const growth = growthOf(store);
    if (info === undefined || growth === 0) continue;
    const isShare = fixed[store] === undefined;
    if (isShare && (follows === "none" || (follows === "smaller" && growth > 0))) continue;
    if (isShare && Math.abs(growth) * SIZE_CHANGE_MIN <= info.config.max_bytes) continue;
    const { config } = info;
    const facts = { stream: config.name, bytes: sizes[store], before: config.max_bytes };
    try {
      const metadata = { ...config.metadata, ...(isShare ? shareNote(sizes[store]) : {}) };
      infos[store] = await updateStream(connection, { ...config, max_bytes: sizes[store], metadata });
      log.info(facts, "Size of a stream set");
    } catch (error) {
      if (!isShare || !isNoRoom(error)) throw error;
      // Nor does a server take a smaller size while more is set aside than it has.
      log.warn(facts, "The server does not take the size that a stream should have; it stays as it is");
    }
  }
}

async function infoOrUndefined(connection: Connection, name: string): Promise<StreamInfo | undefined> {
  try {
    return await streamInfo(connection, name);
  } catch (error) {
    if (isRefusal(error, SERVER_ERROR.streamNotFound)) return undefined;
    throw error;
  }
}

async function createOrInfo(connection: Connection, config: Partial<StreamConfig> & { name: string }): Promise<StreamInfo> {
  try {
    return await createStream(connection, config);
  } catch (error) {
    // Another process made it between our look and our creation. Of two at once, the server first looks for room.
    const isThere = isRefusal(error, SERVER_ERROR.streamNameInUse) || isNoRoom(error);
    const info = isThere ? await infoOrUndefined(connection, config.name) : undefined;
    if (info !== undefined) return info;
    throw error;
  }
}

/** @throws IoError STREAM_WRONG naming the field */
function checkConfig(stream: string, subjects: readonly string[], got: StreamConfig): void {
  const refuse = (field: string, value: unknown, want: unknown) =>
    new IoError({ code: "STREAM_WRONG", stream, field, got: JSON.stringify(value ?? null), want: JSON.stringify(want) }, "never");
  if (got.subjects.length !== 1 || got.subjects[0] !== subjects[0]) throw refuse("subjects", got.subjects, subjects);
  for (const field of CHECKED) {
    const value = got[field] ?? false;
    const want = COMMON[field];
    if (value !== want) throw refuse(field, got[field], want);
  }
  // `async` acknowledges before the disk has it, and silently switches sync_interval: always off.
  if (got.persist_mode === PersistMode.Async) throw refuse("persist_mode", got.persist_mode, PersistMode.Default);
  if (got.max_msg_size > 0 && got.max_msg_size < MESSAGE_BYTES_MAX)
    throw refuse("max_msg_size", got.max_msg_size, MESSAGE_BYTES_MAX);
}
