import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { transition } from "xstate";
import { writeU16, writeU32 } from "../bytes.ts";
import type { GroupProposal } from "../messages.ts";
import { ALL_RULES } from "../rules.ts";
import { TOUCH, WHY } from "../touches.ts";
import type { GroupMachine, LockEffect, LockEvent, LockGroup, LockLimits } from "./lock-machine.ts";
import { deadlineOf, isNews, lockMachine, openGroupMachine, stateOf, stepGroup } from "./lock-machine.ts";

const LIMITS: LockLimits = { askMs: 10, lockMsMax: 100, abortsMax: 3 };
/** Members at 5, 6, 7; home 1, participants 1 and 2. */
const GROUP: LockGroup = { position: { flush: 9, index: 4 }, home: 1, participants: [1, 2], members: 3, aborts: 0 };

function proposal(...missed: number[]): GroupProposal {
  const touches = new Uint8Array(3 * TOUCH.accounts);
  [5, 6, 7].forEach((index, member) => {
    const at = member * TOUCH.accounts;
    writeU32(touches, at, TOUCH.accounts);
    writeU32(touches, at + TOUCH.index, index);
    touches[at + TOUCH.why] = missed.includes(index) ? WHY.outside : WHY.complete;
    writeU16(touches, at + TOUCH.count, 0);
  });
  return { home: 1, group: GROUP.position, results: new Uint8Array(), touches, writes: [] };
}

const EVENTS = {
  appended: { type: "appended", at: 0 },
  "held by 1": { type: "heldBy", participant: 1, at: 4 },
  "held by 2": { type: "heldBy", participant: 2, at: 4 },
  "held by 3": { type: "heldBy", participant: 3, at: 4 },
  proposed: { type: "proposed", proposal: proposal() },
  "proposed, 6 missed": { type: "proposed", proposal: proposal(6) },
  "apply appended": { type: "applyAppended" },
  "abort appended": { type: "abortAppended" },
  "append failed": { type: "appendFailed" },
  "early deadline": { type: "deadline", at: 9 },
  "deadline to ask": { type: "deadline", at: 20 },
  "deadline to abort": { type: "deadline", at: 100 },
  "2 silent": { type: "silent", participant: 2 },
  "3 silent": { type: "silent", participant: 3 },
  "2 back": { type: "back", participant: 2 },
  "3 back": { type: "back", participant: 3 },
  "6 again": { type: "resequenced", members: [6] },
  "all again": { type: "resequenced", members: [5, 6, 7] },
  "ended by apply": { type: "ended", by: "apply", members: [] },
  "ended by apply, 6 left": { type: "ended", by: "apply", members: [6] },
  "ended by abort, 5 and 6 left": { type: "ended", by: "abort", members: [5, 6] },
} as const satisfies Record<string, LockEvent>;
type EventName = keyof typeof EVENTS;

/** How to get into each situation. */
const SITUATIONS = {
  "acquiring, not in LOG": [],
  "acquiring, not in LOG, 2 silent": ["2 silent"],
  acquiring: ["appended"],
  "acquiring, held by 2": ["appended", "held by 2"],
  "executing, not in LOG": ["held by 1", "held by 2"],
  executing: ["appended", "held by 1", "held by 2"],
  applying: ["appended", "proposed"],
  "applying, 6 missed": ["appended", "proposed, 6 missed"],
  "applying, 6 missed, 2 silent": ["appended", "proposed, 6 missed", "2 silent"],
  aborted: ["appended", "deadline to abort"],
  "aborted, 2 silent": ["appended", "2 silent"],
  "retrying 6": ["appended", "proposed, 6 missed", "apply appended"],
  "retrying 6, 2 silent later": ["appended", "proposed, 6 missed", "apply appended", "2 silent"],
  "retrying all": ["appended", "deadline to abort", "abort appended"],
  "retrying 6 when 2 is back": ["appended", "proposed, 6 missed", "2 silent", "apply appended"],
  "retrying all when 2 is back": ["appended", "2 silent", "abort appended"],
  released: ["appended", "proposed", "apply appended"],
} satisfies Record<string, EventName[]>;
type Situation = keyof typeof SITUATIONS;

const said = (effect: LockEffect): string => {
  switch (effect.kind) {
    case "askAgain":
      return `ask ${effect.participants.join()}`;
    case "retry":
      return `retry ${effect.members.join()} (${effect.by})`;
    case "apply":
      return effect.proposal === EVENTS.proposed.proposal ? "apply" : "apply with misses";
    default:
      return effect.kind;
  }
};
const run = (events: readonly LockEvent[], from = openGroupMachine(GROUP, LIMITS)): GroupMachine =>
  events.reduce((machine, event) => stepGroup(machine, event).machine, from);
const inSituation = (situation: Situation): GroupMachine => run(SITUATIONS[situation].map((name) => EVENTS[name]));

