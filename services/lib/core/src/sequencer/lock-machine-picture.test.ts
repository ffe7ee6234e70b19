/** Draws docs/lock-machine.md from the machine itself. After a change: `npx vitest run lock-machine-picture -u`. */
import { expect, test } from "vitest";
import { lockMachine } from "./lock-machine.ts";

type Transition = (typeof lockMachine.root)["transitions"] extends Map<string, (infer T)[]> ? T : never;

/** What a state or a transition asks for; notes in the machine's own memory are left out. */
const effectsOf = (actions: readonly { type: string }[]): string[] =>
  actions.map(({ type }) => type).filter((type) => type !== "note");
const isPlanted = ({ meta }: Transition): boolean => (meta as { planted?: boolean } | undefined)?.planted === true;
const guardOf = ({ guard }: Transition, earlier: number): string =>
  typeof guard === "string" ? guard : earlier > 0 ? "else" : "";

const states = Object.values(lockMachine.states).map((node) => ({
  name: node.key,
  isFinal: node.type === "final",
  entry: effectsOf(node.entry as { type: string }[]),
  arrows: [...node.transitions.values()].flatMap((all) =>
    all
      .filter((transition) => !isPlanted(transition))
      .map((transition, earlier) => ({
        event: transition.eventType,
        guard: guardOf(transition, earlier),
        target: transition.target?.[0]?.key ?? "",
        effects: effectsOf(transition.actions as { type: string }[]),
      })),
  ),
}));

function diagram(): string[] {
  const entries = states.flatMap(({ name, entry }) =>
    entry.length === 0 ? [] : [`  ${name} : enters with ${entry.join(", ")}`],
  );
  const arrows = states.flatMap(({ name, arrows: out }) =>
    out.flatMap(({ event, guard, target, effects }) => {
      if (target === "" && effects.length === 0) return [];
      const when = guard === "" ? event : `${event} [${guard}]`;
      return [`  ${name} --> ${target || name} : ${[when, ...(effects.length > 0 ? [effects.join(", ")] : [])].join(" / ")}`];
    }),
  );
  const ends = states.filter(({ isFinal }) => isFinal).map(({ name }) => `  ${name} --> [*]`);
  return ["```mermaid", "stateDiagram-v2", `  [*] --> ${states[0]?.name ?? ""}`, ...entries, ...arrows, ...ends, "```"];
}

/** A Markdown table with aligned columns, as the formatter has it. */
function table(rows: string[][]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (row: string[]) => `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(" | ")} |`;
  const [head, ...body] = rows;
  return [line(head!), line(widths.map((width) => "-".repeat(width))), ...body.map(line)];
}

const code = (words: string[]): string => words.map((word) => `\`${word}\``).join(", ");

test("docs/lock-machine.md shows the machine as it is", async () => {
  const rows = states.flatMap(({ name, arrows }) =>
    arrows.map(({ event, guard, target, effects }) => [
      code([name]),
      code([event]),
      guard,
      code(target === "" ? [name] : [target]),
      code([...effects, ...(states.find((state) => state.name === target)?.entry ?? [])]),
    ]),
  );
  const text = [
    "# The lock machine",
    "",
    "Drawn from `services/lib/core/src/sequencer/lock-machine.ts` by the test beside it, which fails when this page differs. Do",
    "not edit it by hand; `npx vitest run lock-machine-picture -u` draws it again. Why it is so:",
    "[ADR 0013](adr/0013-groups-in-log-order.md). The words: [GLOSSARY](GLOSSARY.md).",
    "",
    "One machine for each group. `acquiring`: the group is on its way into the log or in it, not all participants hold their",
    "locks. `executing`: all do, the home is at work. `applying`: a proposal is chosen, its `apply` goes into the next flush.",
    "`aborted`: the same for `abort`. `retrying`: the group has ended in the log, its locks are free, and members of it have to",
    "be sequenced again. `released`: nothing is left to do. A new leader opens a machine for each group that it reads in LOG: it",
    "goes on in `acquiring`, or with `ended` to where the log says it stands.",
    "",
    ...diagram(),
    "",
    "The same as a table, with the events that only change what the machine remembers. What stands in no row changes nothing.",
    "",
    ...table([["State", "Event", "If", "Next state", "Effects, in order"], ...rows]),
    "",
  ].join("\n");
  await expect(text).toMatchFileSnapshot("../../../../../docs/lock-machine.md");
});
