/** Every bound of this package. Sizes in bytes, times in milliseconds. */
const KIB = 1024;
const MIB = 1024 * KIB;

/** The server's `max_payload`, which counts headers too. */
export const MESSAGE_BYTES_MAX = 8 * MIB;
/** Left for headers: trace context and the batch headers. */
export const HEADERS_BYTES_MAX = 16 * KIB;
/** Largest payload of any message. */
export const PAYLOAD_BYTES_MAX = MESSAGE_BYTES_MAX - HEADERS_BYTES_MAX;
/** The server takes at most this many messages in one atomic batch. */
export const BATCH_MESSAGES_MAX = 1_000;

/** Entries of one LOG message, before they are compressed: what compressed bytes from elsewhere may become. */
export const LOG_ENTRIES_BYTES_MAX = 64 * MIB;
/** OUT records are gathered into messages of about this size... */
export const OUT_MESSAGE_BYTES = MIB;
/** ...while this much may wait for one partition. */
export const OUT_WAITING_BYTES_MAX = 256 * MIB;
/** A record larger than one message is cut into parts of this size. */
export const OUT_PART_BYTES = 4 * MIB;
/** Largest record: what one atomic batch can hold, kept below 1 GiB for the memory of its reader. */
export const OUT_RECORD_BYTES_MAX = 1_000 * MIB;

/**
 * Every stream and bucket has a size of its own, and together they are less than what the server has for files: at the limit of
 * the whole server (`max_file_store`) nats-server 2.15.1 may leave a batch without an answer or keep only its first messages, and
 * what it sets aside for one stream does not keep out another that has no size. At its own limit a stream refuses a batch as a
 * whole. Percent of the server; the rest stays free, for a server that comes back with less than is set aside takes no other
 * sizes. OUT holds what LOG holds and what came of it, so LOG is what fills first, and says so to the client.
 */
export const SIZE_SHARES = { log: 30, out: 45, objects: 14, settings: 1 } as const;
/** A share changes by more than one part in so many, or stays: what a server has may be a part of what its disk has just now. */
export const SIZE_CHANGE_MIN = 20;
/** What LOG, OUT and the settings take at most. */
export const LOG_BYTES_MAX = 32_768 * MIB;
export const OUT_BYTES_MAX = 49_152 * MIB;
export const SETTINGS_BYTES_MAX = 64 * MIB;
export const SETTINGS_BYTES_MIN = MIB;
/** What a server is taken for that does not say what it has; halved until new streams fit, down to the second figure. */
export const STORAGE_BYTES_ASSUMED = 10_240 * MIB;
export const STORAGE_BYTES_MIN = 16 * MIB;
/** After a store that was refused for want of room the server is asked again what it has, at most this often. */
export const ROOM_LOOK_MS_MIN = 5_000;
/** After a reconnect it is asked until it answers, at most so many times. */
export const ROOM_TRIES_MAX = 20;

/** One try of an append or publish; after it the outcome counts as unknown. */
export const STORE_TRY_MS = 2_000;
/** An append of unknown outcome is resolved within this time, or the writer gives up. A cluster elects a leader in up to 9 s. */
export const APPEND_MS_MAX = 15_000;
/** The same for a publish to OUT. */
export const PUBLISH_MS_MAX = 15_000;
/** Pause between two tries: doubled from the first to the second figure. */
export const RETRY_MS_MIN = 10;
export const RETRY_MS_MAX = 500;
/** One request to the server about a stream, a setting or an object. */
export const REQUEST_MS_MAX = 5_000;
/** A replica may lag behind the leader: reads of a tail that looks too old are repeated this long before they count. */
export const LAG_MS_MAX = 2_000;
/** First connection. */
export const CONNECT_MS_MAX = 10_000;

/** Messages of one read ahead of its reader. */
export const READ_MESSAGES_MAX = 1_000;
/** A reader hears from its consumer at least this often, and makes a new one after twice this silence. */
export const READ_HEARTBEAT_MS = 1_000;
/** A pull that waits ends after this long and is sent again. */
export const READ_EXPIRES_MS = 30_000;

/** A chunk of an object. */
export const OBJECT_CHUNK_BYTES = MIB;
/** Writing or reading one object. */
export const OBJECT_MS_MAX = 120_000;
