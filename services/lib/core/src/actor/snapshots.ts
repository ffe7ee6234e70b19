/**
 * Which snapshots of a partition are kept, which one a restart begins from, and what may then be let go. Kept are the newest
 * two: the older one is the way back if the newer one is damaged, so the log goes only up to the older one's position.
 */
import type { SnapshotManifest } from "../messages.ts";
import type { PartitionId } from "../ranges.ts";
import { VERSION_BLOCKS_MAX } from "./state.ts";

export const SNAPSHOTS_KEPT = 2;
/** An export stops this many blocks before the engine lets its block's versions go. */
const EXPORT_BLOCKS_SPARE = 4;

/** Name of a chunk's object: `snapshot/<partition>/<block>/<number>`. */
export const chunkObject = (partition: PartitionId, block: number, number: number): string =>
  `snapshot/${partition}/${block}/${number.toString().padStart(6, "0")}`;

/** Prefix of all chunks of a partition. */
export const chunkPrefix = (partition: PartitionId): string => `snapshot/${partition}/`;

/**
 * Snapshots to try at a start, best first. One that lies ahead of OUT is no use: the records between could not be made again.
 * @param outN n of the last record in OUT
 */
export const restartOrder = (kept: readonly SnapshotManifest[], outN: number): SnapshotManifest[] =>
  kept.filter(({ position }) => position.n <= outN).sort((left, right) => right.block - left.block);

/** True if a snapshot at `block` would be newer than all that are kept; at a replay it is not. */
export const isNewer = (block: number, kept: readonly SnapshotManifest[]): boolean =>
  kept.every((manifest) => manifest.block < block);

/** True while the engine still has all versions of `block`, with some blocks to spare. */
export const isExportable = (block: number, sealedBlock: number): boolean =>
  sealedBlock - block <= VERSION_BLOCKS_MAX - EXPORT_BLOCKS_SPARE;

/** The snapshots kept once `added` is complete, newest first. */
export const keptWith = (kept: readonly SnapshotManifest[], added: SnapshotManifest): SnapshotManifest[] =>
  [added, ...kept.filter(({ block }) => block !== added.block)]
    .sort((left, right) => right.block - left.block)
    .slice(0, SNAPSHOTS_KEPT);

/** Last n that no kept snapshot needs: null until as many are kept as there should be. */
export const truncatableN = (kept: readonly SnapshotManifest[]): number | null =>
  kept.length < SNAPSHOTS_KEPT ? null : Math.min(...kept.map(({ position }) => position.n));

/**
 * Chunk objects that no kept snapshot names and that are older than all kept ones. Newer ones are left alone: another
 * process may be writing them.
 */
export function strayChunks(objects: readonly string[], kept: readonly SnapshotManifest[]): string[] {
  const named = new Set(kept.flatMap(({ chunks }) => chunks.map(({ object }) => object)));
  const oldest = Math.min(...kept.map(({ block }) => block));
  return objects.filter((object) => !named.has(object) && Number(object.split("/")[2]) < oldest);
}
