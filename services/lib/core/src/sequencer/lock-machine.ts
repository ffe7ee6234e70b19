/**
 * The lock machine: what becomes of one group of transactions over several partitions, from its place in LOG to the last member
 * that has to be sequenced again. One for each group; stepped with the pure `transition` of xstate: no actor, no timer. Time
 * comes in with events, a deadline is a number that the caller asks for, what has to be done comes out as data. The picture:
 * docs/lock-machine.md. A life of six steps takes 70-100 us, most of it xstate's, so `stepGroup` passes over what is no news.
 *
 * L1. A group ends once, by the first `apply` or `abort` in its participants' logs. The first proposal is the one that is
 *     applied; after a decision to abort none is.
 * L2. A decision stands when it is appended. An append that failed is decided again, the same way.
 * L3. Events are repeated state: one that says nothing new changes nothing and asks for nothing.
 * L4. Locks go with the `apply` or `abort`, whatever is left to do; members are sequenced again once, when all participants are
 *     there. A group is done when none of its members is left over.
 * L5. A new leader restores a group from LOG alone: `acquiring` if it is open there, else by `ended`. A decision that was not
 *     appended is taken anew.
 */
import { assign, initialTransition, setup, transition } from "xstate";
import type { SnapshotFrom } from "xstate";
import { assert } from "../assert.ts";
import type { Position } from "../entries.ts";
import type { GroupProposal } from "../messages.ts";
import type { PartitionId } from "../ranges.ts";
import type { Rules } from "../rules.ts";
import { ALL_RULES } from "../rules.ts";
import { WHY, touchBytes, touchIndex, touchWhy } from "../touches.ts";

/** A group as its machine needs it. Its members stand behind it in its flush, at indexes position.index + 1 to + `members`. */
export interface LockGroup {
  readonly position: Position;
  readonly home: PartitionId;
  readonly participants: readonly PartitionId[]; // the home among them
  readonly members: number;
  /** How often its members were in a group that was aborted; the most of any member. Each time doubles the time it is given. */
  readonly aborts: number;
}

export interface LockLimits {
  askMs: number; //     without progress for so long, those that have not answered are asked again
  lockMsMax: number; // a group older than this is aborted
  abortsMax: number; // doublings of `lockMsMax` for members that were aborted before
}

export const lockLimits: Readonly<LockLimits> = { askMs: 500, lockMsMax: 5_000, abortsMax: 6 };

/** What a machine is told. `at`: ms of a clock that does not go back. */
export type LockEvent =
  /** The flush with the group is in LOG. */
  | { type: "appended"; at: number }
  /** A participant's report says that it holds the group's locks. */
  | { type: "heldBy"; participant: PartitionId; at: number }
  | { type: "proposed"; proposal: GroupProposal }
  | { type: "applyAppended" }
  | { type: "abortAppended" }
  /** The flush with the decision was not appended (no room) and nothing of it stands in LOG. */
  | { type: "appendFailed" }
  /** `deadlineOf` has passed. One that comes early changes nothing. */
  | { type: "deadline"; at: number }
  /** A partition does not report, or has stopped for good; and it reports again. */
  | { type: "silent"; participant: PartitionId }
  | { type: "back"; participant: PartitionId }
  /** Members, by index in the group's flush, that stand in LOG again at a later position. */
  | { type: "resequenced"; members: readonly number[] }
  /** After a takeover: LOG holds the group's end; `members` missed there and do not stand in LOG again. */
  | { type: "ended"; by: "apply" | "abort"; members: readonly number[] };

/** What the sequencer has to do. */
export type LockEffect =
  /** These have not answered: a beat makes them report at once. */
  | { kind: "askAgain"; participants: readonly PartitionId[] }
  /** Put `apply` entries into the next flush. */
  | { kind: "apply"; proposal: GroupProposal }
  /** Put `abort` entries into the next flush. */
  | { kind: "abort" }
  /** The group's accounts are free: candidates that waited for them can go. */
  | { kind: "release" }
  /** Sequence these members again. `by` tells why: what missed may count as an attempt, an abort never does. */
  | { kind: "retry"; members: readonly number[]; by: "apply" | "abort" }
  /** Nothing is left: forget the machine. */
  | { kind: "done" };
