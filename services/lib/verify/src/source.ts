/** Where the published chain comes from. The command reads it over JSON-RPC; tests plant their errors here. */
import type { RangeMap, SnapshotManifest } from "@meridian/core";

/** A block as it was published: header RLP, packed transaction records and packed results in published order. */
export interface PublishedBlock {
  header: Uint8Array;
  transactions: Uint8Array;
  results: Uint8Array;
}

export interface Genesis {
  chainId: number;
  /** Packed cells of all genesis accounts. */
  cells: Uint8Array;
  /** SHA-256 of `cells` that stands in the chain's settings. */
  genesisHash: Uint8Array;
}

/** A partition's snapshot: what its manifest says of the chunks, and the way to them. */
export interface PublishedSnapshot extends Pick<SnapshotManifest, "partition" | "block" | "chunks"> {
  chunk(index: number): Promise<Uint8Array>;
}

export interface ChainSource {
  genesis(): Promise<Genesis>;
  /** The range map in force now. */
  rangeMap(): Promise<RangeMap>;
  /** Number of the last sealed block. */
  latest(): Promise<number>;
  /** The published block; undefined if the chain does not have it (any more). */
  block(number: number): Promise<PublishedBlock | undefined>;
  /** Snapshots of every partition at one block, the newest with block number <= `atMost`; undefined if there is none. */
  snapshot(atMost: number): Promise<PublishedSnapshot[] | undefined>;
}
