/**
 * Answers what gateways ask. An archive may be ahead of the last seal: what may be shown is the gateway's to say.
 *
 * Q1. Waits are bounded; a query for a block that does not come is answered with how far the archive is.
 * Q2. A transaction that OUT has and no block yet is pending, never unknown: whoever got a hash finds it on any archive.
 * Q3. A reply fits one message. A body that does not is cut, and asked for in parts.
 */
import { ARCHIVE_QUEUE, decodeArchiveQuery, encodeArchiveReply, PAYLOAD_BYTES_MAX, SUBJECT } from "@meridian/bus";
import { concatBytes, isIoError, outcomesAsked } from "@meridian/core";
import type { ArchiveBlock, ArchiveQuery, ArchiveReply, ArchiveTransaction, WireMessage } from "@meridian/core";
import type { StoredBlock, StoredTransaction } from "@meridian/store";
import type { ArchiveMetrics } from "./metrics.ts";
import type { ArchiveLimits, ArchivePorts } from "./ports.ts";
import { LogSearch } from "./search.ts";
import type { ArchiveState } from "./state.ts";
import { TailSearch } from "./tail-search.ts";

type Failed = Extract<ArchiveReply, { op: "failed" }>;
type Query<Op> = Extract<ArchiveQuery, { op: Op }>;

const failed = (failure: Failed["failure"]): Failed => ({ op: "failed", failure });
const NOTHING = new Uint8Array(0);
/** What a transaction costs in a reply beside its records. */
const TRANSACTION_BYTES = 256;
/** What a header costs beside its RLP. */
const HEADER_BYTES = 256;

export interface Queries {
  readonly running: number;
  /** Joins the archives that answer. */
  start(): void;
  /** Takes no more queries; those that run are answered. */
  stop(): void;
}

export function serveQueries(
  ports: ArchivePorts,
  parts: { limits: ArchiveLimits; state: ArchiveState; metrics: ArchiveMetrics },
): Queries {
  const answerer = new Answerer(ports, parts);
  const { telemetry, clock } = ports;
  let running = 0;

  async function answer(message: WireMessage): Promise<void> {
    const query = readQuery(message.payload);
    if (query === null) return;
    const startedAt = clock.now();
    const reply =
      running > parts.limits.queriesMax ? failed({ code: "BUSY", limit: parts.limits.queriesMax }) : await answerer.answer(query);
    const payload = encodeArchiveReply(reply);
    const isTooLarge = payload.length > PAYLOAD_BYTES_MAX;
    message.respond(isTooLarge ? encodeArchiveReply(failed({ code: "RANGE_TOO_LARGE", limit: PAYLOAD_BYTES_MAX })) : payload);
    const outcome = isTooLarge ? "RANGE_TOO_LARGE" : reply.op === "failed" ? reply.failure.code : "ok";
    parts.metrics.queryMs(clock.now() - startedAt, { op: query.op, outcome });
  }

  function readQuery(payload: Uint8Array): ArchiveQuery | null {
    try {
      return decodeArchiveQuery(payload);
    } catch (error) {
      if (!isIoError(error)) throw error;
      telemetry.log.warn({ ...error.detail }, "A query could not be read");
      return null;
    }
  }

  function take(message: WireMessage): void {
    running++;
    void answer(message).finally(() => running--);
  }
  let unsubscribe: (() => void) | null = null;
  let isStopped = false;
  return {
    get running() {
      return running;
    },
    start() {
      if (unsubscribe !== null || isStopped) return;
      unsubscribe = ports.bus.wire.subscribe(SUBJECT.archiveQuery, take, ARCHIVE_QUEUE);
      parts.state.isAnswering = true;
    },
    stop() {
      isStopped = true;
      parts.state.isAnswering = false;
      unsubscribe?.();
    },
  };
}

class Answerer {
  readonly #ports: ArchivePorts;
  readonly #limits: ArchiveLimits;
  readonly #state: ArchiveState;
  readonly #search: LogSearch;
  readonly #tail: TailSearch;
  /** Queries that wait for unknown transactions. */
  #waiting = 0;

  constructor(ports: ArchivePorts, { limits, state }: { limits: ArchiveLimits; state: ArchiveState }) {
    this.#ports = ports;
    this.#limits = limits;
    this.#state = state;
    this.#search = new LogSearch(ports, limits, state);
    this.#tail = new TailSearch(ports.clock, limits, state);
  }

