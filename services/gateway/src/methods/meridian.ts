/** Methods beyond Ethereum's, for the tools of this system: verify, launcher, explorer. Shapes: README. */
import { openSnapshots } from "@meridian/store";
import type { SnapshotManifest } from "@meridian/core";
import { hexData, hexNumber } from "../format/hex.ts";
import { blockNumber } from "../rpc/block-param.ts";
import type { BlockNumberRef } from "../rpc/block-param.ts";
import { invalidParams, refused } from "../rpc/errors.ts";
import type { Answer } from "../rpc/errors.ts";
import { looseCount, optional, required, text } from "../rpc/params.ts";
import { findBlock } from "./blocks-by.ts";
import { constant, method } from "./method.ts";
import type { Backend, Context, Method } from "./method.ts";

/** Objects that snapshots consist of; no other object is given out by its name. */
const CHUNK_NAME = /^snapshot\/\d+\/\d+\/\d+$/;
/** Object with the packed cells of all genesis accounts. */
const GENESIS_OBJECT = "genesis";
/** Transactions of one part of a block; fewer if a reply of the archive holds no more. */
const PART_MAX = 16_384;

export const meridianMethods: Readonly<Record<string, Method>> = {
  meridian_status: constant(status),
  meridian_rangeMap: constant(({ view }) => view.ranges().map),
  meridian_genesis: method([], genesis),
  meridian_block: method([required(blockNumber), optional(looseCount), optional(looseCount)], packedBlock),
  meridian_snapshot: method([required(looseCount)], snapshots),
  meridian_snapshotChunk: method([required(text)], snapshotChunk),
};

function status({ view, load }: Backend): unknown {
  const [beat, latest] = [view.beat(), view.latest()];
  return {
    latest: latest === null ? null : { number: latest.number, hash: hexData(latest.hash), timestamp: latest.timestamp },
    beat:
      beat === null
        ? null
        : {
            term: beat.term,
            leader: beat.leader,
            flush: beat.flush,
            open: beat.open,
            positions: Object.fromEntries(beat.positions),
          },
    leads: view.leaderTerm() !== null,
    beatAgeMs: Math.round(view.silentMs()),
    mapVersion: view.ranges().map.version,
    gateway: load(),
  };
}

async function genesis({ chain, objects, archive, latest }: Context): Promise<Answer> {
  const [cells, block] = await Promise.all([objects.get(GENESIS_OBJECT), archive.block(0, latest.number)]);
  if (cells === undefined) return { error: refused("the genesis object is not there") };
  // The archive may have let block 0 go; the chain's settings do not hold its time.
  const timestamp = "value" in block && block.value !== null ? block.value.timestamp : null;
  return { result: { ...chain, genesisHash: `0x${chain.genesisHash}`, timestamp, cells: hexData(cells) } };
}

/** Whole, or if `from` is given a part of its body: large blocks do not fit into one response. */
async function packedBlock(context: Context, ref: BlockNumberRef, from?: number, count?: number): Promise<Answer> {
  const found = await (from === undefined ? findBlock(ref, context, true) : findPart(context, ref, from, count));
  if ("error" in found) return found;
  if (found.value === null) return { result: null };
  const { number, hash, header, transactionCount, transactions, results } = found.value;
  return {
    result: {
      number: hexNumber(number),
      hash: hexData(hash),
      header: hexData(header),
      transactionCount: hexNumber(transactionCount),
      transactions: hexData(transactions),
      results: hexData(results),
    },
  };
}

async function findPart(context: Context, ref: BlockNumberRef, from: number, count = PART_MAX) {
  const found = await findBlock(ref, context);
  if ("error" in found || found.value === null) return found;
  return context.archive.blockPart(found.value.number, from, Math.min(count, PART_MAX), context.latest.number);
}

/** The manifests of a partition's snapshots, newest first, bytes as hex. */
async function snapshots({ settings, objects, view }: Context, partition: number): Promise<Answer> {
  if (!view.ranges().map.partitions.some(({ id }) => id === partition)) {
    return { error: invalidParams(`invalid argument 0: there is no partition ${partition}`) };
  }
  const { kept } = await openSnapshots({ objects, settings }, partition).read();
  return { result: kept.map(formatManifest) };
}

/** Plain JSON of a manifest: every byte array becomes hex. */
function formatManifest(manifest: SnapshotManifest): unknown {
  return JSON.parse(JSON.stringify(manifest, (_, value: unknown) => (value instanceof Uint8Array ? hexData(value) : value)));
}

async function snapshotChunk({ objects }: Context, name: string): Promise<Answer> {
  if (!CHUNK_NAME.test(name)) return { error: invalidParams("invalid argument 0: not the name of a snapshot's chunk") };
  const bytes = await objects.get(name);
  return { result: bytes === undefined ? null : hexData(bytes) };
}
