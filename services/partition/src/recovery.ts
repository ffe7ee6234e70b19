/**
 * How a partition starts: from its newest snapshot that proves to be whole, else from an older one, else from genesis and the
 * whole log. Nothing is believed unchecked: chunks by SHA-256, the state by the block's lattice.
 *
 * Another process of the same partition may be ahead, cut the log and remove what is being read here: then there is a newer
 * snapshot to begin from, and nothing is damaged.
 */
import { createHash } from "node:crypto";
import {
  ALL_RULES,
  IoError,
  emptyState,
  hexOf,
  isIoError,
  ownedBy,
  restartOrder,
  sameBytes,
  stateOfManifest,
} from "@meridian/core";
import type { Bus, Engine, GenesisEntry, Logger, PartitionId, PartitionState, Rules, SnapshotManifest } from "@meridian/core";
import type { SnapshotDamage, SnapshotStore } from "@meridian/store";

/** Chunks asked for ahead of the one that is imported. */
const CHUNKS_AHEAD = 3;
/** Name of the object with the chain's genesis cells. */
const GENESIS_OBJECT = "genesis";
const LATTICE_BYTES = 2_048;

export interface Recovered {
  state: PartitionState;
  engine: Engine;
  /** Whole snapshots, newest first; the damaged ones are not among them. */
  kept: SnapshotManifest[];
  damaged: SnapshotDamage[];
  /** Blocks of the snapshots that were of no use. */
  useless: Set<number>;
  /** n of the last record in OUT. */
  outN: number;
}

export interface RecoveryPorts {
  bus: Bus;
  snapshots: SnapshotStore;
  openEngine: () => Engine;
  log: Logger;
}

export async function recover(
  ports: RecoveryPorts,
  partition: PartitionId,
  chainId: number,
  rules: Readonly<Rules> = ALL_RULES,
): Promise<Recovered> {
  const found = await ports.snapshots.read();
  const outN = await ports.bus.out.lastN(partition, newestN(found.kept));
  const damaged = [...found.damaged];
  const useless = new Set<number>();
  for (const manifest of restartOrder(found.kept, outN)) {
    const loaded = await load(ports, manifest, chainId, rules);
    if ("engine" in loaded) {
      const kept = found.kept.filter(({ block }) => !useless.has(block));
      reportDamage(ports.log, partition, damaged, `going on from the snapshot of block ${manifest.block}`);
      return { ...loaded, kept, damaged, useless, outN };
    }
    useless.add(manifest.block);
    damaged.push(loaded);
    await throwIfPassed(ports, partition, manifest.position.n, useless);
  }
  reportDamage(ports.log, partition, damaged, "no snapshot is whole; trying genesis and the whole log");
  for (const { block, position } of found.kept.filter((manifest) => !useless.has(manifest.block))) {
    useless.add(block);
    const text = `the snapshot of block ${block} stands at message ${position.n}, OUT ends at ${outN}`;
    damaged.push({ code: "SNAPSHOT_DAMAGED", object: `snapshot.${partition}`, text });
  }
  return { state: emptyState(partition, chainId, rules), engine: ports.openEngine(), kept: [], damaged, useless, outN };
}

/** A snapshot counts only once OUT has every record up to it. */
const newestN = (kept: readonly SnapshotManifest[]): number => Math.max(0, ...kept.map(({ position }) => position.n));

function reportDamage(log: Logger, partition: PartitionId, damaged: SnapshotDamage[], next: string): void {
  for (const damage of damaged) log.error({ ...damage, partition }, `A snapshot is damaged; ${next}`);
}

