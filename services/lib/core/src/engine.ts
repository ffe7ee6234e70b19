/**
 * The port to the EVM engine. Implemented by @meridian/engine over one Rust crate in two builds that return identical bytes;
 * tests of the rules use a fake. Batches go in and come out packed (transactions.ts, results.ts, cells.ts).
 */

/** Why a raw transaction was refused when it was decoded; index = the status byte that `decode` returns. Texts: gateway. */
export const DECODE = {
  ok: 0,
  malformed: 1, //        not RLP, not a transaction, or bytes after its end
  typeNotSupported: 2, // EIP-4844 blob, EIP-7702 or an unknown type; detail: the type
  chainId: 3, //          signed for another chain; detail: its chain id, ours
  unprotected: 4, //      legacy without EIP-155 replay protection
  signature: 5, //        r, s or v out of range, s in the upper half (EIP-2), or no key recovers
  nonceMax: 6, //         2^53 or more
  gasLimitCap: 7, //      above the cap of one transaction (EIP-7825); detail: gas limit, cap
  intrinsicGas: 8, //     detail: gas limit, needed
  floorGas: 9, //         EIP-7623; detail: gas limit, needed
  initCodeSize: 10, //    EIP-3860; detail: size, limit
  tipAboveFeeCap: 11, //  EIP-1559
  tooLarge: 12, //        detail: size, limit
  callCount: 13, //       a signed batch without calls or with too many; detail: count (at least), limit
} as const;

/** In `Decoded.calls`: no call of a signed batch is to blame. */
export const DECODE_NO_CALL = 0xffffffff;

export interface DecodeLimits {
  chainId: number;
  gasLimitMax: number; // of one transaction; EIP-7825: 16,777,216
  transactionBytesMax: number; // geth: 131,072
}

export interface Decoded {
  /**
   * Packed transaction records of those with status ok, in input order; `declared`: to (write), sender if value, access list.
   * A signed batch has one for each of its calls, next to each other.
   */
  records: Uint8Array;
  /** One `DECODE` code for each input. */
  statuses: Uint8Array;
  /** Two numbers for each input: got, limit. 0 where the status has no detail. */
  details: Float64Array;
  /** Records of each input: 0 refused, 1 a single transaction, else the calls of a signed batch. */
  recordCounts: Uint32Array;
  /** The call for which a signed batch is refused; DECODE_NO_CALL for all other inputs, and if it is refused as a whole. */
  calls: Uint32Array;
}

export interface BlockContext {
  number: number;
  timestamp: number; // seconds
  prevrandao: Uint8Array; // 32 bytes
  gasLimit: number;
}

export interface BlockHeaderInput extends BlockContext {
  parentHash: Uint8Array;
  digest: Uint8Array; // 32 bytes; stands where Ethereum has the state root
}

export interface BuiltBlock {
  hash: Uint8Array;
  header: Uint8Array; // RLP
  transactionsRoot: Uint8Array;
  receiptsRoot: Uint8Array;
  logsBloom: Uint8Array; // 256 bytes
  gasUsed: number;
}

/** State of the present, not of a closed block. */
export const PENDING = -1;

export interface CallRequest {
  from: Uint8Array;
  to: Uint8Array | null; // null creates
  data: Uint8Array;
  value: Uint8Array; // 32 bytes, big-endian
  gasLimit: number;
  /** EIP-2930, packed (b20 address, u16 slots, b32 * slots)*. */
  accessList: Uint8Array;
  /** Packed cells of other partitions, to use instead of a miss. */
  given: Uint8Array;
  /** Also says what it touched (`CallAccess`). */
  traced: boolean;
}

/** What a call touched. Precompiles are in neither list. */
export interface CallAccess {
  /**
   * As in `CallRequest.accessList`, ascending: accounts and slots, as `eth_createAccessList` answers (without sender
   * and `to` if no slot of theirs).
   */
  accessList: Uint8Array;
  /** Packed (u8 mode, b20 address)*, ascending by address, as in a touch record. */
  touches: Uint8Array;
}

export type CallResult =
  | { status: "success" | "revert"; gasUsed: number; output: Uint8Array; access: CallAccess | null }
  /** `why` in geth's wording: "out of gas", "invalid opcode: ...", "stack underflow ...". */
  | { status: "halt"; gasUsed: number; why: string; access: CallAccess | null }
  | { status: "funds" } // the sender's balance is below the value
  | { status: "missing"; cells: Uint8Array } // read request for the cells that another partition owns; all that one run can tell
  | { status: "unsealed"; block: number } // it asks for the hash of a block without a seal
  | { status: "pruned"; oldest: number }
  | { status: "unknownBlock"; newest: number };

/** What one partition owns. Bounds inclusive, 20 bytes each; a pin beats a range. */
export interface OwnedRanges {
  ranges: { first: Uint8Array; last: Uint8Array }[];
  pinsIn: Uint8Array[]; // accounts placed here
  pinsOut: Uint8Array[]; // accounts of these ranges placed elsewhere
}

export interface ExportChunk {
  cells: Uint8Array; // whole accounts in address order, kinds 1 to 4
  next: Uint8Array | null; // first address of the next chunk, null after the last
}

/** What a run may touch, and what has missed before it. All of it is a function of the log. */
export interface RunRules {
  /** Flush of the transactions' positions; with their index it is the position that `after` names. */
  flush: number;
  /** Touches nothing but the declared set, in its modes: a transaction that waited for its turn. */
  strict: boolean;
  /** Packed b20, any order: accounts on which a lock or a waiter stands. Touched only if declared, and only as declared. */
  barred: Uint8Array;
  /** Packed (u64 flush, u32 index)*: positions that missed in the open block. */
  missed: Uint8Array;
}