type EffectOf<K extends LockEffect["kind"]> = Extract<LockEffect, { kind: K }>;

interface LockContext {
  readonly group: LockGroup;
  readonly limits: LockLimits;
  readonly rules: Rules;
  /** Participants that have not said that they hold their locks. */
  readonly awaited: readonly PartitionId[];
  readonly silent: readonly PartitionId[];
  readonly askAt: number | null; // ms; null until the group is in LOG
  readonly abortAt: number | null;
  readonly proposal: GroupProposal | null;
  readonly by: "apply" | "abort" | null;
  /** Members to be sequenced again, known from the decision on; and whether that was asked for. */
  readonly left: readonly number[];
  readonly retried: boolean;
}
interface Told<T extends LockEvent["type"] = LockEvent["type"]> {
  context: LockContext;
  event: Extract<LockEvent, { type: T }>;
}
type Changes = Partial<LockContext>;

const without = <T>(list: readonly T[], gone: T): readonly T[] => list.filter((one) => one !== gone);
const isOurs = ({ context: { group }, event: { participant } }: Told<"silent">) => group.participants.includes(participant);

// What an event changes.
const inLog = ({ context: { group, limits }, event: { at } }: Told<"appended">): Changes => ({
  askAt: at + limits.askMs,
  abortAt: at + limits.lockMsMax * 2 ** Math.min(group.aborts, limits.abortsMax),
});
const heldByOneMore = ({ context: { awaited, askAt, limits }, event }: Told<"heldBy">): Changes => ({
  awaited: without(awaited, event.participant),
  askAt: askAt === null ? null : event.at + limits.askMs,
});
const oneMoreSilent = ({ context: { silent }, event }: Told<"silent">): Changes => ({
  silent: silent.includes(event.participant) ? silent : [...silent, event.participant],
});
const oneSilentLess = ({ context: { silent }, event }: Told<"back">): Changes => ({ silent: without(silent, event.participant) });
const askedAgain = ({ context: { limits }, event }: Told<"deadline">): Changes => ({ askAt: event.at + limits.askMs });
const decidedToApply = ({ event: { proposal } }: Told<"proposed">): Changes => ({
  by: "apply",
  proposal,
  left: missedMembers(proposal),
});
const decidedToAbort = ({ context: { group } }: Told): Changes => ({
  by: "abort",
  left: Array.from({ length: group.members }, (_, member) => group.position.index + 1 + member),
});
const endedInLog = ({ event: { by, members } }: Told<"ended">): Changes => ({ by, left: members });
const fewerLeft = ({ context: { left }, event: { members } }: Told<"resequenced">): Changes => ({
  left: left.filter((member) => !members.includes(member)),
});
const markRetried = (): Changes => ({ retried: true });

// What has to be done.
const askThem = ({ context: { awaited, group } }: Told): EffectOf<"askAgain"> => ({
  kind: "askAgain",
  participants: awaited.length > 0 ? awaited : [group.home],
});
const applyIt = ({ context: { proposal } }: Told): EffectOf<"apply"> => {
  assert(proposal !== null, "apply without a proposal");
  return { kind: "apply", proposal };
};
const abortIt = (): EffectOf<"abort"> => ({ kind: "abort" });
const releaseIt = (): EffectOf<"release"> => ({ kind: "release" });
const retryThem = ({ context: { left, by } }: Told): EffectOf<"retry"> => {
  assert(by !== null, "retry without an end");
  return { kind: "retry", members: left, by };
};
const forgetIt = (): EffectOf<"done"> => ({ kind: "done" });

