import { SUBMIT, WHY, lagBytes } from "@meridian/core";
import type { FlushPlan, GroupCounts, Sequencer, Telemetry } from "@meridian/core";

/** What the scheduler measures; the README's table has the same names. Gauges show the term that is led, nothing on a standby. */
export interface SchedulerMetrics {
  /** Whose figures the gauges show; undefined on a standby. */
  follow: (sequencer: Sequencer | undefined) => void;
  flushed: (plan: FlushPlan, buildMs: number, appendMs: number) => void;
  /** Counts decisions since the last call. */
  decided: () => void;
  tookOver: () => void;
  disagreed: () => void;
}

const CODES = Object.entries(SUBMIT);
const REASONS = ["nonce", "gap", "room"]; // in the order of core's WAIT

export function schedulerMetrics(telemetry: Telemetry): SchedulerMetrics {
  let followed: Sequencer | undefined;
  let counted = new Float64Array(CODES.length);
  const named = (name: string) => `meridian.scheduler.${name}`;
  const histogram = (name: string, unit: string, text: string) => telemetry.histogram(named(name), unit, text);
  const counter = (name: string, unit: string, text: string) => telemetry.counter(named(name), unit, text);
  const gauge = (name: string, unit: string, text: string, observe: (sequencer: Sequencer) => number) =>
    telemetry.gauge(named(name), unit, text, () => (followed === undefined ? [] : [{ value: observe(followed) }]));

  gauge("term", "1", "Term that this process leads", ({ term }) => term);
  gauge("submits", "{request}", "Submits not answered", ({ submits }) => submits.open);
  gauge("records", "{transaction}", "Transactions not decided", ({ submits }) => submits.records);
  gauge("queue.size", "By", "Payload of submits not answered", ({ submits }) => submits.bytes);
  gauge("senders", "{sender}", "Senders remembered", ({ senders }) => senders.count);
  gauge("groups.open", "{group}", "Groups without an end", ({ groups }) => groups.open);
  gauge("retries.waiting", "{transaction}", "Transactions waiting to be sequenced again", ({ retries }) => retries.count);
  gauge("blocks.unsealed", "{block}", "Closed blocks without a seal", ({ blocks }) => blocks.unsealed.length);
  telemetry.gauge(named("waiting"), "{transaction}", "Transactions waiting, by `reason`: nonce, gap, room", () =>
    REASONS.map((reason, index) => ({ value: followed?.waiting.counts[index] ?? 0, attributes: { reason } })),
  );
  telemetry.gauge(named("lag"), "By", "Appended by this leader and not applied, by `partition`", () => {
    if (followed === undefined) return [];
    const { partitions } = followed;
    return partitions.ids.map((partition, slot) => ({ value: lagBytes(partitions, slot), attributes: { partition } }));
  });

  const flushTransactions = histogram("flush.transactions", "{transaction}", "Transactions of one flush");
  const flushBytes = histogram("flush.size", "By", "Transactions and nonce records of one flush");
  const flushBuild = histogram("flush.build", "ms", "Putting one flush together");
  const append = histogram("append", "ms", "One atomic append until its acknowledgement");
  const blocks = counter("blocks", "{block}", "Blocks closed");
  const seals = counter("seals", "{block}", "Blocks sealed");
  const decisions = counter("decisions", "{transaction}", "Submitted transactions by `code`");
  const takeovers = counter("takeovers", "{takeover}", "Terms that this process began");
  const unequal = counter("blocks.unequal", "{block}", "Blocks that two archives built differently");

  const countGroups = groupMetrics(telemetry);

  return {
    follow: (sequencer) => {
      followed = sequencer;
      counted = new Float64Array(CODES.length);
    },
    flushed: (plan, buildMs, appendMs) => {
      flushTransactions(plan.transactions);
      flushBytes(plan.bytes);
      flushBuild(buildMs);
      append(appendMs);
      if (followed !== undefined) countGroups(followed.counts);
      if (plan.closes !== null) blocks(1);
      if (plan.seals > 0) seals(plan.seals);
    },
    decided: () => {
      if (followed === undefined) return;
      for (const [index, [name, code]] of CODES.entries()) {
        const total = followed.decisions[code] ?? 0;
        const before = counted[index] ?? 0;
        if (total > before) decisions(total - before, { code: name });
        counted[index] = total;
      }
    },
    tookOver: () => takeovers(1),
    disagreed: () => unequal(1),
  };
}

const COUNTED = {
  groups: ["{group}", "Groups sequenced"],
  members: ["{transaction}", "Members of groups"],
  whole: ["{group}", "Whole-system groups"],
  aborts: ["{group}", "Groups aborted"],
  retries: ["{transaction}", "Transactions sequenced again"],
  unfitProposals: ["{proposal}", "Proposals that do not fit their group"],
} as const;

/** Counts what groups did since the last call. A term counts from 0. */
function groupMetrics(telemetry: Telemetry): (counts: GroupCounts) => void {
  const counters = Object.entries(COUNTED).map(([name, [unit, text]]) => ({
    field: name as keyof typeof COUNTED,
    add: telemetry.counter(`meridian.scheduler.groups.${name}`, unit, text),
  }));
  const held = telemetry.histogram("meridian.scheduler.groups.held", "ms", "From a group's append to that of its end");
  const proposed = telemetry.histogram(
    "meridian.scheduler.groups.proposed",
    "ms",
    "From a group's append to its home's proposal",
  );
  const missed = telemetry.counter("meridian.scheduler.misses", "{transaction}", "Misses by `why` and `of`: local, member");
  let seen: GroupCounts | undefined;
  let before: GroupCounts | undefined;
  return (counts) => {
    if (seen !== counts) before = undefined; // Another term.
    seen = counts;
    for (const { field, add } of counters) {
      const more = counts[field] - (before?.[field] ?? 0);
      if (more > 0) add(more);
    }
    for (const [why, code] of Object.entries(WHY)) {
      if (code === WHY.complete) continue;
      const local = (counts.misses[code] ?? 0) - (before?.misses[code] ?? 0);
      const member = (counts.ends[code] ?? 0) - (before?.ends[code] ?? 0);
      if (local > 0) missed(local, { why, of: "local" });
      if (member > 0) missed(member, { why, of: "member" });
    }
    for (const ms of counts.heldMs.splice(0)) held(ms);
    for (const ms of counts.proposedMs.splice(0)) proposed(ms);
    before = { ...counts, misses: counts.misses.slice(), ends: counts.ends.slice() };
  };
}
