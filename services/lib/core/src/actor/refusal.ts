/**
 * What a partition must not apply. Found before anything of the message is executed, from the state and the message alone.
 *
 * F1. A group's place and members are what the scheduler promises: later groups stand later, indexes have no gap, an `apply`
 *     on the home says of every member either how it ended or that it missed.
 * F2. A block closes only with no group open: then nothing is open (queue.ts, Q3). And with a seal of every block that is so far
 *     back that the history account's cells have its hash (history-account.ts).
 */
import { sameBytes } from "../bytes.ts";
import { writtenBlock } from "../history/history-account.ts";
import { pairedCount } from "../blocks/merge.ts";
import type {
  AbortEntry,
  ApplyEntry,
  BlockEntry,
  Entry,
  GroupEntry,
  LockEntry,
  LogMessage,
  Position,
  SealEntry,
} from "../entries.ts";
import { RULES_VERSION } from "../entries.ts";
import { DECLARED_BYTES, TX_HEADER_BYTES, txBytes, txCount, txIndex } from "../transactions.ts";
import { indexesOf } from "./groups.ts";
import { isAt, openGroup, openGroups } from "./queue.ts";
import type { OpenGroup } from "./queue.ts";
import { recordsWithout } from "./settle.ts";
import type { PartitionState } from "./state.ts";
import { mapOf, sealedBlock } from "./state.ts";

/** Why a partition cannot go on with its log. It stops for good and says so; a person has to look. */
export type LogRefusal =
  | { code: "FORMAT_UNKNOWN"; n: number; kind: string }
  | { code: "RULES_UNKNOWN"; n: number; rules: number; known: number }
  | { code: "LOG_INVALID"; n: number; text: string };

/** The message as far as it has been looked at. */
interface Seen {
  n: number;
  /** Groups that were open before the message and are ended in it. */
  ended: Set<OpenGroup>;
  /** Groups that the message opens. */
  opened: Position[];
  /** Blocks that the message seals. */
  sealed: number[];
  isClosed: boolean;
  /** A `map` entry may stand here. */
  isBetweenBlocks: boolean;
}

const EXECUTING = new Set<Entry["kind"]>(["run", "group", "lock", "apply", "abort"]);
const invalid = (n: number, text: string): LogRefusal => ({ code: "LOG_INVALID", n, text });
const name = ({ flush, index }: Position): string => `${flush}.${index}`;

/** Why `message` must not be applied, or null. Reads only; to be asked before `applyMessage`. */
export function refusalOf(state: PartitionState, message: LogMessage): LogRefusal | null {
  const { n } = message;
  const { isBetweenBlocks } = state;
  const seen: Seen = { n, ended: new Set(), opened: [], sealed: [], isClosed: false, isBetweenBlocks };
  for (const entry of message.entries) {
    if ((entry.kind === "genesis") !== (n === 1)) return invalid(n, `entry ${entry.kind} in message ${n}`);
    if (seen.isClosed && entry.kind !== "map") return invalid(n, `entry ${entry.kind} behind block`);
    const refusal = refusalOfEntry(state, entry, message, seen);
    if (refusal !== null) return refusal;
    if (EXECUTING.has(entry.kind)) seen.isBetweenBlocks = false;
    if (entry.kind === "block") seen.isBetweenBlocks = seen.isClosed = true;
  }
  if (n === 1 && message.entries.length !== 1) return invalid(n, "message 1 is not one genesis entry");
  return null;
}

function refusalOfEntry(state: PartitionState, entry: Entry, message: LogMessage, seen: Seen): LogRefusal | null {
  const { n } = message;
  switch (entry.kind) {
    case "genesis":
      if (entry.chainId !== state.chainId) return invalid(n, `chain id ${entry.chainId} is not ${state.chainId}`);
      if (entry.opens.number !== 1) return invalid(n, `genesis opens block ${entry.opens.number}`);
      return null;
    case "term":
      return entry.term < state.term ? invalid(n, `term ${entry.term} behind term ${state.term}`) : null;
    case "run":
      return null;
    case "group":
    case "lock":
      return refusalOfGroup(state, entry, message, seen);
    case "apply":
    case "abort":
      return refusalOfEnd(state, entry, seen);
    case "block":
      return refusalOfBlock(state, entry, seen);
    case "map":
      if (!seen.isBetweenBlocks) return invalid(n, "entry map not right behind block");
      return entry.map.version > mapOf(state).version
        ? null
        : invalid(n, `map version ${entry.map.version} behind ${mapOf(state).version}`);
    case "seal":
      seen.sealed.push(entry.number);
      return refusalOfSeal(state, entry, n);
    default:
      return { code: "FORMAT_UNKNOWN", n, kind: String((entry as { kind: unknown }).kind) };
  }
}