/**
 * Every situation with every event that does something there: the next state, the whole list of effects, the next deadline.
 * What stands in no row changes nothing: the same state, no effect, the same deadline.
 */
const ROWS: [Situation, EventName, string][] = [
  ["acquiring, not in LOG", "appended", "acquiring: (10)"],
  ["acquiring, not in LOG", "held by 1", "acquiring: (none)"],
  ["acquiring, not in LOG", "held by 2", "acquiring: (none)"],
  ["acquiring, not in LOG", "proposed", "applying: apply (none)"],
  ["acquiring, not in LOG", "proposed, 6 missed", "applying: apply with misses (none)"],
  ["acquiring, not in LOG", "2 silent", "acquiring: (none)"],
  ["acquiring, not in LOG", "ended by apply", "released: release, done (none)"],
  ["acquiring, not in LOG", "ended by apply, 6 left", "retrying: release, retry 6 (apply) (none)"],
  ["acquiring, not in LOG", "ended by abort, 5 and 6 left", "retrying: release, retry 5,6 (abort) (none)"],
  ["acquiring, not in LOG, 2 silent", "appended", "aborted: abort (none)"],
  ["acquiring, not in LOG, 2 silent", "proposed", "applying: apply (none)"],
  ["acquiring, not in LOG, 2 silent", "proposed, 6 missed", "applying: apply with misses (none)"],
  ["acquiring, not in LOG, 2 silent", "ended by apply", "released: release, done (none)"],
  ["acquiring, not in LOG, 2 silent", "ended by apply, 6 left", "retrying: release (none)"],
  ["acquiring, not in LOG, 2 silent", "ended by abort, 5 and 6 left", "retrying: release (none)"],
  ["acquiring", "held by 1", "acquiring: (14)"],
  ["acquiring", "held by 2", "acquiring: (14)"],
  ["acquiring", "proposed", "applying: apply (none)"],
  ["acquiring", "proposed, 6 missed", "applying: apply with misses (none)"],
  ["acquiring", "deadline to ask", "acquiring: ask 1,2 (30)"],
  ["acquiring", "deadline to abort", "aborted: abort (none)"],
  ["acquiring", "2 silent", "aborted: abort (none)"],
  ["acquiring, held by 2", "held by 1", "executing: (14)"],
  ["acquiring, held by 2", "proposed", "applying: apply (none)"],
  ["acquiring, held by 2", "proposed, 6 missed", "applying: apply with misses (none)"],
  ["acquiring, held by 2", "deadline to ask", "acquiring: ask 1 (30)"],
  ["acquiring, held by 2", "deadline to abort", "aborted: abort (none)"],
  ["acquiring, held by 2", "2 silent", "aborted: abort (none)"],
  ["acquiring", "ended by apply", "released: release, done (none)"],
  ["acquiring", "ended by apply, 6 left", "retrying: release, retry 6 (apply) (none)"],
  ["acquiring", "ended by abort, 5 and 6 left", "retrying: release, retry 5,6 (abort) (none)"],
  ["acquiring, held by 2", "ended by apply", "released: release, done (none)"],
  ["acquiring, held by 2", "ended by apply, 6 left", "retrying: release, retry 6 (apply) (none)"],
  ["acquiring, held by 2", "ended by abort, 5 and 6 left", "retrying: release, retry 5,6 (abort) (none)"],
  ["executing, not in LOG", "appended", "executing: (10)"],
  ["executing, not in LOG", "proposed", "applying: apply (none)"],
  ["executing, not in LOG", "proposed, 6 missed", "applying: apply with misses (none)"],
  ["executing", "proposed", "applying: apply (none)"],
  ["executing", "proposed, 6 missed", "applying: apply with misses (none)"],
  ["executing", "deadline to ask", "executing: ask 1 (30)"],
  ["executing", "deadline to abort", "aborted: abort (none)"],
  ["executing", "2 silent", "aborted: abort (none)"],
  ["applying", "apply appended", "released: release, done (none)"],
  ["applying", "append failed", "applying: apply (none)"],
  ["applying, 6 missed", "apply appended", "retrying: release, retry 6 (apply) (none)"],
  ["applying, 6 missed", "append failed", "applying: apply with misses (none)"],
  ["applying, 6 missed, 2 silent", "apply appended", "retrying: release (none)"],
  ["applying, 6 missed, 2 silent", "append failed", "applying: apply with misses (none)"],
  ["aborted", "abort appended", "retrying: release, retry 5,6,7 (abort) (none)"],
  ["aborted", "append failed", "aborted: abort (none)"],
  ["aborted, 2 silent", "abort appended", "retrying: release (none)"],
  ["aborted, 2 silent", "append failed", "aborted: abort (none)"],
  ["retrying 6", "6 again", "released: done (none)"],
  ["retrying 6", "all again", "released: done (none)"],
  ["retrying 6, 2 silent later", "6 again", "released: done (none)"],
  ["retrying 6, 2 silent later", "all again", "released: done (none)"],
  ["retrying all", "all again", "released: done (none)"],
  ["retrying 6 when 2 is back", "2 back", "retrying: retry 6 (apply) (none)"],
  ["retrying 6 when 2 is back", "6 again", "released: done (none)"],
  ["retrying 6 when 2 is back", "all again", "released: done (none)"],
  ["retrying all when 2 is back", "2 back", "retrying: retry 5,6,7 (abort) (none)"],
  ["retrying all when 2 is back", "all again", "released: done (none)"],
];

