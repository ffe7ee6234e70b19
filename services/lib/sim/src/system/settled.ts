/** Whether a run has come to its end: everything sent has its fate, and every process knows all of it. */
import type { Run } from "./run.ts";

const ends = new WeakMap<Run, number>();

/** Null if all has settled, else what it waits for. */
export function isSettled(run: Run): string | null {
  const { clients, system, network } = run;
  for (const client of clients) {
    const open = client.sent.find(({ fate }) => fate === "waiting");
    if (open !== undefined) return `transaction ${open.planned.id} is not acknowledged`;
    if (!client.isDone) return "a client waits for an answer";
  }
  const beat = clients[0]?.beat ?? null;
  if (beat === null) return "nobody leads";
  // The block that was open when the last transaction was taken, and the one behind it, for what it left behind.
  const end = ends.get(run) ?? beat.open.number + 1;
  ends.set(run, end);
  if (beat.latest.number < end) return `block ${end} is not sealed, the last one is ${beat.latest.number}`;
  const short = system.disks.findIndex(({ rows }) => (rows.at(-1)?.stored.number ?? -1) < end);
  if (short >= 0) return `archive ${short} does not have block ${end}`;
  for (const [partition, actor] of system.actors) {
    const { stopped, closedBlock } = actor.status();
    if (stopped !== null) return `partition ${partition} has stopped: ${stopped}`;
    if (closedBlock < end) return `partition ${partition} is behind at block ${closedBlock}`;
  }
  return network.kept.length === 0 ? "nothing is stored" : null;
}
