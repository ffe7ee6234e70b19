/**
 * Where a partition's snapshots are: chunks as objects, manifests as one settings record.
 *
 * S1. A manifest is written after all of its chunks; what has no manifest does not exist.
 * S2. Nothing is believed without its SHA-256: each manifest in the record has one, each chunk has one in its manifest.
 * S3. Damage is a finding, not a crash: the caller goes on to the older snapshot.
 * S4. Several processes of one partition may write here, one of them long behind: what counts is what the record says when it is
 *     written, not what a process remembers of it, so the snapshots that are kept only ever get newer.
 */
import { createHash } from "node:crypto";
import {
  FORMAT_VERSION,
  IoError,
  bytesOfHex,
  chunkObject,
  chunkPrefix,
  hexOf,
  isIoError,
  keptWith,
  strayChunks,
} from "@meridian/core";
import type { CellSlice, Objects, PartitionId, Settings, SnapshotManifest } from "@meridian/core";

/** What is wrong with a snapshot; `object` is the chunk or the settings record. */
export interface SnapshotDamage {
  code: "SNAPSHOT_DAMAGED";
  object: string;
  text: string;
}

export interface KeptSnapshots {
  /** Newest first. */
  kept: SnapshotManifest[];
  damaged: SnapshotDamage[];
}

export interface SnapshotStore {
  /**
   * The manifests that are there, and those that cannot be believed.
   * @throws IoError FORMAT_UNKNOWN if a later version wrote them
   */
  read(): Promise<KeptSnapshots>;
  /** One chunk's cells; or what is wrong with it. */
  chunk(chunk: SnapshotManifest["chunks"][number]): Promise<Uint8Array | SnapshotDamage>;
  /** Writes the manifest's next chunk and adds it to the manifest. */
  write(manifest: SnapshotManifest, slice: CellSlice): Promise<void>;
  /**
   * Makes the snapshot count, beside the one before it, unless there are two newer ones by now; removes chunks that no kept
   * snapshot names.
   * @param damaged blocks of snapshots that are not whole, though their manifests are there
   * @returns what is kept now, newest first
   * @throws IoError CONTENDED if others write all the time
   */
  finish(manifest: SnapshotManifest, damaged?: ReadonlySet<number>): Promise<SnapshotManifest[]>;
}

/** Other processes of the partition that may be faster, one after the other. */
const TRIES_MAX = 8;

export interface SnapshotPorts {
  objects: Objects;
  settings: Settings;
}

/** Snapshots of one partition. */
export function openSnapshots({ objects, settings }: SnapshotPorts, partition: PartitionId): SnapshotStore {
  const key = `snapshot.${partition}`;

  async function chunk(wanted: SnapshotManifest["chunks"][number]): Promise<Uint8Array | SnapshotDamage> {
    const bytes = await objects.get(wanted.object).catch(damageOf);
    if (bytes !== undefined && !(bytes instanceof Uint8Array)) return { ...bytes, object: wanted.object };
    if (bytes === undefined) return { code: "SNAPSHOT_DAMAGED", object: wanted.object, text: "the object is not there" };
    if (sha256(bytes) === wanted.sha256) return bytes;
    return {
      code: "SNAPSHOT_DAMAGED",
      object: wanted.object,
      text: `${bytes.length} bytes do not have SHA-256 ${wanted.sha256}`,
    };
  }

  async function write(manifest: SnapshotManifest, slice: CellSlice): Promise<void> {
    const number = manifest.chunks.length;
    const object = chunkObject(partition, manifest.block, number);
    const bytes = slice.cells.slice();
    manifest.chunks.push({
      first: hexOf(slice.first),
      last: hexOf(slice.last),
      object,
      sha256: sha256(bytes),
      bytes: bytes.length,
    });
    await objects.put(object, bytes);
  }

  async function finish(
    manifest: SnapshotManifest,
    damaged: ReadonlySet<number> = new Set<number>(),
  ): Promise<SnapshotManifest[]> {
    const next = await record(manifest, damaged);
    for (const object of strayChunks(await objects.list(chunkPrefix(partition)), next)) await objects.delete(object);
    return next;
  }

  /** @returns what is kept with this one, which may be newer than it is */
  async function record(manifest: SnapshotManifest, damaged: ReadonlySet<number>): Promise<SnapshotManifest[]> {
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const stored = await settings.getRecord(key);
      const kept = stored === undefined ? [] : manifestsOf(stored.value, key).kept;
      const next = keptWith(
        kept.filter(({ block }) => !damaged.has(block)),
        manifest,
      );
      if (!next.includes(manifest)) return kept;
      if (await settings.putRecord(key, recordOf(next), stored?.revision ?? 0)) return next;
    }
    throw new IoError({ code: "CONTENDED", key, tries: TRIES_MAX }, "later");
  }

  return {
    read: async () => {
      const stored = await settings.getRecord(key);
      return stored === undefined ? { kept: [], damaged: [] } : manifestsOf(stored.value, key);
    },
    chunk,
    write,
    finish,
  };
}

