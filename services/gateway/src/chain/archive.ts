/** Blocks, transactions and logs as archives keep them. Nothing after `latest` is shown: its block is not sealed. */
import { decodeArchiveReply, encodeArchiveQuery, SUBJECT } from "@meridian/bus";
import type {
  ArchiveBlock,
  ArchiveFailure,
  ArchiveLog,
  ArchiveQuery,
  ArchiveReply,
  ArchiveTransaction,
  LogFilter,
  Wire,
} from "@meridian/core";
import { assert, concatBytes, IoError, OUTCOME_BYTES, outcomesAsked, txCount } from "@meridian/core";
import { CODE, invalidParams, limitExceeded, refused } from "../rpc/errors.ts";
import type { RpcError } from "../rpc/errors.ts";
import { ask } from "./ask.ts";
import type { AskOptions } from "./ask.ts";
import type { Read } from "./state.ts";

export interface Archive {
  /** Number of the newest and the oldest block that is kept. */
  head(): Promise<Read<{ number: number; oldest: number }>>;
  /** A block without its body; null if there is none. `by` a hash or a number; `atLeast`: wait for this block. */
  block(by: number | Uint8Array, atLeast: number): Promise<Read<ArchiveBlock | null>>;
  /** A block with its whole body, however many replies that takes. */
  wholeBlock(by: number | Uint8Array, atLeast: number): Promise<Read<ArchiveBlock | null>>;
  /** A block with its transactions from `from` on: `count` of them, or fewer if one reply holds no more. */
  blockPart(by: number | Uint8Array, from: number, count: number, atLeast: number): Promise<Read<ArchiveBlock | null>>;
  headers(first: number, count: number, atLeast: number): Promise<Read<ArchiveBlock[]>>;
  /** Transactions by packed hashes, in their order; null where one is unknown. */
  transactions(hashes: Uint8Array, atLeast: number): Promise<Read<(ArchiveTransaction | null)[]>>;
  transactionAt(block: number | Uint8Array, index: number, atLeast: number): Promise<Read<ArchiveTransaction | null>>;
  /**
   * What became of the transactions that packed keys name (core's outcomes.ts): six 32-bit words each.
   * @throws IoError MALFORMED if the answer is not about all of them
   */
  outcomes(keys: Uint8Array, atLeast: number): Promise<Read<Uint32Array>>;
  logs(filter: LogFilter, atLeast: number): Promise<Read<ArchiveLog[]>>;
}

/** Hashes of one query: their transactions must fit into one reply. */
const QUERY_HASHES_MAX = 256;

type ReplyTo<Op> = Extract<ArchiveReply, { op: Op }>;

export function archiveReader(wire: Wire, options: AskOptions): Archive {
  async function query<Q extends ArchiveQuery>(question: Q): Promise<ReplyTo<Q["op"]> | { error: RpcError }> {
    const reply = decodeArchiveReply(await ask(wire, SUBJECT.archiveQuery, encodeArchiveQuery(question), options));
    if (reply.op === "failed") return { error: archiveFailure(reply.failure) };
    assert(reply.op === question.op, `an archive answered ${question.op} with ${reply.op}`);
    return reply as ReplyTo<Q["op"]>;
  }

  const wholeBlock: Archive["wholeBlock"] = async (by, atLeast) => {
    const first = await query({ op: "block", by, atLeast, body: true });
    if ("error" in first) return first;
    if (first.block === null) return { value: null };
    const parts = [first.block];
    let got = txCount(first.block.transactions);
    while (got < first.block.transactionCount) {
      const next = await query({ op: "block", by: first.block.number, atLeast, body: true, from: got });
      if ("error" in next) return next;
      const count = next.block === null ? 0 : txCount(next.block.transactions);
      if (next.block === null || count === 0) return { error: refused("the block's body could not be read: ask again") };
      parts.push(next.block);
      got += count;
    }
    const transactions = concatBytes(parts.map((part) => part.transactions));
    return { value: { ...first.block, transactions, results: concatBytes(parts.map((part) => part.results)) } };
  };

  return {
    wholeBlock,
    head: async () => {
      const reply = await query({ op: "head" });
      return "error" in reply ? reply : { value: reply };
    },
    block: async (by, atLeast) => {
      const reply = await query({ op: "block", by, atLeast, body: false });
      return "error" in reply ? reply : { value: reply.block };
    },
    blockPart: async (by, from, count, atLeast) => {
      const reply = await query({ op: "block", by, atLeast, body: true, from, count });
      return "error" in reply ? reply : { value: reply.block };
    },
    headers: async (first, count, atLeast) => {
      const reply = await query({ op: "headers", first, count, atLeast });
      return "error" in reply ? reply : { value: reply.blocks };
    },
    transactions: async (hashes, atLeast) => {
      const found: (ArchiveTransaction | null)[] = [];
      for (let start = 0; start < hashes.length; start += QUERY_HASHES_MAX * 32) {
        const part = hashes.subarray(start, start + QUERY_HASHES_MAX * 32);
        const reply = await query({ op: "transactions", hashes: part, atLeast });
        if ("error" in reply) return reply;
        found.push(...reply.transactions);
      }
      return { value: found };
    },
    transactionAt: async (block, index, atLeast) => {
      const reply = await query({ op: "transactionAt", block, index, atLeast });
      return "error" in reply ? reply : { value: reply.transaction };
    },
    outcomes: async (keys, atLeast) => {
      const reply = await query({ op: "outcomes", keys, atLeast });
      return "error" in reply ? reply : { value: outcomeWords(keys, reply.outcomes) };
    },
    logs: async (filter, atLeast) => {
      const reply = await query({ op: "logs", filter, atLeast });
      return "error" in reply ? reply : { value: reply.logs };
    },
  };
}

function outcomeWords(keys: Uint8Array, outcomes: Uint8Array): Uint32Array {
  const bytes = outcomesAsked(keys) * OUTCOME_BYTES;
  if (outcomes.length !== bytes) throw new IoError({ code: "MALFORMED", field: "outcomes", want: `${bytes} bytes` }, "never");
  return new Uint32Array(outcomes.slice().buffer); // A copy: words must be aligned.
}

function archiveFailure(failure: ArchiveFailure): RpcError {
  switch (failure.code) {
    case "BEHIND":
      return refused(`the archive has only reached block ${failure.newest}: ask again`);
    case "PRUNED":
      return { code: CODE.prunedHistory, message: `pruned history unavailable: the oldest block is ${failure.oldest}` };
    case "TOO_MANY_LOGS":
      return limitExceeded(`query returned more than ${failure.limit} results`);
    case "RANGE_TOO_LARGE":
      return invalidParams(`exceed maximum block range ${failure.limit}`);
    case "UNKNOWN_BLOCK":
      return refused("unknown block");
    case "BUSY":
      return limitExceeded(`the archive has ${failure.limit} queries waiting: ask again later`);
    case "STOPPED":
      return refused(`the archive has stopped: ${failure.text}`);
  }
}