const machineParts = setup({
  types: { context: {} as LockContext, input: {} as LockContext, events: {} as LockEvent },
  actions: {
    note: assign((_, changes: Changes) => changes),
    askAgain: (_, _effect: EffectOf<"askAgain">) => undefined,
    apply: (_, _effect: EffectOf<"apply">) => undefined,
    abort: (_, _effect: EffectOf<"abort">) => undefined,
    release: (_, _effect: EffectOf<"release">) => undefined,
    retry: (_, _effect: EffectOf<"retry">) => undefined,
    done: (_, _effect: EffectOf<"done">) => undefined,
  },
  guards: {
    "new in LOG": ({ context: { abortAt } }) => abortAt === null,
    "all hold": ({ context: { awaited }, event }) =>
      event.type === "heldBy" && awaited.length === 1 && awaited[0] === event.participant,
    "one more holds": ({ context: { awaited }, event }) => event.type === "heldBy" && awaited.includes(event.participant),
    "one is silent": ({ context: { silent } }) => silent.length > 0,
    "a participant": ({ context, event }) => event.type === "silent" && isOurs({ context, event }),
    "a participant, in LOG": ({ context, event }) =>
      event.type === "silent" && isOurs({ context, event }) && context.abortAt !== null,
    "too old": ({ context: { abortAt }, event }) => event.type === "deadline" && abortAt !== null && event.at >= abortAt,
    late: ({ context: { askAt }, event }) => event.type === "deadline" && askAt !== null && event.at >= askAt,
    "none missed": ({ context: { left } }) => left.length === 0,
    "none is left": ({ context: { left }, event }) =>
      (event.type === "resequenced" || event.type === "ended") &&
      (event.type === "ended" ? event.members.length === 0 : left.every((member) => event.members.includes(member))),
    "all are back": ({ context: { silent, retried }, event }) =>
      event.type === "back" && !retried && silent.length === 1 && silent[0] === event.participant,
    "Rule abortsCount is off": ({ context: { rules, by } }) => !rules.abortsCount && by === "abort",
  },
});

/** Members of a proposal that did not come to an end. */
function missedMembers({ touches }: GroupProposal): number[] {
  const missed: number[] = [];
  for (let at = 0; at < touches.length; at += touchBytes(touches, at)) {
    if (touchWhy(touches, at) !== WHY.complete) missed.push(touchIndex(touches, at));
  }
  return missed;
}

const ask = { type: "askAgain", params: askThem } as const;
const release = { type: "release", params: releaseIt } as const;
const retry = [
  { type: "retry", params: retryThem },
  { type: "note", params: markRetried },
] as const;
/** While nothing is decided. */
const undecided = {
  appended: [
    {
      guard: "one is silent",
      target: "aborted",
      actions: [
        { type: "note", params: inLog },
        { type: "note", params: decidedToAbort },
      ],
    },
    { guard: "new in LOG", actions: { type: "note", params: inLog } },
  ],
  proposed: { target: "applying", actions: { type: "note", params: decidedToApply } },
  deadline: [
    { guard: "too old", target: "aborted", actions: { type: "note", params: decidedToAbort } },
    { guard: "late", actions: [{ type: "note", params: askedAgain }, ask] },
  ],
  silent: [
    {
      guard: "a participant, in LOG",
      target: "aborted",
      actions: [
        { type: "note", params: oneMoreSilent },
        { type: "note", params: decidedToAbort },
      ],
    },
    { guard: "a participant", actions: { type: "note", params: oneMoreSilent } },
  ],
  back: { actions: { type: "note", params: oneSilentLess } },
} as const;

/** Once something is. */
const decided = {
  silent: { guard: "a participant", actions: { type: "note", params: oneMoreSilent } },
  back: { actions: { type: "note", params: oneSilentLess } },
} as const;

/** What the simulator switches on by rule; not a part of the protocol, so not in its picture. */
const planted = {
  proposed: {
    guard: "Rule abortsCount is off",
    target: "applying",
    actions: { type: "note", params: decidedToApply },
    meta: { planted: true },
  },
} as const;