/** An object store that checks for itself finds damage first; a failure that passes is none. */
function damageOf(error: unknown): SnapshotDamage {
  if (!isIoError(error) || error.retry !== "never") throw error;
  return { code: "SNAPSHOT_DAMAGED", object: "", text: error.message };
}

const sha256 = (bytes: Uint8Array | string): string => createHash("sha256").update(bytes).digest("hex");

/** JSON, so that a person can read what is there; each manifest as a text of its own with its SHA-256. */
function recordOf(manifests: readonly SnapshotManifest[]): Uint8Array {
  const snapshots = manifests.map((manifest) => {
    const text = JSON.stringify(plainOf(manifest));
    return { sha256: sha256(text), manifest: text };
  });
  return new TextEncoder().encode(JSON.stringify({ format: FORMAT_VERSION, snapshots }));
}

function manifestsOf(record: Uint8Array, key: string): KeptSnapshots {
  const found: KeptSnapshots = { kept: [], damaged: [] };
  const damage = (text: string) => found.damaged.push({ code: "SNAPSHOT_DAMAGED", object: key, text });
  const whole = parse<{ format?: number; snapshots?: { sha256?: string; manifest?: string }[] }>(
    new TextDecoder().decode(record),
  );
  if (whole === null || typeof whole.format !== "number" || !Array.isArray(whole.snapshots)) {
    damage("the record is not JSON of the expected form");
    return found;
  }
  if (whole.format > FORMAT_VERSION) {
    throw new IoError({ code: "FORMAT_UNKNOWN", format: whole.format, known: FORMAT_VERSION, object: key }, "never");
  }
  for (const [index, { sha256: wanted, manifest: text }] of whole.snapshots.entries()) {
    const plain = typeof text === "string" && sha256(text) === wanted ? parse<PlainManifest>(text) : null;
    if (plain === null) damage(`manifest ${index} does not have its SHA-256`);
    else found.kept.push(manifestOfPlain(plain));
  }
  return found;
}

function parse<T>(text: string): T | null {
  try {
    return JSON.parse(text) as T;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/** A manifest with hex where it has bytes. */
type PlainManifest = ReturnType<typeof plainOf>;

function plainOf(manifest: SnapshotManifest) {
  return {
    ...manifest,
    position: { ...manifest.position, hash: hexOf(manifest.position.hash) },
    opens: { ...manifest.opens, prevrandao: hexOf(manifest.opens.prevrandao) },
    seals: manifest.seals.map(({ number, hash }) => ({ number, hash: hexOf(hash) })),
    lattice: hexOf(manifest.lattice),
  };
}

function manifestOfPlain(plain: PlainManifest): SnapshotManifest {
  return {
    ...plain,
    position: { ...plain.position, hash: bytesOfHex(plain.position.hash) },
    opens: { ...plain.opens, prevrandao: bytesOfHex(plain.opens.prevrandao) },
    seals: plain.seals.map(({ number, hash }) => ({ number, hash: bytesOfHex(hash) })),
    lattice: bytesOfHex(plain.lattice),
  };
}
