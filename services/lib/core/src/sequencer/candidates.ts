/**
 * Members of groups that are gathered for the next flush. What shares an account, or has one sender, comes into one group: its
 * order is the order in which its members came.
 *
 * C1. One group for each connected component: accounts read or written connect, accounts whose code runs do not. Components with
 *     the same participants go together: locks, grants and the machine cost by group, not by member.
 * C2. A group has at most so many members, so much declared gas and so many bytes, unless its first member alone has more.
 * C3. A group has one home: where a member's sender has something unresolved, it is that one; members that would force two homes
 *     are not in one group.
 */
import type { SequencerLimits } from "./limits.ts";
import type { Retry } from "./retries.ts";
import type { Turn } from "./turn.ts";

/** One member. */
export interface Candidate {
  submit: number; // -1 if it is sequenced again
  record: number;
  payload: Uint8Array;
  at: number;
  sender: number;
  owner: number;
  retry: Retry | null;
  set: Uint8Array;
  bytes: number;
  component: Component;
}

/** A group in the making; `into` once it is a part of another one. */
export interface Component {
  into: Component | null;
  members: number;
  gas: number;
  bytes: number;
  participants: Set<number>; // slots
  /** Slot of the home that a member's sender demands; -1 if none does. */
  home: number;
}

export interface Candidates {
  members: Candidate[];
  /** By account (hex), by sender ("s" and its id), and by participants ("p" and their slots): a group with just these. */
  byKey: Map<string, Component>;
  groups: number;
  /** They make the whole-system group of the block boundary. */
  whole: boolean;
}

export const openCandidates = (): Candidates => ({ members: [], byKey: new Map(), groups: 0, whole: false });

export function clearCandidates(candidates: Candidates): void {
  candidates.members = [];
  candidates.byKey.clear();
  candidates.groups = 0;
  candidates.whole = false;
}

export function rootOf(component: Component): Component {
  let root = component;
  while (root.into !== null) root = root.into;
  if (component !== root) component.into = root; // Next time it is one step.
  return root;
}

/** Components that a member with these keys would join. */
function touched(candidates: Candidates, keys: readonly string[]): Component[] {
  const found: Component[] = [];
  for (const key of keys) {
    const component = candidates.byKey.get(key);
    if (component === undefined) continue;
    const root = rootOf(component);
    if (!found.includes(root)) found.push(root);
  }
  return found;
}

/**
 * Adds a member.
 * @param keys of its accounts and its sender
 * @param home slot that its sender demands, or -1
 * @returns false if its group would go over a bound or have two homes: nothing has changed then
 */
export function addCandidate(
  candidates: Candidates,
  turn: Turn,
  set: Uint8Array,
  keys: readonly string[],
  home: number,
  limits: SequencerLimits,
): boolean {
  const joined = touched(candidates, keys);
  if (!isWithin(joined, turn, home, limits)) return false;
  const companions = `p${turn.participants.toSorted((left, right) => left - right).join()}`;
  if (joined.length === 0) {
    const root = companionOf(candidates, companions);
    const isAlike = root !== null && root.participants.size === turn.participants.length;
    if (isAlike && isWithin([root], turn, home, limits)) joined.push(root);
  }
  if (joined.length === 0 && candidates.groups >= limits.groupsMax) return false;
  const component = joined[0] ?? { into: null, members: 0, gas: 0, bytes: 0, participants: new Set(), home: -1 };
  for (const other of joined.slice(1)) merge(component, other);
  candidates.groups += 1 - joined.length;
  component.members++;
  component.gas += turn.gas;
  component.bytes += turn.bytes;
  if (home >= 0) component.home = home;
  for (const slot of turn.participants) component.participants.add(slot);
  if (turn.home >= 0) component.participants.add(turn.home);
  for (const key of keys) candidates.byKey.set(key, component);
  if (component.participants.size === turn.participants.length) candidates.byKey.set(companions, component);
  const { submit, record, payload, at, sender, owner, retry, bytes } = turn;
  candidates.members.push({ submit, record, payload, at, sender, owner, retry, set, bytes, component });
  return true;
}

function companionOf(candidates: Candidates, key: string): Component | null {
  const component = candidates.byKey.get(key);
  return component === undefined ? null : rootOf(component);
}

function isWithin(joined: readonly Component[], turn: Turn, home: number, limits: SequencerLimits): boolean {
  let [members, gas, bytes, demanded] = [1, turn.gas, turn.bytes, home];
  for (const component of joined) {
    members += component.members;
    gas += component.gas;
    bytes += component.bytes;
    if (component.home < 0) continue;
    if (demanded >= 0 && demanded !== component.home) return false;
    demanded = component.home;
  }
  if (members === 1) return true;
  return members <= limits.groupMembersMax && gas <= limits.groupGasMax && bytes <= limits.groupBytesMax;
}

function merge(into: Component, other: Component): void {
  other.into = into;
  into.members += other.members;
  into.gas += other.gas;
  into.bytes += other.bytes;
  if (other.home >= 0) into.home = other.home;
  for (const slot of other.participants) into.participants.add(slot);
}

/** The groups in order of their first members, each with its members in order. */
export function componentsOf(candidates: Candidates): { component: Component; members: Candidate[] }[] {
  const found = new Map<Component, Candidate[]>();
  for (const member of candidates.members) {
    const root = rootOf(member.component);
    const members = found.get(root);
    if (members === undefined) found.set(root, [member]);
    else members.push(member);
  }
  return [...found].map(([component, members]) => ({ component, members }));
}
