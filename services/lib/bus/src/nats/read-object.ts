/**
 * Reads an object's chunks one message after the other. The library would make a consumer for each read that outlives it by five
 * minutes: hosts that start again a few times while they restore snapshots reach the stream's limit of consumers, and nobody can
 * read any more.
 */
import { createHash } from "node:crypto";
import { IoError, concatBytes } from "@meridian/core";
import type { ObjectInfo } from "@nats-io/obj";
import { BUCKET } from "../names.ts";
import type { Connection } from "./connection.ts";
import { directGet } from "./jetstream-api.ts";

const STREAM_NAME = `OBJ_${BUCKET.objects}`;
const DIGEST_PREFIX = "SHA-256=";

/** @throws IoError OBJECT_CORRUPT; OBJECT_INCOMPLETE if a replica lags or it was deleted meanwhile; or as `Connection.request` */
export async function readObject(connection: Connection, { name, nuid, size, digest }: ObjectInfo): Promise<Uint8Array> {
  const subject = `$O.${BUCKET.objects}.C.${nuid}`;
  const chunks: Uint8Array[] = [];
  for (let bytes = 0, seq = 1; bytes < size;) {
    const message = await directGet(connection, STREAM_NAME, { seq, next_by_subj: subject });
    if (message === undefined) throw new IoError({ code: "OBJECT_INCOMPLETE", name, bytes, want: size }, "later");
    chunks.push(message.payload);
    bytes += message.payload.length;
    seq = message.sequence + 1;
  }
  const whole = concatBytes(chunks);
  const found = createHash("sha256").update(whole).digest("base64url");
  const wanted = digest.slice(DIGEST_PREFIX.length).replaceAll("=", "");
  if (whole.length !== size || found !== wanted) throw new IoError({ code: "OBJECT_CORRUPT", name, found, wanted }, "never");
  return whole;
}
