/**
 * A whole system in small, on one seed: partitions with the fake engine, a scheduler of toys (toy-scheduler.ts), transactions
 * that guess wrongly what they touch, and no clock. Partitions lag, proposals come late or after their group's abort. It
 * checks that what was published is what one engine makes of it one after the other, and that a log alone gives the same
 * records again.
 */
import { assert } from "../../assert.ts";
import { concatBytes, hexOf } from "../../bytes.ts";
import { CELL } from "../../cells.ts";
import { PENDING } from "../../engine.ts";
import type { Entry, LogMessage, LogPosition, OutRecord, Position } from "../../entries.ts";
import { HISTORY_ADDRESS, cellsOfClose, historyKey, writtenBlock } from "../../history/history-account.ts";
import type { MissedTransaction } from "../../messages.ts";
import type { RangeIndex } from "../../ranges.ts";
import { evenRangeMap, indexRanges, ownedBy } from "../../ranges.ts";
import { resultBytes } from "../../results.ts";
import { ALL_RULES } from "../../rules.ts";
import type { Rules } from "../../rules.ts";
import { MODE, txBytes, txIndex } from "../../transactions.ts";
import { applyMessage } from "../apply.ts";
import { requestByOwner } from "../cells.ts";
import { groupState, heldHomeGroups, loosened, proposalOf } from "../queue.ts";
import type { OpenGroup } from "../queue.ts";
import { refusalOf } from "../refusal.ts";
import { emptyState } from "../state.ts";
import type { PartitionState } from "../state.ts";
import { fakeAccountCell, fakeCodeCell, fakeKey, fakeSlotCell, fakeSlotKey } from "./fake-cells.ts";
import { FakeEngine } from "./fake-engine.ts";
import { TEST_CHAIN_ID, genesisEntry, nonceRecordOf, opensBlock, sealHash } from "./messages.ts";
import { mix, toyProgram } from "./toy-program.ts";
import type { ToyOp, ToyStep } from "./toy-program.ts";
import { ToyScheduler } from "./toy-scheduler.ts";

/** A transaction before it is sequenced; accounts by number. */
export interface ToyTx {
  id: number;
  sender: number;
  nonce: number;
  to: number;
  program: Uint8Array;
  hasValue: boolean;
  /** What its access list says it touches, right or wrong. */
  guessed: Map<number, number>;
}

export interface ToyProposal {
  group: Position;
  results: Uint8Array;
  touches: Uint8Array;
  writes: Uint8Array;
}

/** One partition's process. */
export interface ToyPartition {
  state: PartitionState;
  engine: FakeEngine;
  records: OutRecord[];
  /** Local misses of the open block. */
  missed: MissedTransaction[];
}

const STEPS_MAX = 60_000;
const QUIET_STEP = 1_200;
const BALANCE = 40;
/** Blocks whose hashes are compared in the end, as far as there are so many. */
const BLOCKS_SHOWN = 60;
const NOTHING = new Uint8Array(0);

export class ToyWorld {
  readonly rules: Readonly<Rules>;
  readonly partitions: ToyPartition[] = [];
  readonly logs: { message: LogMessage; position: LogPosition }[][] = [];
  /** The last one is the history account; programs touch it by `past` alone. */
  readonly accounts: Uint8Array[] = [];
  readonly accountOf = new Map<string, number>();
  readonly txs: ToyTx[] = [];
  readonly chunks = new Map<string, Uint8Array>();
  readonly proposals: ToyProposal[] = [];
  owners: RangeIndex;
  /** Accidents stop after a while, so that everything settles. */
  isQuiet = false;
  readonly #genesis: Uint8Array;
  readonly #ordinary: number;
  readonly #scheduler: ToyScheduler;
  #random: number;

