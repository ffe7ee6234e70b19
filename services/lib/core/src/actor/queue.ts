/**
 * The queue of a partition's open entries: groups whose locks are held here or wait, and local transactions that wait.
 *
 * Q1. The order is the log's. An entry waits if and only if one of its keys conflicts with an entry before it.
 * Q2. A group holds its locks from its turn until its `apply` or `abort`; whatever conflicts waits behind it.
 * Q3. Without an open group nothing is open: a local transaction only waits behind a group, directly or not.
 * Q4. What one entry costs does not hang on how many are open (open-queue.ts, open-entries.test.ts).
 */
import { concatBytes } from "../bytes.ts";
import type { Engine, ProposalRules } from "../engine.ts";
import type { GroupEntry, LockEntry, Position } from "../entries.ts";
import { assert } from "../assert.ts";
import type { PartitionId } from "../ranges.ts";
import { WHY, touchAccounts, touchBytes, touchWhy } from "../touches.ts";
import { MODE, TX, txBytes, txCount, txIndex } from "../transactions.ts";
import { accountsWhere, addressesOf, conflicts, emptyStanding, stand } from "./keys.ts";
import type { Keys, Stander } from "./keys.ts";
import { barredBy, enter, exit, firstLocal, groupAt, isItsTurn, release } from "./open-queue.ts";
import type { PartitionState } from "./state.ts";

export interface OpenGroup extends Stander {
  kind: "group";
  position: Position;
  n: number; // of its message
  isHome: boolean;
  home: PartitionId;
  /** Ascending, known on the home; elsewhere empty. */
  participants: PartitionId[];
  /** Packed (u8 mode, b20)*: on the home those of all participants, elsewhere those owned here. */
  accounts: Uint8Array;
  whole: boolean;
  /** Packed, on the home; elsewhere empty. */
  transactions: Uint8Array;
  /** It has its turn: its accounts stay as they are until `apply` or `abort`. */
  held: boolean;
  /** Its home has committed it already; only without the rule `homeWaitsForApply`. */
  isEarly: boolean;
}

/** A local transaction that waits for its turn. */
export interface OpenLocal extends Stander {
  kind: "local";
  position: Position;
  n: number;
  record: Uint8Array; // packed, its own copy
}

export type OpenEntry = OpenGroup | OpenLocal;

const NOTHING = new Uint8Array(0);

/** How far this partition is with a group. `ahead`: its log has not come to it. */
export type GroupState = "ahead" | "waiting" | "held" | "resolved";

export function groupState(state: PartitionState, position: Position): GroupState {
  if (position.flush > state.position.flush) return "ahead";
  const group = openGroup(state, position);
  return group === undefined ? "resolved" : group.held ? "held" : "waiting";
}

export const openGroups = (state: PartitionState): OpenGroup[] => [...state.open.groups.values()];

/** The groups that this partition is to execute and propose now. */
export const heldHomeGroups = (state: PartitionState): OpenGroup[] =>
  openGroups(state).filter(({ isHome, held, isEarly }) => isHome && held && !isEarly);

/** Up to this message of the log no local transaction waits for its turn. */
export function settledN(state: PartitionState): number {
  const waiting = firstLocal(state.open);
  return waiting === undefined ? state.position.n : waiting.n - 1;
}

/** Packed (u64 flush, u32 index)*: what missed in the open block, as the engine asks for it. */
export const missedPositions = (state: PartitionState): Uint8Array => (state.rules.followersMiss ? state.missed : NOTHING);

export const isAt = (left: Position, right: Position): boolean => left.flush === right.flush && left.index === right.index;

export const openGroup = (state: PartitionState, position: Position): OpenGroup | undefined => groupAt(state.open, position);

/** Takes a `group` or `lock` entry into the queue. */
export function openEntry(state: PartitionState, entry: GroupEntry | LockEntry, n: number, flush: number): OpenGroup {
  const { owners, partition } = state;
  assert(owners !== null, "a group stands before genesis");
  const isHome = entry.kind === "group";
  const isKey = (bytes: Uint8Array, at: number, mode: number): boolean =>
    mode !== MODE.code && owners.ownerOf(bytes, at) === partition;
  const transactions = isHome ? entry.transactions.slice() : NOTHING;
  const group: OpenGroup = {
    kind: "group",
    position: { flush, index: entry.index },
    n,
    isHome,
    home: isHome ? partition : entry.home,
    participants: isHome ? [...entry.participants] : [],
    accounts: entry.accounts.slice(),
    whole: entry.whole,
    transactions,
    held: false,
    isEarly: false,
    order: state.open.came,
    keys: {
      accounts: accountsWhere(entry.accounts, isKey),
      senders: state.rules.sendersQueue ? sendersOf(transactions) : NOTHING, // Rule sendersQueue
      whole: entry.whole,
    },
  };
  group.held = !conflicts(state.open.standing, group.keys);
  enter(state.open, group, !isReleased(state, group));
  return group;
}

/** Takes a local transaction that has to wait into the queue. */
export function openLocal(state: PartitionState, record: Uint8Array, keys: Keys, n: number, flush: number): void {
  const position = { flush, index: txIndex(record, 0) };
  enter(state.open, { kind: "local", position, n, record, keys, order: state.open.came }, true);
}

/** Takes a group out of the queue; others may have their turn then (`takeTurns`). */
export const closeEntry = (state: PartitionState, group: OpenGroup): void => exit(state.open, group);

