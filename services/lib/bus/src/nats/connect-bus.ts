import { IoError, isIoError, noTelemetry } from "@meridian/core";
import type { Bus, Durability, Log, Logger, Objects, Out, Settings, Wire } from "@meridian/core";
import { connect } from "@nats-io/transport-node";
import { systemClock, wait } from "@meridian/process";
import { APPEND_MS_MAX, CONNECT_MS_MAX, MESSAGE_BYTES_MAX, PUBLISH_MS_MAX, RETRY_MS_MAX, RETRY_MS_MIN } from "../limits.ts";
import { StreamLog } from "../log.ts";
import { LOG_SUBJECTS, OUT_SUBJECTS, STREAM } from "../names.ts";
import { StreamOut } from "../out.ts";
import { KeyedSettings } from "../settings.ts";
import { openKeyValues, openObjects } from "./buckets.ts";
import { Connection } from "./connection.ts";
import { checkDurability } from "./durability.ts";
import { NatsStream } from "./nats-stream.ts";
import { NatsWire } from "./nats-wire.ts";
import { Room } from "./room.ts";

const RECONNECT_WAIT_MS = 50;
const RECONNECT_JITTER_MS = 50;
/** A server that does not answer two pings counts as gone. */
const PING_MS = 2_000;
const PINGS_MAX = 2;
/** With durability `power` the servers are asked again this often. */
const DURABILITY_CHECK_MS = 30_000;

export interface ConnectOptions {
  /** nats://host:port, or several, comma-separated. */
  url: string;
  /** Who this is, for the server's own lists. */
  name: string;
  durability: Durability;
  /** HTTP monitors of all servers, comma-separated; default: port 8222 of each: how durable is a server, what has it? */
  monitorUrl?: string | undefined;
  /** How long the first connection is tried. */
  connectMsMax?: number;
  appendMsMax?: number;
  publishMsMax?: number;
  /** Bytes that LOG and OUT may hold; default: a share of what the server has (limits.ts), or as somebody set it by hand. */
  logBytesMax?: number | undefined;
  outBytesMax?: number | undefined;
  /** Servers that keep each stream; used when it is made. An existing stream with another number is taken, with a warning. */
  replicas?: number;
  log?: Logger;
  /** Ends a connection attempt that still waits. */
  signal?: AbortSignal;
}

/**
 * Connects to a server, makes the streams and buckets that are not there, and checks that it is as durable as configured.
 * Reconnects for ever; every operation has its own time limit.
 * @throws IoError UNREACHABLE | DURABILITY | DURABILITY_UNKNOWN | STREAM_WRONG | SERVER_LIMIT
 */
export async function connectBus(options: ConnectOptions): Promise<Bus> {
  const log = options.log ?? noTelemetry().log;
  const { durability, monitorUrl, logBytesMax, outBytesMax, replicas = 1 } = options;
  const nc = await dial(options);
  const check = () => checkDurability(nc, durability, monitorUrl);
  const connection = new Connection(nc, log, () => recheck(check, log, nc));
  try {
    const maxPayload = nc.info?.max_payload ?? 0;
    if (maxPayload < MESSAGE_BYTES_MAX) {
      throw new IoError({ code: "SERVER_LIMIT", limit: "max_payload", got: maxPayload, want: MESSAGE_BYTES_MAX }, "never");
    }
    const room = new Room(connection, { logBytesMax, outBytesMax, replicas }, monitorUrl, log);
    await room.open();
    await check();
    if (durability === "power") void checkAgain(check, connection, log);
    const [keyValues, objects] = await Promise.all([openKeyValues(connection, replicas), openObjects(connection, replicas)]);
    return new NatsBus(connection, options, { log, room }, new KeyedSettings(keyValues), objects);
  } catch (error) {
    await nc.close();
    throw error;
  }
}

