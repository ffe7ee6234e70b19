/** An archive in memory, with headers, roots and hashes from the real engine. */
import { decodeArchiveQuery, encodeArchiveReply, SUBJECT } from "@meridian/bus";
import type {
  ArchiveBlock,
  ArchiveLog,
  ArchiveQuery,
  ArchiveReply,
  ArchiveTransaction,
  BlockContext,
  EngineModule,
  LogFilter,
  Wire,
} from "@meridian/core";
import {
  concatBytes,
  hexOf,
  outcomesBy,
  resultBytes,
  resultGasUsed,
  resultLogCount,
  resultLogs,
  sameBytes,
  TX,
  txBytes,
  txOffsets,
} from "@meridian/core";

interface Entry {
  transaction: Uint8Array;
  result: Uint8Array;
}

export class FakeArchive {
  readonly blocks: ArchiveBlock[] = [];
  /** Every query it got. */
  readonly queries: ArchiveQuery[] = [];
  /** What it answers instead; undefined to look it up. */
  onQuery: (query: ArchiveQuery) => ArchiveReply | undefined = () => undefined;
  /** At most as many transactions of a body go into one reply. */
  bodyMax = 1_000;
  /** Transactions that have not come out of OUT yet are not to be found. */
  hasPending = true;
  readonly #engine: EngineModule;
  #pending: Entry[] = [];

  constructor(engine: EngineModule) {
    this.#engine = engine;
  }