/** The machine's definition; docs/lock-machine.md is drawn from it. Everything else steps it by `stepGroup`. */
export const lockMachine = machineParts.createMachine({
  id: "lock",
  context: ({ input }) => input,
  initial: "acquiring",
  states: {
    acquiring: {
      on: {
        ...undecided,
        heldBy: [
          { guard: "all hold", target: "executing", actions: { type: "note", params: heldByOneMore } },
          { guard: "one more holds", actions: { type: "note", params: heldByOneMore } },
        ],
        ended: [
          { guard: "none is left", target: "released", actions: [{ type: "note", params: endedInLog }, release] },
          { guard: "one is silent", target: "retrying", actions: [{ type: "note", params: endedInLog }, release] },
          { target: "retrying", actions: [{ type: "note", params: endedInLog }, release, ...retry] },
        ],
      },
    },
    executing: { on: undecided },
    applying: {
      entry: { type: "apply", params: applyIt },
      on: {
        ...decided,
        applyAppended: [
          { guard: "none missed", target: "released", actions: release },
          { guard: "one is silent", target: "retrying", actions: release },
          { target: "retrying", actions: [release, ...retry] },
        ],
        appendFailed: { target: "applying", reenter: true },
      },
    },
    aborted: {
      entry: { type: "abort", params: abortIt },
      on: {
        ...decided,
        ...planted,
        abortAppended: [
          { guard: "one is silent", target: "retrying", actions: release },
          { target: "retrying", actions: [release, ...retry] },
        ],
        appendFailed: { target: "aborted", reenter: true },
      },
    },
    retrying: {
      on: {
        ...planted,
        silent: decided.silent,
        back: [{ guard: "all are back", actions: [{ type: "note", params: oneSilentLess }, ...retry] }, decided.back],
        resequenced: [
          { guard: "none is left", target: "released", actions: { type: "note", params: fewerLeft } },
          { actions: { type: "note", params: fewerLeft } },
        ],
      },
    },
    released: { type: "final", entry: { type: "done", params: forgetIt } },
  },
});

/** One group's machine: an immutable value. */
export type GroupMachine = SnapshotFrom<typeof lockMachine>;
export type LockState = GroupMachine["value"];

/** The machine of a group that goes into the next flush; `appended` follows when it is in LOG, or after a takeover. */
export function openGroupMachine(group: LockGroup, limits: LockLimits = lockLimits, rules: Rules = ALL_RULES): GroupMachine {
  const context: LockContext = {
    ...{ group, limits, rules, awaited: group.participants, silent: [], askAt: null, abortAt: null },
    ...{ proposal: null, by: null, left: [], retried: false },
  };
  return initialTransition(lockMachine, context)[0];
}

/** One step. `machine` stays as it is; the same step gives the same effects, in the order to perform them. */
export function stepGroup(machine: GroupMachine, event: LockEvent): { machine: GroupMachine; effects: LockEffect[] } {
  if (!isNews(machine, event)) return { machine, effects: [] };
  const [next, actions] = transition(lockMachine, machine, event);
  return { machine: next, effects: actions.map(({ params }) => params as LockEffect) };
}

/** When a `deadline` is due, ms; null if the machine waits for no time. */
export function deadlineOf({ value, context: { askAt, abortAt } }: GroupMachine): number | null {
  if (value !== "acquiring" && value !== "executing") return null;
  return askAt === null || abortAt === null ? null : Math.min(askAt, abortAt);
}

export const stateOf = (machine: GroupMachine): LockState => machine.value;

/** False for what is said again and again and is known: it need not be stepped. */
export function isNews(machine: GroupMachine, event: LockEvent): boolean {
  const { awaited, silent, group, rules, by } = machine.context;
  switch (event.type) {
    case "appended":
      return machine.context.abortAt === null;
    case "heldBy":
      return machine.value === "acquiring" && awaited.includes(event.participant);
    case "silent":
      return group.participants.includes(event.participant) && !silent.includes(event.participant);
    case "back":
      return silent.includes(event.participant);
    case "proposed":
      return by === null || !(rules.abortsCount || by === "apply");
    case "deadline":
      return event.at >= (deadlineOf(machine) ?? Infinity);
    default:
      return true;
  }
}