function sendersOf(transactions: Uint8Array): Uint8Array {
  const senders = new Uint8Array(txCount(transactions) * 20);
  let to = 0;
  for (let at = 0; at < transactions.length; at += txBytes(transactions, at), to += 20) {
    senders.set(transactions.subarray(at + TX.sender, at + TX.sender + 20), to);
  }
  return senders;
}

/** An open group that keeps nobody waiting: never, unless a rule is switched off. */
const isReleased = (state: PartitionState, open: OpenEntry): boolean =>
  open.kind === "group" && (open.isEarly || (open.held && !state.rules.locksHold)); // Rules homeWaitsForApply, locksHold

/** Packed b20: the accounts that a transaction which runs at once may touch only as it has declared. */
export function barredOf(state: PartitionState): Uint8Array {
  const { rules } = state;
  if (!rules.predictionsAreChecked) return NOTHING; // Rule predictionsAreChecked
  if (rules.waitersBar) return barredBy(state.open); // Rule waitersBar
  const barring = openGroups(state).filter((group) => !isReleased(state, group) && group.held);
  return concatBytes(barring.map(({ keys }) => addressesOf(keys.accounts)));
}

/**
 * Gives the turn to everything that has no conflict before it any more: groups become held, local transactions leave the queue.
 * @returns those local transactions, in log order
 */
export function takeTurns(state: PartitionState): { due: OpenLocal[]; held: OpenGroup[] } {
  const { open } = state;
  const due: OpenLocal[] = [];
  const held: OpenGroup[] = [];
  for (let entry = open.next.pop(); entry !== undefined; entry = open.next.pop()) {
    if ((entry.kind === "group" && entry.held) || !isItsTurn(open, entry)) continue;
    if (entry.kind === "local") {
      due.push(entry);
      exit(open, entry); // Who waited for it only may come next.
    } else {
      entry.held = true;
      held.push(entry);
      if (isReleased(state, entry)) release(open, entry);
    }
  }
  return { due: due.sort(byOrder), held: held.sort(byOrder) };
}

const byOrder = (left: Stander, right: Stander): number => left.order - right.order;

/** What a group's home proposes with: its members, and what they may touch. */
export function proposalOf(state: PartitionState, group: OpenGroup): { transactions: Uint8Array; rules: ProposalRules } {
  assert(group.isHome && group.held, `group ${group.position.flush}.${group.position.index} is not this partition's to propose`);
  const { position, accounts, whole } = group;
  return {
    transactions: withoutAfter(state, group.transactions),
    rules: { flush: position.flush, allowed: accounts, whole, missed: missedPositions(state) },
  };
}

/** For the simulator, without the rule `followersMiss`: transactions that name no other. With the rule: as they are. */
export function withoutAfter(state: PartitionState, transactions: Uint8Array): Uint8Array {
  if (state.rules.followersMiss) return transactions; // Rule followersMiss
  const copy = transactions.slice();
  for (let at = 0; at < copy.length; at += txBytes(copy, at)) copy.fill(0, at + TX.afterFlush, at + TX.afterIndex + 4);
  return copy;
}

/**
 * For the simulator, without the rule `membersAreStrict`: what the home lets its members touch beyond `allowed`, seen what they
 * touched in a proposal. Null with the rule, and if there is nothing more.
 */
export function loosened(state: PartitionState, group: OpenGroup, allowed: Uint8Array, touches: Uint8Array): Uint8Array | null {
  if (state.rules.membersAreStrict) return null; // Rule membersAreStrict
  const others = emptyStanding<OpenEntry>();
  for (const open of state.open.entries) if (open !== group) stand(others, open);
  const { owners, partition } = state;
  assert(owners !== null, "a group stands before genesis");
  const added: Uint8Array[] = [];
  for (let at = 0; at < touches.length; at += touchBytes(touches, at)) {
    if (touchWhy(touches, at) !== WHY.outside) continue;
    const isFree = (bytes: Uint8Array, address: number): boolean => {
      const account = bytes.slice(address - 1, address + 20);
      account[0] = MODE.write;
      const isKnown =
        accountsWhere(allowed, (known, from, mode) => mode === MODE.write && isSame(known, from, account)).length > 0;
      return (
        !isKnown &&
        owners.ownerOf(bytes, address) === partition &&
        !conflicts(others, { accounts: account, senders: NOTHING, whole: false })
      );
    };
    const free = accountsWhere(touchAccounts(touches, at), isFree);
    for (let from = 0; from < free.length; from += 21) free[from] = MODE.write;
    added.push(free);
  }
  const more = concatBytes(added);
  return more.length === 0 ? null : concatBytes([allowed, more]);
}

const isSame = (known: Uint8Array, from: number, account: Uint8Array): boolean =>
  account.subarray(1).every((byte, index) => known[from + index] === byte);

/**
 * For the simulator, without the rule `homeWaitsForApply`: the home commits its own part of a proposal at once and lets go.
 * @param writes packed cells that this partition owns
 */
export function commitEarly(state: PartitionState, group: OpenGroup, writes: Uint8Array, engine: Engine): void {
  assert(!state.rules.homeWaitsForApply, "a group is committed before its apply"); // Rule homeWaitsForApply
  engine.applyWrites(writes);
  group.isEarly = true;
  release(state.open, group);
}