  constructor(seed: number, rules: Partial<Rules> = {}) {
    this.#random = mix(seed, 77);
    this.rules = { ...ALL_RULES, ...rules };
    const isTight = this.chance(0.3); // Few accounts, much contention; else a group leaves others room to run beside it.
    const count = isTight ? 2 : this.between(2, 4);
    const map = evenRangeMap(count);
    this.owners = indexRanges(map);
    const accounts = isTight ? this.between(3, 6) : this.between(count * 3, 16);
    for (let number = 0; number < accounts; number++) {
      const owner = number < count ? number : this.below(count);
      const address = new Uint8Array(20).fill(number + 1);
      address[0] = Math.ceil((owner * 256) / count) + 1;
      this.accountOf.set(hexOf(address), this.accounts.push(address) - 1);
    }
    const cells = this.accounts.flatMap((address, number) => [
      fakeSlotCell(address, mix(number, 5)),
      ...(this.chance(0.6) ? [fakeAccountCell(address, BALANCE)] : []),
      fakeCodeCell(address, new Uint8Array([number + 1])),
    ]);
    this.#genesis = concatBytes(cells);
    this.#ordinary = accounts;
    this.accountOf.set(hexOf(HISTORY_ADDRESS), this.accounts.push(HISTORY_ADDRESS) - 1);
    for (let partition = 0; partition < count; partition++) {
      this.logs.push([]);
      this.partitions.push(this.#openPartition(partition));
    }
    this.#makeTransactions();
    this.append(this.partitions.map(() => [genesisEntry(map)]));
    this.#scheduler = new ToyScheduler(this);
  }

  /** A number from 0 to `limit` - 1. */
  below(limit: number): number {
    this.#random = (Math.imul(this.#random, 1_664_525) + 1_013_904_223) >>> 0;
    return mix(this.#random, 3) % limit;
  }
  between(least: number, most: number): number {
    return least + this.below(most - least + 1);
  }
  chance(share: number): boolean {
    return this.below(1_000_000) < share * 1_000_000;
  }
  pick<T>(list: readonly T[]): T {
    const picked = list[this.below(list.length)];
    assert(picked !== undefined, "nothing to pick from");
    return picked;
  }

  ownerOf(account: number): number {
    const address = this.accounts[account];
    assert(address !== undefined, `account ${account} is not there`);
    return this.owners.ownerOf(address, 0);
  }

  /** One flush: entries by partition. */
  append(entries: readonly Entry[][]): void {
    const flush = Math.max(0, ...this.logs.map((log) => log.at(-1)?.message.flush ?? 0)) + 1;
    entries.forEach((list, partition) => {
      const log = this.logs[partition];
      if (log === undefined || list.length === 0) return;
      const n = log.length + 1;
      const message: LogMessage = { partition, n, term: 1, flush, entries: list };
      log.push({ message, position: { n, flush, hash: new Uint8Array(32).fill(n & 255) } });
    });
  }

  /** Runs until everything has settled. Returns what is wrong, null if nothing. */
  run(): string | null {
    for (let step = 0; step < STEPS_MAX; step++) {
      this.isQuiet ||= step >= QUIET_STEP;
      const refusal = this.#step();
      if (refusal !== null) return refusal;
      if (step % 50 === 0 && this.isQuiet && this.#isSettled()) return this.#check();
    }
    return "something never settled";
  }

  #step(): string | null {
    const kind = this.below(100);
    if (kind < 25) this.#scheduler.submit(this.pick(this.txs));
    else if (kind < 45) this.#scheduler.flush();
    else if (kind < 75) return this.consume(this.pick(this.partitions));
    else if (kind < 85) this.#propose(this.pick(this.partitions));
    else if (kind < 92) this.#scheduler.hearReport(this.below(this.partitions.length));
    else if (kind < 99) {
      const at = this.below(this.proposals.length + 1);
      const [proposal] = this.proposals.slice(at, at + 1);
      if (!this.chance(0.1)) this.proposals.splice(at, 1); // Sometimes it comes again.
      if (proposal !== undefined) this.#scheduler.hearProposal(proposal);
    } else this.#scheduler.isDue = true;
    return null;
  }

  /** Applies the next message of a partition's log, if there is one. Returns why it was refused. */
  consume(partition: ToyPartition): string | null {
    const next = this.logs[partition.state.partition]?.[partition.state.position.n];
    return next === undefined ? null : this.#apply(partition, next);
  }

  #apply(partition: ToyPartition, { message, position }: { message: LogMessage; position: LogPosition }): string | null {
    const { state, engine } = partition;
    const refusal = refusalOf(state, message);
    if (refusal !== null) return `partition ${state.partition} refuses: ${JSON.stringify(refusal)}`;
    const applied = applyMessage(state, message, position, engine, this.#genesis, this.chunks);
    assert(applied !== null, "a message is applied once");
    partition.records.push(applied.record);
    if (applied.record.block !== null) partition.missed = [];
    partition.missed.push(...applied.missed);
    for (const { first, last } of applied.moves) {
      const bytes = [first, last].map((hex) => this.accounts.find((address) => hexOf(address) === hex) ?? NOTHING);
      const { cells } = engine.exportCells(state.closedBlock, bytes[0] ?? NOTHING, bytes[1] ?? NOTHING, 1_000_000);
      this.chunks.set(`${state.closedBlock}/${first}`, cells);
    }
    return null;
  }

  #openPartition(partition: number): ToyPartition {
    return { state: emptyState(partition, TEST_CHAIN_ID, this.rules), engine: new FakeEngine(), records: [], missed: [] };
  }

  /** What a home does: executes a group that is held, with grants of those that hold it too; says what came of it. */
  #propose({ state, engine }: ToyPartition): void {
    const groups = heldHomeGroups(state);
    if (groups.length === 0) return;
    const group = this.pick(groups);
    const { transactions, rules } = proposalOf(state, group);
    let given: Uint8Array = NOTHING;
    let { allowed } = rules;
    for (;;) {
      const proposal = engine.propose(transactions, given, { ...rules, allowed });
      if (proposal.missing.length === 0) {
        const more = loosened(state, group, allowed, proposal.touches);
        if (more === null) return void this.proposals.push({ group: group.position, ...proposal });
        allowed = more;
        continue;
      }
      const fetched = this.#fetch(state, group, proposal.missing);
      if (fetched === null) return; // Not everybody holds the group: another time.
      given = concatBytes([given, fetched]);
    }
  }