  async answer(query: ArchiveQuery): Promise<ArchiveReply> {
    const late = await this.#waitFor("atLeast" in query ? query.atLeast : 0);
    if (late !== null) return late;
    switch (query.op) {
      case "head":
        return this.#head();
      case "block":
        return this.#block(query);
      case "headers":
        return this.#headers(query);
      case "transactions":
        return this.#transactions(query);
      case "transactionAt":
        return this.#transactionAt(query);
      case "outcomes":
        return this.#outcomes(query);
      case "logs":
        return this.#search.answer(query.filter);
    }
  }

  /** Waits until block `number` is there (Q1). Null if it is; block 0 is always waited for. */
  async #waitFor(number: number): Promise<Failed | null> {
    const deadlineAt = this.#ports.clock.now() + this.#limits.waitMs;
    while (this.#state.head < number) {
      if (this.#state.phase === "stopped") return failed({ code: "STOPPED", text: this.#state.text ?? "" });
      if (!(await this.#changed(deadlineAt))) return failed({ code: "BEHIND", newest: Math.max(0, this.#state.head) });
    }
    return null;
  }

  /** Resolves with true at the next change, with false at `deadlineAt`. */
  #changed(deadlineAt: number): Promise<boolean> {
    const restMs = deadlineAt - this.#ports.clock.now();
    if (restMs <= 0) return Promise.resolve(false);
    return new Promise((resolve) => {
      const forget = this.#state.onChange(() => {
        cancel();
        resolve(true);
      });
      const cancel = this.#ports.clock.after(restMs, () => {
        forget();
        resolve(false);
      });
    });
  }

  #head(): ArchiveReply {
    const head = this.#ports.store.head();
    if (head === null) return failed({ code: "BEHIND", newest: 0 });
    return { op: "head", number: head.number, hash: head.hash, oldest: this.#ports.store.oldest() };
  }

  /** A block; null if there is none; a failure if it was removed. */
  #find(by: number | Uint8Array): StoredBlock | Failed | null {
    const { store } = this.#ports;
    if (typeof by === "number" && by < store.oldest()) return failed({ code: "PRUNED", oldest: store.oldest() });
    return store.block(by);
  }

  #block({ by, body, from = 0, count = Infinity }: Query<"block">): ArchiveReply {
    const { store } = this.#ports;
    const block = this.#find(by);
    if (block === null) return { op: "block", block: null };
    if ("op" in block) return block;
    const transactionHashes = from === 0 ? store.hashes(block.number) : NOTHING;
    const bytesMax = this.#limits.replyBytesMax - transactionHashes.length;
    const parts = body ? store.body(block, from, count, bytesMax) : { transactions: NOTHING, results: NOTHING };
    const { transactions, results } = parts;
    return { op: "block", block: { ...headOf(block), transactionHashes, transactions, results } };
  }

  #headers({ first, count }: Query<"headers">): ArchiveReply {
    const { headersMax, replyBytesMax } = this.#limits;
    if (count > headersMax) return failed({ code: "RANGE_TOO_LARGE", limit: headersMax });
    const blocks: ArchiveBlock[] = [];
    let bytes = 0;
    for (let number = first; number < first + count && number <= this.#state.head; number++) {
      const block = this.#find(number);
      if (block !== null && "op" in block) return block;
      if (block === null) break;
      bytes += block.header.length + HEADER_BYTES;
      if (bytes > replyBytesMax) break;
      blocks.push(headOf(block));
    }
    return { op: "headers", blocks };
  }

  #transactionAt({ block: by, index }: Query<"transactionAt">): ArchiveReply {
    const block = this.#find(by);
    if (block !== null && "op" in block) return block;
    const found = block === null ? null : this.#ports.store.transaction(block, index);
    return { op: "transactionAt", transaction: found && transactionOf(found) };
  }

  /** Of what is in blocks; who asks knows from the leader's answer whether the others are still to come. */
  #outcomes({ keys }: Query<"outcomes">): ArchiveReply {
    const { outcomesMax } = this.#limits;
    if (outcomesAsked(keys) > outcomesMax) return failed({ code: "RANGE_TOO_LARGE", limit: outcomesMax });
    return { op: "outcomes", outcomes: this.#ports.store.outcomes(keys) };
  }

  async #transactions({ hashes }: Query<"transactions">): Promise<ArchiveReply> {
    const { hashesMax, unknownMs, replyBytesMax } = this.#limits;
    const count = Math.floor(hashes.length / 32);
    if (count > hashesMax) return failed({ code: "RANGE_TOO_LARGE", limit: hashesMax });
    const deadlineAt = this.#ports.clock.now() + unknownMs;
    const headAtStart = this.#state.head;
    const wanted = Array.from({ length: count }, (_, number) => hashes.slice(number * 32, number * 32 + 32));
    let transactions = this.#lookUpStored(wanted, []);
    let headSeen = headAtStart;
    const seeNew = () => {
      if (this.#state.head > headSeen) transactions = this.#lookUpStored(wanted, transactions);
      headSeen = this.#state.head;
    };
    for (;;) {
      const isLast = this.#state.head > headAtStart || this.#ports.clock.now() >= deadlineAt || this.#state.phase === "stopped";
      seeNew();
      const withPending = await this.#lookUpPending(wanted, transactions);
      if (withPending === null) return failed({ code: "BUSY", limit: this.#limits.walkHashesMax });
      transactions = withPending;
      seeNew(); // A block may have come before the walk.
      const bytes = transactions.reduce((sum, found) => sum + (found === null ? 1 : bytesOf(found)), 0);
      if (bytes > replyBytesMax) return failed({ code: "RANGE_TOO_LARGE", limit: replyBytesMax });
      if (!transactions.includes(null)) return { op: "transactions", transactions };
      if (isLast) return this.#whyUnknown() ?? { op: "transactions", transactions };
      if (!(await this.#waitForUnknown(deadlineAt))) return failed({ code: "BUSY", limit: this.#limits.unknownMax });
    }
  }

  /** OUT brings it within moments if it was acknowledged; the next block settles it. False if too many wait. */
  async #waitForUnknown(deadlineAt: number): Promise<boolean> {
    const { unknownMax, unknownPollMs } = this.#limits;
    if (this.#waiting >= unknownMax) return false;
    this.#waiting++;
    await this.#changed(Math.min(deadlineAt, this.#ports.clock.now() + unknownPollMs));
    this.#waiting--;
    return true;
  }

  /** An archive that is behind, or takes nothing more in, cannot say that a transaction does not exist (Q2). */
  #whyUnknown(): Failed | null {
    const { phase, text, head, beat } = this.#state;
    if (phase === "stopped") return failed({ code: "STOPPED", text: text ?? "" });
    return beat !== null && head < beat.latest.number ? failed({ code: "BEHIND", newest: head }) : null;
  }

  /** What was in no block is looked for in the store; it changes only with the head. */
  #lookUpStored(wanted: readonly Uint8Array[], found: readonly (ArchiveTransaction | null)[]): (ArchiveTransaction | null)[] {
    return wanted.map((hash, number) => {
      const before = found[number] ?? null;
      if (before !== null && before.block !== null) return before;
      const stored = this.#ports.store.find(hash);
      return stored === null ? before : transactionOf(stored);
    });
  }

  /** What was not found is looked for in the tail. Null if too many ask for that. */
  async #lookUpPending(wanted: readonly Uint8Array[], found: readonly (ArchiveTransaction | null)[]) {
    const missing = wanted.filter((_, number) => found[number] === null);
    if (missing.length === 0) return [...found];
    const tail = await this.#tail.find(concatBytes(missing));
    if (tail === null) return null;
    let at = 0;
    return found.map((known) => {
      if (known !== null) return known;
      const pending = tail[at++] ?? null;
      return pending && { ...pending, block: null, index: 0, cumulativeGasUsed: 0, firstLogIndex: 0 };
    });
  }
}

function headOf({ number, hash, header, timestamp, gasUsed, transactionCount, sizeBytes }: StoredBlock): ArchiveBlock {
  const facts = { number, hash, header, timestamp, gasUsed, transactionCount, sizeBytes };
  return { ...facts, transactionHashes: NOTHING, transactions: NOTHING, results: NOTHING };
}

function transactionOf({ block, ...found }: StoredTransaction): ArchiveTransaction {
  return { ...found, block: { number: block.number, hash: block.hash, timestamp: block.timestamp } };
}

const bytesOf = ({ transaction, result }: ArchiveTransaction): number => TRANSACTION_BYTES + transaction.length + result.length;