class NatsBus implements Bus {
  readonly log: Log;
  readonly out: Out;
  readonly settings: Settings;
  readonly objects: Objects;
  readonly wire: Wire;
  readonly closed: Promise<void>;
  readonly #connection: Connection;

  constructor(
    connection: Connection,
    options: ConnectOptions,
    { log, room }: { log: Logger; room: Room },
    settings: Settings,
    objects: Objects,
  ) {
    const { appendMsMax = APPEND_MS_MAX, publishMsMax = PUBLISH_MS_MAX } = options;
    const streamOf = (name: string, subjects: string) =>
      new NatsStream(connection, name, subjects, { log, refused: () => room.refused() });
    this.#connection = connection;
    this.log = new StreamLog(streamOf(STREAM.log, LOG_SUBJECTS), systemClock, { appendMsMax });
    this.out = new StreamOut(streamOf(STREAM.out, OUT_SUBJECTS), systemClock, { publishMsMax });
    this.settings = settings;
    this.objects = objects;
    this.wire = new NatsWire(connection, log);
    this.closed = connection.closed;
  }

  async close(): Promise<void> {
    // What was published just now still goes out; a connection that is down has nothing to send.
    if (this.#connection.isUp) await Promise.race([this.#connection.nc.flush(), wait(systemClock, RETRY_MS_MAX)]);
    await this.#connection.nc.close();
  }
}

/** The first connection: tried again until `connectMsMax`, because services start in any order. */
async function dial(options: ConnectOptions) {
  const { url, name, connectMsMax = CONNECT_MS_MAX, signal } = options;
  const endsAt = systemClock.now() + connectMsMax;
  for (;;) {
    try {
      return await connect({
        servers: url.split(",").map((server) => server.trim()),
        name,
        timeout: Math.max(1, Math.min(connectMsMax, endsAt - systemClock.now())),
        maxReconnectAttempts: -1,
        reconnectTimeWait: RECONNECT_WAIT_MS,
        reconnectJitter: RECONNECT_JITTER_MS,
        pingInterval: PING_MS,
        maxPingOut: PINGS_MAX,
        noAsyncTraces: true,
      });
    } catch (error) {
      const isOver = systemClock.now() + RETRY_MS_MAX >= endsAt || signal?.aborted === true;
      if (isOver) throw new IoError({ code: "UNREACHABLE", url, waitedMs: connectMsMax }, "later", error);
      await wait(systemClock, RETRY_MS_MAX, signal);
    }
  }
}

/** After a reconnect: a server that cannot be asked yet is asked again, a lazier one is refused for good. */
async function recheck(check: () => Promise<void>, log: Logger, nc: { isClosed(): boolean }): Promise<void> {
  for (let pauseMs = RETRY_MS_MIN; !nc.isClosed(); pauseMs = Math.min(pauseMs * 2, RETRY_MS_MAX)) {
    try {
      await check();
      return;
    } catch (error) {
      if (!isIoError(error) || error.retry === "never") throw error;
      // Once is enough: it is repeated until it is known.
      if (pauseMs === RETRY_MS_MIN) log.warn({ ...error.detail }, "durability after a reconnect not known yet");
      await wait(systemClock, pauseMs);
    }
  }
}

/** A server of the cluster that was down, or came anew, is looked at later. One that syncs later than configured ends the bus. */
async function checkAgain(check: () => Promise<void>, connection: Connection, log: Logger): Promise<void> {
  const stopped = new AbortController();
  void connection.closed.then(() => stopped.abort());
  for (;;) {
    await wait(systemClock, DURABILITY_CHECK_MS, stopped.signal);
    if (stopped.signal.aborted) return;
    try {
      await check();
    } catch (error) {
      if (isIoError(error, "DURABILITY")) {
        log.error({ ...error.detail }, "a server syncs later than configured");
        await connection.nc.close();
      } else if (connection.isUp) {
        log.warn({ why: String(error) }, "durability could not be checked again");
      }
    }
  }
}