describe.each(Object.keys(SITUATIONS) as Situation[])("%s", (situation) => {
  test.each(Object.keys(EVENTS) as EventName[])("%s", (name) => {
    const machine = inSituation(situation);
    const next = stepGroup(machine, EVENTS[name]);
    const got = `${stateOf(next.machine)}: ${next.effects.map(said).join(", ")} (${deadlineOf(next.machine) ?? "none"})`;
    const row = ROWS.find(([from, event]) => from === situation && event === name);
    const unchanged = `${stateOf(machine)}:  (${deadlineOf(machine) ?? "none"})`;
    expect(got.replace(":  (", ": (")).toBe((row?.[2] ?? unchanged).replace(":  (", ": ("));
  });
});

test("what is passed over as no news would change nothing", () => {
  const strip = ({ value, context }: GroupMachine) => ({ value, context });
  for (const situation of Object.keys(SITUATIONS) as Situation[]) {
    for (const event of Object.values(EVENTS)) {
      const machine = inSituation(situation);
      if (isNews(machine, event)) continue;
      const [next, actions] = transition(lockMachine, machine, event);
      expect([situation, event.type, strip(next), actions]).toEqual([situation, event.type, strip(machine), []]);
    }
  }
});

test("each abort before doubles the time, up to a limit", () => {
  const ages = [0, 1, 2, 3, 4, 9].map((aborts) => {
    const opened = openGroupMachine({ ...GROUP, aborts }, { ...LIMITS, askMs: 10_000 });
    return deadlineOf(run([EVENTS.appended], opened));
  });
  expect(ages).toEqual([100, 200, 400, 800, 800, 800]);
});

test("without Rule abortsCount a proposal after an abort is applied", () => {
  const rules = { ...ALL_RULES, abortsCount: false };
  for (const before of [[EVENTS["deadline to abort"]], [EVENTS["2 silent"], EVENTS["abort appended"]]]) {
    const machine = run([EVENTS.appended, ...before], openGroupMachine(GROUP, LIMITS, rules));
    expect(stepGroup(machine, EVENTS.proposed).effects.map(said)).toEqual(["apply"]);
  }
});

test("any life: one decision, one release, one retry, nothing after the end, and never stuck", () => {
  const anyEvents = fc.array(fc.constantFrom(...(Object.keys(EVENTS) as EventName[])), { maxLength: 40 });
  fc.assert(
    fc.property(anyEvents, (names) => {
      let machine = openGroupMachine(GROUP, LIMITS);
      const effects: LockEffect[] = [];
      const step = (event: LockEvent) => {
        const before = stateOf(machine);
        const next = stepGroup(machine, event);
        if (before === "released") expect([next.effects, next.machine]).toEqual([[], machine]);
        machine = next.machine;
        effects.push(...next.effects);
      };
      for (const name of names) step(EVENTS[name]);
      // Faults end: all participants are there, each wish is done.
      step({ type: "back", participant: 2 });
      step({ type: "appended", at: 1_000 });
      for (let round = 0; round < 5 && stateOf(machine) !== "released"; round++) {
        const due = deadlineOf(machine);
        if (due !== null) step({ type: "deadline", at: due + LIMITS.lockMsMax });
        step({ type: "applyAppended" });
        step({ type: "abortAppended" });
        const retry = effects.find(({ kind }) => kind === "retry");
        if (retry?.kind === "retry") step({ type: "resequenced", members: retry.members });
      }
      expect(stateOf(machine)).toBe("released");
      const count = (kind: LockEffect["kind"]) => effects.filter((effect) => effect.kind === kind).length;
      expect([count("release"), count("done")]).toEqual([1, 1]);
      expect(count("retry")).toBeLessThanOrEqual(1);
      // A repetition is only asked for after an append that failed, and it is always the same decision.
      const failed = names.filter((name) => name === "append failed").length;
      expect(count("apply") === 0 || count("abort") === 0).toBe(true);
      expect(count("apply") + count("abort")).toBeLessThanOrEqual(1 + failed);
      expect(new Set(effects.flatMap((effect) => (effect.kind === "apply" ? [effect.proposal] : []))).size).toBeLessThan(2);
      expect(effects.at(-1)?.kind).toBe("done");
    }),
    { numRuns: 300 },
  );
});
