/**
 * Blocks as the leader sees them: which one is open, which closed ones have no seal yet, when the next one is due.
 *
 * B1. A block closes only when everything sequenced before it is resolved.
 * B2. Numbers have no gap; timestamps are whole seconds and never decrease; a block's context is fixed when it is opened.
 * B3. The declared gas limits of a block's transactions sum up to at most the block gas limit.
 * B4. At most `unsealedMax` blocks are closed without a seal; until one is sealed nothing new is sequenced.
 * B5. Seals are appended in number order. The first hash that an archive says for a number counts.
 */
import { sameBytes } from "../bytes.ts";
import type { OpenedBlock } from "../entries.ts";
import type { Built } from "../messages.ts";
import type { SequencerLimits } from "./limits.ts";

export interface SealedBlock {
  number: number;
  hash: Uint8Array; // 32 bytes
  timestamp: number; // seconds
}

export interface ChainBlocks {
  open: OpenedBlock;
  /** Last sealed block; the genesis block with a zero hash until its seal. */
  latest: SealedBlock;
  /** Closed blocks without a seal in the log, in number order. */
  unsealed: { number: number; timestamp: number }[];
  /** Hashes that archives computed for blocks without a seal in the log. */
  built: Map<number, Uint8Array>;
  /** Declared gas in the open block, without the flush that is being filled. */
  gas: number;
  /** A transaction did not fit into it any more: it closes as soon as it can. */
  isFull: boolean;
  dueAt: number; // ms
  /** Nothing is sequenced before the open block is closed: after a takeover its time may be long ago. */
  closesFirst: boolean;
  snapshot: SnapshotDue;
}
/** What was appended since the last block that asked for a snapshot. */
export interface SnapshotDue {
  block: number; // that one; 0 at genesis, -Infinity if not known
  bytes: number;
  transactions: number;
  at: number; // ms
}

/** What one flush does to the blocks; takes effect when it is acknowledged. */
export interface BlockStep {
  seals: SealedBlock[];
  /** The block that the flush opens by closing the one before. */
  opens: OpenedBlock | null;
  snapshot: boolean;
}

/** Seals that can be appended: consecutive, from the oldest unsealed block on. */
export function sealsDue(blocks: ChainBlocks): SealedBlock[] {
  const seals: SealedBlock[] = [];
  for (const { number, timestamp } of blocks.unsealed) {
    const hash = blocks.built.get(number);
    if (hash === undefined) break;
    seals.push({ number, hash, timestamp });
  }
  return seals;
}

/** The block after the open one. `prevrandao`: 32 random bytes. */
export function nextBlock(blocks: ChainBlocks, unixMs: number, prevrandao: Uint8Array): OpenedBlock {
  const { open } = blocks;
  return {
    number: open.number + 1,
    timestamp: Math.max(open.timestamp, Math.floor(unixMs / 1000)),
    prevrandao,
    gasLimit: open.gasLimit,
  };
}

/** True if the block that closes now asks for a snapshot; `bytes` and `transactions` are those of its last flush. */
export function isSnapshotDue(
  { snapshot: due, open, latest }: ChainBlocks,
  bytes: number,
  transactions: number,
  now: number,
  limits: SequencerLimits,
): boolean {
  if (open.number - due.block < limits.snapshotBlocksMin) return false;
  // Logs are cut at the one before, and the next leader looks in them for the last seal and for the opening of its block.
  if (due.block >= latest.number - 1) return false;
  if (due.bytes + bytes >= limits.snapshotBytes) return true;
  return due.transactions + transactions > 0 && now - due.at >= limits.snapshotMs;
}

/**
 * Takes what an archive built. Blocks that are sealed already, or too far ahead, change nothing; one may come before the flush
 * that closed its block is acknowledged here.
 * @returns the hash that was known before, if this one differs from it: two archives disagree
 */
export function noteBuilt(blocks: ChainBlocks, built: Built, unsealedMax: number): Uint8Array | undefined {
  if (built.number === blocks.latest.number && !isZero(blocks.latest.hash)) return otherHash(blocks.latest.hash, built.hash);
  const oldest = blocks.unsealed[0]?.number ?? blocks.open.number;
  if (built.number < oldest || built.number > oldest + unsealedMax) return undefined;
  const known = blocks.built.get(built.number);
  if (known !== undefined) return otherHash(known, built.hash);
  blocks.built.set(built.number, built.hash);
  return undefined;
}

/** An acknowledged flush takes effect. */
export function stepBlocks(blocks: ChainBlocks, step: BlockStep, bytes: number, transactions: number, now: number): void {
  for (const seal of step.seals) {
    blocks.latest = seal;
    blocks.unsealed.shift();
    blocks.built.delete(seal.number);
  }
  blocks.snapshot.bytes += bytes;
  blocks.snapshot.transactions += transactions;
  if (step.opens === null) return;
  blocks.unsealed.push({ number: blocks.open.number, timestamp: blocks.open.timestamp });
  if (step.snapshot) blocks.snapshot = { block: blocks.open.number, bytes: 0, transactions: 0, at: now };
  blocks.open = step.opens;
  blocks.closesFirst = false;
  blocks.isFull = false;
}

const otherHash = (known: Uint8Array, said: Uint8Array): Uint8Array | undefined =>
  sameBytes(known, 0, said, 0, 32) ? undefined : known;
const isZero = (hash: Uint8Array): boolean => hash.every((byte) => byte === 0);