function refusalOfGroup(
  state: PartitionState,
  entry: GroupEntry | LockEntry,
  { n, flush }: LogMessage,
  seen: Seen,
): LogRefusal | null {
  const position = { flush, index: entry.index };
  const before = seen.opened.at(-1) ?? state.open.last;
  if (before !== null && (before.flush > flush || (before.flush === flush && before.index >= entry.index))) {
    return invalid(n, `group ${name(position)} behind ${name(before)}`);
  }
  if (entry.accounts.length % DECLARED_BYTES !== 0 || (entry.whole && entry.accounts.length > 0)) {
    return invalid(n, `group ${name(position)} has ${entry.accounts.length} bytes of accounts`);
  }
  seen.opened.push(position);
  if (entry.kind === "lock") {
    return entry.home === state.partition ? invalid(n, `group ${name(position)} locks its home`) : null;
  }
  if (!entry.participants.includes(state.partition)) {
    return invalid(n, `group ${name(position)} is not partition ${state.partition}'s`);
  }
  const members = memberCount(entry);
  return typeof members === "string" ? invalid(n, `group ${name(position)}: ${members}`) : null;
}

/** How many members a group has; or what is wrong with them. */
function memberCount({ index, transactions }: GroupEntry): number | string {
  let count = 0;
  for (let at = 0; at < transactions.length;) {
    const bytes = at + TX_HEADER_BYTES <= transactions.length ? txBytes(transactions, at) : 0;
    if (bytes < TX_HEADER_BYTES || at + bytes > transactions.length) return `member ${count} is cut off`;
    if (txIndex(transactions, at) !== index + 1 + count) return `member ${count} has index ${txIndex(transactions, at)}`;
    at += bytes;
    count++;
  }
  return count === 0 ? "no members" : count;
}

function refusalOfEnd(state: PartitionState, entry: ApplyEntry | AbortEntry, seen: Seen): LogRefusal | null {
  const { n, ended, opened } = seen;
  if (opened.some((position) => isAt(position, entry.group))) {
    return invalid(n, `${entry.kind} of group ${name(entry.group)} in its own message`);
  }
  const group = openGroup(state, entry.group);
  if (group === undefined || ended.has(group)) return null; // It is resolved, or was never here.
  ended.add(group);
  if (entry.kind === "abort") return null;
  if (!group.held && entry.writes.length > 0) {
    return invalid(n, `apply writes for group ${name(entry.group)}, which does not hold its locks`);
  }
  if (!group.isHome) return null;
  const wrong = whyUnpaired(group, entry);
  return wrong === null ? null : invalid(n, `apply of group ${name(entry.group)}: ${wrong}`);
}

/** What is wrong if results and misses together are not the group's members, each once. */
function whyUnpaired({ transactions }: OpenGroup, { results, misses }: ApplyEntry): string | null {
  const missed = indexesOf(misses);
  const missedOnce = new Set(missed);
  const ended = recordsWithout(transactions, missedOnce);
  const count = pairedCount(ended, results);
  if (typeof count === "string") return count;
  const left = txCount(transactions) - count;
  return left === missedOnce.size && left === missed.length && misses.length % 4 === 0
    ? null
    : `${missed.length} misses for ${left} members without a result`;
}

function refusalOfBlock(state: PartitionState, entry: BlockEntry, seen: Seen): LogRefusal | null {
  const { n, ended, opened } = seen;
  if (entry.rules !== RULES_VERSION) return { code: "RULES_UNKNOWN", n, rules: entry.rules, known: RULES_VERSION };
  if (state.block === null || entry.number !== state.block.number) {
    return invalid(n, `block ${entry.number} closes, open is ${state.block?.number ?? "none"}`);
  }
  if (entry.opens.number !== entry.number + 1) return invalid(n, `block ${entry.number} opens ${entry.opens.number}`);
  if (entry.opens.timestamp < state.block.timestamp) {
    return invalid(n, `timestamp ${entry.opens.timestamp} before ${state.block.timestamp}`);
  }
  const written = writtenBlock(entry.number);
  const isSealed = written < 0 || seen.sealed.includes(written) || state.seals.some(({ number }) => number === written);
  if (!isSealed) return invalid(n, `block ${entry.number} closes, block ${written} has no seal`);
  const left = state.open.groups.size > ended.size ? openGroups(state).find((group) => !ended.has(group)) : undefined;
  const open = left?.position ?? opened[0];
  return open === undefined ? null : invalid(n, `block ${entry.number} closes, group ${name(open)} is open`);
}

function refusalOfSeal(state: PartitionState, entry: SealEntry, n: number): LogRefusal | null {
  if (entry.number > state.closedBlock) {
    return invalid(n, `seal of block ${entry.number}, closed is ${state.closedBlock}`);
  }
  const known = state.seals.find(({ number }) => number === entry.number);
  if (known !== undefined && !sameBytes(known.hash, 0, entry.hash, 0, 32)) {
    return invalid(n, `block ${entry.number} is sealed again with another hash`);
  }
  if (known === undefined && entry.number < sealedBlock(state)) {
    return invalid(n, `seal of block ${entry.number} behind block ${sealedBlock(state)}`);
  }
  return null;
}