  #fetch(state: PartitionState, group: OpenGroup, missing: Uint8Array): Uint8Array | null {
    const cells: Uint8Array[] = [];
    const { owners } = state; // As the home knows them: the scheduler may have gone on to a later map.
    assert(owners !== null, "a home has a map");
    for (const [owner, request] of requestByOwner(missing, owners.ownerOf, 1_000)) {
      const from = this.partitions[owner];
      assert(from !== undefined, `partition ${owner} is not there`);
      const isLocked = groupState(from.state, group.position) === "held";
      if (!isLocked && (group.participants.includes(owner) || !isCode(request))) return null;
      const answer = isLocked ? { cells: from.engine.grant(request) } : from.engine.read(PENDING, request);
      assert("cells" in answer, "the present can be read");
      cells.push(answer.cells);
    }
    return concatBytes(cells);
  }

  #isSettled(): boolean {
    const ended = this.partitions.flatMap(({ records }) => records).reduce((sum, record) => sum + endedIn(record).length, 0);
    const isRead = this.partitions.every(({ state }) => state.position.n === this.logs[state.partition]?.length);
    return isRead && ended >= this.txs.length && this.#scheduler.isIdle;
  }

  #check(): string | null {
    for (const [number, partition] of this.partitions.entries()) {
      const again = this.#openPartition(number);
      for (const item of this.logs[number] ?? []) this.#apply(again, item);
      const same = JSON.stringify(again.records.map(plain)) === JSON.stringify(partition.records.map(plain));
      if (!same) return `a replay of log ${number} alone gives other records`;
      if (again.state.open.entries.size > 0) return `something is open on partition ${number}`;
    }
    return this.#checkSerial();
  }

  /** Everything that was published, one after the other on one engine that owns everything. */
  #checkSerial(): string | null {
    const engine = new FakeEngine();
    engine.setOwned(ownedBy(evenRangeMap(1), 0));
    engine.importCells(this.#genesis);
    engine.seal(0, sealHash(0));
    const blocks = Math.max(...this.partitions.map(({ state }) => state.closedBlock));
    const nonces = new Map<string, number>();
    let count = 0;
    for (let block = 1; block <= blocks + 1; block++) {
      engine.openBlock(opensBlock(block));
      const ended = this.partitions.flatMap(({ records }) => inBlock(records, block)).sort(byPosition);
      for (const { transaction, result } of ended) {
        const nonce = nonceRecordOf(transaction);
        const sender = hexOf(nonce, 4, 24);
        if (nonce[24] !== (nonces.get(sender) ?? 0)) return `nonce order of ${sender} in block ${block}`;
        nonces.set(sender, nonce[24] + 1);
        const alone = { flush: 0, strict: false, barred: NOTHING, missed: NOTHING };
        const { results } = engine.run(transaction, nonce, alone);
        if (hexOf(results) !== hexOf(result)) return `a result differs from the serial replay in block ${block}`;
        count++;
      }
      const written = writtenBlock(block);
      if (block <= blocks) engine.applyWrites(cellsOfClose(block, written < 0 ? null : sealHash(written)));
      engine.closeBlock();
      engine.seal(block, sealHash(block));
    }
    if (count !== this.txs.length) return `${count} of ${this.txs.length} transactions came to an end`;
    return this.#checkState(engine);
  }

  #checkState(serial: FakeEngine): string | null {
    const hashes = Array.from({ length: BLOCKS_SHOWN }, (_, block) => historyKey(block));
    for (const [number, address] of this.accounts.entries()) {
      const own = [fakeSlotKey(address), fakeKey(CELL.account, address), fakeKey(CELL.nonce, address)];
      const request = concatBytes(address === HISTORY_ADDRESS ? hashes : own);
      const owner = this.partitions[this.ownerOf(number)];
      const [left, right] = [owner?.engine.read(PENDING, request), serial.read(PENDING, request)];
      if (JSON.stringify(left) !== JSON.stringify(right)) return `account ${number} differs from the serial replay`;
    }
    return null;
  }

  #numbers(): number[] {
    return Array.from({ length: this.#ordinary }, (_, number) => number);
  }

  #makeTransactions(): void {
    const senders = this.#numbers().filter((number) => number === 0 || this.chance(0.5));
    const shares = { dynamic: this.pick([0, 0.2, 0.6]), near: this.pick([0.3, 0.8, 0.95]), value: this.pick([0, 0.1, 0.3]) };
    const crossing = this.pick([0.1, 0.3, 1]);
    for (const sender of senders) {
      const count = this.between(2, 6);
      for (let nonce = 0; nonce < count; nonce++) {
        const to = this.below(this.#ordinary);
        // Most stay on one partition in some worlds: they run beside the groups, and touch what they did not declare.
        const isCrossing = this.chance(crossing);
        const steps = this.#makeSteps(to, isCrossing ? shares : { ...shares, near: 1, value: 0 });
        const guessed = new Map<number, number>();
        for (let more = isCrossing ? this.pick([0, 0, 1, 2]) : 0; more > 0; more--) {
          guessed.set(this.below(this.#ordinary), this.below(2));
        }
        const id = this.txs.length + 1;
        const hasValue = steps.some(({ op }) => op === "pay");
        this.txs.push({ id, sender, nonce, to, program: toyProgram(steps, id), hasValue, guessed });
      }
    }
  }

  #makeSteps(to: number, { dynamic, near, value }: { dynamic: number; near: number; value: number }): ToyStep[] {
    const all = this.#numbers();
    let at = to;
    return Array.from({ length: this.between(1, 5) }, (_, number) => {
      const op: ToyOp = number > 0 && this.chance(value) ? "pay" : this.pick(OPS);
      if (op === "hash") return hashStep(this.below(4));
      const around = this.chance(near) ? all.filter((other) => this.ownerOf(other) === this.ownerOf(to)) : all;
      const accounts = this.chance(dynamic) ? [at, this.pick(around), this.pick(around)] : [at];
      at = this.pick(around);
      const amount = op === "pay" ? this.below(BALANCE) : op === "revert" ? this.between(3, 20) : 0;
      return { op, accounts: op === "revert" ? [] : accounts.map((account) => this.accounts[account] ?? NOTHING), amount };
    });
  }
}

/** Of odd blocks by the history account. */
const hashStep = (amount: number): ToyStep =>
  amount % 2 === 0 ? { op: "hash", accounts: [], amount } : { op: "past", accounts: [HISTORY_ADDRESS], amount };

const OPS: ToyOp[] = ["read", "read", "add", "stir", "stir", "stir", "look", "code", "hash", "revert"];

function isCode(request: Uint8Array): boolean {
  for (let at = 0; at < request.length; at += 21) if (request[at] !== CELL.code) return false;
  return true;
}

interface Ended {
  flush: number;
  transaction: Uint8Array;
  result: Uint8Array;
}

const byPosition = (left: Ended, right: Ended): number =>
  left.flush - right.flush || txIndex(left.transaction, 0) - txIndex(right.transaction, 0);

function endedIn(record: OutRecord): Ended[] {
  const runs = [{ flush: record.flush, transactions: record.transactions, results: record.results }, ...record.settled];
  return runs.flatMap(({ flush, transactions, results }) => {
    const ended: Ended[] = [];
    let [at, resultAt] = [0, 0];
    while (at < transactions.length) {
      const [next, resultNext] = [at + txBytes(transactions, at), resultAt + resultBytes(results, resultAt)];
      ended.push({ flush, transaction: transactions.slice(at, next), result: results.slice(resultAt, resultNext) });
      [at, resultAt] = [next, resultNext];
    }
    assert(resultAt === results.length, "transactions and results pair");
    return ended;
  });
}

/** What came to an end in a block: in the records up to the one that closes it. */
function inBlock(records: readonly OutRecord[], block: number): Ended[] {
  let open = 0;
  return records.flatMap((record) => {
    const ended = open === block ? endedIn(record) : [];
    if (record.genesis !== null || record.block !== null) open++;
    return ended;
  });
}

/** A record with hex for bytes, to compare. */
const plain = (record: OutRecord): unknown =>
  JSON.parse(JSON.stringify(record, (_key, value: unknown) => (value instanceof Uint8Array ? hexOf(value) : value)));

/** Stronger of two modes, `left` perhaps absent. */
export const stronger = (left: number | undefined, right: number): number =>
  left === undefined || left === MODE.code ? right : right === MODE.write ? right : left;
