/** LOG and OUT as they must be: made if absent, refused if somebody made them otherwise. */
import { IoError } from "@meridian/core";
import type { Logger } from "@meridian/core";
import { DiscardPolicy, PersistMode, RetentionPolicy, StorageType } from "@nats-io/jetstream";
import type { StreamConfig, StreamInfo } from "@nats-io/jetstream";
import { LOG_BYTES_MAX, MESSAGE_BYTES_MAX } from "../limits.ts";
import { LOG_SUBJECTS, OUT_SUBJECTS, STREAM } from "../names.ts";
import type { Connection } from "./connection.ts";
import { SERVER_ERROR, createStream, isRefusal, streamInfo, updateStream } from "./jetstream-api.ts";

export interface StreamLimits {
  /** Bytes a stream may hold, -1 for as much as the server has. Undefined: as it is, or LOG_BYTES_MAX and -1 for new ones. */
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

const NO_ROOM = [SERVER_ERROR.storageExceeded, SERVER_ERROR.insufficientResources];

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

/** @throws IoError STREAM_WRONG, or as `ask` */
export async function ensureStreams(connection: Connection, limits: StreamLimits, log: Logger): Promise<void> {
  const { logBytesMax, outBytesMax, replicas } = limits;
  const streams = [
    await ensureStream(connection, STREAM.log, LOG_SUBJECTS, logBytesMax, [LOG_BYTES_MAX, -1], replicas),
    await ensureStream(connection, STREAM.out, OUT_SUBJECTS, outBytesMax, [-1], replicas),
  ];
  for (const { config } of streams) {
    if (config.num_replicas === replicas) continue;
    const facts = { stream: config.name, replicas: config.num_replicas, configured: replicas };
    log.warn(facts, "A stream is kept by another number of servers than configured; it stays as it is");
  }
}

/** @param defaults sizes for a new stream, tried in order: a small server cannot keep the first one free */
async function ensureStream(
  connection: Connection,
  name: string,
  subjects: string,
  bytesMax: number | undefined,
  defaults: readonly number[],
  replicas: number,
): Promise<StreamInfo> {
  const config = { ...COMMON, name, subjects: [subjects], num_replicas: replicas };
  const existing = await infoOrUndefined(connection, name);
  const info = existing ?? (await createFirst(connection, config, bytesMax === undefined ? defaults : [bytesMax]));
  checkConfig(name, subjects, info.config);
  if (bytesMax === undefined || info.config.max_bytes === bytesMax) return info;
  return updateStream(connection, { ...info.config, max_bytes: bytesMax });
}

async function createFirst(
  connection: Connection,
  config: Partial<StreamConfig> & { name: string },
  sizes: readonly number[],
): Promise<StreamInfo> {
  for (const size of sizes.slice(0, -1)) {
    try {
      return await createOrInfo(connection, { ...config, max_bytes: size });
    } catch (error) {
      if (!NO_ROOM.some((errCode) => isRefusal(error, errCode))) throw error;
    }
  }
  return createOrInfo(connection, { ...config, max_bytes: sizes.at(-1) ?? -1 });
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
    // Another process made it between our look and our creation, with other limits.
    if (isRefusal(error, SERVER_ERROR.streamNameInUse)) return streamInfo(connection, config.name);
    throw error;
  }
}

/** @throws IoError STREAM_WRONG naming the field */
function checkConfig(stream: string, subjects: string, got: StreamConfig): void {
  const refuse = (field: string, value: unknown, want: unknown) =>
    new IoError({ code: "STREAM_WRONG", stream, field, got: JSON.stringify(value ?? null), want: JSON.stringify(want) }, "never");
  if (got.subjects.length !== 1 || got.subjects[0] !== subjects) throw refuse("subjects", got.subjects, [subjects]);
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