export interface RunResult {
  /** Packed results of the transactions that came to an end, in order. */
  results: Uint8Array;
  /** Packed touch records of the others, in order; empty in the usual case. */
  misses: Uint8Array;
}

export interface ProposalRules {
  flush: number;
  /** Packed (u8 mode, b20 address)*: what the group has declared, on all its participants. Nothing else is touched. */
  allowed: Uint8Array;
  /** The whole system is locked for this group: everything is allowed. */
  whole: boolean;
  missed: Uint8Array; // as in RunRules
}

export interface Proposal {
  results: Uint8Array; // packed, of the members that came to an end
  touches: Uint8Array; // packed touch records of all members, in order
  writes: Uint8Array; // packed cells that those wrote, ascending by address
  /**
   * Read request for allowed cells that were not given, over all members. Not empty: results, touches and writes are provisional
   * (a missing cell read as its last known value, else as empty, so that one run finds as much as it can); fetch and propose
   * again.
   */
  missing: Uint8Array;
}

/** One partition's state and its execution. All calls but `call` are synchronous and belong to one thread. */
export interface Engine {
  /** Replaces what this engine owns. Accounts outside are not deleted; a touch of them is a miss. */
  setOwned(owned: OwnedRanges): void;
  /** Adds cells as they are (genesis, snapshot chunks, hand-over). No undo record. */
  importCells(cells: Uint8Array): void;
  /** Accounts with first <= address <= last as of the end of `block`, at most about `bytesMax` (at least one account). */
  exportCells(block: number, first: Uint8Array, last: Uint8Array, bytesMax: number): ExportChunk;
  /** Forgets all accounts of a range that went elsewhere. */
  dropRange(first: Uint8Array, last: Uint8Array): void;
  openBlock(context: BlockContext): void;
  /**
   * Executes packed transactions and nonce records merged by index and commits those that come to an end.
   * A nonce record sets its cell to nonce + 1; the sender's balance is touched only if value moves (free gas). An account with
   * neither balance nor code whose nonce record 0 stands here goes on reading as new until the transaction itself has come to an
   * end (as a transaction here, or by a nonce cell in `applyWrites`): others must not see it before.
   */
  run(transactions: Uint8Array, nonces: Uint8Array, rules: RunRules): RunResult;
  /** Executes without commit on top of `given`; for groups. Every member sees the writes of those before it. */
  propose(transactions: Uint8Array, given: Uint8Array, rules: ProposalRules): Proposal;
  /** Present values as the EVM sees them, as packed cells in the order of the request; all accounts are owned here. */
  grant(request: Uint8Array): Uint8Array;
  /**
   * Commits a write set; cells outside what this engine owns are passed over. The nonce cell of an account that nonce records
   * write (it has sent transactions) only says that its first transaction came to an end.
   */
  applyWrites(writes: Uint8Array): void;
  /**
   * Ends the open block: versions are kept for the 64 blocks before the last seal.
   * @returns the lattice of all owned cells (2,048 bytes)
   */
  closeBlock(): Uint8Array;
  /**
   * Makes BLOCKHASH(number) known, and the slot of the history account (EIP-2935) that tells it, whoever owns that account; lets
   * versions older than number - 64 go. Of a closed block without a seal both are not known yet: a miss `unsealed`.
   */
  seal(number: number, hash: Uint8Array): void;
  /**
   * For packed b20 addresses, present state: NONCE_STATE_BYTES each: u64 next nonce, u8 1 if the account has a balance else 0,
   * b32 hash of the transaction that wrote the nonce.
   */
  nonces(addresses: Uint8Array): Uint8Array;
  /** Values for a read request, as packed cells in the same order; or why not. */
  read(block: number, request: Uint8Array): { cells: Uint8Array } | { pruned: number } | { unknownBlock: number };
  /** Call without commit at the end of `block`, or PENDING; runs beside the log on another thread. */
  call(block: number, request: CallRequest): Promise<CallResult>;
  memory(): { bytes: number; accounts: number; slots: number };
  close(): Promise<void>;
}

export interface EngineOptions {
  chainId: number;
  /** `call` runs on the caller's thread, at once: for the simulator, where nothing may depend on threads. Default false. */
  callsInline?: boolean;
}

export const NONCE_STATE_BYTES = 41;

/** One loaded build of the crate: what needs no state, and the door to engines. */
export interface EngineModule {
  readonly build: "native" | "wasm";
  keccak256(bytes: Uint8Array): Uint8Array;
  /** Decodes, checks and recovers the sender of raw transactions, packed as (u32 bytes, raw)*. Safe in any worker thread. */
  decode(raw: Uint8Array, limits: DecodeLimits): Decoded;
  /**
   * Roots, bloom, header and hash of a block whose transactions and results stand in published order.
   * @throws BugError if they do not pair
   */
  buildBlock(header: BlockHeaderInput, transactions: Uint8Array, results: Uint8Array): BuiltBlock;
  /** keccak256 of the lane-wise sum (mod 2^16) of lattices packed behind each other: the block's digest. */
  foldDigest(lattices: Uint8Array): Uint8Array;
  /** The lattice of packed cells alone: what they add to a digest (2,048 bytes). */
  latticeOf(cells: Uint8Array): Uint8Array;
  open(options: EngineOptions): Engine;
}
