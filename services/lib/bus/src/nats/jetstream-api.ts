/** Requests to JetStream's own subjects, over `Connection` so that they fail at once when the connection is lost. */
import { IoError, isIoError } from "@meridian/core";
import type { ConsumerConfig, JetStreamAccountStats, StreamConfig, StreamInfo } from "@nats-io/jetstream";
import { REQUEST_MS_MAX } from "../limits.ts";
import type { StoredMessage } from "../stream.ts";
import type { Connection } from "./connection.ts";
import { fromNatsHeaders } from "./headers.ts";
import type { Msg } from "@nats-io/nats-core";

/** Error numbers of the server that decide something here (server/errors.json of nats-server). */
export const SERVER_ERROR = {
  noSuitablePeers: 10005, //          no server of the cluster has room for a new stream
  insufficientResources: 10023,
  memoryExceeded: 10028,
  storageExceeded: 10047,
  streamNameInUse: 10058,
  streamNotFound: 10059,
  wrongLastSequence: 10071,
  streamBytesExceeded: 10122, //      more than the account allows for one stream
  storeFailed: 10077, //           maximum bytes or messages of the stream, or the disk refuses
  wrongLastSequenceUnknown: 10164,
} as const;

/** The server refused: its number and words. */
export type ServerRefusal = { code: "SERVER_REFUSED"; what: string; errCode: number; text: string };

interface ApiReply {
  error?: { code?: number; err_code?: number; description?: string };
}

const encoder = new TextEncoder();

/** @throws IoError SERVER_REFUSED (`ServerRefusal`), or as `Connection.request` */
export async function ask<T>(
  connection: Connection,
  what: string,
  body: object | null = null,
  timeoutMs: number = REQUEST_MS_MAX,
): Promise<T> {
  const payload = body === null ? new Uint8Array() : encoder.encode(JSON.stringify(body));
  const msg = await connection.request(`$JS.API.${what}`, payload, { timeoutMs });
  const reply = msg.json<T & ApiReply>();
  const { error } = reply;
  if (error !== undefined) throw refusalOf(what, error);
  return reply;
}

export function refusalOf(what: string, error: NonNullable<ApiReply["error"]>): IoError<ServerRefusal> {
  const detail: ServerRefusal = { code: "SERVER_REFUSED", what, errCode: error.err_code ?? 0, text: error.description ?? "" };
  // The server's own trouble (503) may pass, a wrong request does not.
  return new IoError(detail, error.code === 503 ? "later" : "never");
}

export function isRefusal(error: unknown, errCode: number): boolean {
  return isIoError(error, "SERVER_REFUSED") && (error.detail as ServerRefusal).errCode === errCode;
}

/** What the account may use: `max_storage` bytes, -1 for what the server has; by number of replicas where there are tiers. */
export const accountInfo = (connection: Connection): Promise<JetStreamAccountStats> => ask(connection, "INFO");
export const streamInfo = (connection: Connection, stream: string, timeoutMs?: number): Promise<StreamInfo> =>
  ask(connection, `STREAM.INFO.${stream}`, null, timeoutMs);
export const createStream = (connection: Connection, config: Partial<StreamConfig> & { name: string }): Promise<StreamInfo> =>
  ask(connection, `STREAM.CREATE.${config.name}`, config);
export const updateStream = (connection: Connection, config: Partial<StreamConfig> & { name: string }): Promise<StreamInfo> =>
  ask(connection, `STREAM.UPDATE.${config.name}`, config);
export const purgeStream = (connection: Connection, stream: string, purge: { filter: string; seq: number }): Promise<unknown> =>
  ask(connection, `STREAM.PURGE.${stream}`, purge);
export const createConsumer = (
  connection: Connection,
  stream: string,
  config: Partial<ConsumerConfig> & { name: string },
): Promise<unknown> =>
  ask(connection, `CONSUMER.CREATE.${stream}.${config.name}.${config.filter_subject ?? ">"}`, {
    stream_name: stream,
    config,
    action: "create",
  });

/** Forgets a consumer; it would end by itself, so nobody waits for the answer. */
export function dropConsumer(connection: Connection, stream: string, name: string): void {
  connection.publish(`$JS.API.CONSUMER.DELETE.${stream}.${name}`, new Uint8Array());
}

/** What a direct get asks for. */
export type DirectGet = { seq: number } | { seq: number; next_by_subj: string } | { last_by_subj: string };

/** One message straight from the store of any replica; undefined if there is none. */
export async function directGet(connection: Connection, stream: string, get: DirectGet): Promise<StoredMessage | undefined> {
  const payload = encoder.encode(JSON.stringify(get));
  const msg = await connection.request(`$JS.API.DIRECT.GET.${stream}`, payload, { timeoutMs: REQUEST_MS_MAX });
  return directMessage(stream, msg);
}

/** The last message of every subject, as of one moment. */
export async function directLast(connection: Connection, stream: string, subjects: string): Promise<StoredMessage[]> {
  const payload = encoder.encode(JSON.stringify({ multi_last: [subjects] }));
  const isLast = (msg: Msg) => (msg.headers?.code ?? 0) !== 0;
  const replies = await connection.collect(`$JS.API.DIRECT.GET.${stream}`, payload, REQUEST_MS_MAX, isLast);
  const messages = replies.flatMap((msg) => (msg.headers?.code === 204 ? [] : (directMessage(stream, msg) ?? [])));
  return messages.sort((left, right) => left.sequence - right.sequence);
}

function directMessage(stream: string, msg: Msg): StoredMessage | undefined {
  const code = msg.headers?.code ?? 0;
  if (code === 404) return undefined;
  if (code !== 0) throw refusalOf(`DIRECT.GET.${stream}`, { code, err_code: code, description: msg.headers?.description ?? "" });
  const subject = msg.headers?.get("Nats-Subject") ?? "";
  const sequence = Number(msg.headers?.get("Nats-Sequence"));
  return { sequence, subject, payload: msg.data, headers: fromNatsHeaders(msg.headers) };
}