/** An engine with a snapshot's state, at the start of the block after it; or what is wrong with the snapshot. */
async function load(
  { snapshots, openEngine }: RecoveryPorts,
  manifest: SnapshotManifest,
  chainId: number,
  rules: Readonly<Rules>,
): Promise<{ state: PartitionState; engine: Engine } | SnapshotDamage> {
  const state = stateOfManifest(manifest, chainId, rules);
  const engine = openEngine();
  engine.setOwned(ownedBy(manifest.map, manifest.partition));
  engine.openBlock({ ...manifest.opens, number: manifest.block });
  const damage = await importChunks(snapshots, manifest, engine);
  if (damage === null) {
    const lattice = engine.closeBlock();
    if (sameBytes(lattice, 0, manifest.lattice, 0, LATTICE_BYTES)) {
      for (const { number, hash } of manifest.seals) engine.seal(number, hash);
      engine.openBlock(manifest.opens);
      return { state, engine };
    }
  }
  await engine.close();
  const object = `snapshot.${manifest.partition}`;
  return damage ?? { code: "SNAPSHOT_DAMAGED", object, text: `the cells of block ${manifest.block} do not have its lattice` };
}

async function importChunks(
  snapshots: SnapshotStore,
  manifest: SnapshotManifest,
  engine: Engine,
): Promise<SnapshotDamage | null> {
  const asked: ReturnType<SnapshotStore["chunk"]>[] = [];
  const ask = (index: number): void => {
    const chunk = manifest.chunks[index];
    if (chunk === undefined) return;
    const asking = snapshots.chunk(chunk);
    void Promise.allSettled([asking]); // One that fails while another is imported is met at its turn.
    asked.push(asking);
  };
  for (let index = 0; index < CHUNKS_AHEAD; index++) ask(index);
  for (let index = 0; index < manifest.chunks.length; index++) {
    ask(index + CHUNKS_AHEAD);
    const chunk = await asked[index];
    if (chunk === undefined) continue;
    if (!(chunk instanceof Uint8Array)) {
      await Promise.allSettled(asked);
      return chunk;
    }
    engine.importCells(chunk);
  }
  return null;
}

/**
 * The chain's genesis cells, checked against the hash in the log.
 * @throws IoError GENESIS_DAMAGED, retry "never"
 */
export async function genesisCells({ objects }: Bus, entry: GenesisEntry): Promise<Uint8Array> {
  const cells = await objects.get(GENESIS_OBJECT);
  const want = hexOf(entry.genesisHash);
  const got = cells === undefined ? "no object" : createHash("sha256").update(cells).digest("hex");
  if (cells !== undefined && got === want) return cells;
  throw new IoError({ code: "GENESIS_DAMAGED", object: GENESIS_OBJECT, got, want }, "never");
}

/** What is met by a process that another one of its partition has left two snapshots behind. */
const PASSED_CODES = new Set(["GAP", "HAND_OVER_DAMAGED", "SNAPSHOT_DAMAGED"]);

export const maySayPassed = (error: unknown): boolean => isIoError(error) && PASSED_CODES.has(error.detail.code);

/**
 * @param n       where this process stands
 * @param useless blocks of snapshots that it could not use
 * @throws IoError PASSED, retry "later", if a start would begin from a snapshot further on; what the bus throws if it cannot
 *         be asked
 */
export async function throwIfPassed(
  { bus, snapshots }: Pick<RecoveryPorts, "bus" | "snapshots">,
  partition: PartitionId,
  n: number,
  useless: ReadonlySet<number>,
): Promise<void> {
  const { kept } = await snapshots.read();
  const newer = restartOrder(kept, await bus.out.lastN(partition, newestN(kept))).find(({ block }) => !useless.has(block));
  if (newer === undefined || newer.position.n <= n) return;
  throw new IoError({ code: "PASSED", partition, n, snapshotN: newer.position.n, block: newer.block }, "later");
}

/** A log that does not start at genesis any more is only a finding if no snapshot could be used. */
export function whyNotFromGenesis(error: unknown, { damaged, state }: Recovered): unknown {
  if (damaged.length === 0 || state.position.n > 0 || !isIoError(error) || error.detail.code !== "GAP") return error;
  const text = damaged.map(({ object, text: what }) => `${object}: ${what}`).join("; ");
  return new IoError(
    { code: "SNAPSHOT_DAMAGED", text: `no snapshot can be used and the log does not reach back to genesis: ${text}` },
    "never",
    error,
  );
}