  serve(wire: Wire): void {
    wire.subscribe(SUBJECT.archiveQuery, ({ payload, respond }) => {
      const query = decodeArchiveQuery(payload);
      this.queries.push(query);
      respond(encodeArchiveReply(this.onQuery(query) ?? this.#answer(query)));
    });
  }

  addPending(transactions: Uint8Array, results: Uint8Array): void {
    let resultAt = 0;
    for (const at of txOffsets(transactions)) {
      const end = resultAt + resultBytes(results, resultAt);
      const transaction = transactions.slice(at, at + txBytes(transactions, at));
      this.#pending.push({ transaction, result: results.slice(resultAt, end) });
      resultAt = end;
    }
  }

  /** Makes a block of what is pending. */
  addBlock(context: BlockContext, digest: Uint8Array): { number: number; hash: Uint8Array; timestamp: number } {
    const transactions = concatBytes(this.#pending.map((entry) => entry.transaction));
    const results = concatBytes(this.#pending.map((entry) => entry.result));
    const parentHash = this.blocks.at(-1)?.hash ?? new Uint8Array(32);
    const built = this.#engine.buildBlock({ ...context, parentHash, digest }, transactions, results);
    const { number, timestamp } = context;
    this.blocks.push({
      number,
      hash: built.hash.slice(),
      header: built.header.slice(),
      timestamp,
      gasUsed: built.gasUsed,
      transactionCount: this.#pending.length,
      sizeBytes: built.header.length + transactions.length,
      transactionHashes: concatBytes(this.#pending.map(({ transaction }) => transaction.subarray(TX.hash, TX.hash + 32))),
      transactions,
      results,
    });
    this.#pending = [];
    return { number, hash: built.hash.slice(), timestamp };
  }

  #answer(query: ArchiveQuery): ArchiveReply {
    const newest = this.blocks.at(-1);
    switch (query.op) {
      case "head":
        return { op: "head", number: newest?.number ?? 0, hash: newest?.hash ?? new Uint8Array(32), oldest: 0 };
      case "block":
        return { op: "block", block: this.#bodyOf(this.#find(query.by), query) };
      case "headers": {
        const blocks = this.blocks.slice(query.first, query.first + query.count);
        return {
          op: "headers",
          blocks: blocks.map((block) => ({ ...withoutBody(block), transactionHashes: new Uint8Array(0) })),
        };
      }
      case "transactions": {
        const count = query.hashes.length / 32;
        const hashes = Array.from({ length: count }, (_, index) => query.hashes.subarray(index * 32, index * 32 + 32));
        return { op: "transactions", transactions: hashes.map((hash) => this.#transaction(hash)) };
      }
      case "transactionAt":
        return { op: "transactionAt", transaction: this.#transactionsOf(this.#find(query.block))[query.index] ?? null };
      case "outcomes":
        return { op: "outcomes", outcomes: outcomesBy(query.keys, (hash) => this.#transaction(hash)) };
      case "logs":
        return { op: "logs", logs: this.#logs(query.filter) };
    }
  }

  #find(by: number | Uint8Array): ArchiveBlock | undefined {
    return this.blocks.find((block) => (typeof by === "number" ? block.number === by : sameBytes(block.hash, 0, by, 0, 32)));
  }

  #bodyOf(block: ArchiveBlock | undefined, query: Extract<ArchiveQuery, { op: "block" }>): ArchiveBlock | null {
    if (block === undefined || !query.body) return block === undefined ? null : withoutBody(block);
    const from = query.from ?? 0;
    const part = this.#transactionsOf(block).slice(from, from + Math.min(query.count ?? this.bodyMax, this.bodyMax));
    const transactions = concatBytes(part.map(({ transaction }) => transaction));
    const transactionHashes = from > 0 ? new Uint8Array(0) : block.transactionHashes;
    return { ...block, transactionHashes, transactions, results: concatBytes(part.map(({ result }) => result)) };
  }

  #transaction(hash: Uint8Array): ArchiveTransaction | null {
    for (const block of this.blocks) {
      const found = this.#transactionsOf(block).find((transaction) => hexOf(transaction.hash) === hexOf(hash));
      if (found !== undefined) return found;
    }
    const pending = this.#pending.find(({ transaction }) => sameBytes(transaction, TX.hash, hash, 0, 32));
    if (pending === undefined || !this.hasPending) return null;
    return { hash, block: null, index: 0, cumulativeGasUsed: 0, firstLogIndex: 0, ...pending };
  }

  #transactionsOf(block: ArchiveBlock | undefined): ArchiveTransaction[] {
    if (block === undefined) return [];
    const { number, hash, timestamp, transactions, results } = block;
    const list: ArchiveTransaction[] = [];
    let [resultAt, cumulativeGasUsed, firstLogIndex] = [0, 0, 0];
    for (const at of txOffsets(transactions)) {
      cumulativeGasUsed += resultGasUsed(results, resultAt);
      list.push({
        hash: transactions.subarray(at + TX.hash, at + TX.hash + 32),
        block: { number, hash, timestamp },
        index: list.length,
        cumulativeGasUsed,
        firstLogIndex,
        transaction: transactions.subarray(at, at + txBytes(transactions, at)),
        result: results.subarray(resultAt, resultAt + resultBytes(results, resultAt)),
      });
      firstLogIndex += resultLogCount(results, resultAt);
      resultAt += resultBytes(results, resultAt);
    }
    return list;
  }

  #logs({ first, last, blockHash, addresses, topics }: LogFilter): ArchiveLog[] {
    const blocks = blockHash === null ? this.blocks.slice(first, last + 1) : [this.#find(blockHash)];
    return blocks.flatMap((block) =>
      this.#transactionsOf(block).flatMap((transaction) =>
        resultLogs(transaction.result, 0).flatMap((log, index): ArchiveLog[] => {
          const isWanted = isIn(log.address, addresses, 20) && topics.every((set, at) => isIn(log.topics[at], set, 32));
          if (!isWanted || transaction.block === null) return [];
          const { hash, index: transactionIndex, firstLogIndex } = transaction;
          return [{ ...log, block: transaction.block, transactionHash: hash, transactionIndex, logIndex: firstLogIndex + index }];
        }),
      ),
    );
  }
}

const withoutBody = (block: ArchiveBlock): ArchiveBlock => ({
  ...block,
  transactions: new Uint8Array(0),
  results: new Uint8Array(0),
});

/** True if `item` is one of the packed ones; an empty set means any. */
function isIn(item: Uint8Array | undefined, set: Uint8Array, bytes: number): boolean {
  if (set.length === 0) return true;
  if (item === undefined) return false;
  return Array.from({ length: set.length / bytes }, (_, index) => index * bytes).some((at) => sameBytes(set, at, item, 0, bytes));
}
